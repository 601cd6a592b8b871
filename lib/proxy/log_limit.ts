/**
 * Which of the log lines that a peer can cause with every message are written,
 * and how the others are counted.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";

/** How many lines of one kind are written before the others are counted. */
const LINES = 10;
/** How long they are counted, in milliseconds. */
const COUNT_MS = 1_000;

/** One kind of line. */
interface Kind {
  /** When what was counted is told. */
  until: number;
  /** How many lines may still be written. */
  allowance: number;
  /** How many were not. */
  suppressed: number;
  /** The last one of those. */
  last: LogEffect;
}

/** Writes the first lines of a kind, and then one a second that says how many more there were. */
export class Repeats {
  readonly #kinds = new Map<string, Kind>();
  #dueAt = Infinity;

  /** When `take` has something to do. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Whether a line is to be written; one that is not is counted. */
  admits(line: LogEffect, now: number): boolean {
    // A level that is not shown must not take the place of one that is.
    const name = `${line.level} ${line.event}`;
    const kind = this.#kinds.get(name);
    if (kind === undefined) {
      const until = now + COUNT_MS;
      const fresh = { until, allowance: LINES - 1, suppressed: 0, last: line };
      this.#kinds.set(name, fresh);
      this.#dueAt = Math.min(this.#dueAt, until);
      return true;
    }
    if (kind.allowance > 0) {
      kind.allowance--;
      return true;
    }
    kind.suppressed++;
    kind.last = line;
    return false;
  }

  /** The lines that stand for those that were counted until now; `Infinity` for all that there are. */
  take(now: number): LogEffect[] {
    const lines: LogEffect[] = [];
    this.#dueAt = Infinity;
    for (const [name, kind] of this.#kinds) {
      if (kind.until <= now) {
        const { suppressed, last } = kind;
        if (suppressed === 0) {
          this.#kinds.delete(name);
          continue;
        }
        const more = suppressed === 1
          ? ""
          : ` (and ${suppressed - 1} more like it)`;
        lines.push({ ...last, message: last.message + more });
        kind.suppressed = 0;
        // Not another ten: it goes on.
        kind.allowance = 0;
        kind.until = now + COUNT_MS;
      }
      this.#dueAt = Math.min(this.#dueAt, kind.until);
    }
    return lines;
  }
}
