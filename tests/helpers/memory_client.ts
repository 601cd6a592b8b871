/**
 * A client of a proxy that runs in the test's process, and the proxy's host.
 *
 * @module
 */

import { type Config, readConfig } from "../../lib/config/config.ts";
import type { Host } from "../../lib/runtime/host.ts";
import { Changes, withWaitLimit } from "./time_limit.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** Returns the configuration of a proxy that writes no files. */
export function memoryConfig(...flags: string[]): Config {
  const args = ["--url", "ws://daemon.invalid/", "--backoff-base", "1ms"];
  args.push("--cache", "off", "--status", "off", ...flags);
  const reading = readConfig({ args, env: {} }, () => "");
  if (reading.kind === "problems") throw new Error(reading.problems.join());
  return reading.config;
}

/** A client. `lines` has the messages that it has read. */
export class MemoryClient {
  readonly lines: Json[] = [];
  /** The number of times that the proxy has set a timer. */
  timersSet = 0;
  readonly host: Host;
  #stdin!: ReadableStreamDefaultController<Uint8Array>;
  readonly #stdinEnded = Promise.withResolvers<void>();
  #partialLine = "";
  readonly #changes = new Changes();
  #readingAllowed = Promise.resolve();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor() {
    const stdin = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#stdin = controller;
      },
    });
    const decoder = new TextDecoder();
    const host: Partial<Host> = {
      readStdin: async (handleChunk) => {
        for await (const chunk of stdin) await handleChunk(chunk);
        this.#stdinEnded.resolve();
      },
      writeStdout: async (bytes) => {
        await this.#readingAllowed;
        this.#read(decoder.decode(bytes, { stream: true }));
        return bytes.length;
      },
      yieldToEvents: () => new Promise((resolve) => setTimeout(resolve)),
      setTimer: (ms, callback) => {
        this.timersSet++;
        this.#timers.add(setTimeout(callback, ms));
      },
      onSignal: () => {},
    };
    this.host = host as Host;
  }

  /** Writes messages to the proxy's stdin, all in one chunk. */
  write(...messages: Json[]): void {
    const lines = messages.map((message) =>
      `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`
    );
    this.#stdin.enqueue(new TextEncoder().encode(lines.join("")));
  }

  /** Performs the MCP handshake. Returns the response to `initialize`. */
  async initialize(): Promise<Json> {
    const clientInfo = { name: "memory", version: "1" };
    const params = { protocolVersion: "2025-11-25", capabilities: {} };
    const id = "initialize";
    this.write({ id, method: "initialize", params: { ...params, clientInfo } });
    const answer = await this.waitForResponse(id);
    this.write({ method: "notifications/initialized" });
    return answer;
  }

  /** Waits for the response to a request. */
  async waitForResponse(id: string | number): Promise<Json> {
    const find = (): Json =>
      this.lines.find((line) => line.id === id && !line.method);
    const isThere = (): boolean => find() !== undefined;
    await this.#changes.until(isThere, `the answer to ${id}`);
    return find();
  }

  /** Stops reading stdout. Returns a function that resumes reading. */
  pauseReading(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#readingAllowed = promise;
    return resolve;
  }

  /** Closes stdin. Waits until the proxy has read its end. */
  async close(): Promise<void> {
    this.#stdin.close();
    await withWaitLimit(this.#stdinEnded.promise, "the proxy to read stdin");
    await this.host.yieldToEvents();
  }

  /** Waits until the proxy has exited. Returns its exit code. */
  async waitForExit(exitCode: Promise<number>): Promise<number> {
    const code = await withWaitLimit(exitCode, "the end of the proxy");
    for (const timer of this.#timers) clearTimeout(timer);
    return code;
  }

  #read(text: string): void {
    const lines = (this.#partialLine + text).split("\n");
    this.#partialLine = lines.pop()!;
    for (const line of lines) this.lines.push(JSON.parse(line));
    this.#changes.notify();
  }
}
