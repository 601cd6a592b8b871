/**
 * Limits the log lines about dropped notifications: one for the first, one at
 * every power of ten, and at the end of a series the total.
 *
 * @module
 */

import type { LogEffect } from "../events.ts";
import type { Notification } from "../protocol/jsonrpc.ts";
import * as logMessages from "./log_messages.ts";

/**
 * Counts the notifications that were dropped since the queue was last empty.
 */
export class DroppedNotifications {
  #count = 0;
  /** The count that was last logged. */
  #loggedCount = 0;
  #last: Notification | undefined;

  /**
   * Records a dropped notification; returns the log line that is due, if any.
   */
  record(notification: Notification): LogEffect | undefined {
    this.#count++;
    this.#last = notification;
    return /^10*$/.test(`${this.#count}`)
      ? this.#createLogEffect("so far")
      : undefined;
  }

  /**
   * Ends the series, because the queue is empty or the program ends; returns
   * the log line that is due, if any.
   */
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
