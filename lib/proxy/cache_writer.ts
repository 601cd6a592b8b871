/**
 * Writes the daemon's results to the cache file, as soon as no other process
 * has the lock.
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

/**
 * How long other processes may hold the lock, in milliseconds: longer than the
 * age at which a lock counts as abandoned.
 */
const LOCK_TIMEOUT_MS = 15_000;
/**
 * How long the shutdown waits for the lock, in milliseconds; then it writes
 * without it.
 */
const FINAL_LOCK_WAIT_MS = 300;
/**
 * The shortest delay between two attempts, and the largest random part of it,
 * in milliseconds.
 */
const LOCK_RETRY_RANGE_MS = [5, 60] as const;

/** Writes one proxy's cache. */
export class CacheWriter {
  readonly #write: (
    results: CachedResults,
    lock: "required" | "optional",
  ) => Promise<"done" | "locked">;
  readonly #host: Host;
  readonly #onFailure: (why: string) => void;
  #pending: CachedResults | undefined;
  #running: Promise<void> | undefined;
  #hasReported = false;
  #ignoresLock = false;
  #isStopped = false;

  /**
   * Creates a writer with nothing to write.
   *
   * @param onFailure called with the reason when writing fails: once, until a
   * write succeeds
   */
  constructor(
    setting: string,
    cacheKey: CacheKey,
    host: Host,
    onFailure: (why: string) => void,
  ) {
    this.#write = (results, lock) =>
      writeCacheFile(setting, cacheKey, results, host, lock);
    this.#host = host;
    this.#onFailure = onFailure;
  }

  /** Writes these results; they replace results that are not written yet. */
  save(results: CachedResults): void {
    this.#pending = results;
    this.#running ??= this.#run();
  }

  /**
   * Resolves when everything is written, or the time is over; nothing is
   * written after that.
   */
  async flush(timeoutMs: number): Promise<void> {
    const running = (): Promise<void> => this.#running ?? Promise.resolve();
    const lockWaitMs = Math.min(timeoutMs / 2, FINAL_LOCK_WAIT_MS);
    await waitAtMost(lockWaitMs, running());
    this.#ignoresLock = true;
    // Results that were given up while another process had the lock are written
    // now.
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
        const lock = this.#ignoresLock ? "optional" : "required";
        if (await this.#write(results, lock) === "done") {
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
      // Random, so that two processes do not collide again and again.
      await this.#wait(LOCK_RETRY_RANGE_MS[0] + Math.random() * retryMs);
      retryMs = Math.min(2 * retryMs, LOCK_RETRY_RANGE_MS[1]);
    }
    this.#running = undefined;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) =>
      this.#host.setTimer(Math.ceil(ms), resolve)
    );
  }

  #reportFailure(why: string): void {
    if (!this.#hasReported) this.#onFailure(why);
    this.#hasReported = true;
  }
}
