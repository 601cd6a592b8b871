/**
 * Serves HTTP with `node:http`, which Deno, Node and Bun have. The module is
 * loaded only for that.
 *
 * @module
 */

import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** A request, without its body. */
export interface HttpRequest {
  /** The method, e.g. `GET`. */
  readonly method: string;
  /** The path, without the query. */
  readonly path: string;
  /** Returns a header; `undefined` if the request does not have it. */
  header(name: "accept" | "host" | "origin"): string | undefined;
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

/** The limits of a server. */
export interface HttpLimits {
  /** The most connections at a time. Further ones are closed at once. */
  readonly maxConnections: number;
  /** How long a connection may take for a request, in milliseconds. */
  readonly requestTimeoutMs: number;
}

/** The largest head of a request, in bytes. */
const MAX_HEADER_BYTES = 8 * 1024;

/**
 * Starts a server on an address; port 0 picks a free port.
 *
 * @throws {Error} if nothing can listen on the address
 */
export async function serveHttp(
  { host, port }: { readonly host: string; readonly port: number },
  limits: HttpLimits,
  respond: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<HttpServer> {
  const { createServer } = await import("node:http");
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (
    request,
    response,
  ) => {
    // The body is not read. The connection cannot be used again after one.
    void answer(request, response, respond);
  });
  limitConnections(server, limits);
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
      server.closeAllConnections?.();
    },
  };
}

/**
 * Closes connections that are too many, or that are silent. The server's own
 * limits differ between the runtimes.
 */
function limitConnections(
  server: Server,
  { maxConnections, requestTimeoutMs }: HttpLimits,
): void {
  let count = 0;
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs;
  server.keepAliveTimeout = requestTimeoutMs;
  server.on("connection", (socket) => {
    if (count >= maxConnections) return void socket.destroy();
    count++;
    socket.setTimeout(requestTimeoutMs, () => socket.destroy());
    socket.on("error", () => {});
    socket.once("close", () => count--);
  });
  server.on("clientError", (_, socket) => socket.destroy());
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  respond: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<void> {
  const { method = "", url = "/", headers } = request;
  const { status, headers: more, body } = await respond({
    method,
    path: url.replace(/[?#].*$/s, ""),
    header: (name) => headers[name],
  });
  const bytes = new TextEncoder().encode(body);
  response.on("error", () => {});
  response.writeHead(status, { ...more, "Content-Length": bytes.length });
  response.end(method === "HEAD" ? undefined : bytes);
}
