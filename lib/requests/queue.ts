/**
 * The queue of messages to the daemon, oldest first.
 *
 * @module
 */

import {
  type PendingEntry,
  type ReadonlyEntry,
  type TrackerConfig,
} from "./entry.ts";
import { sortByArrival } from "./entries_by_connection.ts";
import type { LinkRole } from "../link/link.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import { FIRST_WAIT_NOTICE_MS } from "./wait_notices.ts";
import { IndexedMinHeap } from "./indexed_min_heap.ts";
import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";

/** How much text may be queued, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;

/** Returns the role of the links that carry a message. */
export type RoleSelector = (message: OutboundMessage) => LinkRole;

/** The queued messages. */
export class MessageQueue {
  readonly #config: TrackerConfig;
  readonly #roleOf: RoleSelector;
  readonly #entries = new Set<PendingEntry<OutboundMessage>>();
  /** The writable entries by link role, oldest first. */
  readonly #writableByRole = new Map<
    LinkRole,
    IndexedMinHeap<PendingEntry<OutboundMessage>>
  >();
  #textLength = 0;
  #requestCount = 0;
  #shortLivedCount = 0;
  #subscriptionCount = 0;

  /** Creates an empty queue. */
  constructor(config: TrackerConfig, roleOf: RoleSelector) {
    this.#config = config;
    this.#roleOf = roleOf;
  }

  /** How many requests are queued. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /**
   * How many queued requests have a time limit. A subscription, for example,
   * waits for as long as the client wants.
   */
  get shortLivedCount(): number {
    return this.#shortLivedCount;
  }

  /** How many of the queued requests are subscriptions. */
  get subscriptionCount(): number {
    return this.#subscriptionCount;
  }

  /**
   * Whether there is no room for another message; long-lived ones, which must
   * not be refused, have more room.
   */
  isFull({ method, text }: OutboundMessage): boolean {
    const { size } = this.#entries;
    const factor = isLongLived(method) ? 2 : 1;
    return size >= this.#config.queueLimit * factor ||
      // A single message is accepted whatever its size.
      size > 0 && this.#textLength + text.length > QUEUE_TEXT_LIMIT * factor;
  }

  /** Adds a message; a requeued one keeps its position ahead of newer ones. */
  add(entry: PendingEntry<OutboundMessage>, now: number): void {
    this.#entries.add(entry);
    this.#textLength += entry.message.text.length;
    this.#addToCounts(entry, 1);
    const wantsNotices = entry.progressToken !== undefined &&
      this.#config.waitProgress === "on";
    entry.waitNoticeAt = wantsNotices ? now + FIRST_WAIT_NOTICE_MS : Infinity;
    entry.isAwaitingToolList = false;
    this.updateWritable(entry);
  }

  /** Removes a message. */
  remove(entry: PendingEntry<OutboundMessage>): void {
    this.#entries.delete(entry);
    this.#textLength -= entry.message.text.length;
    this.#addToCounts(entry, -1);
    this.updateWritable(entry);
  }

  #addToCounts({ message }: ReadonlyEntry, change: 1 | -1): void {
    if (message.kind !== "request") return;
    this.#requestCount += change;
    if (!isLongLived(message.method)) this.#shortLivedCount += change;
    if (isSubscriptionMethod(message.method)) this.#subscriptionCount += change;
  }

  /** Updates whether an entry may be written. */
  updateWritable(entry: PendingEntry<OutboundMessage>): void {
    const role = this.#roleOf(entry.message);
    const heap = this.#writableByRole.get(role) ?? new IndexedMinHeap();
    this.#writableByRole.set(role, heap);
    const isWritable = this.#entries.has(entry) && !entry.isAwaitingToolList &&
      entry.notBefore === undefined;
    heap.set(entry, isWritable ? entry.arrivalNumber : Infinity);
  }

  /** All entries that do not wait for a time, oldest first. */
  all(): PendingEntry<OutboundMessage>[] {
    return sortByArrival(this.#entries)
      .filter(({ notBefore }) => notBefore === undefined);
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
  *writable(fullRoles: ReadonlySet<LinkRole>): Iterable<ReadonlyEntry> {
    const skipped: PendingEntry<OutboundMessage>[] = [];
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
      for (const entry of skipped) this.updateWritable(entry);
    }
  }

  /** The role with the oldest writable entry. */
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
