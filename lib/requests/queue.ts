/**
 * The queue of messages to the daemon, oldest first.
 *
 * @module
 */

import type { LinkRole } from "../link/link.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import { IndexedMinHeap } from "./deadlines.ts";
import type { PendingEntry } from "./request_state.ts";

/** How much text may be queued, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
const NO_ROLES: ReadonlySet<LinkRole> = new Set();

/** The queued messages. */
export class MessageQueue {
  readonly #entries = new Set<PendingEntry>();
  readonly #writableByRole = new Map<LinkRole, IndexedMinHeap<PendingEntry>>();
  #textLength = 0;
  /** How many queued requests have a time limit. */
  shortLivedCount = 0;
  /** How many queued requests have none, but end with their response. */
  discoverCount = 0;

  /** Creates an empty queue for at most `limit` messages. */
  constructor(
    private readonly limit: number,
    private readonly roleOf: (message: OutboundMessage) => LinkRole,
  ) {}

  /** The entries whose hints wait for the tool list of a connection. */
  waitingForHint(connectionId: number): PendingEntry[] {
    return [...this.#entries]
      .filter((it) => it.hintRequirement?.connectionId === connectionId);
  }

  /** Whether an entry may be written now. */
  get hasWritable(): boolean {
    return this.#nextRole(NO_ROLES) !== undefined;
  }

  /** Whether there is no room for another message. */
  isFull({ method, text }: OutboundMessage): boolean {
    const { size } = this.#entries;
    // Long-lived ones must not be refused.
    const factor = isLongLived(method) ? 2 : 1;
    return size >= this.limit * factor ||
      // A single message is accepted whatever its size.
      size > 0 && this.#textLength + text.length > QUEUE_TEXT_LIMIT * factor;
  }

  /** Adds a message; a requeued one keeps its position ahead of newer ones. */
  add(entry: PendingEntry): void {
    this.#entries.add(entry);
    this.#count(entry.message, 1);
    this.update(entry);
  }

  /** Removes a message, if it is there. */
  remove(entry: PendingEntry): void {
    if (!this.#entries.delete(entry)) return;
    this.#count(entry.message, -1);
    this.#writableByRole.get(this.roleOf(entry.message))?.delete(entry);
  }

  /** Updates what a message waits for, if it is there. */
  update(entry: PendingEntry): void {
    if (!this.#entries.has(entry)) return;
    const role = this.roleOf(entry.message);
    const heap = this.#writableByRole.get(role) ?? new IndexedMinHeap();
    this.#writableByRole.set(role, heap);
    heap.set(entry, entry.isWritable ? entry.arrivalNumber : Infinity);
  }

  #count({ kind, method, text }: OutboundMessage, change: 1 | -1): void {
    this.#textLength += change * text.length;
    if (kind !== "request" || isSubscriptionMethod(method)) return;
    if (isLongLived(method)) this.discoverCount += change;
    else this.shortLivedCount += change;
  }

  /** All entries that do not wait for a time, oldest first. */
  all(): PendingEntry[] {
    return sortByArrival(this.#entries)
      .filter(({ state }) => state !== "delayed");
  }

  /** How many messages may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#writableByRole.get(role)?.size ?? 0;
  }

  /**
   * Yields the entries that may be written now, oldest first. An entry that the
   * caller leaves in the queue is skipped. Once the caller adds a role to
   * `fullRoles`, no more entries of that role are yielded.
   */
  *writable(fullRoles: ReadonlySet<LinkRole>): Iterable<PendingEntry> {
    const skipped: PendingEntry[] = [];
    try {
      for (;;) {
        const role = this.#nextRole(fullRoles);
        if (role === undefined) return;
        const heap = this.#writableByRole.get(role)!;
        const entry = heap.first!;
        yield entry;
        if (fullRoles.has(role) || heap.first !== entry) continue;
        heap.delete(entry);
        skipped.push(entry);
      }
    } finally {
      for (const entry of skipped) this.update(entry);
    }
  }

  #nextRole(fullRoles: ReadonlySet<LinkRole>): LinkRole | undefined {
    let next: LinkRole | undefined;
    let oldest = Infinity;
    for (const [role, { minPriority }] of this.#writableByRole) {
      if (minPriority >= oldest || fullRoles.has(role)) continue;
      next = role;
      oldest = minPriority;
    }
    return next;
  }
}

/** Sorts entries by the order in which their messages arrived. */
export function sortByArrival<E extends { readonly arrivalNumber: number }>(
  entries: Iterable<E>,
): E[] {
  return [...entries].sort((a, b) => a.arrivalNumber - b.arrivalNumber);
}
