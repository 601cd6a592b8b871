/**
 * A WebSocket server in the test's process, for daemons that misbehave. The
 * test controls the handshake and every frame.
 *
 * @module
 */

import type { IssuedCertificate } from "./certificates.ts";
import { Changes } from "./time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** The server's reactions to its clients. */
export interface ServerBehavior {
  /** The certificate for TLS. Undefined for a server without TLS. */
  readonly certificate?: IssuedCertificate;
  /** Returns the response that refuses a handshake; `undefined` accepts it. */
  refuse?(request: Request): Response | undefined;
  /** The accepted subprotocol; `undefined`: none. Default: the offered one. */
  subprotocol?: string | undefined;
  /** Returns the reply to a message, if any. Default: `respondToAll`. */
  respond?(message: Json, socket: WebSocket): Json;
}

/** The server, and a record of what it received. */
export class FakeWebSocketServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #sockets = new Set<WebSocket>();
  readonly #changes = new Changes();
  readonly messages: Json[] = [];
  /** The handshakes. `at` is the time of arrival by `performance.now()`. */
  readonly handshakes: { url: string; headers: Headers; at: number }[] = [];
  /** Resolves with the close code of the first connection that ends. */
  readonly firstCloseCode: Promise<number>;

  readonly #isSecure: boolean;

  constructor(behavior: ServerBehavior = {}, port = 0) {
    this.#isSecure = behavior.certificate !== undefined;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.firstCloseCode = promise;
    this.#server = Deno.serve(
      {
        port,
        hostname: "127.0.0.1",
        onListen: () => {},
        ...behavior.certificate,
      },
      (request) => {
        const { url } = request;
        const headers = new Headers(request.headers);
        this.handshakes.push({ url, headers, at: performance.now() });
        this.#changes.notify();
        const refusal = behavior.refuse?.(request);
        if (refusal !== undefined) return refusal;
        const offered = request.headers.get("sec-websocket-protocol");
        const protocol = "subprotocol" in behavior
          ? behavior.subprotocol
          : offered;
        const { socket, response } = Deno.upgradeWebSocket(request, {
          ...(protocol && { protocol }),
        });
        this.#sockets.add(socket);
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          this.messages.push(message);
          this.#changes.notify();
          const reply = (behavior.respond ?? respondToAll)(message, socket);
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

  /** Waits until a condition on the received data is true. */
  async waitUntil(condition: () => boolean, what: string): Promise<void> {
    await this.#changes.until(condition, what);
  }

  /** Waits until at least `count` messages have arrived. */
  async waitForMessages(count: number): Promise<void> {
    const areThere = (): boolean => this.messages.length >= count;
    await this.waitUntil(areThere, `message ${count} of the proxy`);
  }

  /** Waits until at least `count` handshakes have arrived. */
  async waitForHandshakes(count: number): Promise<void> {
    const areThere = (): boolean => this.handshakes.length >= count;
    await this.waitUntil(areThere, `handshake ${count} of a proxy`);
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get url(): string {
    return `${this.#isSecure ? "wss" : "ws"}://127.0.0.1:${this.port}/`;
  }

  /** Sends a frame to all clients: raw text or bytes, or an object as JSON. */
  send(message: Json): void {
    for (const socket of this.#sockets) this.#send(socket, message);
  }

  #send(socket: WebSocket, message: Json): void {
    const isRaw = typeof message === "string" || message instanceof Uint8Array;
    const text = { jsonrpc: "2.0", ...(isRaw ? {} : message) };
    socket.send(isRaw ? message : JSON.stringify(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.close();
    await this.#server.shutdown();
  }
}

/** Answers `initialize`, and every other request with its own params. */
export function respondToAll({ id, method, params }: Json): Json {
  if (id === undefined || method === undefined) return undefined;
  if (method !== "initialize") return { id, result: params ?? {} };
  const { protocolVersion } = params;
  const serverInfo = { name: "raw", version: "1" };
  return {
    id,
    result: { protocolVersion, capabilities: { tools: {} }, serverInfo },
  };
}
