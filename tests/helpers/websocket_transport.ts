/**
 * Serves MCP servers of the SDK over WebSockets, with one JSON-RPC message per
 * text frame.
 *
 * @module
 */

import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { print } from "./print.ts";
import { exitWithParent } from "./exit_with_parent.ts";

/** A client's connection as a transport for the SDK's servers. */
export class WebSocketServerTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  start(): Promise<void> {
    this.#socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.#socket.onclose = () => this.onclose?.();
    return Promise.resolve();
  }

  /** Passes a message to the server. */
  protected receive(message: JSONRPCMessage): void {
    this.onmessage?.(message);
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#socket.close();
    return Promise.resolve();
  }
}

/** An object of the SDK that can be connected to a transport. */
export interface Connectable {
  connect(transport: Transport): Promise<void>;
}

/**
 * Listens for WebSockets, and creates a server for each. Prints `listening
 * PORT` on stdout.
 */
export function serveWebSockets(
  port: number,
  makeServer: () => Connectable,
  makeTransport = (socket: WebSocket): Transport =>
    new WebSocketServerTransport(socket),
): Deno.HttpServer<Deno.NetAddr> {
  void exitWithParent();
  return Deno.serve({
    port,
    hostname: "127.0.0.1",
    onListen: (at) => print(`listening ${at.port}`),
  }, (request) => {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This is an MCP server on a WebSocket\n", {
        status: 426,
      });
    }
    const offered = request.headers.get("sec-websocket-protocol") ?? "";
    const protocol = offered.split(/, */).includes("mcp") ? "mcp" : undefined;
    const { socket, response } = Deno.upgradeWebSocket(request, {
      ...(protocol && { protocol }),
      idleTimeout: 0,
    });
    socket.onopen = () => void makeServer().connect(makeTransport(socket));
    return response;
  });
}
