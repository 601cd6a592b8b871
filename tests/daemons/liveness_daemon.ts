/**
 * An MCP daemon on a WebSocket. Its kind determines how it treats calls, pings
 * and connections. There are real daemons of each kind. It prints
 * `listening PORT` on stdout.
 *
 *     deno run -A tests/daemons/liveness_daemon.ts --port 0 --journal FILE --kind KIND
 *       [--rude]
 *
 * Its tools are `work` and `look` (read-only), both with the arguments
 * `{ id, ms }`. The journal has a line for each event: the time in milliseconds
 * since 1970, then `begin TOOL ID`, `end TOOL ID`, `ping`, `open`, `close`,
 * `spare` (a child process is ready) or `child PID` (it serves a connection).
 * The kinds:
 *
 * - `concurrent`: handles all messages at the same time
 * - `serial`: handles one message at a time on a connection, pings too
 * - `whole`: executes one call at a time in the whole process, and accepts
 *   nothing meanwhile
 * - `mute`: answers no ping on a connection while a call runs there
 * - `displace`: a new connection closes the old one with 1000; with `--rude`,
 *   it ends the old one without a close frame
 * - `refuse`: closes a second connection with 1013; with `--rude`, with 1008
 * - `ignore`: accepts a second connection, but never answers it
 * - `newest`: one `Server` of the SDK for all connections; it sends its
 *   responses to the newest one
 * - `child-sync`: each connection has a child process, which blocks while it
 *   executes a call
 *
 * `displace`, `refuse`, `ignore` and `newest` handle one message at a time.
 * With `--rude`, they handle all messages at the same time.
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
const { kind = "concurrent", journal, rude: isRude } = flags;
if (!KINDS.includes(kind)) throw new Error(`There is no kind ${kind}`);

function writeJournal(text: string): void {
  if (journal === undefined) return;
  const line = `${Date.now()} ${text}\n`;
  Deno.writeTextFileSync(journal, line, { append: true });
}

/** Blocks the event loop. A child process exits if its parent has exited. */
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

/**
 * The members of a request that the handlers read. The SDK's inferred types are
 * lost in the import.
 */
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

/** The members of a WebSocket of the package `ws` that are used here. */
interface PeerSocket {
  send(text: string): void;
  close(code: number): void;
  terminate(): void;
  on(event: "message", listener: (data: Uint8Array) => void): void;
  on(event: "close" | "error", listener: () => void): void;
}

const SINGLE_CLIENT_KINDS = ["displace", "refuse", "ignore", "newest"];
/** True if a connection handles one message at a time. */
const isSerial = kind === "serial" ||
  SINGLE_CLIENT_KINDS.includes(kind) && !isRude;

/** The transport of one connection, or of all connections. */
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

  /** Passes a message of the client to the server, or delays it. */
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

interface ConnectionHandler {
  receive(text: string): void;
  close(): void;
}

async function handleByOwnServer(peer: PeerSocket): Promise<ConnectionHandler> {
  const transport = new PeerTransport();
  transport.peer = peer;
  await makeServer().connect(transport);
  return {
    receive: (text) => transport.receive(JSON.parse(text)),
    close: () => transport.onclose?.(),
  };
}

const shared = new PeerTransport();

/** Connects a client to the shared server, which then answers only this one. */
function handleShared(peer: PeerSocket): ConnectionHandler {
  shared.peer = peer;
  return {
    receive: (text) => shared.receive(JSON.parse(text)),
    // Then no connection gets responses, not even an earlier one.
    close: () => {
      if (shared.peer === peer) shared.peer = undefined;
    },
  };
}

/** A child process that serves one connection. */
class ServerChild {
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ready = Promise.withResolvers<void>();
  #peer: PeerSocket | undefined;

  constructor() {
    const options = ["--kind", kind, "--journal", journal ?? "/dev/null"];
    const start = ["run", "--quiet", "--cached-only", "-A"];
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [...start, import.meta.filename!, "--child", ...options],
      stdin: "piped",
      stdout: "piped",
      // If the child inherited stderr, it could keep the daemon's pipe open for
      // too long.
      stderr: "null",
    }).spawn();
    this.#stdin = this.#process.stdin.getWriter();
    void this.#forwardOutput();
  }

  /** Waits until the child responds. */
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
          // The process has already exited.
        }
        setTimeout(startSpareChild, RESPAWN_DELAY_MS);
      },
    };
  }
}

/** How many children wait for connections, because they start slowly. */
const SPARE_CHILD_COUNT = 2;
/**
 * The delay between the end of a connection and the start of a new child, in
 * milliseconds. The start slows everything else down.
 */
const RESPAWN_DELAY_MS = 500;
const spareChildren: ServerChild[] = [];

async function startSpareChild(): Promise<void> {
  const child = new ServerChild();
  await child.waitUntilReady();
  spareChildren.push(child);
  writeJournal("spare");
}

/** Gives a connection its own child process. */
function handleByChild(peer: PeerSocket): ConnectionHandler {
  return (spareChildren.shift() ?? new ServerChild()).serve(peer);
}

const peers = new Set<PeerSocket>();

/** Decides whether to serve a new connection. May close it, or the others. */
function admit(peer: PeerSocket): "served" | "ignored" | "closed" {
  if (peers.size === 0) return "served";
  switch (kind) {
    case "displace":
      for (const other of peers) {
        if (isRude) other.terminate();
        else other.close(1000);
      }
      return "served";
    case "refuse":
      peer.close(isRude ? 1008 : 1013);
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
  // The messages that arrive before the handler is ready.
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
  else handler = await handleByOwnServer(peer);
  for (const text of early) handler.receive(text);
}

/** Serves one connection in a child process. */
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
    await Promise.all(
      Array.from({ length: SPARE_CHILD_COUNT }, startSpareChild),
    );
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
