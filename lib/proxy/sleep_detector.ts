/**
 * Detects that the program slept: the process was stopped, or the machine
 * slept.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** A shorter delay only means a busy machine. */
const SLEEP_THRESHOLD_MS = 3_000;

/** Compares the clocks with those of the last check. */
export class SleepDetector {
  #lastNow: number;
  #lastWallClock: number;

  /** Takes the monotonic clock and the wall clock, in milliseconds. */
  constructor(now: number, wallClock: number) {
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
  }

  /**
   * Returns the sleep since the last check. A stopped process finds its timer
   * late; it may have been stopped right after the last check. While a machine
   * sleeps, the wall clock goes on; the monotonic clock stops on some systems,
   * and goes on on others.
   *
   * @param timerAt when the program's timer was due
   */
  detect(
    now: number,
    wallClock: number,
    timerAt: number,
  ): SessionEvent | undefined {
    const elapsedMs = now - this.#lastNow;
    const lateMs = now - Math.max(timerAt, this.#lastNow);
    const leadMs = wallClock - this.#lastWallClock - elapsedMs;
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
    const monotonicGapMs = lateMs > SLEEP_THRESHOLD_MS ? elapsedMs : 0;
    const suspendedMs = leadMs > SLEEP_THRESHOLD_MS ? leadMs : 0;
    return monotonicGapMs > 0 || suspendedMs > 0
      ? { type: "resumed", monotonicGapMs, suspendedMs }
      : undefined;
  }
}
