/**
 * Runs a proxy whose client is the test, and an MCP daemon as a process.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";
import { withWaitLimit } from "./time_limit.ts";
import {
  type ChildProcess,
  freePort,
  ProxyProcess,
  startMcpDaemon,
} from "./process.ts";

/**
 * Short probe intervals, so that tests need not wait for long. `many` allows
 * second connections even if a slow start prevents the capacity check.
 */
export const FAST_PROBE_FLAGS: readonly string[] = [
  ...["--ping-interval", "500ms", "--ping-timeout", "500ms"],
  ...["--log-level", "debug", "--connections", "many"],
];

/** A proxy, and a daemon whose port stays the same when it restarts. */
export class ProxyAndDaemon implements AsyncDisposable {
  readonly port: number;
  readonly journal = Deno.makeTempFileSync({ prefix: "journal-" });
  readonly proxy: ProxyProcess;
  #daemon: ChildProcess | undefined;

  constructor(
    flags: readonly string[] = [],
    env: Record<string, string> = {},
    /**
     * `at` is the port that the proxy dials. `port` is the daemon's port, which
     * differs if a relay runs between them.
     */
    at: number = freePort(),
    port: number = at,
    start = (args: string[], env: Record<string, string>): ProxyProcess =>
      new ProxyProcess(args, env),
  ) {
    this.port = port;
    const url = `ws://127.0.0.1:${at}/`;
    this.proxy = start(["--url", url, ...flags], env);
  }

  /**
   * Starts the daemon. Returns the time at which it listens
   * (`performance.now()`).
   */
  async startDaemon(...args: string[]): Promise<number> {
    await this.#daemon?.[Symbol.asyncDispose]();
    this.#daemon = await startMcpDaemon(this.port, this.journal, ...args);
    return performance.now();
  }

  /**
   * Sends two calls, and waits until the daemon executes both. Call `1` writes,
   * and call `"1"` only reads.
   */
  async startTwoCalls(): Promise<void> {
    const { proxy } = this;
    await proxy.request("list", "tools/list");
    await proxy.waitForResponse("list");
    await proxy.callTool(1, "write", { key: "unsafe", ms: 60_000 });
    await proxy.callTool("1", "look", { key: "safe", ms: 500 });
    await this.waitForJournalLine("call write unsafe");
    await this.waitForJournalLine("call look safe");
  }

  /** Kills the daemon. Returns the time of the kill (`performance.now()`). */
  async killDaemon(): Promise<number> {
    const at = performance.now();
    await this.#daemon!.signal("SIGKILL");
    return at;
  }

  signalDaemon(name: Deno.Signal): void {
    this.#daemon!.process.kill(name);
  }

  /** Returns the lines of the journal that begin with a text. */
  journalLines(start: string): string[] {
    return Deno.readTextFileSync(this.journal).split("\n")
      .filter((line) => line.startsWith(start));
  }

  /** Waits until the journal has a line that begins with a text. */
  async waitForJournalLine(line: string): Promise<void> {
    const isThere = (): boolean => this.journalLines(line).length > 0;
    await withWaitLimit(
      waitForFileChange(this.journal, isThere),
      `"${line}" in the journal`,
    );
  }

  /** Waits for a line that begins with a text, and for a ping after it. */
  async waitForProbeAfter(line: string): Promise<void> {
    const isProbed = (): boolean => {
      const lines = this.journalLines("");
      const at = lines.findIndex((it) => it.startsWith(line));
      return at !== -1 && lines.includes("got ping", at);
    };
    await withWaitLimit(
      waitForFileChange(this.journal, isProbed),
      `a probe after "${line}"`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.#daemon?.[Symbol.asyncDispose]();
    await Deno.remove(this.journal);
  }
}
