/**
 * What was learned of the daemon goes into the cache, as soon as no other
 * process is at it.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import { isPermanentWriteError } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import type { CachedResults } from "../cache/cache.ts";
import type { CacheKey } from "../cache/format.ts";
import { writeCacheFile } from "./cache_file.ts";

/** How long other processes may hold the lock, in milliseconds: longer than an abandoned one is respected. */
const LOCK_TIMEOUT_MS = 15_000;
/** How long the end waits for its turn, in milliseconds: then it writes although another process has the lock. */
const FINAL_LOCK_WAIT_MS = 300;
/** The shortest time between two tries, and how much longer it may get, in milliseconds. */
const LOCK_RETRY_RANGE_MS = [5, 60] as const;

/** The way into the cache of one proxy. */
export class CacheWriter {
  readonly #write: (
    results: CachedResults,
    lockMode: "waits" | "last",
  ) => Promise<"kept" | "taken">;
  readonly #host: Host;
  readonly #onFailure: (why: string) => void;
  #pending: CachedResults | undefined;
  #running: Promise<void> | undefined;
  #hasReported = false;
  #ignoresLock = false;
  #isStopped = false;

  /**
   * Nothing is to be kept yet.
   *
   * @param onFailure is told why nothing can be kept: once, until something was
   */
  constructor(
    setting: string,
    cacheKey: CacheKey,
    host: Host,
    onFailure: (why: string) => void,
  ) {
    this.#write = (results, lockMode) =>
      writeCacheFile(setting, cacheKey, results, host, lockMode);
    this.#host = host;
    this.#onFailure = onFailure;
  }

  /** Keeps all that was learned by now. */
  save(results: CachedResults): void {
    this.#pending = results;
    this.#running ??= this.#run();
  }

  /** Resolves when everything is kept, or the time is over; nothing is kept after that. */
  async flush(timeoutMs: number): Promise<void> {
    const running = (): Promise<void> => this.#running ?? Promise.resolve();
    const lockWaitMs = Math.min(timeoutMs / 2, FINAL_LOCK_WAIT_MS);
    await waitAtMost(lockWaitMs, running());
    this.#ignoresLock = true;
    // What was given up does not need a turn any more.
    if (this.#pending !== undefined) this.#running ??= this.#run();
    await waitAtMost(timeoutMs - lockWaitMs, running());
    this.#isStopped = true;
    if (this.#running !== undefined) {
      this.#reportFailure("the program ended first");
    }
  }

  async #run(): Promise<void> {
    let failures = 0;
    let retryMs: number = LOCK_RETRY_RANGE_MS[0];
    let lockDeadline = performance.now() + LOCK_TIMEOUT_MS;
    while (this.#pending !== undefined && !this.#isStopped) {
      const results = this.#pending;
      this.#pending = undefined;
      try {
        const lockMode = this.#ignoresLock ? "last" : "waits";
        if (await this.#write(results, lockMode) === "kept") {
          this.#hasReported = false;
          failures = 0;
          lockDeadline = performance.now() + LOCK_TIMEOUT_MS;
          continue;
        }
      } catch (error) {
        if (isPermanentWriteError(this.#host, error, ++failures)) {
          this.#reportFailure(errorMessageOf(error));
          continue;
        }
      }
      this.#pending ??= results;
      if (performance.now() > lockDeadline) {
        this.#reportFailure(
          "another process holds its lock; if none does, remove the .lock " +
            "file beside it",
        );
        break;
      }
      // By chance, so that two do not meet again and again.
      await this.#wait(LOCK_RETRY_RANGE_MS[0] + Math.random() * retryMs);
      retryMs = Math.min(2 * retryMs, LOCK_RETRY_RANGE_MS[1]);
    }
    this.#running = undefined;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((go) => this.#host.setTimer(Math.ceil(ms), go));
  }

  #reportFailure(why: string): void {
    if (!this.#hasReported) this.#onFailure(why);
    this.#hasReported = true;
  }
}
