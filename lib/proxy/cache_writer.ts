/**
 * What was learned of the daemon goes into the cache, as soon as no other
 * process is at it.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { atMost } from "../runtime/timeout.ts";
import { isFinal } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import type { Remembered } from "../cache/cache.ts";
import type { Owner } from "../cache/format.ts";
import { writeState } from "./cache_file.ts";

/** How long other processes may hold the lock, in milliseconds: longer than an abandoned one is respected. */
const PATIENCE_MS = 15_000;
/** How long the end waits for its turn, in milliseconds: then it writes although another process has the lock. */
const TURN_MS = 300;
/** The shortest time between two tries, and how much longer it may get, in milliseconds. */
const PAUSES_MS = [5, 60] as const;

/** The way into the cache of one proxy. */
export class Keeping {
  readonly #write: (
    learned: Remembered,
    turn: "waits" | "last",
  ) => Promise<"kept" | "taken">;
  readonly #host: Host;
  readonly #complain: (why: string) => void;
  #latest: Remembered | undefined;
  #work: Promise<void> | undefined;
  #isForgetful = false;
  #isLast = false;
  #isOver = false;

  /**
   * Nothing is to be kept yet.
   *
   * @param complain is told why nothing can be kept: once, until something was
   */
  constructor(
    setting: string,
    owner: Owner,
    host: Host,
    complain: (why: string) => void,
  ) {
    this.#write = (learned, turn) =>
      writeState(setting, owner, learned, host, turn);
    this.#host = host;
    this.#complain = complain;
  }

  /** Keeps all that was learned by now. */
  keep(learned: Remembered): void {
    this.#latest = learned;
    this.#work ??= this.#run();
  }

  /** Resolves when everything is kept, or the time is over; nothing is kept after that. */
  async end(ms: number): Promise<void> {
    const kept = (): Promise<void> => this.#work ?? Promise.resolve();
    const turnMs = Math.min(ms / 2, TURN_MS);
    await atMost(turnMs, kept());
    this.#isLast = true;
    // What was given up does not need a turn any more.
    if (this.#latest !== undefined) this.#work ??= this.#run();
    await atMost(ms - turnMs, kept());
    this.#isOver = true;
    if (this.#work !== undefined) this.#fail("the program ended first");
  }

  async #run(): Promise<void> {
    let failures = 0;
    let pauseMs: number = PAUSES_MS[0];
    let until = performance.now() + PATIENCE_MS;
    while (this.#latest !== undefined && !this.#isOver) {
      const learned = this.#latest;
      this.#latest = undefined;
      try {
        const turn = this.#isLast ? "last" : "waits";
        if (await this.#write(learned, turn) === "kept") {
          this.#isForgetful = false;
          failures = 0;
          until = performance.now() + PATIENCE_MS;
          continue;
        }
      } catch (error) {
        if (isFinal(this.#host, error, ++failures)) {
          this.#fail(messageOf(error));
          continue;
        }
      }
      this.#latest ??= learned;
      if (performance.now() > until) {
        this.#fail(
          "another process holds its lock; if none does, remove the .lock " +
            "file beside it",
        );
        break;
      }
      // By chance, so that two do not meet again and again.
      await this.#pause(PAUSES_MS[0] + Math.random() * pauseMs);
      pauseMs = Math.min(2 * pauseMs, PAUSES_MS[1]);
    }
    this.#work = undefined;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((go) => this.#host.wake(Math.ceil(ms), go));
  }

  #fail(why: string): void {
    if (!this.#isForgetful) this.#complain(why);
    this.#isForgetful = true;
  }
}
