/**
 * The transport that uses a WebSocket.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import {
  type ClientSocket,
  type Host,
  type MessageData,
  type SocketErrorInfo,
  systemErrorCode,
} from "../runtime/host.ts";
import {
  diagnoseClose,
  needsDiagnosis,
  withoutUrl,
} from "./failure_reasons.ts";
import type { Diagnoser } from "./handshake_diagnosis.ts";
import type {
  Transport,
  TransportConnection,
  TransportEvent,
} from "./transport.ts";

/** How long the daemon has to answer a close frame. */
const CLOSE_TIMEOUT_MS = 2_000;
/** How long a diagnosis may delay the `closed` event of a failed dial. */
const MAX_DIAGNOSIS_MS = 1_000;

/** States of a WebSocket. A runtime loads its own WebSocket to know them. */
const CONNECTING = 0;
const OPEN = 1;

const STRICT_UTF_8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Creates the transport that uses the host's WebSocket.
 *
 * @param maxDiagnosisMs how long a diagnosis may delay the `closed` event of a
 * failed dial, in milliseconds; short enough not to delay the next dial
 */
export function createWebSocketTransport(
  config: Config,
  host: Host,
  maxDiagnosisMs: number = Math.min(config.backoffBase, MAX_DIAGNOSIS_MS),
): Transport {
  const { url, headers } = config;
  let diagnoser: Promise<Diagnoser> | undefined;
  const diagnoseDial: Diagnoser = async (subprotocol) => {
    // Imported only here, because most dials need no diagnosis.
    diagnoser ??= import("./handshake_diagnosis.ts")
      .then(({ createDiagnoser }) => createDiagnoser(config, host));
    return await (await diagnoser)(subprotocol);
  };
  return {
    dial: (connectionId, subprotocol, emit) => {
      try {
        const { socket, readDialError } = host.openWebSocket(url, {
          protocols: subprotocol === undefined ? [] : [subprotocol],
          headers: Object.fromEntries(headers),
        });
        const explain: DialErrorExplainer = async (error) => {
          const known = readDialError() ?? error;
          if (!needsDiagnosis(url, known)) return known;
          const diagnosis = diagnoseDial(subprotocol);
          return await waitAtMost(maxDiagnosisMs, diagnosis) ?? known;
        };
        return new WebSocketConnection(socket, connectionId, emit, explain);
      } catch {
        const reason = "the runtime does not accept the URL or a header";
        const closed = { code: 0, reason, mayHaveReachedServer: false };
        queueMicrotask(() => emit({ type: "closed", connectionId, ...closed }));
        return { send: () => {}, backlog: 0, close: () => Promise.resolve() };
      }
    },
  };
}

type DialErrorExplainer = (error: SocketErrorInfo) => Promise<SocketErrorInfo>;

/**
 * A connection over one WebSocket.
 *
 * | Phase     | Event                                   | Next      |
 * | --------- | --------------------------------------- | --------- |
 * | `dialing` | the WebSocket opens                     | `open`    |
 * |           | the WebSocket reports an error          | `failing` |
 * |           | the WebSocket closes                    | `closed`  |
 * | `failing` | the diagnosis ends, or its time is over | `closed`  |
 * | `open`    | the WebSocket closes                    | `closed`  |
 */
class WebSocketConnection implements TransportConnection {
  readonly #socket: ClientSocket;
  readonly #connectionId: number;
  readonly #emit: (event: TransportEvent) => void;
  readonly #closed = Promise.withResolvers<void>();
  #phase: "dialing" | "failing" | "open" | "closed" = "dialing";
  #lastError: SocketErrorInfo = { message: "", errorCode: "" };

  constructor(
    socket: ClientSocket,
    connectionId: number,
    emit: (event: TransportEvent) => void,
    explain: DialErrorExplainer,
  ) {
    this.#socket = socket;
    this.#connectionId = connectionId;
    this.#emit = emit;
    socket.onopen = () => {
      this.#phase = "open";
      emit({ type: "open", connectionId, subprotocol: socket.protocol });
    };
    socket.onmessage = ({ data }) =>
      emit(
        typeof data === "string"
          ? { type: "frame", connectionId, text: data }
          : decodeBinaryFrame(connectionId, data),
      );
    socket.onerror = async (event) => {
      this.#lastError = errorEventInfo(event);
      if (this.#phase !== "dialing") return;
      // Node 22 emits no other event after the `error` event of a failed dial.
      this.#phase = "failing";
      const failedAt = performance.now();
      this.#lastError = await explain(this.#lastError);
      this.#reportClosed(0, "", performance.now() - failedAt);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#phase !== "failing") this.#reportClosed(code, reason);
    };
  }

  send(text: string): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(text);
  }

  get backlog(): number {
    const isOpen = this.#socket.readyState === OPEN;
    return isOpen ? this.#socket.bufferedAmount : 0;
  }

  close(): Promise<void> {
    const { promise, resolve } = this.#closed;
    if (this.#socket.readyState === CONNECTING) resolve();
    this.#socket.close(1000);
    // A daemon that never answers the close frame keeps the connection open.
    if (this.#socket.terminate !== undefined) {
      void waitAtMost(CLOSE_TIMEOUT_MS, promise)
        .then(() => this.#socket.terminate?.());
    }
    return promise;
  }

  #reportClosed(code: number, reason: string, endedMsAgo: number = 0): void {
    if (this.#phase === "closed") return;
    const wasOpen = this.#phase === "open";
    this.#phase = "closed";
    this.#closed.resolve();
    this.#emit({
      type: "closed",
      connectionId: this.#connectionId,
      code,
      endedMsAgo,
      ...diagnoseClose({ wasOpen, code, reason, ...this.#lastError }),
    });
  }
}

/**
 * Decodes a binary frame as text, because many daemons send JSON in binary
 * frames.
 */
function decodeBinaryFrame(
  connectionId: number,
  data: Exclude<MessageData, string>,
): TransportEvent {
  try {
    const text = data && STRICT_UTF_8.decode(data);
    if (text !== null) return { type: "frame", connectionId, text };
  } catch {
    // The frame is not UTF-8.
  }
  return { type: "binary", connectionId, bytes: data?.byteLength ?? 0 };
}

function errorEventInfo(
  { message, error }: { readonly message?: string; readonly error?: unknown },
): SocketErrorInfo {
  const text = String(message || (error as Error | null)?.message || "");
  return { message: withoutUrl(text), errorCode: systemErrorCode(error) };
}
