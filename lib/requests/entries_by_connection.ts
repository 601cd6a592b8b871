/**
 * Which accounts belong to which link, and how many of them are calls.
 *
 * @module
 */

import type { PendingEntry } from "./entry.ts";
import type { Notification, Request } from "../protocol/jsonrpc.ts";
import { mayTakeLong } from "../protocol/methods.ts";

/** An account of any message. */
export type AnyPendingEntry = PendingEntry<Request | Notification>;

/** The accounts by the connection ids of links. */
export class EntriesByConnection {
  readonly #entries = new Map<number, Set<AnyPendingEntry>>();
  /** How many of them are calls, which a daemon may need time for. */
  readonly #callCounts = new Map<number, number>();

  /** How many there are. */
  get size(): number {
    let size = 0;
    for (const entries of this.#entries.values()) size += entries.size;
    return size;
  }

  /** An account belongs to a link. */
  add(connectionId: number, entry: AnyPendingEntry): void {
    const entries = this.#entries.get(connectionId) ?? new Set();
    if (entries.has(entry)) return;
    this.#entries.set(connectionId, entries.add(entry));
    if (mayTakeLong(entry.message.method)) {
      this.#addToCallCount(connectionId, 1);
    }
  }

  /** It does no longer. */
  delete(connectionId: number, entry: AnyPendingEntry): void {
    const entries = this.#entries.get(connectionId);
    if (entries?.delete(entry) !== true) return;
    if (entries.size === 0) this.#entries.delete(connectionId);
    if (mayTakeLong(entry.message.method)) {
      this.#addToCallCount(connectionId, -1);
    }
  }

  /** How many belong to a link. */
  count(connectionId: number): number {
    return this.#entries.get(connectionId)?.size ?? 0;
  }

  /** Whether a call is among them. */
  hasCall(connectionId: number): boolean {
    return this.#callCounts.has(connectionId);
  }

  /** The places of the calls in the order of what was written on the link. */
  *callWriteNumbers(connectionId: number): Iterable<number> {
    if (!this.hasCall(connectionId)) return;
    for (const { message, writeNumber } of this.entriesOn(connectionId)) {
      if (mayTakeLong(message.method)) yield writeNumber;
    }
  }

  /** Those of a link, in the order in which they were added. */
  entriesOn(connectionId: number): Iterable<AnyPendingEntry> {
    return this.#entries.get(connectionId) ?? [];
  }

  /** Those of a link, the oldest first. */
  sortedEntriesOn(connectionId: number): AnyPendingEntry[] {
    return sortByArrival(this.entriesOn(connectionId));
  }

  #addToCallCount(connectionId: number, change: 1 | -1): void {
    const count = (this.#callCounts.get(connectionId) ?? 0) + change;
    if (count === 0) this.#callCounts.delete(connectionId);
    else this.#callCounts.set(connectionId, count);
  }
}

/** Accounts in the order in which their messages came. */
export function sortByArrival(
  entries: Iterable<AnyPendingEntry>,
): AnyPendingEntry[] {
  return [...entries].sort((a, b) => a.arrivalNumber - b.arrivalNumber);
}
