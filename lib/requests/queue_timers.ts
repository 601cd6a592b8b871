/**
 * Queue timers: they run while a queued message has no usable link. A request's
 * time in the queue is the sum of all its waits.
 *
 * @module
 */

import {
  isQueued,
  type PendingEntry,
  startQueueTimer,
  stopQueueTimer,
} from "./entry.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";

/** Returns whether there is a usable link for a message. */
export type HasUsableLink = (message: OutboundMessage) => boolean;

/** The entries queued since the queue timers were last updated. */
export class NewlyQueuedEntries {
  #entries: PendingEntry<OutboundMessage>[] = [];

  /** Whether there are any. */
  get hasEntries(): boolean {
    return this.#entries.length > 0;
  }

  /** Adds an entry. */
  add(entry: PendingEntry<OutboundMessage>): void {
    this.#entries.push(entry);
  }

  /** Returns the entries and clears the list. */
  take(): readonly PendingEntry<OutboundMessage>[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }
}

/**
 * Starts or stops the queue timer of an entry, depending on whether there is a
 * usable link for it.
 *
 * @returns whether the timer runs
 */
export function updateQueueTimer(
  entry: PendingEntry<OutboundMessage>,
  now: number,
  hasUsableLink: HasUsableLink,
): boolean {
  if (!isQueued(entry)) return false;
  const isWaiting = !hasUsableLink(entry.message);
  if (isWaiting) startQueueTimer(entry, now);
  else stopQueueTimer(entry, now);
  return isWaiting;
}
