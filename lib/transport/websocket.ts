/**
 * Turns the native WebSocket into events.
 *
 * @module
 */

import { waitAtMost } from "../runtime/timeout.ts";
import {
  type CloseDetails,
  diagnoseClose,
  needsTlsDiagnosis,
  withoutUrl,
} from "./failure_reasons.ts";
import type { Host, SocketErrorInfo } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { createTlsDiagnoser, type TlsDiagnoser } from "./tls_diagnosis.ts";

/** How long a peer has to answer a close frame, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2_000;

/** What happens to a socket; the caller adds the connection id. */
export type TransportEvent =
  | { readonly type: "open" }
  | { readonly type: "frame"; readonly text: string }
  | { readonly type: "binary"; readonly bytes: number }
  | {
    readonly type: "closed";
    readonly code: number;
    /**
     * How long ago it closed, in milliseconds, if it took time to find the
     * reason.
     */
    readonly agoMs?: number;
  } & CloseDetails;

/** A WebSocket that is connecting or open. */
export interface Socket {
  /** Sends a text frame; does nothing on a socket that is not open. */
  send(text: string): void;
  /** How many bytes are buffered. */
  readonly backlogBytes: number;
  /**
   * Starts to close with code 1000. Resolves when the peer has answered, or
   * never will.
   */
  close(): Promise<void>;
}

/**
 * Dials a WebSocket and reports its events; `closed` comes exactly once and
 * last. Never throws.
 */
export type Dialer = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
  onEvent: (event: TransportEvent) => void,
) => Socket;

/** The parts of a host that dialing needs. */
export type DialHost = Pick<
  Host,
  | "webSocketOptions"
  | "watchDialErrors"
  | "requestOverTls"
  | "proxyVariables"
  | "getEnv"
>;

/**
 * Creates a dialer that uses a host's WebSocket.
 *
 * @param maxDiagnosisMs how long the diagnosis of a failed dial may take before
 * the failure is reported
 */
export function createDialer(host: DialHost, maxDiagnosisMs: number): Dialer {
  const diagnoseTls = createTlsDiagnoser(host);
  return (url, subprotocol, headers, onEvent) => {
    const diagnose = async (): Promise<SocketErrorInfo | undefined> => {
      let diagnosis: SocketErrorInfo | undefined;
      const diagnosed = diagnoseTls(url, subprotocol, headers).then((error) =>
        diagnosis = error
      );
      await waitAtMost(maxDiagnosisMs, diagnosed);
      return diagnosis;
    };
    return dial(host, url, subprotocol, headers, onEvent, diagnose);
  };
}

function dial(
  host: DialHost,
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
  onEvent: (event: TransportEvent) => void,
  diagnose: () => ReturnType<TlsDiagnoser>,
): Socket {
  const closed = Promise.withResolvers<void>();
  let isClosed = false;
  const finish = (event: TransportEvent): void => {
    if (isClosed) return;
    isClosed = true;
    closed.resolve();
    onEvent(event);
  };
  const readDialError = host.watchDialErrors();
  let socket: WebSocket;
  try {
    const protocols = subprotocol === undefined ? [] : [subprotocol];
    // The options object is an extension that Deno, Node and Bun have in
    // common.
    socket = new WebSocket(url, {
      protocols,
      headers: Object.fromEntries(headers),
      ...host.webSocketOptions(url),
    });
  } catch {
    const reason = "this runtime takes no such URL or header";
    queueMicrotask(() =>
      finish({ type: "closed", code: 0, reason, isServerReached: false })
    );
    return { send: () => {}, backlogBytes: 0, close: () => closed.promise };
  }
  socket.binaryType = "arraybuffer";
  let lastError: SocketErrorInfo = { message: "", errorCode: "" };
  let wasOpen = false;
  let isDiagnosing = false;
  const reportClosed = (code: number, reason: string, agoMs?: number): void =>
    finish({
      type: "closed",
      code,
      ...diagnoseClose({ wasOpen, code, reason, ...lastError }),
      ...(agoMs !== undefined && { agoMs }),
    });
  const diagnoseAndClose = async (): Promise<void> => {
    isDiagnosing = true;
    const failedAt = performance.now();
    lastError = await diagnose() ?? lastError;
    reportClosed(0, "", performance.now() - failedAt);
  };
  socket.onopen = () => {
    wasOpen = true;
    onEvent({ type: "open" });
  };
  socket.onmessage = ({ data }) => {
    const text = typeof data === "string" ? data : decodeBinaryFrame(data);
    if (text !== undefined) onEvent({ type: "frame", text });
    // Node 22.0 gives null for a frame that it should have rejected.
    else onEvent({ type: "binary", bytes: data?.byteLength ?? 0 });
  };
  socket.onerror = (event) => {
    lastError = errorEventInfo(event);
    if (wasOpen) return;
    lastError = readDialError() ?? lastError;
    if (url.startsWith("wss:") && needsTlsDiagnosis(lastError)) {
      void diagnoseAndClose();
    } // After this event, Node 22 emits no more for a failed dial.
    else reportClosed(0, "");
  };
  socket.onclose = ({ code, reason }) => {
    if (!isDiagnosing) reportClosed(code, reason);
  };
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    get backlogBytes() {
      const isOpen = socket.readyState === WebSocket.OPEN;
      return isOpen ? socket.bufferedAmount : 0;
    },
    close: () => {
      if (socket.readyState === WebSocket.CONNECTING) closed.resolve();
      socket.close(1000);
      void terminateAfterTimeout(socket, closed.promise);
      return closed.promise;
    },
  };
}

const STRICT_UTF_8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Decodes a binary frame as text: many daemons send their JSON in binary
 * frames.
 */
function decodeBinaryFrame(data: ArrayBuffer | null): string | undefined {
  try {
    return data === null ? undefined : STRICT_UTF_8.decode(data);
  } catch {
    return undefined;
  }
}

/**
 * Without this, a peer that never answers the close keeps the connection open
 * for ever. Only Bun can terminate a connection.
 */
async function terminateAfterTimeout(
  socket: WebSocket & { terminate?(): void },
  closed: Promise<void>,
): Promise<void> {
  if (socket.terminate === undefined) return;
  await waitAtMost(CLOSE_TIMEOUT_MS, closed);
  socket.terminate();
}

/** Returns what an error event contains. */
function errorEventInfo(event: Event): SocketErrorInfo {
  const { message, error } = event as Partial<ErrorEvent>;
  const text = String(message || error?.message || "");
  return { message: withoutUrl(text), errorCode: String(error?.code ?? "") };
}
