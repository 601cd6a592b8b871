/**
 * Did the program sleep: because it was stopped, or the machine with it.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** What is late by less is a busy machine, in milliseconds. */
const NAP_MS = 3_000;

/** The clocks at the last look. */
export class Naps {
  #now: number;
  #wall: number;

  /** Two clocks: one that only ever runs forward, and the wall's. Milliseconds. */
  constructor(now: number, wall: number) {
    this.#now = now;
    this.#wall = wall;
  }

  /**
   * What was slept since the last look. A program that was stopped finds its
   * timer late, and may have been stopped right after the last look. On a
   * machine that slept the wall's clock went on, and the other one stood still
   * on some systems, and did not on others.
   *
   * @param dueAt when the program wanted to be woken
   */
  look(now: number, wall: number, dueAt: number): SessionEvent | undefined {
    const since = now - this.#now;
    const late = now - Math.max(dueAt, this.#now);
    const ahead = (wall - this.#wall) - since;
    this.#now = now;
    this.#wall = wall;
    const gap = late > NAP_MS ? since : 0;
    const unseen = ahead > NAP_MS ? ahead : 0;
    if (gap === 0 && unseen === 0) return undefined;
    return { type: "resumed", gap, unseen };
  }
}
