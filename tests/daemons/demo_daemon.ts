/**
 * The demo's daemon: a small MCP server on a WebSocket. It needs no package, so
 * the demo starts at once. It prints `called TOOL` on stdout when a call
 * arrives.
 *
 *     deno run -A tests/daemons/demo_daemon.ts PORT
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import {
  type Connectable,
  serveWebSockets,
} from "../helpers/websocket_transport.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const inputSchema = { type: "object" };
const TOOLS = [
  { name: "add", inputSchema, annotations: { readOnlyHint: true } },
  { name: "read-report", inputSchema, annotations: { readOnlyHint: true } },
  { name: "send-mail", inputSchema },
];

/** Executes a tool and returns its text. `send-mail` outlasts the demo. */
async function call(name: string, input: Json): Promise<string> {
  print(`called ${name}`);
  if (name === "add") return `${input.a} + ${input.b} = ${input.a + input.b}`;
  const ms = name === "read-report" ? 2_000 : 600_000;
  await new Promise((go) => setTimeout(go, ms));
  return `${name} has ended`;
}

/** Returns the result of a request; `undefined` if the method is unknown. */
async function resultOf(method: string, params: Json): Promise<Json> {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "demo", version: "1" },
      };
    case "tools/list":
      return { tools: TOOLS };
    case "tools/call": {
      const text = await call(params.name, params.arguments);
      return { content: [{ type: "text", text }] };
    }
    case "ping":
      return {};
    default:
      return undefined;
  }
}

function makeServer(): Connectable {
  return {
    async connect(transport): Promise<void> {
      transport.onmessage = async ({ id, method, params }: Json) => {
        if (id === undefined || method === undefined) return;
        const result = await resultOf(method, params);
        const error = { code: -32601, message: "Method not found" };
        const outcome = result === undefined ? { error } : { result };
        await transport.send({ jsonrpc: "2.0", id, ...outcome });
      };
      await transport.start();
    },
  };
}

serveWebSockets(Number(Deno.args[0] ?? 8079), makeServer);
