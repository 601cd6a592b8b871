/**
 * A proxy whose client is the test, and an MCP daemon as a process that can be
 * killed, stopped and restarted.
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
 * Early probes, so that a test need not wait for the usual ones, and second
 * connections even if the start was too slow for the capacity check.
 */
export const FAST_PROBES: readonly string[] = [
  ...["--ping-interval", "500ms", "--ping-timeout", "500ms"],
  ...["--log-level", "debug", "--connections", "many"],
];

/** A proxy, and a daemon that can be killed and restarted on its port. */
export class ProxyAndDaemon implements AsyncDisposable {
  readonly port: number;
  readonly journal = Deno.makeTempFileSync({ prefix: "journal-" });
  readonly proxy: ProxyProcess;
  #daemon: ChildProcess | undefined;

  constructor(
    flags: readonly string[] = [],
    env: Record<string, string> = {},
    /**
     * The port that the proxy dials, and the daemon's port if that is another
     * one.
     */
    at: number = freePort(),
    port: number = at,
    /** Starts the proxy. */
    start = (args: string[], env: Record<string, string>): ProxyProcess =>
      new ProxyProcess(args, env),
  ) {
    this.port = port;
    const url = `ws://127.0.0.1:${at}/`;
    this.proxy = start(["--url", url, ...flags], env);
  }

  /** Starts the daemon. Returns the moment from which it listens. */
  async startDaemon(...args: string[]): Promise<number> {
    await this.#daemon?.[Symbol.asyncDispose]();
    this.#daemon = await startMcpDaemon(this.port, this.journal, ...args);
    return performance.now();
  }

  /**
   * Has the daemon execute two calls: `1`, which writes, and `"1"`, which only
   * reads.
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

  /** Kills the daemon with SIGKILL. Returns the moment of the signal. */
  async killDaemon(): Promise<number> {
    const at = performance.now();
    await this.#daemon!.signal("SIGKILL");
    return at;
  }

  signalDaemon(name: Deno.Signal): void {
    this.#daemon!.process.kill(name);
  }

  /** The lines of the daemons' journal that begin with a text. */
  journalLines(start: string): string[] {
    return Deno.readTextFileSync(this.journal).split("\n")
      .filter((line) => line.startsWith(start));
  }

  /** Waits until a daemon has written a line to the journal. */
  async waitForJournalLine(line: string): Promise<void> {
    const isThere = (): boolean => this.journalLines(line).length > 0;
    await withWaitLimit(
      waitForFileChange(this.journal, isThere),
      `"${line}" in the journal`,
    );
  }

  /** Waits until a daemon has been probed after it wrote a line. */
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
