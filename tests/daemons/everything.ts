/**
 * Serves the MCP project's own reference server on a WebSocket.
 *
 *     deno task daemon [PORT]
 *
 * @module
 */

import { createServer } from "@modelcontextprotocol/server-everything/dist/server/index.js";
import { errorMessageOf } from "../../lib/text/error_message.ts";
import { print } from "../helpers/print.ts";
import {
  type Connectable,
  serveWebSockets,
} from "../helpers/websocket_transport.ts";

const port = Number(Deno.args[0] ?? 8079);
try {
  serveWebSockets(port, () => {
    const { server } = createServer() as { server: Connectable };
    return server;
  });
} catch (error) {
  const why = errorMessageOf(error);
  print(`The daemon cannot listen on port ${port}: ${why}`);
  Deno.exit(1);
}
