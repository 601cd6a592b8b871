/**
 * What the log says of notifications that are dropped: the first, and with
 * every power of ten how many there were; at last how many in all.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";
import type { Notification } from "../protocol/jsonrpc.ts";
import * as logMessages from "./log_messages.ts";

/** The notifications that were dropped since all that waited was written. */
export class DroppedNotifications {
  #count = 0;
  /** How many the log knows of. */
  #loggedCount = 0;
  #last: Notification | undefined;

  /** A notification is dropped; gives the line that is due. */
  record(notification: Notification): LogEffect | undefined {
    this.#count++;
    this.#last = notification;
    return /^10*$/.test(`${this.#count}`)
      ? this.#createLogEffect("so far")
      : undefined;
  }

  /** What waited was written, or the program ends; gives the line that is due. */
  endSeries(): LogEffect | undefined {
    const line = this.#count > this.#loggedCount
      ? this.#createLogEffect("in all")
      : undefined;
    this.#count = this.#loggedCount = 0;
    return line;
  }

  #createLogEffect(scope: string): LogEffect {
    this.#loggedCount = this.#count;
    const line = logMessages.notificationDropped(this.#last!);
    if (this.#count === 1) return line;
    const count = `${this.#count} notifications ${scope}`;
    return { ...line, message: `${line.message} (${count})` };
  }
}
