/**
 * Did the program sleep: because it was stopped, or the machine with it.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** What is late by less is a busy machine, in milliseconds. */
const SLEEP_THRESHOLD_MS = 3_000;

/** The clocks at the last look. */
export class SleepDetector {
  #lastNow: number;
  #lastWallClock: number;

  /** Two clocks: one that only ever runs forward, and the wall's. Milliseconds. */
  constructor(now: number, wallClock: number) {
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
  }

  /**
   * What was slept since the last look. A program that was stopped finds its
   * timer late, and may have been stopped right after the last look. On a
   * machine that slept the wall's clock went on, and the other one stood still
   * on some systems, and did not on others.
   *
   * @param timerAt when the program wanted to be woken
   */
  check(
    now: number,
    wallClock: number,
    timerAt: number,
  ): SessionEvent | undefined {
    const elapsedMs = now - this.#lastNow;
    const lateMs = now - Math.max(timerAt, this.#lastNow);
    const wallClockLeadMs = (wallClock - this.#lastWallClock) - elapsedMs;
    this.#lastNow = now;
    this.#lastWallClock = wallClock;
    const monotonicGapMs = lateMs > SLEEP_THRESHOLD_MS ? elapsedMs : 0;
    const suspendedMs = wallClockLeadMs > SLEEP_THRESHOLD_MS
      ? wallClockLeadMs
      : 0;
    if (monotonicGapMs === 0 && suspendedMs === 0) return undefined;
    return { type: "resumed", monotonicGapMs, suspendedMs };
  }
}
