/**
 * Third-party MCP servers on stdio, behind third-party bridges to a WebSocket.
 * Both can be killed and restarted.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";
import { npmFile } from "../../.ci/build/install_packages.ts";
import { withWaitLimit } from "./time_limit.ts";
import { ChildProcess, freePort } from "./process.ts";

/** A tool call, and the text of its result. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly expectedText: RegExp;
}

/** An MCP server, and calls for it. */
export interface McpServer {
  /** Its own name. */
  readonly title: string;
  /** How many tools it has. */
  readonly toolCount: number;
  /** The SDK it was made with. */
  readonly sdk: string;
  /** Its file in `node_modules`. */
  readonly file: string;
  /** Its arguments; `DIR` is replaced by a folder of its own. */
  readonly args: readonly string[];
  /** A call that changes nothing. */
  readonly safeCall: ToolCall;
  /** Whether the server declares that tool as read-only. */
  readonly hasReadOnlyHint: boolean;
  /** A call that must not be executed twice. */
  readonly unsafeCall?: ToolCall;
}

/** The contents of the file that `filesystem` reads. */
const FILE_TEXT = "one line\n";

const SERVER_PACKAGE = "@modelcontextprotocol/server";

/** The servers. Each works without a key and without a network. */
export const SERVERS: Readonly<Record<string, McpServer>> = {
  everything: {
    title: "mcp-servers/everything 2.0.0",
    toolCount: 13,
    sdk: "SDK v1",
    file: `${SERVER_PACKAGE}-everything/dist/index.js`,
    args: [],
    safeCall: {
      name: "get-sum",
      arguments: { a: 2, b: 3 },
      expectedText: /^The sum of 2 and 3 is 5\.$/,
    },
    hasReadOnlyHint: true,
    unsafeCall: {
      name: "toggle-subscriber-updates",
      arguments: {},
      expectedText: /^Started simulated resource updated notifications/,
    },
  },
  filesystem: {
    title: "secure-filesystem-server 0.2.0",
    toolCount: 14,
    sdk: "SDK v1",
    file: `${SERVER_PACKAGE}-filesystem/dist/index.js`,
    args: ["DIR"],
    safeCall: {
      name: "read_text_file",
      arguments: { path: "DIR/text" },
      expectedText: /^one line\n$/,
    },
    hasReadOnlyHint: true,
    unsafeCall: {
      name: "edit_file",
      arguments: {
        path: "DIR/text",
        edits: [{ oldText: "one line", newText: "one line, changed" }],
      },
      expectedText: /\+one line, changed/,
    },
  },
  memory: {
    title: "memory-server 0.6.3",
    toolCount: 9,
    sdk: "SDK v1",
    file: `${SERVER_PACKAGE}-memory/dist/index.js`,
    args: [],
    safeCall: {
      name: "read_graph",
      arguments: {},
      expectedText: /"entities": \[\]/,
    },
    hasReadOnlyHint: true,
    unsafeCall: {
      name: "create_entities",
      arguments: {
        entities: [{ name: "a", entityType: "b", observations: ["c"] }],
      },
      expectedText: /"name": "a"/,
    },
  },
  // It writes a line of text to stdout before its first message.
  time: {
    title: "time-mcp 1.0.6",
    toolCount: 6,
    sdk: "SDK v1 by another author",
    file: "time-mcp/dist/index.js",
    args: [],
    safeCall: {
      name: "days_in_month",
      arguments: { date: "2024-02-10" },
      expectedText: /\b29\b/,
    },
    hasReadOnlyHint: false,
  },
  stock: {
    title: "stock-sdk 2.4.4",
    toolCount: 26,
    sdk: "no SDK",
    file: "stock-sdk/dist/cli.js",
    args: ["mcp"],
    safeCall: {
      name: "get_market_status",
      arguments: { market: "HK" },
      expectedText: /^"(pre_market|open|lunch_break|after_hours|closed)"$/,
    },
    hasReadOnlyHint: false,
  },
};

/** A bridge from a WebSocket to a server on stdio. */
export interface Bridge {
  /** Whether connections share one child process. */
  readonly serverProcess: "shared" | "per connection";
  readonly file: string;
  readonly path: string;
  args(command: string, port: string): string[];
}

/** The bridges. */
export const BRIDGES: Readonly<Record<string, Bridge>> = {
  "supergateway 3.4.3": {
    serverProcess: "shared",
    file: "supergateway-3/dist/index.js",
    path: "/message",
    args: (command, port) => [
      ...["--stdio", command, "--outputTransport", "ws", "--port", port],
    ],
  },
  "stdio-to-ws": {
    serverProcess: "per connection",
    file: "stdio-to-ws/dist/main.js",
    path: "/",
    args: (command, port) => ["--port", port, command],
  },
};

/** A server behind a bridge, which can be killed and restarted on its port. */
export class BridgedServer implements AsyncDisposable {
  readonly port: number = freePort();
  readonly url: string;
  /** The server's own folder. It survives restarts. */
  readonly folder: string;
  // A process that starts after the end cannot record its pid, and exits.
  readonly #home = Deno.makeTempDirSync({ prefix: "server-" });
  readonly #pidFile = `${this.#home}/pids`;
  readonly #bridge: Bridge;
  readonly #server: McpServer;
  #bridgeProcess: ChildProcess | undefined;

  constructor(bridge: Bridge, server: McpServer) {
    this.#bridge = bridge;
    this.#server = server;
    this.url = `ws://127.0.0.1:${this.port}${bridge.path}`;
    this.folder = `${this.#home}/dir`;
    Deno.mkdirSync(this.folder);
    Deno.writeTextFileSync(`${this.folder}/text`, FILE_TEXT);
    Deno.writeTextFileSync(this.#pidFile, "");
  }

  /** Replaces the placeholder by the folder's path. */
  withFolder<T>(value: T): T {
    const text = JSON.stringify(value);
    return JSON.parse(
      text.replaceAll("DIR", this.folder.replaceAll("\\", "/")),
    );
  }

  /** Starts the bridge, unless it runs, and waits until it listens. */
  async start(): Promise<void> {
    if (this.#bridgeProcess !== undefined) return;
    const { file, args } = this.#server;
    const preload = new URL("note_pid.mjs", import.meta.url).href;
    const words = ["node", "--import", preload, npmFile("peers", file)];
    const command = [...words, ...this.withFolder(args)].map((it) => `"${it}"`);
    const bridge = [
      npmFile("peers", this.#bridge.file),
      ...this.#bridge.args(command.join(" "), `${this.port}`),
    ];
    this.#bridgeProcess = new ChildProcess("node", bridge, {
      SERVER_PIDS: this.#pidFile,
      MEMORY_FILE_PATH: `${this.folder}/memory.jsonl`,
    });
    await this.waitForLine(/istening on port/);
  }

  /** Waits until the bridge has written a line. */
  async waitForLine(line: RegExp, from = 0): Promise<void> {
    await this.#bridgeProcess!.stdout.waitForLine(
      (text) => line.test(text),
      from,
    );
  }

  /** How many lines the bridge has written, if it runs. */
  get lineCount(): number {
    return this.#bridgeProcess?.stdout.lines.length ?? 0;
  }

  /** The pids of the server processes started since the last kill. */
  #serverPids(): number[] {
    return Deno.readTextFileSync(this.#pidFile).split("\n").filter(Boolean)
      .map(Number);
  }

  /** Stops every process of the server, once there is one. */
  async suspend(): Promise<void> {
    const isThere = (): boolean => this.#serverPids().length > 0;
    await withWaitLimit(waitForFileChange(this.#pidFile, isThere), "a server");
    for (const pid of this.#serverPids()) signalIfAlive(pid, "SIGSTOP");
  }

  /** Kills the bridge and its children with SIGKILL. */
  async kill(): Promise<void> {
    const bridge = this.#bridgeProcess;
    if (bridge === undefined) return;
    this.#bridgeProcess = undefined;
    // All at once, so that no pid is reused meanwhile.
    bridge.process.kill("SIGKILL");
    this.#killServers();
    await bridge.waitForExit();
  }

  /**
   * Kills only the server with SIGKILL. A bridge with one shared child exits
   * with it.
   */
  async killServer(): Promise<void> {
    this.#killServers();
    if (this.#bridge.serverProcess === "per connection") return;
    await this.#bridgeProcess!.waitForExit();
    this.#bridgeProcess = undefined;
  }

  #killServers(): void {
    for (const pid of this.#serverPids()) signalIfAlive(pid, "SIGKILL");
    Deno.truncateSync(this.#pidFile);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#home, { recursive: true });
  }
}

/** Sends a signal to a process, which may be gone. */
function signalIfAlive(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
