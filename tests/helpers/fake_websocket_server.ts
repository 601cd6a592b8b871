/**
 * A WebSocket server inside the test, for daemons that misbehave: the test
 * decides about the handshake and about every frame.
 *
 * @module
 */

import type { Issued } from "./certificates.ts";
import { within } from "./time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** How the server treats its clients. */
export interface Manners {
  /** The certificate of a server over TLS. */
  readonly issued?: Issued;
  /** Answers the handshake instead of accepting it. */
  refuse?(request: Request): Response | undefined;
  /** The subprotocol that is echoed; by default the one that was offered. */
  echo?: string | undefined;
  /** Takes a message of the client's; what it returns is sent back. */
  answer?(message: Json, socket: WebSocket): Json;
}

/** The server, and what it has seen. */
export class RawDaemon implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #sockets = new Set<WebSocket>();
  #more = Promise.withResolvers<void>();
  readonly messages: Json[] = [];
  /** The handshakes, and when they came. */
  readonly requests: { url: string; headers: Headers; at: number }[] = [];
  /** Resolves with the code of the first connection that is closed. */
  readonly closed: Promise<number>;

  /** Whether it speaks TLS. */
  readonly #isSecure: boolean;

  constructor(manners: Manners = {}, port = 0) {
    this.#isSecure = manners.issued !== undefined;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.closed = promise;
    this.#server = Deno.serve(
      { port, hostname: "127.0.0.1", onListen: () => {}, ...manners.issued },
      (request) => {
        const { url } = request;
        const headers = new Headers(request.headers);
        this.requests.push({ url, headers, at: performance.now() });
        this.#tell();
        const refusal = manners.refuse?.(request);
        if (refusal !== undefined) return refusal;
        const offered = request.headers.get("sec-websocket-protocol");
        const protocol = "echo" in manners ? manners.echo : offered;
        const { socket, response } = Deno.upgradeWebSocket(request, {
          ...(protocol && { protocol }),
        });
        this.#sockets.add(socket);
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          this.messages.push(message);
          this.#tell();
          const reply = (manners.answer ?? answerAll)(message, socket);
          if (reply !== undefined) this.#send(socket, reply);
        };
        socket.onclose = ({ code }) => {
          this.#sockets.delete(socket);
          resolve(code);
        };
        socket.onerror = () => {};
        return response;
      },
    );
  }

  /** Waits until so many messages have come. */
  async heard(count: number): Promise<void> {
    while (this.messages.length < count) {
      await within(this.#more.promise, `message ${count} of the proxy`);
    }
  }

  /** Waits until there were so many handshakes. */
  async seen(count: number): Promise<void> {
    while (this.requests.length < count) {
      await within(this.#more.promise, `handshake ${count} of a proxy`);
    }
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get url(): string {
    return `${this.#isSecure ? "wss" : "ws"}://127.0.0.1:${this.port}/`;
  }

  /** Sends a frame to every client: an object, or a text as it is. */
  send(message: Json): void {
    for (const socket of this.#sockets) this.#send(socket, message);
  }

  #send(socket: WebSocket, message: Json): void {
    const isRaw = typeof message === "string" || message instanceof Uint8Array;
    const text = { jsonrpc: "2.0", ...(isRaw ? {} : message) };
    socket.send(isRaw ? message : JSON.stringify(text));
  }

  #tell(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.close();
    await this.#server.shutdown();
  }
}

/** Agrees to `initialize` and answers every request with its own params. */
export function answerAll({ id, method, params }: Json): Json {
  if (id === undefined || method === undefined) return undefined;
  if (method !== "initialize") return { id, result: params ?? {} };
  const { protocolVersion } = params;
  const serverInfo = { name: "raw", version: "1" };
  return {
    id,
    result: { protocolVersion, capabilities: { tools: {} }, serverInfo },
  };
}
