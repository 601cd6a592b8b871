/**
 * MCP servers on stdio that nobody here wrote, behind bridges to a WebSocket
 * that nobody here wrote either. Both are killed and started again.
 *
 * @module
 */

import { changed } from "./file_change.ts";
import { npmFile } from "../../.ci/build/install_packages.ts";
import { within } from "./time_limit.ts";
import { Child, freePort } from "./process.ts";

/** A tool call, and the text of its result. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly says: RegExp;
}

/** An MCP server, and what it is called with. */
export interface McpServer {
  /** What it calls itself. */
  readonly title: string;
  /** How many tools it has. */
  readonly tools: number;
  /** What it was made with. */
  readonly sdk: string;
  /** Its file in `node_modules`. */
  readonly file: string;
  /** Its arguments; `DIR` is a folder that is its own. */
  readonly args: readonly string[];
  /** A call that changes nothing. */
  readonly call: ToolCall;
  /** Whether the server says so of that tool. */
  readonly isHinted: boolean;
  /** A call that may not be executed twice. */
  readonly write?: ToolCall;
}

/** What stands in the file that `filesystem` reads. */
const TEXT = "one line\n";

const OURS = "@modelcontextprotocol/server";

/** The servers. Each works without a key and without a network. */
export const SERVERS: Readonly<Record<string, McpServer>> = {
  everything: {
    title: "mcp-servers/everything 2.0.0",
    tools: 13,
    sdk: "SDK v1",
    file: `${OURS}-everything/dist/index.js`,
    args: [],
    call: {
      name: "get-sum",
      arguments: { a: 2, b: 3 },
      says: /^The sum of 2 and 3 is 5\.$/,
    },
    isHinted: true,
    write: {
      name: "toggle-subscriber-updates",
      arguments: {},
      says: /^Started simulated resource updated notifications/,
    },
  },
  filesystem: {
    title: "secure-filesystem-server 0.2.0",
    tools: 14,
    sdk: "SDK v1",
    file: `${OURS}-filesystem/dist/index.js`,
    args: ["DIR"],
    call: {
      name: "read_text_file",
      arguments: { path: "DIR/text" },
      says: /^one line\n$/,
    },
    isHinted: true,
    write: {
      name: "edit_file",
      arguments: {
        path: "DIR/text",
        edits: [{ oldText: "one line", newText: "one line, changed" }],
      },
      says: /\+one line, changed/,
    },
  },
  memory: {
    title: "memory-server 0.6.3",
    tools: 9,
    sdk: "SDK v1",
    file: `${OURS}-memory/dist/index.js`,
    args: [],
    call: { name: "read_graph", arguments: {}, says: /"entities": \[\]/ },
    isHinted: true,
    write: {
      name: "create_entities",
      arguments: {
        entities: [{ name: "a", entityType: "b", observations: ["c"] }],
      },
      says: /"name": "a"/,
    },
  },
  // It writes a line of text to stdout before its first message.
  time: {
    title: "time-mcp 1.0.6",
    tools: 6,
    sdk: "SDK v1 by another author",
    file: "time-mcp/dist/index.js",
    args: [],
    call: {
      name: "days_in_month",
      arguments: { date: "2024-02-10" },
      says: /\b29\b/,
    },
    isHinted: false,
  },
  stock: {
    title: "stock-sdk 2.4.4",
    tools: 26,
    sdk: "no SDK",
    file: "stock-sdk/dist/cli.js",
    args: ["mcp"],
    call: {
      name: "get_market_status",
      arguments: { market: "HK" },
      says: /^"(pre_market|open|lunch_break|after_hours|closed)"$/,
    },
    isHinted: false,
  },
};

/** A bridge from a WebSocket to a server on stdio. */
export interface Bridge {
  /** Whose the child is. */
  readonly child: "shared" | "per connection";
  readonly file: string;
  readonly path: string;
  args(command: string, port: string): string[];
}

/** The bridges. */
export const BRIDGES: Readonly<Record<string, Bridge>> = {
  "supergateway 3.4.3": {
    child: "shared",
    file: "supergateway-3/dist/index.js",
    path: "/message",
    args: (command, port) => [
      ...["--stdio", command, "--outputTransport", "ws", "--port", port],
    ],
  },
  "stdio-to-ws": {
    child: "per connection",
    file: "stdio-to-ws/dist/main.js",
    path: "/",
    args: (command, port) => ["--port", port, command],
  },
};

/** A server behind a bridge, which can be killed and started again on its port. */
export class BridgedServer implements AsyncDisposable {
  readonly port: number = freePort();
  readonly url: string;
  /** A folder that is the server's own, through all its lives. */
  readonly dir: string;
  // A process that starts after the end finds no place to note itself, and ends.
  readonly #home = Deno.makeTempDirSync({ prefix: "server-" });
  readonly #pids = `${this.#home}/pids`;
  readonly #bridge: Bridge;
  readonly #server: McpServer;
  #process: Child | undefined;

  constructor(bridge: Bridge, server: McpServer) {
    this.#bridge = bridge;
    this.#server = server;
    this.url = `ws://127.0.0.1:${this.port}${bridge.path}`;
    this.dir = `${this.#home}/dir`;
    Deno.mkdirSync(this.dir);
    Deno.writeTextFileSync(`${this.dir}/text`, TEXT);
    Deno.writeTextFileSync(this.#pids, "");
  }

  /** Puts the folder's path where a text names it. */
  placed<T>(value: T): T {
    const text = JSON.stringify(value);
    return JSON.parse(text.replaceAll("DIR", this.dir.replaceAll("\\", "/")));
  }

  /** Starts the bridge, unless it runs, and waits until it listens. */
  async up(): Promise<void> {
    if (this.#process !== undefined) return;
    const { file, args } = this.#server;
    const preload = new URL("note_pid.mjs", import.meta.url).href;
    const words = ["node", "--import", preload, npmFile("peers", file)];
    const command = [...words, ...this.placed(args)].map((it) => `"${it}"`);
    const bridge = [
      npmFile("peers", this.#bridge.file),
      ...this.#bridge.args(command.join(" "), `${this.port}`),
    ];
    this.#process = new Child("node", bridge, {
      SERVER_PIDS: this.#pids,
      MEMORY_FILE_PATH: `${this.dir}/memory.jsonl`,
    });
    await this.says(/istening on port/);
  }

  /** Waits until the bridge has written a line. */
  async says(line: RegExp, from = 0): Promise<void> {
    await this.#process!.stdout.find((text) => line.test(text), from);
  }

  /** How many lines the bridge has written, if it runs. */
  get lines(): number {
    return this.#process?.stdout.all.length ?? 0;
  }

  /** The server's processes that have been started since the last kill. */
  #children(): number[] {
    return Deno.readTextFileSync(this.#pids).split("\n").filter(Boolean)
      .map(Number);
  }

  /** Stops every process of the server, once there is one. */
  async freeze(): Promise<void> {
    const isThere = (): boolean => this.#children().length > 0;
    await within(changed(this.#pids, isThere), "a server");
    for (const pid of this.#children()) kill(pid, "SIGSTOP");
  }

  /** Kills the bridge and its children with SIGKILL. */
  async kill(): Promise<void> {
    const bridge = this.#process;
    if (bridge === undefined) return;
    this.#process = undefined;
    // At one moment: no pid is given to another process meanwhile.
    bridge.process.kill("SIGKILL");
    this.#killChildren();
    await bridge.ended();
  }

  /** Kills the server alone with SIGKILL; a bridge with one shared child ends with it. */
  async killServer(): Promise<void> {
    this.#killChildren();
    if (this.#bridge.child === "per connection") return;
    await this.#process!.ended();
    this.#process = undefined;
  }

  #killChildren(): void {
    for (const pid of this.#children()) kill(pid, "SIGKILL");
    Deno.truncateSync(this.#pids);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#home, { recursive: true });
  }
}

/** Sends a signal to a process, which may be gone. */
function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
