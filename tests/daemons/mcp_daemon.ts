/**
 * The daemon of most tests: an MCP server of the SDK. It rejects requests
 * before `initialize`, records in a journal what it executes, and can have
 * additional tools.
 *
 *     deno run -A tests/daemons/mcp_daemon.ts --port 0 --journal FILE [--extra TOOL]
 *       [--unhinted TOOL] [--habit mute | serial]
 *
 * An unhinted tool has no annotations. A `mute` daemon answers no ping. A
 * `serial` daemon handles one message at a time on a connection.
 *
 * @module
 */

import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  CallToolRequestSchema,
  type CallToolResult,
  type JSONRPCMessage,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListToolsRequestSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  type Tool,
} from "@modelcontextprotocol/sdk/types.js";
import { waitUntilOpen } from "../helpers/gate.ts";
import {
  type Connectable,
  serveWebSockets,
  WebSocketServerTransport,
} from "../helpers/websocket_transport.ts";
import { delay } from "../../lib/runtime/timeout.ts";

function flag(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at === -1 ? undefined : Deno.args[at + 1];
}

const journal = flag("journal");
function writeJournal(line: string): void {
  if (journal === undefined) return;
  Deno.writeTextFileSync(journal, `${line}\n`, { append: true });
}

const habit = flag("habit");
const inputSchema = { type: "object" } as const;
const TOOLS: Tool[] = [
  { name: "echo", inputSchema, annotations: { readOnlyHint: true } },
  { name: "look", inputSchema, annotations: { readOnlyHint: true } },
  { name: "write", inputSchema },
  { name: "big", inputSchema, annotations: { idempotentHint: true } },
  { name: "ask", inputSchema },
  { name: "steps", inputSchema },
  { name: "die", inputSchema, annotations: { readOnlyHint: true } },
];
for (const tool of TOOLS) {
  if (tool.name === flag("unhinted")) delete tool.annotations;
}
for (const name of flag("extra")?.split(",") ?? []) {
  TOOLS.push({ name, inputSchema });
}

/**
 * The members of a request that the handlers read. The SDK's inferred types are
 * lost in the import.
 */
interface ToolRequest {
  params: {
    name: string;
    level?: string;
    uri?: string;
    arguments?: { key?: string; ms?: number; n?: number; gate?: string };
    _meta?: { progressToken?: string | number };
  };
}

interface Extra {
  signal: AbortSignal;
  sendNotification(notification: unknown): Promise<void>;
}

function textResult(text: string): CallToolResult {
  return { content: [{ type: "text", text }] };
}

function makeServer(): Connectable {
  const server = new Server({ name: "tests", version: "1" }, {
    capabilities: {
      tools: {},
      prompts: {},
      resources: { subscribe: true },
      logging: {},
    },
  });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: TOOLS }));
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts: [] }));
  server.setRequestHandler(
    ListResourcesRequestSchema,
    () => ({ resources: [] }),
  );
  server.setRequestHandler(SetLevelRequestSchema, (request: ToolRequest) => {
    writeJournal(`level ${request.params.level}`);
    return {};
  });
  server.setRequestHandler(SubscribeRequestSchema, (request: ToolRequest) => {
    writeJournal(`subscribe ${request.params.uri}`);
    return {};
  });
  server.setRequestHandler(
    CallToolRequestSchema,
    async (request: ToolRequest, extra: Extra) => {
      const { name, arguments: input = {}, _meta } = request.params;
      const { key = "", ms = 0, n = 0, gate } = input;
      writeJournal(`call ${name} ${key}`);
      extra.signal.onabort = () => writeJournal(`cancelled ${name} ${key}`);
      switch (name) {
        case "die":
          return Deno.exit(9);
        case "big":
          return textResult("x".repeat(n));
        case "ask": {
          const answer = await server.elicitInput({
            message: "Go on?",
            requestedSchema: { type: "object", properties: {} },
          });
          return textResult(`${key}:${answer.action}`);
        }
        case "steps":
          for (let progress = 1; progress <= n; progress++) {
            const progressToken = _meta?.progressToken;
            if (progressToken === undefined) break;
            await extra.sendNotification({
              method: "notifications/progress",
              params: { progressToken, progress, total: n },
            });
          }
          return textResult(key);
        default:
          if (ms > 0) await delay(ms);
          if (gate !== undefined) await waitUntilOpen(gate);
          return textResult(String(key));
      }
    },
  );
  return server;
}

/**
 * A transport that rejects every request before `initialize`. Other proxies
 * fail with daemons that do this.
 */
class StrictTransport extends WebSocketServerTransport {
  #isInitialized = false;
  #isBusy = false;
  readonly #waiting: JSONRPCMessage[] = [];

  protected override receive(message: JSONRPCMessage): void {
    const isRequest = "method" in message && "id" in message;
    if (habit === "mute" && isRequest && message.method === "ping") {
      return writeJournal("got ping");
    }
    if (habit !== "serial") return this.#handleMessage(message);
    if (this.#isBusy) return void this.#waiting.push(message);
    this.#isBusy = isRequest;
    this.#handleMessage(message);
  }

  override async send(message: JSONRPCMessage): Promise<void> {
    await super.send(message);
    if ("method" in message) return;
    this.#isBusy = false;
    while (!this.#isBusy && this.#waiting.length > 0) {
      this.receive(this.#waiting.shift()!);
    }
  }

  #handleMessage(message: JSONRPCMessage): void {
    const method = "method" in message ? message.method : undefined;
    writeJournal(`got ${method ?? "an answer"}`);
    if (method === "initialize") this.#isInitialized = true;
    if (this.#isInitialized || !("id" in message) || message.id === undefined) {
      return super.receive(message);
    }
    const error = { code: -32002, message: "Server not initialized" };
    void this.send({ jsonrpc: "2.0", id: message.id, error });
  }
}

serveWebSockets(
  Number(flag("port") ?? 0),
  makeServer,
  (socket) => new StrictTransport(socket),
);
