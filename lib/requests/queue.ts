/**
 * The queue of messages that wait to be written to the daemon, oldest first.
 *
 * @module
 */

import type { LinkRole } from "../link/link.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";
import { IndexedMinHeap } from "./deadlines.ts";
import type { PendingEntry } from "./request_state.ts";

/** The limit of all queued texts together, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
const NO_ROLES: ReadonlySet<LinkRole> = new Set();

/** The queued messages. */
export class MessageQueue {
  readonly #entries = new Set<PendingEntry>();
  readonly #writableByRole = new Map<LinkRole, IndexedMinHeap<PendingEntry>>();
  #textLength = 0;
  /** How many queued requests are not long-lived. */
  shortLivedCount = 0;
  /** How many queued requests are `server/discover`, which is long-lived. */
  discoverCount = 0;

  /** Creates an empty queue; `limit` is the largest number of messages. */
  constructor(
    private readonly limit: number,
    private readonly roleOf: (message: OutboundMessage) => LinkRole,
  ) {}

  /** Returns the entries that wait for the tool list of a connection. */
  waitingForHint(connectionId: number): PendingEntry[] {
    return [...this.#entries]
      .filter((it) => it.hintRequirement?.connectionId === connectionId);
  }

  /** The number of messages. */
  get size(): number {
    return this.#entries.size;
  }

  /** True if some entry may be written as soon as a link can carry it. */
  get hasWritable(): boolean {
    return this.#nextRole(NO_ROLES) !== undefined;
  }

  /** Returns true if the queue has no room for this message. */
  isFull({ method, text }: OutboundMessage): boolean {
    const { size } = this.#entries;
    const units = this.#textLength + text.length;
    if (size < this.limit && (size === 0 || units <= QUEUE_TEXT_LIMIT)) {
      return false;
    }
    // An error would end a subscription, or suggest an older MCP version. So
    // long-lived requests still have room when others are refused.
    const factor = isLongLived(method) ? 2 : 1;
    return size >= this.limit * factor ||
      // If the queue is empty, the message may have any size.
      size > 0 && units > QUEUE_TEXT_LIMIT * factor;
  }

  /** Adds a message; a requeued message is still ahead of newer messages. */
  add(entry: PendingEntry): void {
    this.#entries.add(entry);
    this.#count(entry.message, 1);
    this.update(entry);
  }

  /** Removes a message, if the queue has it. */
  remove(entry: PendingEntry): void {
    if (!this.#entries.delete(entry)) return;
    this.#count(entry.message, -1);
    this.#writableByRole.get(this.roleOf(entry.message))?.delete(entry);
  }

  /** Updates whether a queued message may be written. */
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

  /** Returns the entries, oldest first, without the delayed ones. */
  undelayed(): PendingEntry[] {
    return sortByArrival(this.#entries)
      .filter(({ state }) => state !== "delayed");
  }

  /** Returns how many messages may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#writableByRole.get(role)?.size ?? 0;
  }

  /**
   * Yields the writable entries, oldest first, and each entry once. The caller
   * may remove an entry or leave it in the queue. Once the caller adds a role
   * to `unavailableRoles`, no more entries of that role are yielded.
   */
  *writable(unavailableRoles: ReadonlySet<LinkRole>): Iterable<PendingEntry> {
    const skipped: PendingEntry[] = [];
    try {
      for (;;) {
        const role = this.#nextRole(unavailableRoles);
        if (role === undefined) return;
        const heap = this.#writableByRole.get(role)!;
        const entry = heap.first!;
        yield entry;
        if (unavailableRoles.has(role) || heap.first !== entry) continue;
        heap.delete(entry);
        skipped.push(entry);
      }
    } finally {
      for (const entry of skipped) this.update(entry);
    }
  }

  /** Returns the role that has the oldest writable entry. */
  #nextRole(unavailableRoles: ReadonlySet<LinkRole>): LinkRole | undefined {
    let next: LinkRole | undefined;
    let oldest = Infinity;
    for (const [role, { minPriority }] of this.#writableByRole) {
      if (minPriority >= oldest || unavailableRoles.has(role)) continue;
      next = role;
      oldest = minPriority;
    }
    return next;
  }
}

/** Returns the entries sorted by the arrival of their messages. */
export function sortByArrival<E extends { readonly arrivalNumber: number }>(
  entries: Iterable<E>,
): E[] {
  return [...entries].sort((a, b) => a.arrivalNumber - b.arrivalNumber);
}
