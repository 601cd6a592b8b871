/**
 * What the log says of notifications that are dropped: the first, and with
 * every power of ten how many there were; at last how many in all.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";
import type { Notification } from "../protocol/jsonrpc.ts";
import * as report from "./log_messages.ts";

/** The notifications that were dropped since all that waited was written. */
export class Drops {
  #count = 0;
  /** How many the log knows of. */
  #told = 0;
  #last: Notification | undefined;

  /** A notification is dropped; gives the line that is due. */
  dropped(notification: Notification): LogEffect | undefined {
    this.#count++;
    this.#last = notification;
    return /^10*$/.test(`${this.#count}`) ? this.#tell("so far") : undefined;
  }

  /** What waited was written, or the program ends; gives the line that is due. */
  over(): LogEffect | undefined {
    const line = this.#count > this.#told ? this.#tell("in all") : undefined;
    this.#count = this.#told = 0;
    return line;
  }

  #tell(words: string): LogEffect {
    this.#told = this.#count;
    const line = report.droppedNotification(this.#last!);
    if (this.#count === 1) return line;
    const count = `${this.#count} notifications ${words}`;
    return { ...line, message: `${line.message} (${count})` };
  }
}
