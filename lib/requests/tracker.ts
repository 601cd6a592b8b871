/**
 * Tracks the client's messages: which requests have no response yet, until
 * when, and whether they may be sent again.
 *
 * @module
 */

import {
  takeNotices,
  takeQueueNotices,
  type WaitNotice,
} from "./wait_notices.ts";
import {
  createEntry,
  type ExpiryReason,
  expiryReasonOf,
  nextDeadlineOf,
  type PendingEntry,
  type PendingRequest,
  postponeEntry,
  type ReadonlyEntry,
  stopQueueTimer,
  type TrackerConfig,
} from "./entry.ts";
import { EntriesByConnection, sortByArrival } from "./entries_by_connection.ts";
import { HintRequirements } from "./hint_requirements.ts";
import { MessageQueue, type RoleSelector } from "./queue.ts";
import type { Timeouts } from "./timeouts.ts";
import type { Id, OutboundMessage, Request } from "../protocol/jsonrpc.ts";
import { LateResponses } from "./late_responses.ts";
import type { LinkRole } from "../link/link.ts";
import { IndexedMinHeap } from "./indexed_min_heap.ts";
import {
  isLongLived,
  isSubscriptionMethod,
  mayTakeLong,
} from "../protocol/methods.ts";
import {
  type HasUsableLink,
  NewlyQueuedEntries,
  updateQueueTimer,
} from "./queue_timers.ts";

/**
 * What happens to a request whose connection was lost: it is written again, at
 * once or after the daemon confirms the tool's hint; it fails; or its outcome
 * is polled for `limitMs` milliseconds.
 */
export type Recovery =
  | "resend"
  | "confirm-hint"
  | "fail"
  | { readonly kind: "poll-outcome"; readonly limitMs: number };

/**
 * After how many connection losses while in flight a request is assumed to
 * crash the daemon.
 */
export const MAX_CONNECTION_LOSSES = 2;

/**
 * All unanswered requests and queued notifications of the client, in the order
 * of arrival.
 */
export class RequestTracker {
  readonly #config: TrackerConfig;
  /**
   * Keyed by id; a notification has a key that is not JSON, so that it equals
   * no id.
   */
  readonly #entries = new Map<string, PendingEntry<OutboundMessage>>();
  readonly #queue: MessageQueue;
  readonly #byProgressToken = new Map<
    Id,
    PendingEntry<OutboundMessage>
  >();
  readonly #inFlight = new EntriesByConnection();
  #lastArrivalNumber = 0;
  #subscriptionCount = 0;
  /** The requests that were abandoned and whose responses may still arrive. */
  readonly lateResponses: LateResponses = new LateResponses();
  /**
   * The requests that wait for a daemon to confirm the hints of their tools.
   */
  readonly hintRequirements: HintRequirements;
  readonly #newlyQueued = new NewlyQueuedEntries();
  /** When each entry expires, or earlier. */
  readonly #deadlines = new IndexedMinHeap<
    PendingEntry<OutboundMessage>
  >();

  /**
   * Creates an empty tracker; `roleOf` returns the role of the links that carry
   * a message.
   */
  constructor(config: TrackerConfig, roleOf: RoleSelector = () => "main") {
    this.#config = config;
    this.#queue = new MessageQueue(config, roleOf);
    this.hintRequirements = new HintRequirements(
      (key) => this.#entries.get(key),
      (entry) => {
        this.#queue.updateWritable(entry);
        this.#updateDeadline(entry);
      },
    );
  }

  /** How many requests have no response yet. */
  get pendingRequestCount(): number {
    return this.#inFlight.size + this.#queue.requestCount;
  }

  /**
   * How many responses are worth waiting for: subscriptions do not count, and
   * while the daemon is down, long-lived queued requests do not count either.
   */
  responsesWorthAwaiting(daemon: "up" | "down"): number {
    const { requestCount, shortLivedCount, subscriptionCount } = this.#queue;
    const longLivedCount = daemon === "down"
      ? requestCount - shortLivedCount - subscriptionCount
      : 0;
    return this.pendingRequestCount - this.#subscriptionCount - longLivedCount;
  }

  /**
   * Requeues the long-lived requests of a connection in their old position,
   * because another link carries them from now on.
   */
  requeueLongLived(connectionId: number, now: number): void {
    for (const entry of this.#inFlight.sortedEntriesOn(connectionId)) {
      if (isLongLived(entry.message.method)) this.#requeue(entry, now);
    }
  }

  /** Whether a request with a time limit is queued. */
  get hasQueuedShortLivedRequest(): boolean {
    return this.#queue.shortLivedCount > 0;
  }

  /**
   * Whether a request that ends with its response is queued: any but a
   * subscription.
   */
  get hasQueuedRequestButSubscriptions(): boolean {
    return this.#queue.requestCount > this.#queue.subscriptionCount;
  }

  /** Whether a request with this id is in flight on a connection. */
  isInFlight(id: Id, connectionId: number): boolean {
    return this.#entries.get(id)?.sentOnConnectionId === connectionId;
  }

  /** Whether the queue accepts no further message. */
  isFull(message: OutboundMessage): boolean {
    return this.#queue.isFull(message);
  }

  /** The unanswered request with this id. */
  find(id: Id): PendingRequest | undefined {
    return this.#entries.get(id) as PendingRequest | undefined;
  }

  /**
   * Adds a message, which may wait for a link for `queueTimeoutMs` in total.
   * The caller has checked that there is none with the same id.
   */
  add(
    message: OutboundMessage,
    timeouts: Timeouts,
    now: number,
    queueTimeoutMs: number = this.#config.queueTimeout,
  ): void {
    const isLongLivedRequest = isLongLived(message.method);
    const arrivalNumber = ++this.#lastArrivalNumber;
    const key = message.kind === "request"
      ? message.id
      : `notification ${arrivalNumber}`;
    const maxQueueMs = isLongLivedRequest ? Infinity : queueTimeoutMs;
    const entry = createEntry(
      message,
      key,
      arrivalNumber,
      timeouts,
      now,
      maxQueueMs,
    );
    this.#entries.set(entry.key, entry);
    this.#subscriptionCount += isSubscriptionRequest(message) ? 1 : 0;
    if (entry.progressToken !== undefined) {
      this.#byProgressToken.set(entry.progressToken, entry);
    }
    this.#queue.add(entry, now);
    this.#newlyQueued.add(entry);
    this.#updateDeadline(entry);
  }

  /** The queued entries that do not wait for a time, oldest first. */
  queuedEntries(): readonly ReadonlyEntry[] {
    return this.#queue.all();
  }

  /**
   * The entries that may be written now, oldest first, to links whose roles are
   * not full.
   */
  writableEntries(fullRoles: ReadonlySet<LinkRole>): Iterable<ReadonlyEntry> {
    return this.#queue.writable(fullRoles);
  }

  /** How many messages may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#queue.writableCount(role);
  }

  /**
   * Records that an entry was written; `writeNumber` is its position on the
   * connection. The entry of a notification is closed.
   */
  markSent(
    key: string,
    connectionId: number,
    now: number,
    writeNumber = 0,
  ): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    if (entry.message.kind === "notification") return this.#close(entry);
    this.#queue.remove(entry);
    this.#inFlight.add(connectionId, entry);
    // The queue timer of a handshake request runs until a link is ready.
    if (!entry.isHandshake) stopQueueTimer(entry, now);
    // The next connection would have to confirm the hint again.
    if (entry.hintRequirement !== undefined) {
      this.hintRequirements.add(entry.key, now);
    }
    entry.sentOnConnectionId = connectionId;
    entry.sentAt = now;
    entry.writeCount++;
    entry.writeNumber = writeNumber;
    entry.idleDeadline = now + entry.timeouts.idle.ms;
    this.#updateDeadline(entry);
  }

  /** Records that the handshake request was written on a connection. */
  markHandshakeSent(key: string, connectionId: number, now: number): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.isHandshake = true;
    this.markSent(key, connectionId, now);
  }

  /** How many requests are in flight on a connection. */
  inFlightCount(connectionId: number): number {
    return this.#inFlight.count(connectionId);
  }

  /** Whether a call is in flight on a connection. */
  hasCallInFlight(connectionId: number): boolean {
    return this.#inFlight.hasCall(connectionId);
  }

  /**
   * Whether the daemon may be working on a call there; abandoned ones count.
   */
  isBusy(connectionId: number): boolean {
    return this.#inFlight.hasCall(connectionId) ||
      this.lateResponses.hasAbandonedCall(connectionId);
  }

  /** The write number of the last of those calls; 0 for none. */
  lastCallNumber(connectionId: number): number {
    let last = this.lateResponses.lastCallNumber(connectionId);
    for (const number of this.#inFlight.callWriteNumbers(connectionId)) {
      last = Math.max(last, number);
    }
    return last;
  }

  /**
   * Records that the daemon has answered a probe on a connection.
   *
   * @param probeNumber the probe's position in the order of writes
   * @returns whether a call that was written before the probe is in flight
   */
  onProbeAnswered(connectionId: number, probeNumber: number): boolean {
    this.lateResponses.onProbeAnswered(connectionId, probeNumber);
    for (const callNumber of this.#inFlight.callWriteNumbers(connectionId)) {
      if (callNumber < probeNumber) return true;
    }
    return false;
  }

  /**
   * The requests in flight on a connection, in the order in which they were
   * written.
   */
  inFlightOn(connectionId: number): Iterable<PendingRequest> {
    return this.#inFlight.entriesOn(connectionId) as Iterable<PendingRequest>;
  }

  /**
   * Completes the request whose response arrived on a connection; `undefined`
   * if it is not in flight there.
   */
  complete(id: Id, connectionId: number): PendingRequest | undefined {
    return this.isInFlight(id, connectionId) ? this.cancel(id) : undefined;
  }

  /** Removes a request that the client no longer wants. */
  cancel(id: Id): PendingRequest | undefined {
    const entry = this.find(id);
    if (entry !== undefined) this.#close(entry);
    return entry;
  }

  /**
   * Records that no one waits any more for a request that was written, but that
   * its response may still arrive.
   *
   * @param lastAnsweredProbeNumber the write number of the latest answered
   * probe there
   */
  expectLateResponse(
    { message, writeNumber }: Pick<PendingRequest, "message" | "writeNumber">,
    connectionId: number,
    lastAnsweredProbeNumber: number,
    now: number,
  ): void {
    const { id, method } = message;
    this.lateResponses.add(id, connectionId);
    const mayBeRunning = mayTakeLong(method) &&
      writeNumber > lastAnsweredProbeNumber;
    if (mayBeRunning) {
      this.lateResponses.addAbandonedCall(id, connectionId, writeNumber, now);
    }
  }

  /** Records that the daemon is working on a request in flight. */
  onDaemonWorking(id: Id, connectionId: number, now: number): void {
    if (!this.isInFlight(id, connectionId)) return;
    const entry = this.#entries.get(id)!;
    entry.idleDeadline = now + entry.timeouts.idle.ms;
    entry.daemonProgress = { at: now, value: entry.daemonProgress?.value };
  }

  /**
   * Sets the timeout that the daemon announces for a request from now on; it
   * counts only if nothing else limits the request.
   */
  setDaemonTimeout(id: Id, ms: number, now: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    // The daemon has started the request.
    entry.daemonFullSince = undefined;
    if (entry.totalDeadline < Infinity) return;
    entry.daemonDeadline = now + ms;
    entry.daemonTimeoutMs = ms;
    this.#updateDeadline(entry);
  }

  /**
   * Requeues a request in flight in its old position, to poll its outcome after
   * the delay, and for at most `limitMs` if nothing else limits the request.
   */
  requeueForPoll(
    id: Id,
    connectionId: number,
    now: number,
    { pauseMs, limitMs }: {
      readonly pauseMs: number;
      readonly limitMs: number;
    },
  ): void {
    if (!this.isInFlight(id, connectionId)) return;
    const entry = this.#entries.get(id)!;
    entry.isOutcomePoll = true;
    if (Math.min(entry.totalDeadline, entry.daemonDeadline) === Infinity) {
      this.setDaemonTimeout(id, limitMs, now);
    }
    this.#requeueUntil(entry, now, now + pauseMs);
  }

  /**
   * Requeues a request in flight to be written anew, because the daemon has no
   * room for it; `expired` if that has lasted as long as the idle timeout.
   */
  requeueForRetry(
    id: Id,
    connectionId: number,
    now: number,
    delayMs: number,
  ): "requeued" | "expired" {
    if (!this.isInFlight(id, connectionId)) return "requeued";
    const entry = this.#entries.get(id)!;
    entry.daemonFullSince ??= now;
    entry.isOutcomePoll = false;
    entry.writeCount = 0;
    entry.daemonDeadline = Infinity;
    const until = now + delayMs;
    this.#requeueUntil(entry, now, until);
    const expiresAt = entry.daemonFullSince + entry.timeouts.idle.ms;
    return entry.totalDeadline === Infinity && now >= expiresAt
      ? "expired"
      : "requeued";
  }

  /**
   * Requeues a request in flight in its old position, to be written again at
   * once.
   */
  resend(id: Id, now: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#requeueUntil(entry, now, now);
  }

  #requeueUntil(
    entry: PendingEntry<OutboundMessage>,
    now: number,
    until: number,
  ): void {
    this.#requeue(entry, now);
    entry.notBefore = until;
    this.#queue.updateWritable(entry);
    this.#updateDeadline(entry);
  }

  /**
   * Ends the polling of a request's outcome: it is written as if it had never
   * been written.
   */
  clearOutcomePoll(id: Id): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.isOutcomePoll = false;
    entry.daemonDeadline = Infinity;
  }

  /**
   * Whether a progress value belongs to a request in flight on a connection,
   * and has increased. The latter matters only after the request was written
   * again.
   */
  acceptProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
    now: number,
  ): boolean {
    if (token === undefined || typeof value !== "number") return false;
    const entry = this.#byProgressToken.get(token);
    if (entry === undefined || entry.sentOnConnectionId !== connectionId) {
      return false;
    }
    entry.idleDeadline = now + entry.timeouts.idle.ms;
    entry.daemonProgress = { at: now, value };
    if (entry.writeCount > 1 && !(value > entry.clientProgress)) return false;
    entry.clientProgress = Math.max(entry.clientProgress, value);
    return true;
  }

  /**
   * Starts or stops the queue timers of all queued entries, depending on
   * whether they have a usable link.
   */
  updateQueueTimers(now: number, hasUsableLink: HasUsableLink): void {
    this.#newlyQueued.take();
    for (const entry of this.#entries.values()) {
      if (updateQueueTimer(entry, now, hasUsableLink)) {
        this.#updateDeadline(entry);
      }
    }
  }

  /** Whether an entry was queued since the queue timers were last updated. */
  get hasNewlyQueued(): boolean {
    return this.#newlyQueued.hasEntries;
  }

  /**
   * Starts or stops the queue timers of the entries that were queued since the
   * last update.
   */
  updateNewQueueTimers(now: number, hasUsableLink: HasUsableLink): void {
    for (const entry of this.#newlyQueued.take()) {
      const isOpen = this.#entries.get(entry.key) === entry;
      if (isOpen && updateQueueTimer(entry, now, hasUsableLink)) {
        this.#updateDeadline(entry);
      }
    }
  }

  /**
   * Handles a lost connection: requests that may be repeated are requeued in
   * their old position.
   *
   * @returns the requests that failed, whose entries are closed
   */
  onDisconnect(
    connectionId: number,
    now: number,
    recoveryFor: (request: Request) => Recovery,
  ): PendingRequest[] {
    this.lateResponses.onDisconnect(connectionId);
    const failed: PendingRequest[] = [];
    this.hintRequirements.onDisconnect(connectionId, now);
    for (const entry of this.#inFlight.sortedEntriesOn(connectionId)) {
      const message = entry.message as Request;
      entry.connectionLosses++;
      // The handshake request opens every connection.
      if (!entry.isHandshake) {
        const mayRecover = entry.connectionLosses < MAX_CONNECTION_LOSSES ||
          isLongLived(message.method);
        const recovery = mayRecover ? recoveryFor(message) : "fail";
        if (recovery === "fail") {
          this.#close(entry);
          failed.push(entry as PendingRequest);
          continue;
        }
        entry.isOutcomePoll = typeof recovery === "object";
        if (recovery === "confirm-hint") {
          this.hintRequirements.add(entry.key, now);
        }
        if (typeof recovery === "object" && entry.totalDeadline === Infinity) {
          entry.daemonDeadline = now + recovery.limitMs;
          entry.daemonTimeoutMs ??= recovery.limitMs;
        }
      }
      this.#requeue(entry, now);
    }
    return failed;
  }

  #requeue(entry: PendingEntry<OutboundMessage>, now: number): void {
    this.#inFlight.delete(entry.sentOnConnectionId!, entry);
    entry.sentOnConnectionId = undefined;
    entry.isHandshake = false;
    entry.idleDeadline = Infinity;
    this.#queue.add(entry, now);
    this.#newlyQueued.add(entry);
    this.#updateDeadline(entry);
  }

  /**
   * Returns the wait notices that are due now; {@linkcode expire} must follow.
   */
  takeWaitNotices(now: number): Iterable<WaitNotice> {
    const due = sortByArrival(this.#deadlines.takeUpTo(now));
    const notices = takeQueueNotices(due, now);
    for (const entry of due) this.#updateDeadline(entry);
    return notices;
  }

  /**
   * Returns the notices to clients whose calls are in flight on a suspect
   * connection.
   */
  takeSuspicionNotices(
    connectionId: number,
    now: number,
  ): Iterable<WaitNotice> {
    if (this.#config.waitProgress === "off") return [];
    return takeNotices(this.#inFlight.sortedEntriesOn(connectionId), now);
  }

  /** Postpones every deadline, after a sleep. */
  postpone(ms: number): void {
    this.lateResponses.postpone(ms);
    for (const entry of this.#entries.values()) postponeEntry(entry, ms);
    this.#deadlines.addToAll(ms);
  }

  /** When the next entry expires, or earlier. */
  deadline(): number {
    return Math.min(this.#deadlines.minPriority, this.lateResponses.deadline());
  }

  /** Closes and returns every expired entry. */
  expire(now: number): { entry: ReadonlyEntry; expiry: ExpiryReason }[] {
    this.lateResponses.advance(now);
    const expired: { entry: ReadonlyEntry; expiry: ExpiryReason }[] = [];
    for (const entry of sortByArrival(this.#deadlines.takeUpTo(now))) {
      if (entry.notBefore !== undefined && now >= entry.notBefore) {
        entry.notBefore = undefined;
        this.#queue.updateWritable(entry);
      }
      const expiry = expiryReasonOf(entry, now);
      if (expiry === undefined) {
        this.#updateDeadline(entry);
      } else {
        this.#close(entry);
        expired.push({ entry, expiry });
      }
    }
    return expired;
  }

  /** Closes and returns every entry, because the program ends. */
  takeAll(): ReadonlyEntry[] {
    const entries = [...this.#entries.values()];
    for (const entry of entries) this.#close(entry);
    return entries;
  }

  #close(entry: PendingEntry<OutboundMessage>): void {
    this.#entries.delete(entry.key);
    this.#deadlines.delete(entry);
    this.hintRequirements.remove(entry);
    this.#subscriptionCount -= isSubscriptionRequest(entry.message) ? 1 : 0;
    const { progressToken } = entry;
    if (
      progressToken !== undefined &&
      this.#byProgressToken.get(progressToken) === entry
    ) {
      this.#byProgressToken.delete(progressToken);
    }
    if (entry.sentOnConnectionId === undefined) this.#queue.remove(entry);
    else this.#inFlight.delete(entry.sentOnConnectionId, entry);
  }

  #updateDeadline(entry: PendingEntry<OutboundMessage>): void {
    this.#deadlines.set(entry, nextDeadlineOf(entry));
  }
}

function isSubscriptionRequest(
  { kind, method }: OutboundMessage,
): boolean {
  return kind === "request" && isSubscriptionMethod(method);
}
