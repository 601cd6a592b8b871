/**
 * An MCP server of the SDK's second version on a WebSocket. It serves both eras
 * of MCP.
 *
 *     deno run -A tests/daemons/dual_era_daemon.ts PORT [TOOL ...]
 *
 * @module
 */

import { fromJsonSchema, McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { serveWebSockets } from "../helpers/websocket_transport.ts";

const [port, ...more] = Deno.args;

function makeServer(): McpServer {
  const server = new McpServer({ name: "dual", version: "1" }, {
    capabilities: { tools: { listChanged: true } },
  });
  for (const name of ["echo", ...more]) {
    const inputSchema = fromJsonSchema<{ text: string }>({
      type: "object",
      properties: { text: { type: "string" } },
      required: ["text"],
    });
    server.registerTool(
      name,
      { description: `The tests' tool ${name}`, inputSchema },
      ({ text }) => ({ content: [{ type: "text", text: `${name}: ${text}` }] }),
    );
  }
  return server;
}

serveWebSockets(Number(port ?? 0), () => ({
  connect: (transport) => {
    // The transport types of the two SDK versions differ only in name.
    serveStdio(makeServer, { transport: transport as never });
    return Promise.resolve();
  },
}));
