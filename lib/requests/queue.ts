/**
 * What waits to be written, oldest first.
 *
 * @module
 */

import {
  nextWaitProgress,
  type PendingEntry,
  type ReadonlyEntry,
  type TrackerConfig,
} from "./entry.ts";
import { sortByArrival } from "./entries_by_connection.ts";
import type { LinkRole } from "../link/link.ts";
import type { Id, Notification, Request } from "../protocol/jsonrpc.ts";
import { IndexedMinHeap } from "./indexed_min_heap.ts";
import { isLongLived, isSubscriptionMethod } from "../protocol/methods.ts";

/** How much text may wait unwritten, in UTF-16 units. */
export const QUEUE_TEXT_LIMIT = 64 * 1024 * 1024;
/** How long a client waits before it is told what for, in milliseconds. */
const FIRST_WAIT_NOTICE_MS = 1_000;

/** What may wait to be written. */
export type OutboundMessage = Request | Notification;

/** Which links carry a message. */
export type RoleSelector = (message: OutboundMessage) => LinkRole;

/** What a client is told while its request waits. */
export interface WaitNotice {
  /** The request. */
  readonly message: Request;
  /** The client's progress token. */
  readonly progressToken: Id;
  /** The progress: so little that the daemon's own is still more. */
  readonly progress: number;
}

/** The messages that wait. */
export class MessageQueue {
  readonly #config: TrackerConfig;
  readonly #roleOf: RoleSelector;
  readonly #entries = new Set<PendingEntry<OutboundMessage>>();
  /** What may be written, by the links that carry it, the oldest first. */
  readonly #writableByRole = new Map<
    LinkRole,
    IndexedMinHeap<PendingEntry<OutboundMessage>>
  >();
  #textLength = 0;
  #requestCount = 0;
  #shortLivedCount = 0;
  #subscriptionCount = 0;

  /** An empty queue. */
  constructor(config: TrackerConfig, roleOf: RoleSelector) {
    this.#config = config;
    this.#roleOf = roleOf;
  }

  /** How many requests wait. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** How many of them will be given up one day: a subscription, say, is held for as long as the client wants. */
  get shortLivedCount(): number {
    return this.#shortLivedCount;
  }

  /** How many of the requests are subscriptions. */
  get subscriptionCount(): number {
    return this.#subscriptionCount;
  }

  /** Whether there is no room for a further message; there is more for those that must not be refused. */
  isFull({ method, text }: OutboundMessage): boolean {
    const { size } = this.#entries;
    const factor = isLongLived(method) ? 2 : 1;
    return size >= this.#config.queueLimit * factor ||
      // What waits for nothing meets no queue.
      size > 0 && this.#textLength + text.length > QUEUE_TEXT_LIMIT * factor;
  }

  /** Adds a message: what waits again is older than what came since. */
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

  /** Takes a message out. */
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

  /** It is, or is not, what may be written. */
  updateWritable(entry: PendingEntry<OutboundMessage>): void {
    const role = this.#roleOf(entry.message);
    const heap = this.#writableByRole.get(role) ?? new IndexedMinHeap();
    this.#writableByRole.set(role, heap);
    const isWritable = this.#entries.has(entry) && !entry.isAwaitingToolList &&
      entry.notBefore === undefined;
    heap.set(entry, isWritable ? entry.arrivalNumber : Infinity);
  }

  /** Everything but what is to wait for a moment, oldest first. */
  all(): PendingEntry<OutboundMessage>[] {
    return sortByArrival(this.#entries)
      .filter(({ notBefore }) => notBefore === undefined);
  }

  /** How much may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#writableByRole.get(role)?.size ?? 0;
  }

  /**
   * What may be written now, oldest first. What the caller leaves is passed
   * over; what is behind it is not looked at once the caller has put the role
   * of the links among those that are full.
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

  /** The role whose first message is the oldest. */
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

/** The clients that are to be told now what their requests wait for, of those for which that may be so. */
export function takeQueueNotices(
  entries: Iterable<PendingEntry<OutboundMessage>>,
  now: number,
): WaitNotice[] {
  const due = [...entries].filter(({ sentOnConnectionId, waitNoticeAt }) =>
    sentOnConnectionId === undefined && now >= waitNoticeAt
  );
  return [
    ...takeNotices(due, now, ({ waitingSince }) => waitingSince !== undefined),
  ];
}

/** The clients that have given a token for one of these messages, and what they are told now. */
export function* takeNotices(
  entries: Iterable<PendingEntry<OutboundMessage>>,
  now: number,
  isWaiting: (entry: ReadonlyEntry) => boolean = () => true,
): Iterable<WaitNotice> {
  for (const entry of entries) {
    const { message, progressToken } = entry;
    if (progressToken === undefined) continue;
    const progress = nextWaitProgress(entry, now);
    if (message.kind !== "request" || progress === undefined) continue;
    if (!isWaiting(entry)) continue;
    entry.clientProgress = progress;
    yield { message, progressToken, progress };
  }
}
