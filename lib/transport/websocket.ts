/**
 * The native WebSocket as events.
 *
 * @module
 */

import { atMost } from "../runtime/timeout.ts";
import {
  type CloseReason,
  closeReasonOf,
  isUnclear,
  withoutUrl,
} from "./close_reason.ts";
import type { Host, Trouble } from "../runtime/host.ts";
import type { Header } from "../config/parsers.ts";
import { faultFinder, type FindFault } from "./tls_diagnosis.ts";

/** How long a peer has to answer a close, in milliseconds. */
const FAREWELL_MS = 2_000;

/** What a socket has to say; the epoch is the caller's to add. */
export type SocketReport =
  | { readonly type: "open" }
  | { readonly type: "frame"; readonly text: string }
  | { readonly type: "binary"; readonly bytes: number }
  | {
    readonly type: "closed";
    readonly code: number;
    /** How long ago it was, in milliseconds, where the reason had to be found. */
    readonly agoMs?: number;
  } & CloseReason;

/** A connection, or one that is being made. */
export interface Socket {
  /** Sends a text frame; does nothing on a socket that is not open. */
  send(text: string): void;
  /** How much waits to be sent, in bytes. */
  readonly backlog: number;
  /** Starts to close with code 1000; resolves when the other side knows, or never will. */
  close(): Promise<void>;
}

/**
 * Dials a WebSocket and reports what happens to it, `closed` exactly once and
 * last. Never throws.
 */
export type Dial = (
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
  emit: (report: SocketReport) => void,
) => Socket;

/** What dialing needs of a runtime. */
export type DialHost = Pick<
  Host,
  "socketOptions" | "watchDials" | "askOverTls" | "proxies" | "variable"
>;

/**
 * What dials by way of a runtime.
 *
 * @param holdMs how long it may take to find out why a dial failed before that is reported
 */
export function dialer(host: DialHost, holdMs: number): Dial {
  const find = faultFinder(host);
  return (url, subprotocol, headers, emit) => {
    const why = async (): Promise<Trouble | undefined> => {
      let found: Trouble | undefined;
      const asked = find(url, subprotocol, headers).then((trouble) =>
        found = trouble
      );
      await atMost(holdMs, asked);
      return found;
    };
    return dial(host, url, subprotocol, headers, emit, why);
  };
}

function dial(
  host: DialHost,
  url: string,
  subprotocol: string | undefined,
  headers: readonly Header[],
  emit: (report: SocketReport) => void,
  why: () => ReturnType<FindFault>,
): Socket {
  const closed = Promise.withResolvers<void>();
  let isOver = false;
  const end = (report: SocketReport): void => {
    if (isOver) return;
    isOver = true;
    closed.resolve();
    emit(report);
  };
  const troubleHeard = host.watchDials();
  let socket: WebSocket;
  try {
    const protocols = subprotocol === undefined ? [] : [subprotocol];
    // The options object is an extension that Deno, Node and Bun have in common.
    socket = new WebSocket(url, {
      protocols,
      headers: Object.fromEntries(headers),
      ...host.socketOptions(url),
    });
  } catch {
    const reason = "this runtime takes no such URL or header";
    queueMicrotask(() =>
      end({ type: "closed", code: 0, reason, reached: false })
    );
    return { send: () => {}, backlog: 0, close: () => closed.promise };
  }
  socket.binaryType = "arraybuffer";
  let trouble: Trouble = { text: "", error: "" };
  let wasOpen = false;
  let isAsking = false;
  const close = (code: number, reason: string, agoMs?: number): void =>
    end({
      type: "closed",
      code,
      ...closeReasonOf({ wasOpen, code, reason, ...trouble }),
      ...(agoMs !== undefined && { agoMs }),
    });
  const askWhy = async (): Promise<void> => {
    isAsking = true;
    const failedAt = performance.now();
    trouble = await why() ?? trouble;
    close(0, "", performance.now() - failedAt);
  };
  socket.onopen = () => {
    wasOpen = true;
    emit({ type: "open" });
  };
  socket.onmessage = ({ data }) => {
    const text = typeof data === "string" ? data : textOf(data);
    if (text !== undefined) emit({ type: "frame", text });
    // Node 22.0 gives null for a frame that it should have refused.
    else emit({ type: "binary", bytes: data?.byteLength ?? 0 });
  };
  socket.onerror = (event) => {
    trouble = troubleOf(event);
    if (wasOpen) return;
    trouble = troubleHeard() ?? trouble;
    if (url.startsWith("wss:") && isUnclear(trouble)) void askWhy();
    // After this, Node 22 says no more of a dial that failed.
    else close(0, "");
  };
  socket.onclose = ({ code, reason }) => {
    if (!isAsking) close(code, reason);
  };
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    get backlog() {
      const isOpen = socket.readyState === WebSocket.OPEN;
      return isOpen ? socket.bufferedAmount : 0;
    },
    close: () => {
      if (socket.readyState === WebSocket.CONNECTING) closed.resolve();
      socket.close(1000);
      void farewell(socket, closed.promise);
      return closed.promise;
    },
  };
}

const UTF_8 = new TextDecoder("utf-8", { fatal: true });

/** The text in a binary frame: many daemons send their JSON so. */
function textOf(data: ArrayBuffer | null): string | undefined {
  try {
    return data === null ? undefined : UTF_8.decode(data);
  } catch {
    return undefined;
  }
}

/** A peer that never answers the close would keep the connection open for ever: of the runtimes only Bun can end it. */
async function farewell(
  socket: WebSocket & { terminate?(): void },
  closed: Promise<void>,
): Promise<void> {
  if (socket.terminate === undefined) return;
  await atMost(FAREWELL_MS, closed);
  socket.terminate();
}

/** What a runtime tells in an error event. */
function troubleOf(event: Event): Trouble {
  const { message, error } = event as Partial<ErrorEvent>;
  const text = String(message || error?.message || "");
  return { text: withoutUrl(text), error: String(error?.code ?? "") };
}
