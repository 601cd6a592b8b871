/**
 * The log on stderr: log effects as lines, and a limit for those that a peer
 * can cause with every message.
 *
 * @module
 */

import type { LogEffect, LogLevel } from "../events.ts";
import type { Redactor } from "../config/secrets.ts";

const LEVEL_RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const;
/** How many lines of one kind are written before more are only counted. */
const MAX_LINES_PER_BURST = 10;
/** How long lines are counted before the summary, in milliseconds. */
const COUNTING_WINDOW_MS = 1_000;

/** Creates a function that writes entries of at least a level, redacted. */
export function createLogger(
  level: LogLevel,
  format: "text" | "json",
  write: (line: string) => void,
  redact: Redactor,
): (entry: Omit<LogEffect, "type">) => void {
  return ({ level: entryLevel, event, message: unredacted }) => {
    if (LEVEL_RANK[entryLevel] < LEVEL_RANK[level]) return;
    const message = redact(unredacted);
    const time = new Date().toISOString();
    write(
      format === "json"
        ? JSON.stringify({ time, level: entryLevel, event, message })
        : `${time} ${entryLevel.toUpperCase().padEnd(5)} alwaysup: ${message}`,
    );
  };
}

interface LineGroup {
  /** When the summary is due. */
  windowEndsAt: number;
  /** How many lines were not written; negative while more may be written. */
  surplus: number;
  last: LogEffect;
}

/** Writes the first lines of each kind, and then one a second with a count. */
export class LogRateLimiter {
  readonly #log: (line: LogEffect) => void;
  readonly #groups = new Map<string, LineGroup>();
  #nextSummaryAt = Infinity;

  /** Creates a limiter in front of a log. */
  constructor(log: (line: LogEffect) => void) {
    this.#log = log;
  }

  /** Writes a line, or counts it. */
  write(line: LogEffect, now: number): void {
    // By level, too: lines of a level that is not shown must not use up the
    // limit of one that is.
    const name = `${line.level} ${line.event}`;
    const group = this.#groups.get(name) ?? {
      windowEndsAt: now + COUNTING_WINDOW_MS,
      surplus: -MAX_LINES_PER_BURST,
      last: line,
    };
    this.#groups.set(name, group);
    this.#nextSummaryAt = Math.min(this.#nextSummaryAt, group.windowEndsAt);
    group.last = line;
    if (++group.surplus <= 0) this.#log(line);
  }

  /** Writes the summaries that are due; with `Infinity`, all of them. */
  writeSummaries(now: number): void {
    if (now < this.#nextSummaryAt) return;
    this.#nextSummaryAt = Infinity;
    for (const [name, group] of this.#groups) {
      const { windowEndsAt, surplus, last } = group;
      if (windowEndsAt <= now && surplus <= 0) {
        this.#groups.delete(name);
        continue;
      }
      if (windowEndsAt <= now) {
        const more = surplus === 1 ? "" : ` (and ${surplus - 1} more like it)`;
        this.#log({ ...last, message: last.message + more });
        // The burst goes on, so the next window has no free lines.
        group.surplus = 0;
        group.windowEndsAt = now + COUNTING_WINDOW_MS;
      }
      this.#nextSummaryAt = Math.min(this.#nextSummaryAt, group.windowEndsAt);
    }
  }
}
