/**
 * Which messages in the queue wait for a link: what a request may wait is the
 * sum of all its waits.
 *
 * @module
 */

import {
  isQueued,
  type PendingEntry,
  startQueueTimer,
  stopQueueTimer,
} from "./entry.ts";
import type { Notification, Request } from "../protocol/jsonrpc.ts";

/** Whether a link is ready for a message. */
export type HasUsableLink = (message: Request | Notification) => boolean;

/** What came into the queue since the waits were last updated. */
export class NewlyQueued {
  #entries: PendingEntry<Request | Notification>[] = [];

  /** Whether something has. */
  get hasEntries(): boolean {
    return this.#entries.length > 0;
  }

  /** A message comes into the queue. */
  add(entry: PendingEntry<Request | Notification>): void {
    this.#entries.push(entry);
  }

  /** What has come; nothing has from now on. */
  take(): readonly PendingEntry<Request | Notification>[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }
}

/**
 * The wait of a message begins or ends, as it has a link that is ready or none.
 *
 * @returns whether it waits
 */
export function updateQueueTimer(
  entry: PendingEntry<Request | Notification>,
  now: number,
  hasUsableLink: HasUsableLink,
): boolean {
  if (!isQueued(entry)) return false;
  const isWaiting = !hasUsableLink(entry.message);
  if (isWaiting) startQueueTimer(entry, now);
  else stopQueueTimer(entry, now);
  return isWaiting;
}
