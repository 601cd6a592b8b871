/**
 * A state folder for the proxies of a test.
 *
 * @module
 */

import { runToExit } from "./process.ts";
import { WAIT_LIMIT_MS } from "./time_limit.ts";

/** A temporary state folder, and the output of commands for it. */
export class StateFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "state-" });
  readonly running = `${this.path}/alwaysup/running`;
  readonly env = { XDG_STATE_HOME: this.path, ALWAYSUP_STATUS: "on" };

  status(...flags: string[]): ReturnType<typeof runToExit> {
    return runToExit(["status", ...flags], this.env);
  }

  history(...flags: string[]): ReturnType<typeof runToExit> {
    return runToExit(["history", ...flags], this.env);
  }

  /** Repeats `status` until its output passes a test. Returns the output. */
  async waitForStatus(
    // deno-lint-ignore no-explicit-any
    test: (running: any[]) => boolean,
    // deno-lint-ignore no-explicit-any
  ): Promise<any[]> {
    const end = performance.now() + WAIT_LIMIT_MS;
    for (;;) {
      const { stdout } = await this.status("--json");
      const running = JSON.parse(stdout);
      if (test(running)) return running;
      if (performance.now() > end) throw new Error(`No such status: ${stdout}`);
    }
  }

  /** Returns the names of the proxies' status files. */
  files(): string[] {
    return [...Deno.readDirSync(this.running)].map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
