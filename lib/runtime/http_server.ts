/**
 * Serves HTTP with `node:http`, which Deno, Node and Bun have. It is loaded only
 * for that.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A request, without its body. */
export interface HttpRequest {
  /** The method, e.g. `GET`. */
  readonly method: string;
  /** The path, without the query. */
  readonly path: string;
  /** Returns a header; `undefined` if the request does not have it. */
  header(
    name: "accept" | "host" | "origin" | "sec-fetch-site",
  ): string | undefined;
}

/** A response. */
export interface HttpResponse {
  /** The status. */
  readonly status: number;
  /** The headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body. A response to `HEAD` has none, but the same headers. */
  readonly body: string;
}

/** A server that listens. */
export interface HttpServer {
  /** The port that it listens on. */
  readonly port: number;
  /** Ends the server and its connections. */
  close(): void;
}

/** The address that a server listens on. */
export interface HttpAddress {
  /** A host name or an IP address; IPv6 without brackets. */
  readonly host: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
}

/** The limits of a server. */
export interface HttpLimits {
  /** The most connections at a time. Further ones are closed at once. */
  readonly maxConnections: number;
  /** How long a connection may be silent, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** How long a connection may last, in milliseconds. */
  readonly lifetimeMs: number;
}

/** The largest head of a request, in bytes. */
const MAX_HEADER_BYTES = 8 * 1024;

/**
 * Starts a server on an address.
 *
 * @throws {Error} if nothing can listen on the address
 */
export async function serveHttp(
  { host, port }: HttpAddress,
  limits: HttpLimits,
  respond: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<HttpServer> {
  const [{ createServer }, net] = await Promise.all([
    import("node:http"),
    import("node:net"),
  ]);
  const http = createServer({ maxHeaderSize: MAX_HEADER_BYTES });
  const served = new WeakSet<Socket>();
  // The body of a request is not read.
  http.on("request", (request, response) => {
    // A client that sends many requests at once must not fill the memory.
    if (served.has(request.socket)) return void request.socket.destroy();
    served.add(request.socket);
    answer(request, response, respond).catch(() => response.destroy());
  });
  http.on("clientError", (_, socket) => socket.destroy());
  // Bun's HTTP server does not report a connection before its first request,
  // and has no limit of connections. So a server of sockets accepts them.
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    if (sockets.size >= limits.maxConnections) return void socket.destroy();
    limitSocket(socket, sockets, limits);
    http.emit("connection", socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.removeListener("error", reject);
      // A later error of the server must not end the process.
      server.on("error", () => {});
      resolve();
    });
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function limitSocket(
  socket: Socket,
  sockets: Set<Socket>,
  { idleTimeoutMs, lifetimeMs }: HttpLimits,
): void {
  sockets.add(socket);
  socket.on("error", () => {});
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  // Otherwise, a byte now and then could keep a connection open for ever.
  const timer = setTimeout(() => socket.destroy(), lifetimeMs);
  socket.once("close", () => {
    clearTimeout(timer);
    sockets.delete(socket);
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  respond: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<void> {
  const { method = "", url = "/", headers } = request;
  const { status, headers: more, body } = await respond({
    method,
    // A request may name the whole URL (RFC 9112 section 3.2.2).
    path: url.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, ""),
    header: (name) => {
      const value = headers[name];
      return Array.isArray(value) ? value.join(",") : value;
    },
  });
  const bytes = new TextEncoder().encode(body);
  response.on("error", () => {});
  response.writeHead(status, {
    ...more,
    "Connection": "close",
    "Content-Length": bytes.length,
  });
  response.end(method === "HEAD" ? undefined : bytes);
}
