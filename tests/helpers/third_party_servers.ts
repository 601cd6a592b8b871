/**
 * Starts third-party MCP servers on stdio, behind third-party bridges to a
 * WebSocket.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";
import { npmFile } from "../../.ci/build/install_packages.ts";
import { withWaitLimit } from "./time_limit.ts";
import { ChildProcess, freePort } from "./process.ts";

/** A tool call, and the pattern of its result's text. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly expectedText: RegExp;
}

/** An MCP server, and calls for it. */
export interface McpServer {
  /** The name and version that the server reports. */
  readonly title: string;
  /** The number of its tools. */
  readonly toolCount: number;
  /** The SDK that the server uses. */
  readonly sdk: string;
  /** The path of the program in `node_modules`. */
  readonly file: string;
  /** The arguments. `DIR` stands for the server's own folder. */
  readonly args: readonly string[];
  /** A call that changes nothing. */
  readonly safeCall: ToolCall;
  /** True if the server declares the tool of the safe call as read-only. */
  readonly hasReadOnlyHint: boolean;
  /** A call that must not be executed twice. */
  readonly unsafeCall?: ToolCall;
}

/** The content of the file that the `filesystem` server reads. */
const FILE_TEXT = "one line\n";

const SERVER_PACKAGE = "@modelcontextprotocol/server";

/** The servers. None needs a key or a network. */
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
  // This server writes a line of text to stdout before its first message.
  time: {
    title: "time-mcp 1.0.6",
    toolCount: 6,
    sdk: "SDK v1, server by another author",
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
  /** Whether all connections share one server process. */
  readonly serverProcess: "shared" | "per connection";
  readonly file: string;
  readonly path: string;
  args(command: string, port: string): string[];
}

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

/** A server behind a bridge. Its port and folder survive restarts. */
export class BridgedServer implements AsyncDisposable {
  readonly port: number = freePort();
  readonly url: string;
  readonly folder: string;
  // After disposal no server process can start, because this folder is gone.
  readonly #tempFolder = Deno.makeTempDirSync({ prefix: "server-" });
  readonly #pidFile = `${this.#tempFolder}/pids`;
  readonly #bridge: Bridge;
  readonly #server: McpServer;
  #bridgeProcess: ChildProcess | undefined;

  constructor(bridge: Bridge, server: McpServer) {
    this.#bridge = bridge;
    this.#server = server;
    this.url = `ws://127.0.0.1:${this.port}${bridge.path}`;
    this.folder = `${this.#tempFolder}/dir`;
    Deno.mkdirSync(this.folder);
    Deno.writeTextFileSync(`${this.folder}/text`, FILE_TEXT);
    Deno.writeTextFileSync(this.#pidFile, "");
  }

  /** Replaces `DIR` in a value by the path of the server's folder. */
  withFolder<T>(value: T): T {
    const text = JSON.stringify(value);
    return JSON.parse(
      text.replaceAll("DIR", this.folder.replaceAll("\\", "/")),
    );
  }

  /** Starts the bridge unless it is running, and waits until it listens. */
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

  /** Waits until the bridge has written a line, from index `from` on. */
  async waitForLine(line: RegExp, from = 0): Promise<void> {
    await this.#bridgeProcess!.stdout.waitForLine(
      (text) => line.test(text),
      from,
    );
  }

  /** The number of lines that the bridge has written. 0 if it is stopped. */
  get lineCount(): number {
    return this.#bridgeProcess?.stdout.lines.length ?? 0;
  }

  /** Returns the pids of the processes that started since the last kill. */
  #serverPids(): number[] {
    return Deno.readTextFileSync(this.#pidFile).split("\n").filter(Boolean)
      .map(Number);
  }

  /** Waits for the first server process, and suspends all that run. */
  async suspend(): Promise<void> {
    const isThere = (): boolean => this.#serverPids().length > 0;
    await withWaitLimit(waitForFileChange(this.#pidFile, isThere), "a server");
    for (const pid of this.#serverPids()) signalIfAlive(pid, "SIGSTOP");
  }

  /** Kills the bridge and the server processes with SIGKILL. */
  async kill(): Promise<void> {
    const bridge = this.#bridgeProcess;
    if (bridge === undefined) return;
    this.#bridgeProcess = undefined;
    // There is no await between the signals, so no pid is reused meanwhile.
    bridge.process.kill("SIGKILL");
    this.#killServers();
    await bridge.waitForExit();
  }

  /**
   * Kills only the server processes with SIGKILL. A bridge with a shared
   * process then exits, too.
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
    await Deno.remove(this.#tempFolder, { recursive: true });
  }
}

/** Sends a signal to a process, unless it has exited. */
function signalIfAlive(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
