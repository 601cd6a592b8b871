/**
 * Entries grouped by connection, with the number of calls among them.
 *
 * @module
 */

import type { PendingEntry } from "./entry.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import { mayTakeLong } from "../protocol/methods.ts";

/** An entry for a request or a notification. */
export type AnyPendingEntry = PendingEntry<OutboundMessage>;

/** Entries by connection id. */
export class EntriesByConnection {
  readonly #entries = new Map<number, Set<AnyPendingEntry>>();
  /**
   * How many entries of each connection are calls, which may take the daemon
   * long.
   */
  readonly #callCounts = new Map<number, number>();

  /** The number of entries. */
  get size(): number {
    let size = 0;
    for (const entries of this.#entries.values()) size += entries.size;
    return size;
  }

  /** Adds an entry to a connection. */
  add(connectionId: number, entry: AnyPendingEntry): void {
    const entries = this.#entries.get(connectionId) ?? new Set();
    if (entries.has(entry)) return;
    this.#entries.set(connectionId, entries.add(entry));
    if (mayTakeLong(entry.message.method)) {
      this.#addToCallCount(connectionId, 1);
    }
  }

  /** Removes an entry from a connection. */
  delete(connectionId: number, entry: AnyPendingEntry): void {
    const entries = this.#entries.get(connectionId);
    if (entries?.delete(entry) !== true) return;
    if (entries.size === 0) this.#entries.delete(connectionId);
    if (mayTakeLong(entry.message.method)) {
      this.#addToCallCount(connectionId, -1);
    }
  }

  /** How many entries a connection has. */
  count(connectionId: number): number {
    return this.#entries.get(connectionId)?.size ?? 0;
  }

  /** Whether a connection has a call. */
  hasCall(connectionId: number): boolean {
    return this.#callCounts.has(connectionId);
  }

  /** The write numbers of a connection's calls. */
  *callWriteNumbers(connectionId: number): Iterable<number> {
    if (!this.hasCall(connectionId)) return;
    for (const { message, writeNumber } of this.entriesOn(connectionId)) {
      if (mayTakeLong(message.method)) yield writeNumber;
    }
  }

  /** The entries of a connection, in the order in which they were added. */
  entriesOn(connectionId: number): Iterable<AnyPendingEntry> {
    return this.#entries.get(connectionId) ?? [];
  }

  /** The entries of a connection, oldest first. */
  sortedEntriesOn(connectionId: number): AnyPendingEntry[] {
    return sortByArrival(this.entriesOn(connectionId));
  }

  #addToCallCount(connectionId: number, change: 1 | -1): void {
    const count = (this.#callCounts.get(connectionId) ?? 0) + change;
    if (count === 0) this.#callCounts.delete(connectionId);
    else this.#callCounts.set(connectionId, count);
  }
}

/** Sorts entries by the order in which their messages arrived. */
export function sortByArrival(
  entries: Iterable<AnyPendingEntry>,
): AnyPendingEntry[] {
  return [...entries].sort((a, b) => a.arrivalNumber - b.arrivalNumber);
}
