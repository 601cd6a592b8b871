/**
 * The WebSocket of the package `ws`. Only the npm package of this program
 * contains `ws`, because only Node needs it: Node's own WebSocket takes longer
 * to load and to send.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import {
  type ClientSocket,
  dialErrorInfo,
  type OpenedWebSocket,
  type SocketErrorInfo,
  type WebSocketOptions,
} from "./host.ts";

/** The members of the WebSocket of `ws` that {@linkcode WsSocket} uses. */
export interface Ws extends
  Pick<
    ClientSocket,
    "readyState" | "protocol" | "bufferedAmount" | "send" | "close"
  > {
  /** Adds a listener for an event. */
  on<E extends keyof WsEvents>(event: E, listener: WsEvents[E]): void;
  /** Ends the connection without a closing handshake. */
  terminate(): void;
}

/** The events of the WebSocket of `ws`, with their listeners. */
export interface WsEvents {
  /** The server accepted the handshake. */
  upgrade(response: { readonly socket: CorkableStream }): void;
  /** The server answered the handshake with another status. */
  "unexpected-response"(
    request: unknown,
    response: { readonly statusCode: number },
  ): void;
  /** The connection opened. */
  open(): void;
  /** A message arrived. */
  message(data: Buffer<ArrayBuffer>, isBinary: boolean): void;
  /** An error ended the connection or the dial. */
  error(error: Error): void;
  /** The connection has ended; the code is 1006 without a close frame. */
  close(code: number, reason: Buffer): void;
}

/** The request of a handshake, as far as {@linkcode openWsSocket} uses it. */
interface HandshakeRequest {
  on(event: "socket", listener: (socket: TlsSocket) => void): void;
  end(): void;
}

interface TlsSocket {
  on(event: "secureConnect", listener: () => void): void;
}

/** A stream that collects what is written between `cork` and `uncork`. */
export interface CorkableStream {
  /** Begins to collect. */
  cork(): void;
  /** Writes what was collected, with one call of the system. */
  uncork(): void;
}

/** The WebSocket class of `ws`. */
export type WsClass = new (
  url: string,
  protocols: readonly string[],
  options: Record<string, unknown>,
) => Ws;

/** The options that make `ws` do what the WebSockets of the runtimes do. */
const WS_OPTIONS = {
  perMessageDeflate: false,
  // The limit of Node 24 and of Bun.
  maxPayload: 128 * 1024 * 1024,
  // These have no limit.
  ...{ maxFragments: 0, maxBufferedChunks: 0, maxPendingAutoPongs: 0 },
  // How long the server may keep the connection after the close frames.
  closeTimeout: 2_000,
  // A WebSocket needs HTTP/1.1.
  ALPNProtocols: ["http/1.1"],
};

let loadWsClass: (() => WsClass) | undefined;

/** Makes Node use `ws`. Each dial calls `load`, which returns the class. */
export function useWsPackage(load: () => WsClass): void {
  loadWsClass = load;
}

/** Returns true if this build contains `ws`. */
export function hasWsPackage(): boolean {
  return loadWsClass !== undefined;
}

/** Opens a WebSocket of `ws`. Throws if `ws` rejects the URL or a header. */
export function openWsSocket(
  url: string,
  { protocols, headers }: WebSocketOptions,
): OpenedWebSocket {
  const WebSocketClass = loadWsClass!();
  const ws = new WebSocketClass(url, protocols, {
    ...WS_OPTIONS,
    // Some firewalls reject a request without this header.
    headers: { "User-Agent": "node", ...headers },
    finishRequest: url.startsWith("wss:") ? endOnceSecure : endRequest,
  });
  const socket = new WsSocket(ws);
  return { socket, readDialError: () => socket.dialError };
}

function endRequest(request: HandshakeRequest): void {
  request.end();
}

/**
 * Sends the request after the TLS handshake. If data waited during the TLS
 * handshake, Node would report any error of TLS as a failed write.
 */
function endOnceSecure(request: HandshakeRequest): void {
  request.on("socket", (socket) => {
    socket.on("secureConnect", () => request.end());
  });
}

/**
 * A WebSocket of `ws` with the members of the standard WebSocket. It sends all
 * frames of one turn of the event loop together.
 */
export class WsSocket implements ClientSocket {
  onopen: ClientSocket["onopen"] = null;
  onmessage: ClientSocket["onmessage"] = null;
  onerror: ClientSocket["onerror"] = null;
  onclose: ClientSocket["onclose"] = null;
  readonly #ws: Ws;
  #stream: CorkableStream | undefined;
  #isCorked = false;
  #hasOpened = false;
  #dialError: SocketErrorInfo | undefined;

  /** Takes a WebSocket that is connecting. */
  constructor(ws: Ws) {
    this.#ws = ws;
    ws.on("upgrade", ({ socket }) => this.#stream = socket);
    ws.on("unexpected-response", (_, { statusCode: status }) => {
      // With status 101, `ws` reports that the response has no such header.
      this.#dialError = status === 101
        ? { message: "no upgrade header", errorCode: "" }
        : { message: "", errorCode: "", status };
      ws.terminate();
    });
    ws.on("open", () => {
      this.#hasOpened = true;
      this.onopen?.();
    });
    ws.on("message", (data, isBinary) => {
      this.onmessage?.({ data: isBinary ? data : data.toString() });
    });
    ws.on("error", (error) => {
      if (!this.#hasOpened) this.#dialError ??= dialErrorInfo(error);
      this.onerror?.({ error });
      // `ws` would wait for the server's close frame.
      if (this.#hasOpened) ws.terminate();
    });
    ws.on("close", (code, reason) => {
      this.onclose?.({ code, reason: reason.toString() });
    });
  }

  get readyState(): number {
    return this.#ws.readyState;
  }

  get protocol(): string {
    return this.#ws.protocol;
  }

  get bufferedAmount(): number {
    return this.#ws.bufferedAmount;
  }

  /** Why the dial failed, if it has. */
  get dialError(): SocketErrorInfo | undefined {
    return this.#dialError;
  }

  send(text: string): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#stream?.cork();
      queueMicrotask(this.#uncork);
    }
    this.#ws.send(text);
  }

  readonly #uncork = (): void => {
    this.#isCorked = false;
    this.#stream?.uncork();
  };

  close(code: number): void {
    this.#ws.close(code);
  }

  terminate(): void {
    this.#ws.terminate();
  }
}
