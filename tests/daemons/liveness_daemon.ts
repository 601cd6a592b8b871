/**
 * An MCP daemon on a WebSocket that treats calls, pings and connections in one
 * of the ways known from real daemons. It prints `listening PORT` on stdout.
 *
 *     deno run -A tests/daemons/liveness_daemon.ts --port 0 --journal FILE --kind KIND
 *       [--rude]
 *
 * Its tools are `work` and `look` (read-only), both `{ id, ms }`. The journal
 * has a line for each event: the time, then `begin TOOL ID`, `end TOOL ID`,
 * `ping`, `open`, `close`, `spare` (a child is ready) or `child PID` (it serves
 * a connection). The kinds:
 *
 * - `concurrent`: does everything at once
 * - `serial`: one thing at a time on a connection, pings too
 * - `whole`: one thing at a time in the whole process, which accepts nothing
 *   meanwhile
 * - `mute`: answers no ping on a connection while a call runs there
 * - `displace`: a new connection closes the old one with 1000; with `--rude` it
 *   ends it without a close
 * - `refuse`: closes a second connection with 1013, with `--rude` with 1008
 * - `ignore`: a second connection opens, and is never answered
 * - `newest`: one `Server` of the SDK for all connections, whose responses go
 *   to the newest one
 * - `child-sync`: each connection has a child process, which blocks while it
 *   executes a call
 *
 * `displace`, `refuse`, `ignore` and `newest` do one thing at a time, or with
 * `--rude` everything at once.
 *
 * @module
 */

import { createRequire } from "node:module";
import process from "node:process";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import {
  CallToolRequestSchema,
  type CallToolResult,
  type JSONRPCMessage,
  ListToolsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { parseArgs } from "@std/cli/parse_args.js";
import { TextLineStream } from "@std/streams/text_line_stream.js";
import { npmFile } from "../../.ci/build/install_packages.ts";
import { print } from "../helpers/print.ts";
import { exitWithParent } from "../helpers/exit_with_parent.ts";
import { delay } from "../../lib/runtime/timeout.ts";

const KINDS = [
  ...["concurrent", "serial", "whole", "mute", "displace", "refuse"],
  ...["ignore", "newest", "child-sync"],
];

const flags = parseArgs(Deno.args, {
  string: ["port", "journal", "kind"],
  boolean: ["rude", "child"],
});
const { kind = "concurrent", journal, rude } = flags;
if (!KINDS.includes(kind)) throw new Error(`There is no kind ${kind}`);

function writeJournal(text: string): void {
  if (journal === undefined) return;
  const line = `${Date.now()} ${text}\n`;
  Deno.writeTextFileSync(journal, line, { append: true });
}

/** Blocks the event loop. A child exits when its parent is gone. */
function blockEventLoop(ms: number): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const parent = Deno.ppid;
  const until = performance.now() + ms;
  for (;;) {
    const left = until - performance.now();
    if (left <= 0) return;
    Atomics.wait(cell, 0, 0, Math.min(left, 200));
    if (Deno.ppid !== parent) Deno.exit(1);
  }
}

/** What the handlers read of a request: the SDK's inferred types do not survive the import. */
interface CallToolRequest {
  params: { name: string; arguments?: { id?: string; ms?: number } };
}

const inputSchema = { type: "object" } as const;

function makeServer(): Server {
  const server = new Server({ name: "liveness", version: "1" }, {
    capabilities: { tools: {} },
  });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: [
      { name: "work", inputSchema },
      { name: "look", inputSchema, annotations: { readOnlyHint: true } },
    ],
  }));
  server.setRequestHandler(
    CallToolRequestSchema,
    async ({ params }: CallToolRequest): Promise<CallToolResult> => {
      const { id = "", ms = 0 } = params.arguments ?? {};
      writeJournal(`begin ${params.name} ${id}`);
      if (kind === "whole" || kind === "child-sync") blockEventLoop(ms);
      else if (ms > 0) await delay(ms);
      writeJournal(`end ${params.name} ${id}`);
      return { content: [{ type: "text", text: id }] };
    },
  );
  return server;
}

/** A WebSocket as the package `ws` has it. */
interface PeerSocket {
  send(text: string): void;
  close(code: number): void;
  terminate(): void;
  on(event: "message", listener: (data: Uint8Array) => void): void;
  on(event: "close" | "error", listener: () => void): void;
}

const KEEPS_ONE = ["displace", "refuse", "ignore", "newest"];
/** Whether a connection does one thing at a time. */
const isSerial = kind === "serial" || KEEPS_ONE.includes(kind) && !rude;

/** One connection, or all of them. */
class PeerTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #calls = new Set<unknown>();
  readonly #waiting: JSONRPCMessage[] = [];
  #isBusy = false;
  /** The connection that gets the responses. */
  peer: PeerSocket | undefined;

  start(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.peer?.close(1000);
    return Promise.resolve();
  }

  /** Handles a message of the client. */
  receive(message: JSONRPCMessage): void {
    const isRequest = "method" in message && "id" in message;
    if (isRequest && message.method === "ping") {
      writeJournal("ping");
      if (kind === "mute" && this.#calls.size > 0) return;
    }
    if (isSerial && this.#isBusy) {
      return void this.#waiting.push(message);
    }
    this.#isBusy = isRequest;
    if (isRequest && message.method === "tools/call") {
      this.#calls.add(message.id);
    }
    this.onmessage?.(message);
  }

  send(message: JSONRPCMessage): Promise<void> {
    this.peer?.send(JSON.stringify(message));
    if ("method" in message) return Promise.resolve();
    this.#calls.delete(message.id);
    this.#isBusy = false;
    while (!this.#isBusy && this.#waiting.length > 0) {
      this.receive(this.#waiting.shift()!);
    }
    return Promise.resolve();
  }
}

/** Handles the messages of one connection. */
interface ConnectionHandler {
  receive(text: string): void;
  close(): void;
}

async function handleAlone(peer: PeerSocket): Promise<ConnectionHandler> {
  const transport = new PeerTransport();
  transport.peer = peer;
  await makeServer().connect(transport);
  return {
    receive: (text) => transport.receive(JSON.parse(text)),
    close: () => transport.onclose?.(),
  };
}

const shared = new PeerTransport();

/** Adds a connection to the shared server. */
function handleShared(peer: PeerSocket): ConnectionHandler {
  shared.peer = peer;
  return {
    receive: (text) => shared.receive(JSON.parse(text)),
    // The previous connection does not get responses again.
    close: () => {
      if (shared.peer === peer) shared.peer = undefined;
    },
  };
}

/** A process that serves one connection. */
class ServerChild {
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ready = Promise.withResolvers<void>();
  #peer: PeerSocket | undefined;

  constructor() {
    const places = ["--kind", kind, "--journal", journal ?? "/dev/null"];
    const start = ["run", "--quiet", "--cached-only", "-A"];
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [...start, import.meta.filename!, "--child", ...places],
      stdin: "piped",
      stdout: "piped",
      // A process that inherits the pipe would keep open what others wait for.
      stderr: "null",
    }).spawn();
    this.#stdin = this.#process.stdin.getWriter();
    void this.#forwardOutput();
  }

  /** Waits until it responds. */
  async waitUntilReady(): Promise<void> {
    this.write(JSON.stringify({ jsonrpc: "2.0", id: "warm", method: "ping" }));
    await this.#ready.promise;
  }

  async #forwardOutput(): Promise<void> {
    const lines: AsyncIterable<string> = this.#process.stdout
      .pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
    for await (const line of lines) {
      this.#ready.resolve();
      this.#peer?.send(line);
    }
  }

  write(text: string): void {
    const bytes = new TextEncoder().encode(`${text}\n`);
    this.#stdin.write(bytes).catch(() => {});
  }

  /** Serves a connection from now on. */
  serve(peer: PeerSocket): ConnectionHandler {
    this.#peer = peer;
    writeJournal(`child ${this.#process.pid}`);
    return {
      receive: (text) => this.write(text),
      close: () => {
        try {
          this.#process.kill("SIGKILL");
        } catch {
          // It has already exited.
        }
        setTimeout(startSpareChild, RESPAWN_DELAY_MS);
      },
    };
  }
}

/** How many children wait for connections: a start takes long. */
const SPARE_CHILDREN = 2;
/**
 * How long after the end of a connection a new child is started, in
 * milliseconds: the start slows everything else down.
 */
const RESPAWN_DELAY_MS = 500;
const spareChildren: ServerChild[] = [];

/** Starts a spare child. */
async function startSpareChild(): Promise<void> {
  const child = new ServerChild();
  await child.waitUntilReady();
  spareChildren.push(child);
  writeJournal("spare");
}

/** Gives a connection a child of its own. */
function handleByChild(peer: PeerSocket): ConnectionHandler {
  return (spareChildren.shift() ?? new ServerChild()).serve(peer);
}

const peers = new Set<PeerSocket>();

/** Decides about a new connection. Returns whether it is served. */
function admit(peer: PeerSocket): "served" | "ignored" | "closed" {
  if (peers.size === 0) return "served";
  switch (kind) {
    case "displace":
      for (const other of peers) {
        if (rude) other.terminate();
        else other.close(1000);
      }
      return "served";
    case "refuse":
      peer.close(rude ? 1008 : 1013);
      return "closed";
    case "ignore":
      return "ignored";
    default:
      return "served";
  }
}

async function serve(peer: PeerSocket): Promise<void> {
  writeJournal("open");
  peer.on("error", () => {});
  const role = admit(peer);
  let handler: ConnectionHandler | undefined;
  // Messages that arrive before there is a handler.
  const early: string[] = [];
  peer.on("message", (data) => {
    const text = new TextDecoder().decode(data);
    if (role !== "served") return;
    if (handler === undefined) early.push(text);
    else handler.receive(text);
  });
  peer.on("close", () => {
    writeJournal("close");
    peers.delete(peer);
    handler?.close();
  });
  if (role === "served") peers.add(peer);
  else return;
  if (kind === "newest") handler = handleShared(peer);
  else if (kind === "child-sync") handler = handleByChild(peer);
  else handler = await handleAlone(peer);
  for (const text of early) handler.receive(text);
}

/** Serves one connection as its child process. */
async function serveStdio(): Promise<void> {
  process.stdin.on("end", () => Deno.exit(0));
  await makeServer().connect(new StdioServerTransport());
}

async function listen(): Promise<void> {
  void exitWithParent();
  if (kind === "newest") await makeServer().connect(shared);
  const require = createRequire(import.meta.url);
  const { WebSocketServer } = require(npmFile("peers", "ws/index.js"));
  if (kind === "child-sync") {
    await Promise.all(Array.from({ length: SPARE_CHILDREN }, startSpareChild));
  }
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: Number(flags.port ?? 0),
    handleProtocols: (offered: Set<string>) => offered.has("mcp") && "mcp",
  });
  server.on("connection", (peer: PeerSocket) => void serve(peer));
  server.on("listening", () => print(`listening ${server.address().port}`));
}

await (flags.child ? serveStdio() : listen());
