/**
 * Runs the fake exai daemon as a process.
 *
 * @module
 */

import { waitForFileChange } from "./file_change.ts";
import { withWaitLimit } from "./time_limit.ts";
import { type ChildProcess, freePort, startDaemonScript } from "./process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** A daemon whose port and journal stay the same when a test restarts it. */
export class ExaiProcess implements AsyncDisposable {
  readonly port = freePort();
  readonly #journal = Deno.makeTempFileSync({ prefix: "journal-" });
  #child: ChildProcess | undefined;

  async start(...args: string[]): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
    const options = ["--port", `${this.port}`, "--journal", this.#journal];
    this.#child = await startDaemonScript(
      "exai_daemon.ts",
      ...options,
      ...args,
    );
  }

  async kill(): Promise<void> {
    await this.#child!.signal("SIGKILL");
  }

  /** Returns the journal's entries for one kind of event. */
  journalEntries(event: string): Json[] {
    return Deno.readTextFileSync(this.#journal).split("\n")
      .filter((line) => line !== "").map((line) => JSON.parse(line))
      .filter((entry) => entry.event === event);
  }

  /** Waits until the journal has `count` entries for a kind of event. */
  async waitForEntries(event: string, count: number): Promise<void> {
    const isThere = (): boolean => this.journalEntries(event).length >= count;
    await withWaitLimit(
      waitForFileChange(this.#journal, isThere),
      `${count} x ${event}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
    await Deno.remove(this.#journal);
  }
}
