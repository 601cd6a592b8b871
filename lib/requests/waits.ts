/**
 * Which messages in the queue wait for a link: what a request may wait is the
 * sum of all its waits.
 *
 * @module
 */

import { type Account, endWait, isQueued, startWait } from "./entry.ts";
import type { Notification, Request } from "../protocol/jsonrpc.ts";

/** Whether a link is ready for a message. */
export type HasLink = (message: Request | Notification) => boolean;

/** What came into the queue since the waits were last updated. */
export class Waits {
  #arrived: Account<Request | Notification>[] = [];

  /** Whether something has. */
  get hasNew(): boolean {
    return this.#arrived.length > 0;
  }

  /** A message comes into the queue. */
  add(account: Account<Request | Notification>): void {
    this.#arrived.push(account);
  }

  /** What has come; nothing has from now on. */
  take(): readonly Account<Request | Notification>[] {
    const arrived = this.#arrived;
    this.#arrived = [];
    return arrived;
  }
}

/**
 * The wait of a message begins or ends, as it has a link that is ready or none.
 *
 * @returns whether it waits
 */
export function updateWait(
  account: Account<Request | Notification>,
  now: number,
  hasLink: HasLink,
): boolean {
  if (!isQueued(account)) return false;
  const isWaiting = !hasLink(account.message);
  if (isWaiting) startWait(account, now);
  else endWait(account, now);
  return isWaiting;
}
