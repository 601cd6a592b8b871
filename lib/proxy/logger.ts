/**
 * Formats log effects as lines for stderr and the log file, and limits the rate
 * of lines that a client or a daemon can cause with each message.
 *
 * @module
 */

import type { LogEffect, LogLevel } from "../events.ts";
import { fieldsOf, type LogFields } from "../telemetry/log_events.ts";
import type { Redactor } from "../config/secrets.ts";

/** An entry for the log, as the session and the proxy write it. */
export type LogEntry = Omit<LogEffect, "type">;

/** An entry without secrets. */
interface LogLine {
  /** When it was written (ISO 8601). */
  readonly time: string;
  readonly level: LogLevel;
  readonly event: LogEffect["event"];
  readonly message: string;
  /** Only JSON shows them; empty for text. */
  readonly fields: LogFields;
}

const LEVEL_RANK = { debug: 0, info: 1, warn: 2, error: 3 } as const;
/** How many lines of a kind are written before others are only counted. */
const MAX_LINES_PER_BURST = 10;
/** The time between two summaries of counted lines, in milliseconds. */
const COUNTING_WINDOW_MS = 1_000;

/** A second output for log lines. Several processes may write to it. */
export interface SharedOutput {
  /** The id of this process, which each line contains. */
  readonly pid: number;
  /** Writes a line. */
  readonly write: (line: string) => void;
}

/** Returns a function that redacts and writes entries of `level` or higher. */
export function createLogger(
  level: LogLevel,
  format: "text" | "json",
  write: (line: string) => void,
  redact: Redactor,
  shared?: SharedOutput,
): (entry: LogEntry) => void {
  return (entry) => {
    if (LEVEL_RANK[entry.level] < LEVEL_RANK[level]) return;
    const line: LogLine = {
      time: new Date().toISOString(),
      level: entry.level,
      event: entry.event,
      message: redact(entry.message),
      fields: format === "json" ? redactedFieldsOf(entry, redact) : {},
    };
    // A file gets the line at once, but stderr only if somebody reads it.
    shared?.write(formatLine(line, format, shared.pid));
    write(formatLine(line, format));
  };
}

/** Returns the fields of an entry without secrets. */
function redactedFieldsOf(
  { fact, more }: LogEntry,
  redact: Redactor,
): LogFields {
  const all = { ...(fact && fieldsOf(fact)), ...(more && { more }) };
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [
      name,
      typeof value === "string" ? redact(value) : value,
    ]),
  );
}

/** Returns a line of the log, without the end of the line. */
function formatLine(
  { time, level, event, message, fields }: LogLine,
  format: "text" | "json",
  pid?: number,
): string {
  if (format === "json") {
    return JSON.stringify({ time, level, pid, event, message, ...fields });
  }
  const program = pid === undefined ? "alwaysup" : `alwaysup[${pid}]`;
  return `${time} ${level.toUpperCase().padEnd(5)} ${program}: ${message}`;
}

interface LineGroup {
  /** When the next summary is due. */
  windowEndsAt: number;
  /** The number of unwritten lines; negative while more may be written. */
  surplus: number;
  last: LogEffect;
}

/** Writes the first lines of each kind, and then one summary per second. */
export class LogRateLimiter {
  readonly #log: (line: LogEffect) => void;
  readonly #groups = new Map<string, LineGroup>();
  #nextSummaryAt = Infinity;

  /** Creates a limiter that writes to `log`. */
  constructor(log: (line: LogEffect) => void) {
    this.#log = log;
  }

  /** Writes a line, or only counts it if there were too many of its kind. */
  write(line: LogEffect, now: number): void {
    // The level is part of the kind, because lines below the log level must not
    // use up the limit of lines that are shown.
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

  /** Writes the summaries that are due by `now`; `Infinity` means all. */
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
        const more = surplus - 1;
        const words = more === 0 ? "" : ` (and ${more} more like it)`;
        this.#log({ ...last, message: last.message + words, more });
        // The burst continues, so lines in the next window are only counted.
        group.surplus = 0;
        group.windowEndsAt = now + COUNTING_WINDOW_MS;
      }
      this.#nextSummaryAt = Math.min(this.#nextSummaryAt, group.windowEndsAt);
    }
  }
}
