/**
 * Who is owed an answer, until when, and may what was asked be sent again.
 *
 * @module
 */

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
import {
  MessageQueue,
  type RoleSelector,
  takeNotices,
  takeQueueNotices,
  type WaitNotice,
} from "./queue.ts";
import type { Timeouts } from "./timeouts.ts";
import type { Id, Notification, Request } from "../protocol/jsonrpc.ts";
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
  NewlyQueued,
  updateQueueTimer,
} from "./queue_timers.ts";

/** What becomes of a request whose link was lost: it is written again, at once or when the daemon confirms the tool's hint, given up, or asked about for so many milliseconds. */
export type Recovery =
  | "resend"
  | "confirm-hint"
  | "give up"
  | { readonly kind: "poll-outcome"; readonly limitMs: number };

/** How many lost links a request may have been in flight on before it counts as what kills the daemon. */
export const MAX_CONNECTION_LOSSES = 2;

/** All that is owed to the client, in the order in which it was asked. */
export class RequestTracker {
  readonly #config: TrackerConfig;
  /** Keyed by id; a notification has a key that is no JSON text, so that it can meet no id. */
  readonly #entries = new Map<string, PendingEntry<Request | Notification>>();
  readonly #queue: MessageQueue;
  readonly #byProgressToken = new Map<
    Id,
    PendingEntry<Request | Notification>
  >();
  readonly #inFlight = new EntriesByConnection();
  #lastArrivalNumber = 0;
  #subscriptionCount = 0;
  /** The requests that nobody waits for any more, and whose answers may still come. */
  readonly lateResponses: LateResponses = new LateResponses();
  /** The requests that wait for what a daemon says of their tools. */
  readonly hintRequirements: HintRequirements;
  readonly #newlyQueued = new NewlyQueued();
  /** When each account falls due, or earlier. */
  readonly #deadlines = new IndexedMinHeap<
    PendingEntry<Request | Notification>
  >();

  /** An empty ledger; `roleOf` says which links carry a message. */
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

  /** How many answers are owed. */
  get pendingRequestCount(): number {
    return this.#inFlight.size + this.#queue.requestCount;
  }

  /** How many answers are worth waiting for: none to a subscription, and from a daemon that is away none to a request that is held. */
  responsesWorthAwaiting(daemon: "up" | "down"): number {
    const { requestCount, shortLivedCount, subscriptionCount } = this.#queue;
    const longLivedCount = daemon === "down"
      ? requestCount - shortLivedCount - subscriptionCount
      : 0;
    return this.pendingRequestCount - this.#subscriptionCount - longLivedCount;
  }

  /** What is held for as long as the client wants waits again in its old place, because another link carries what comes. */
  requeueLongLived(connectionId: number, now: number): void {
    for (const entry of this.#inFlight.sortedEntriesOn(connectionId)) {
      if (isLongLived(entry.message.method)) this.#requeue(entry, now);
    }
  }

  /** Whether a request waits to be written that will be given up one day. */
  get hasQueuedShortLivedRequest(): boolean {
    return this.#queue.shortLivedCount > 0;
  }

  /** Whether a request waits to be written that an answer completes: any but a subscription. */
  get hasQueuedRequestButSubscriptions(): boolean {
    return this.#queue.requestCount > this.#queue.subscriptionCount;
  }

  /** Whether a request of this id is in flight on a link. */
  isInFlight(id: Id, connectionId: number): boolean {
    return this.#entries.get(id)?.sentOnConnectionId === connectionId;
  }

  /** Whether the queue takes no further message. */
  isFull(message: Request | Notification): boolean {
    return this.#queue.isFull(message);
  }

  /** The request of this id whose answer is owed. */
  find(id: Id): PendingRequest | undefined {
    return this.#entries.get(id) as PendingRequest | undefined;
  }

  /** Opens an account, which may wait for a link for so many milliseconds in all; the caller has checked that there is none under the same id. */
  add(
    message: Request | Notification,
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

  /** What waits to be written and for no moment, oldest first. */
  queuedEntries(): readonly ReadonlyEntry[] {
    return this.#queue.all();
  }

  /** What may be written now, oldest first, to links of the roles that are not full. */
  writableEntries(fullRoles: ReadonlySet<LinkRole>): Iterable<ReadonlyEntry> {
    return this.#queue.writable(fullRoles);
  }

  /** How much may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#queue.writableCount(role);
  }

  /** The entry of this key was written, and `writeNumber` is its place on the link; a notification is thereby settled. */
  markSent(key: string, connectionId: number, now: number, number = 0): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    if (entry.message.kind === "notification") return this.#close(entry);
    this.#queue.remove(entry);
    this.#inFlight.add(connectionId, entry);
    // What opens the conversation still waits for a link that is ready.
    if (!entry.isHandshake) stopQueueTimer(entry, now);
    // The next connection would have to confirm it again.
    if (entry.hintRequirement !== undefined) {
      this.hintRequirements.add(entry.key, now);
    }
    entry.sentOnConnectionId = connectionId;
    entry.sentAt = now;
    entry.writeCount++;
    entry.writeNumber = number;
    entry.idleDeadline = now + entry.timeouts.idle.ms;
    this.#updateDeadline(entry);
  }

  /** The same for the request that opens the conversation on a link. */
  markHandshakeSent(key: string, connectionId: number, now: number): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.isHandshake = true;
    this.markSent(key, connectionId, now);
  }

  /** How many answers are owed on a link. */
  inFlightCount(connectionId: number): number {
    return this.#inFlight.count(connectionId);
  }

  /** Whether a call is in flight on a link. */
  hasCallInFlight(connectionId: number): boolean {
    return this.#inFlight.hasCall(connectionId);
  }

  /** Whether the daemon may be working on a call there, also on one that nobody waits for any more. */
  isBusy(connectionId: number): boolean {
    return this.#inFlight.hasCall(connectionId) ||
      this.lateResponses.hasAbandonedCall(connectionId);
  }

  /** The place of the last of those calls; 0 for none. */
  lastCallNumber(connectionId: number): number {
    let last = this.lateResponses.lastCallNumber(connectionId);
    for (const number of this.#inFlight.callWriteNumbers(connectionId)) {
      last = Math.max(last, number);
    }
    return last;
  }

  /**
   * The daemon has answered a probe on a link.
   *
   * @param probeNumber the probe's place in the order of what was written
   * @returns whether a call that was written before the probe is in flight
   */
  onProbeAnswered(connectionId: number, probeNumber: number): boolean {
    this.lateResponses.onProbeAnswered(connectionId, probeNumber);
    for (const callNumber of this.#inFlight.callWriteNumbers(connectionId)) {
      if (callNumber < probeNumber) return true;
    }
    return false;
  }

  /** The requests that are in flight on a link, in the order in which they were written. */
  inFlightOn(connectionId: number): Iterable<PendingRequest> {
    return this.#inFlight.entriesOn(connectionId) as Iterable<PendingRequest>;
  }

  /** Closes the account of an answer that came on a link; `undefined` where none is owed there. */
  complete(id: Id, connectionId: number): PendingRequest | undefined {
    return this.isInFlight(id, connectionId) ? this.cancel(id) : undefined;
  }

  /** Closes the account of a request that the client no longer wants. */
  cancel(id: Id): PendingRequest | undefined {
    const entry = this.find(id);
    if (entry !== undefined) this.#close(entry);
    return entry;
  }

  /**
   * No one waits any more for a request that was written to a link, but its
   * answer may still come there.
   *
   * @param lastAnsweredProbeNumber the place of the latest probe there that was answered
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

  /** The daemon is at a request that is in flight on a link. */
  onDaemonWorking(id: Id, connectionId: number, now: number): void {
    if (!this.isInFlight(id, connectionId)) return;
    const entry = this.#entries.get(id)!;
    entry.idleDeadline = now + entry.timeouts.idle.ms;
    entry.daemonProgress = { at: now, value: entry.daemonProgress?.value };
  }

  /** The daemon says how long a request may take from now on; that counts where nothing else limits it. */
  setDaemonTimeout(id: Id, ms: number, now: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    // It has begun with it.
    entry.daemonFullSince = undefined;
    if (entry.totalDeadline < Infinity) return;
    entry.daemonDeadline = now + ms;
    entry.daemonTimeoutMs = ms;
    this.#updateDeadline(entry);
  }

  /** A request in flight on a link waits again in its old place, to be asked about when the pause is over, and for so long at most if nothing else limits it. */
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

  /** The same, to be written anew: the daemon has no room for it; `expired` where that has lasted as long as an answer may. */
  requeueForRetry(
    id: Id,
    connectionId: number,
    now: number,
    pauseMs: number,
  ): "requeued" | "expired" {
    if (!this.isInFlight(id, connectionId)) return "requeued";
    const entry = this.#entries.get(id)!;
    entry.daemonFullSince ??= now;
    entry.isOutcomePoll = false;
    entry.writeCount = 0;
    entry.daemonDeadline = Infinity;
    const until = now + pauseMs;
    this.#requeueUntil(entry, now, until);
    const expiresAt = entry.daemonFullSince + entry.timeouts.idle.ms;
    return entry.totalDeadline === Infinity && now >= expiresAt
      ? "expired"
      : "requeued";
  }

  /** A request in flight on a link is written again, in its old place. */
  resend(id: Id, now: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#requeueUntil(entry, now, now);
  }

  #requeueUntil(
    entry: PendingEntry<Request | Notification>,
    now: number,
    until: number,
  ): void {
    this.#requeue(entry, now);
    entry.notBefore = until;
    this.#queue.updateWritable(entry);
    this.#updateDeadline(entry);
  }

  /** What was to be asked about a request is known: it is written as if it never had been. */
  clearOutcomePoll(id: Id): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.isOutcomePoll = false;
    entry.daemonDeadline = Infinity;
  }

  /** Whether a progress value belongs to a request in flight on a link, and has risen, which only matters once it was written again. */
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

  /** The waits of all that is in the queue begin or end, as it has a link that is ready or none. */
  updateQueueTimers(now: number, hasUsableLink: HasUsableLink): void {
    this.#newlyQueued.take();
    for (const entry of this.#entries.values()) {
      if (updateQueueTimer(entry, now, hasUsableLink)) {
        this.#updateDeadline(entry);
      }
    }
  }

  /** Whether something has come into the queue since. */
  get hasNewlyQueued(): boolean {
    return this.#newlyQueued.hasEntries;
  }

  /** The waits of what has come into the queue since begin or end. */
  updateNewQueueTimers(now: number, hasUsableLink: HasUsableLink): void {
    for (const entry of this.#newlyQueued.take()) {
      const isOpen = this.#entries.get(entry.key) === entry;
      if (isOpen && updateQueueTimer(entry, now, hasUsableLink)) {
        this.#updateDeadline(entry);
      }
    }
  }

  /**
   * A link was lost: what may be repeated waits again in its old place.
   *
   * @returns the requests that are given up, whose accounts are closed
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
      // What opens the conversation opens it on every link.
      if (!entry.isHandshake) {
        const mayRecover = entry.connectionLosses < MAX_CONNECTION_LOSSES ||
          isLongLived(message.method);
        const recovery = mayRecover ? recoveryFor(message) : "give up";
        if (recovery === "give up") {
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

  #requeue(entry: PendingEntry<Request | Notification>, now: number): void {
    this.#inFlight.delete(entry.sentOnConnectionId!, entry);
    entry.sentOnConnectionId = undefined;
    entry.isHandshake = false;
    entry.idleDeadline = Infinity;
    this.#queue.add(entry, now);
    this.#newlyQueued.add(entry);
    this.#updateDeadline(entry);
  }

  /** The clients that are to be told now what their requests wait for; {@linkcode expire} must follow. */
  takeWaitNotices(now: number): Iterable<WaitNotice> {
    const due = sortByArrival(this.#deadlines.takeUpTo(now));
    const notices = takeQueueNotices(due, now);
    for (const entry of due) this.#updateDeadline(entry);
    return notices;
  }

  /** The clients whose calls are in flight on a link that is under suspicion, and who are to be told so. */
  takeSuspicionNotices(
    connectionId: number,
    now: number,
  ): Iterable<WaitNotice> {
    if (this.#config.waitProgress === "off") return [];
    return takeNotices(this.#inFlight.sortedEntriesOn(connectionId), now);
  }

  /** Every moment that is awaited comes so much later: the program slept. */
  postpone(ms: number): void {
    this.lateResponses.postpone(ms);
    for (const entry of this.#entries.values()) postponeEntry(entry, ms);
    this.#deadlines.addToAll(ms);
  }

  /** When the next account falls due, or earlier. */
  deadline(): number {
    return Math.min(this.#deadlines.minPriority, this.lateResponses.deadline());
  }

  /** Closes every account that is due. */
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

  /** Closes every account, because the program ends. */
  takeAll(): ReadonlyEntry[] {
    const entries = [...this.#entries.values()];
    for (const entry of entries) this.#close(entry);
    return entries;
  }

  #close(entry: PendingEntry<Request | Notification>): void {
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

  #updateDeadline(entry: PendingEntry<Request | Notification>): void {
    this.#deadlines.set(entry, nextDeadlineOf(entry));
  }
}

function isSubscriptionRequest(
  { kind, method }: Request | Notification,
): boolean {
  return kind === "request" && isSubscriptionMethod(method);
}
