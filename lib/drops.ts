/**
 * What the log says of notifications that are dropped: the first, and with
 * every power of ten how many there were; at last how many in all.
 *
 * @module
 */

import type { LogEffect } from "./event.ts";
import type { Notification } from "./jsonrpc.ts";
import * as report from "./report.ts";

/** The notifications that were dropped since all that waited was written. */
export class Drops {
  #count = 0;
  /** How many the log knows of. */
  #told = 0;
  #last: Notification | undefined;

  /** A notification is dropped. */
  *dropped(notification: Notification): Iterable<LogEffect> {
    this.#count++;
    this.#last = notification;
    if (/^10*$/.test(`${this.#count}`)) yield* this.#tell("so far");
  }

  /** What waited was written, or the program ends. */
  *over(): Iterable<LogEffect> {
    if (this.#count > this.#told) yield* this.#tell("in all");
    this.#count = this.#told = 0;
  }

  *#tell(words: string): Iterable<LogEffect> {
    this.#told = this.#count;
    const line = report.droppedNotification(this.#last!);
    const count = this.#count > 1 ? ` (${this.#count} ${words})` : "";
    yield { ...line, message: line.message + count };
  }
}
