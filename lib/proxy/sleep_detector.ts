/**
 * Detects that the process was stopped, or that the machine slept.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** The longest delay, in milliseconds, that a busy machine alone may cause. */
const SLEEP_THRESHOLD_MS = 3_000;

/** Detects sleep by comparing the clocks with those of the last check. */
export class SleepDetector {
  #lastNow: number;
  #lastWallClock: number;

  /** Takes the times of the monotonic and the wall clock, in milliseconds. */
  constructor(now: number, wallClock: number) {
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
  }

  /**
   * Returns a `resumed` event if the program slept since the last check.
   *
   * If the process was stopped, its timer is late. The stop may have begun
   * right after the last check, so all the time since then counts. While a
   * machine sleeps, its wall clock runs; its monotonic clock may run or stop.
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
    const wallClockLeadMs = wallClock - this.#lastWallClock - elapsedMs;
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
    const monotonicGapMs = lateMs > SLEEP_THRESHOLD_MS ? elapsedMs : 0;
    const suspendedMs = wallClockLeadMs > SLEEP_THRESHOLD_MS
      ? wallClockLeadMs
      : 0;
    return monotonicGapMs > 0 || suspendedMs > 0
      ? { type: "resumed", monotonicGapMs, suspendedMs }
      : undefined;
  }
}
