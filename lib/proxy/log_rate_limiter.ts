/**
 * Limits the log lines that a peer can cause with every message; the others are
 * counted.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";

/** How many lines of one kind are written before more are only counted. */
const MAX_LINES_PER_BURST = 10;
/** How long lines are counted before the summary, in milliseconds. */
const COUNTING_WINDOW_MS = 1_000;

/** One kind of line. */
interface LineGroup {
  /** When the summary is due. */
  windowEndsAt: number;
  /** How many lines may still be written. */
  linesLeft: number;
  /** How many lines were not written. */
  suppressedCount: number;
  /** The last line that was not written. */
  lastSuppressed: LogEffect;
}

/**
 * Writes the first lines of each kind; after that, one line a second with the
 * number of the others.
 */
export class LogRateLimiter {
  readonly #groups = new Map<string, LineGroup>();
  #nextSummaryAt = Infinity;

  /** When {@linkcode takeSummaries} has something to do. */
  get nextSummaryAt(): number {
    return this.#nextSummaryAt;
  }

  /** True if a line is to be written; otherwise it is counted. */
  shouldWrite(line: LogEffect, now: number): boolean {
    // By level, too: lines of a level that is not shown must not use up the
    // limit of one that is.
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

  /**
   * Returns the summaries that are due at `now`; with `Infinity`, all of them.
   */
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
        // The burst goes on, so the next window has no free lines.
        group.linesLeft = 0;
        group.windowEndsAt = now + COUNTING_WINDOW_MS;
      }
      this.#nextSummaryAt = Math.min(this.#nextSummaryAt, group.windowEndsAt);
    }
    return lines;
  }
}
