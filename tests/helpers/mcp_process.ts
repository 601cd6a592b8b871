/**
 * A proxy with a client that is the test, and an MCP daemon as a process that
 * can be killed, stopped and started again.
 *
 * @module
 */

import { changed } from "./file_change.ts";
import { within } from "./time_limit.ts";
import { type Child, freePort, Proxy, startDaemon } from "./process.ts";

/** Probes that come soon, so that a test need not wait for the usual ones, and second connections also where the start was too slow to try one. */
export const HASTY: readonly string[] = [
  ...["--ping-interval", "500ms", "--ping-timeout", "500ms"],
  ...["--log-level", "debug", "--connections", "many"],
];

/** A proxy, and a daemon that can be killed and started again on its port. */
export class Rig implements AsyncDisposable {
  readonly port: number;
  readonly journal = Deno.makeTempFileSync({ prefix: "journal-" });
  readonly proxy: Proxy;
  #daemon: Child | undefined;

  constructor(
    flags: readonly string[] = [],
    env: Record<string, string> = {},
    /** Where the proxy looks for the daemon, and where that is if there is something between. */
    at: number = freePort(),
    port: number = at,
    /** Starts the proxy. */
    start = (args: string[], env: Record<string, string>): Proxy =>
      new Proxy(args, env),
  ) {
    this.port = port;
    const url = `ws://127.0.0.1:${at}/`;
    this.proxy = start(["--url", url, ...flags], env);
  }

  /** Starts the daemon; gives the moment from which it listens. */
  async up(...args: string[]): Promise<number> {
    await this.#daemon?.[Symbol.asyncDispose]();
    this.#daemon = await startDaemon(this.port, this.journal, ...args);
    return performance.now();
  }

  /** Has the daemon execute two calls: `1`, which acts, and `"1"`, which only reads. */
  async callTwo(): Promise<void> {
    const { proxy } = this;
    await proxy.ask("list", "tools/list");
    await proxy.answer("list");
    await proxy.call(1, "write", { key: "unsafe", ms: 60_000 });
    await proxy.call("1", "look", { key: "safe", ms: 500 });
    await this.noted("call write unsafe");
    await this.noted("call look safe");
  }

  /** Kills the daemon with SIGKILL; gives the moment of the signal. */
  async kill(): Promise<number> {
    const at = performance.now();
    await this.#daemon!.signal("SIGKILL");
    return at;
  }

  signal(name: Deno.Signal): void {
    this.#daemon!.process.kill(name);
  }

  /** What the daemons wrote into the journal that a line begins with. */
  executed(start: string): string[] {
    return Deno.readTextFileSync(this.journal).split("\n")
      .filter((line) => line.startsWith(start));
  }

  /** Waits until a daemon has written a line. */
  async noted(line: string): Promise<void> {
    const isThere = (): boolean => this.executed(line).length > 0;
    await within(changed(this.journal, isThere), `"${line}" in the journal`);
  }

  /** Waits until a daemon has been probed after it wrote a line. */
  async probedAfter(line: string): Promise<void> {
    const isProbed = (): boolean => {
      const lines = this.executed("");
      const at = lines.findIndex((it) => it.startsWith(line));
      return at !== -1 && lines.includes("got ping", at);
    };
    await within(changed(this.journal, isProbed), `a probe after "${line}"`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    await this.#daemon?.[Symbol.asyncDispose]();
    await Deno.remove(this.journal);
  }
}
