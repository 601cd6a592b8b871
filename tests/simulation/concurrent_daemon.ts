/**
 * A simulated daemon that does everything at once and speaks MCP or exai. It
 * responds to frames and records which calls it has executed.
 *
 * @module
 */

import { assert } from "../helpers/assert.ts";
import { DISCOVER_RESULT } from "../helpers/session/cold_start_driver.ts";
import type { Json } from "../helpers/session/session_driver.ts";

/**
 * The protocol of client and daemon: MCP with `initialize`, MCP without it
 * (2026-07-28), or exai.
 */
export type DaemonProtocol = "mcp" | "stateless" | "exai";

const TOOLS = [
  {
    name: "look",
    inputSchema: { type: "object" },
    annotations: { readOnlyHint: true },
  },
  { name: "write", inputSchema: { type: "object" } },
];

/**
 * A daemon that may be restarted. Part of its state is shared by all of its
 * processes, and the rest belongs to the current process.
 */
export class ConcurrentDaemon {
  readonly #protocol: DaemonProtocol;
  /**
   * True for an exai daemon of the first revisions. It assigns its own session
   * names, and knows `health`.
   */
  readonly #isFirstRevision: boolean;
  /** How often each call that is not read-only was executed, by its id. */
  readonly #executionCounts = new Map<unknown, number>();
  /** The responses of the current exai process, by `request_id`. */
  #responsesById = new Map<string, Json>();
  #startedAt = 0;

  constructor(protocol: DaemonProtocol, isFirstRevision: boolean) {
    this.#protocol = protocol;
    this.#isFirstRevision = isFirstRevision;
  }

  /** Starts a new process, which has none of the old responses. */
  restart(now: number): void {
    this.#responsesById = new Map();
    this.#startedAt = now;
  }

  /** Returns the response to a frame, or `undefined` if the frame gets none. */
  respond(text: string, now: number): string | undefined {
    const frame: Json = JSON.parse(text);
    const answer = this.#protocol === "exai"
      ? this.#respondExai(frame, now)
      : this.#respondMcp(frame);
    return answer && JSON.stringify(answer);
  }

  #respondMcp({ id, method, params }: Json): Json {
    if (id === undefined || method === undefined) return undefined;
    const answer = (result: Json): Json => ({ jsonrpc: "2.0", id, result });
    switch (method) {
      case "initialize": {
        const { protocolVersion } = params;
        return answer({ protocolVersion, capabilities: { tools: {} } });
      }
      case "server/discover":
        return answer(DISCOVER_RESULT);
      case "subscriptions/listen":
        return undefined; // answered at its end
      case "tools/list":
        return answer({ tools: TOOLS });
      case "tools/call":
        this.#execute(params.name, id);
        return answer({ content: [] });
      default:
        return answer({});
    }
  }

  #respondExai(frame: Json, now: number): Json {
    switch (frame.op) {
      case "hello": {
        const session_id = this.#isFirstRevision ? "theirs" : frame.session_id;
        return { op: "hello_ack", ok: true, session_id };
      }
      case "health": {
        if (!this.#isFirstRevision) return { error: { code: "NO" } };
        const seconds = Math.floor((now - this.#startedAt) / 1000);
        const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
        const uptime_human = `0:${`${minutes}`.padStart(2, "0")}:${
          `${rest}`.padStart(2, "0")
        }`;
        const health = { uptime_human, t: 1_000 + now / 1000 };
        return { op: "health_res", ok: true, health };
      }
      case "list_tools":
        return { op: "list_tools_res", tools: TOOLS };
      case "call_tool": {
        const { request_id, name, arguments: input } = frame;
        const known = this.#responsesById.get(request_id);
        if (known !== undefined) return known;
        this.#execute(name, input.id);
        const outputs = [{ type: "text", text: "done" }];
        const answer = { op: "call_tool_res", request_id, outputs };
        this.#responsesById.set(request_id, answer);
        return answer;
      }
      default:
        throw new Error(`The daemon knows no op ${frame.op}`);
    }
  }

  #execute(tool: string, id: unknown): void {
    if (tool === "look") return;
    const times = (this.#executionCounts.get(id) ?? 0) + 1;
    this.#executionCounts.set(id, times);
    assert(times === 1, `${id} (${tool}) was executed ${times} times`);
  }
}
