/**
 * Which of the log lines that a peer can cause with every message are written,
 * and how the others are counted.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";

/** How many lines of one kind are written before the others are counted. */
const MAX_LINES_PER_BURST = 10;
/** How long they are counted, in milliseconds. */
const COUNTING_WINDOW_MS = 1_000;

/** One kind of line. */
interface LineGroup {
  /** When what was counted is told. */
  windowEndsAt: number;
  /** How many lines may still be written. */
  linesLeft: number;
  /** How many were not. */
  suppressedCount: number;
  /** The last one of those. */
  lastSuppressed: LogEffect;
}

/** Writes the first lines of a kind, and then one a second that says how many more there were. */
export class LogRateLimiter {
  readonly #groups = new Map<string, LineGroup>();
  #nextSummaryAt = Infinity;

  /** When `take` has something to do. */
  get nextSummaryAt(): number {
    return this.#nextSummaryAt;
  }

  /** Whether a line is to be written; one that is not is counted. */
  shouldWrite(line: LogEffect, now: number): boolean {
    // A level that is not shown must not take the place of one that is.
    const name = `${line.level} ${line.event}`;
    const group = this.#groups.get(name);
    if (group === undefined) {
      const windowEndsAt = now + COUNTING_WINDOW_MS;
      const newGroup = {
        windowEndsAt,
        linesLeft: MAX_LINES_PER_BURST - 1,
        suppressedCount: 0,
        lastSuppressed: line,
      };
      this.#groups.set(name, newGroup);
      this.#nextSummaryAt = Math.min(this.#nextSummaryAt, windowEndsAt);
      return true;
    }
    if (group.linesLeft > 0) {
      group.linesLeft--;
      return true;
    }
    group.suppressedCount++;
    group.lastSuppressed = line;
    return false;
  }

  /** The lines that stand for those that were counted until now; `Infinity` for all that there are. */
  takeSummaries(now: number): LogEffect[] {
    const lines: LogEffect[] = [];
    this.#nextSummaryAt = Infinity;
    for (const [name, group] of this.#groups) {
      if (group.windowEndsAt <= now) {
        const { suppressedCount, lastSuppressed } = group;
        if (suppressedCount === 0) {
          this.#groups.delete(name);
          continue;
        }
        const more = suppressedCount === 1
          ? ""
          : ` (and ${suppressedCount - 1} more like it)`;
        lines.push({
          ...lastSuppressed,
          message: lastSuppressed.message + more,
        });
        group.suppressedCount = 0;
        // Not another ten: it goes on.
        group.linesLeft = 0;
        group.windowEndsAt = now + COUNTING_WINDOW_MS;
      }
      this.#nextSummaryAt = Math.min(this.#nextSummaryAt, group.windowEndsAt);
    }
    return lines;
  }
}
