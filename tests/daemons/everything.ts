/**
 * The MCP project's own reference server, behind a WebSocket.
 *
 *     deno task daemon [PORT]
 *
 * @module
 */

import { createServer } from "@modelcontextprotocol/server-everything/dist/server/index.js";
import {
  type Connectable,
  serveWebSockets,
} from "../helpers/websocket_transport.ts";

const port = Number(Deno.args[0] ?? 8079);
serveWebSockets(port, () => {
  const { server } = createServer() as { server: Connectable };
  return server;
});
