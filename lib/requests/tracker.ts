/**
 * Tracks the client's messages: which requests have no response yet, which
 * messages are queued, and when each one expires. This folder keeps the state
 * of requests in both directions, and of what outlives a request: late
 * responses, running tasks and tool hints.
 *
 * @module
 */

import type { LinkRole } from "../link/link.ts";
import { ObservedIdTypes } from "../protocol/id_types.ts";
import type { Id, OutboundMessage, Request } from "../protocol/jsonrpc.ts";
import {
  isSubscriptionMethod,
  mayKeepDaemonBusy,
} from "../protocol/methods.ts";
import { MostlyFarDeadlines } from "./deadlines.ts";
import { LateResponses } from "./late_responses.ts";
import { MessageQueue, sortByArrival } from "./queue.ts";
import {
  type ExpiryReason,
  PendingEntry,
  type PendingRequest,
  type ReadonlyEntry,
  type Recovery,
  type TrackerConfig,
  type WaitNotice,
} from "./request_state.ts";
import type { Timeouts } from "./timeouts.ts";

/** The result of {@linkcode RequestTracker.advance}. */
export interface DueEntries {
  /** The notices for requests that wait for a usable link. */
  readonly notices: readonly WaitNotice[];
  /** The entries that expired, already closed, and the timeout of each. */
  readonly expired: readonly {
    readonly entry: ReadonlyEntry;
    readonly expiry: ExpiryReason;
  }[];
}

/** How many requests are in flight on a connection. */
interface InFlightCounts {
  requests: number;
  /** Those of them that may take long. */
  calls: number;
}

/** The unanswered requests and queued notifications of the client. */
export class RequestTracker {
  readonly #entries = new Map<string, PendingEntry>();
  readonly #byProgressToken = new Map<Id, PendingEntry>();
  readonly #queue: MessageQueue;
  readonly #inFlight = new Map<number, InFlightCounts>();
  readonly #deadlines: MostlyFarDeadlines<PendingEntry>;
  #lastArrivalNumber = 0;
  #requestCount = 0;
  #subscriptionCount = 0;
  /** The abandoned requests whose responses may still arrive. */
  readonly lateResponses: LateResponses = new LateResponses();
  /** The JSON types of the client's progress tokens. */
  readonly progressTokens: ObservedIdTypes = new ObservedIdTypes();

  /** Creates an empty tracker; `roleOf` returns which links carry a message. */
  constructor(
    private readonly config: TrackerConfig,
    roleOf: (message: OutboundMessage) => LinkRole,
    /** While this returns false, the queue timer of a message runs. */
    private readonly hasUsableLink: (message: OutboundMessage) => boolean,
  ) {
    this.#queue = new MessageQueue(config.queueLimit, roleOf);
    const entries = this.#entries;
    this.#deadlines = new MostlyFarDeadlines({
      [Symbol.iterator]: () => entries.values(),
    });
  }

  /** The number of requests that have no response yet. */
  get pendingRequestCount(): number {
    return this.#requestCount;
  }

  /** The number of messages that wait in the queue. */
  get queuedCount(): number {
    return this.#queue.size;
  }

  /** Returns how many responses a shutdown waits for, without subscriptions. */
  awaitedResponseCount(daemon: "up" | "down"): number {
    // A queued `server/discover` waits until the daemon is up.
    const queuedDiscoverCount = daemon === "down"
      ? this.#queue.discoverCount
      : 0;
    return this.#requestCount - this.#subscriptionCount - queuedDiscoverCount;
  }

  /** True if a request is queued that is not long-lived. */
  get hasQueuedShortLivedRequest(): boolean {
    return this.#queue.shortLivedCount > 0;
  }

  /** True if a request is queued that is not a subscription. */
  get hasQueuedNonSubscription(): boolean {
    return this.#queue.shortLivedCount + this.#queue.discoverCount > 0;
  }

  /** Returns true if the queue has no room for this message. */
  isFull(message: OutboundMessage): boolean {
    return this.#queue.isFull(message);
  }

  /** Returns the queued entries, oldest first, without the delayed ones. */
  undelayedEntries(): readonly ReadonlyEntry[] {
    return this.#queue.undelayed();
  }

  /** True if some entry may be written as soon as a link can carry it. */
  get hasWritable(): boolean {
    return this.#queue.hasWritable;
  }

  /** Returns how many messages may be written to the links of a role. */
  writableCount(role: LinkRole): number {
    return this.#queue.writableCount(role);
  }

  /** Yields the writable entries; see {@linkcode MessageQueue.writable}. */
  writableEntries(
    unavailableRoles: ReadonlySet<LinkRole>,
  ): Iterable<ReadonlyEntry> {
    return this.#queue.writable(unavailableRoles);
  }

  /** Returns the request with this id that has no response yet. */
  find(id: Id): PendingRequest | undefined {
    return this.#entries.get(id) as PendingRequest | undefined;
  }

  /** Adds a message that the caller must send or queue in the same event. */
  open(
    message: OutboundMessage,
    timeouts: Timeouts,
    now: number,
    queueTimeoutMs: number = this.config.queueTimeout,
  ): PendingEntry {
    const entry = new PendingEntry(
      message,
      ++this.#lastArrivalNumber,
      timeouts,
      now,
      queueTimeoutMs,
      this.config.waitProgress,
    );
    this.#entries.set(entry.key, entry);
    this.#count(entry, 1);
    if (entry.progressToken !== undefined) {
      this.progressTokens.observe(entry.progressToken);
      this.#byProgressToken.set(entry.progressToken, entry);
    }
    return entry;
  }

  /** Queues a message that could not be sent when it arrived. */
  enqueue({ key }: ReadonlyEntry, now: number): void {
    this.#apply(key, now, (entry) => entry.enqueue(now));
  }

  /** Records a write; closes the entry if it is a notification. */
  markSent(
    { key }: ReadonlyEntry,
    connectionId: number,
    now: number,
    writeNumber: number | "handshake" = 0,
  ): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    if (entry.message.kind === "notification") return this.#close(entry);
    if (entry.isQueued) this.#queue.remove(entry);
    entry.send(connectionId, now, writeNumber);
    let inFlight = this.#inFlight.get(connectionId);
    if (inFlight === undefined) {
      inFlight = { requests: 0, calls: 0 };
      this.#inFlight.set(connectionId, inFlight);
    }
    inFlight.requests++;
    if (entry.isCall) inFlight.calls++;
    this.#deadlines.update(entry, now);
  }

  /** Records the write of the request that opens a connection. */
  markHandshakeSent(key: string, connectionId: number, now: number): void {
    const entry = this.#entries.get(key);
    if (entry) this.markSent(entry, connectionId, now, "handshake");
  }

  /** Returns the request with this id if it is in flight on the connection. */
  findInFlight(id: Id, connectionId: number): PendingRequest | undefined {
    const entry = this.find(id);
    return entry?.sentOnConnectionId === connectionId ? entry : undefined;
  }

  /** Yields the requests in flight on a connection, in order of arrival. */
  *inFlightOn(connectionId: number): Generator<PendingRequest> {
    let left = this.inFlightCount(connectionId);
    if (left === 0) return;
    for (const entry of this.#entries.values()) {
      if (entry.sentOnConnectionId !== connectionId) continue;
      yield entry as PendingEntry as PendingEntry<Request>;
      if (--left === 0) return;
    }
  }

  /** Returns the number of requests in flight on a connection. */
  inFlightCount(connectionId: number): number {
    return this.#inFlight.get(connectionId)?.requests ?? 0;
  }

  /** Returns true if a request in flight on the connection may take long. */
  hasCallInFlight(connectionId: number): boolean {
    return (this.#inFlight.get(connectionId)?.calls ?? 0) > 0;
  }

  /** Returns true if a connection may have a running call, even abandoned. */
  isBusy(connectionId: number): boolean {
    return this.hasCallInFlight(connectionId) ||
      this.lateResponses.hasAbandonedCall(connectionId);
  }

  /** Returns the write number of the last call, abandoned or not; 0 if none. */
  lastCallWriteNumber(connectionId: number): number {
    let last = this.lateResponses.lastCallWriteNumber(connectionId);
    for (const number of this.#callNumbers(connectionId)) {
      last = Math.max(last, number);
    }
    return last;
  }

  /** Records an answered probe; returns true if an older call is in flight. */
  onProbeAnswered(connectionId: number, probeNumber: number): boolean {
    this.lateResponses.onProbeAnswered(connectionId, probeNumber);
    for (const number of this.#callNumbers(connectionId)) {
      if (number < probeNumber) return true;
    }
    return false;
  }

  *#callNumbers(connectionId: number): Generator<number> {
    if (!this.hasCallInFlight(connectionId)) return;
    for (const { isCall, writeNumber } of this.inFlightOn(connectionId)) {
      if (isCall) yield writeNumber;
    }
  }

  /** Closes and returns a request, if it is in flight on the connection. */
  complete(id: Id, connectionId: number): PendingRequest | undefined {
    return this.findInFlight(id, connectionId) && this.close(id);
  }

  /** Closes a request that was just found. */
  closeFound(entry: PendingRequest): void {
    this.#close(entry as ReadonlyEntry as PendingEntry);
  }

  /** Closes and returns a request in any state, if it exists. */
  close(id: Id): PendingRequest | undefined {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#close(entry);
    return entry as PendingRequest | undefined;
  }

  /**
   * Records an abandoned request, whose response may still arrive. If it is a
   * call, the daemon may still run it, unless it has answered a later probe.
   *
   * @param probeNumber the write number of the last answered probe; 0 for none
   */
  expectLateResponse(
    { message, writeNumber }: Pick<PendingRequest, "message" | "writeNumber">,
    connectionId: number,
    probeNumber: number,
    now: number,
  ): void {
    const { id, method } = message;
    this.lateResponses.add(id, connectionId);
    if (mayKeepDaemonBusy(method) && writeNumber > probeNumber) {
      this.lateResponses.addAbandonedCall(id, connectionId, writeNumber, now);
    }
  }

  /** Records that the daemon is working on a request in flight. */
  onDaemonWorking(id: Id, connectionId: number, now: number): void {
    const entry = this.#entries.get(id);
    if (entry?.sentOnConnectionId === connectionId) entry.onDaemonWorking(now);
  }

  /** Records the daemon's progress; returns true if the client must get it. */
  acceptProgress(
    token: Id | undefined,
    value: unknown,
    connectionId: number,
    now: number,
  ): boolean {
    if (token === undefined || typeof value !== "number") return false;
    const entry = this.#byProgressToken.get(token);
    return entry?.sentOnConnectionId === connectionId &&
      entry.acceptProgress(now, value);
  }

  /** Starts the daemon's timeout of a request without a total timeout. */
  setDaemonTimeout(id: Id, ms: number, now: number): void {
    this.#apply(id, now, (entry) => entry.setDaemonTimeout(ms, now));
  }

  /** Requeues a request in flight; polls its outcome for `limitMs` at most. */
  requeueForPoll(
    id: Id,
    now: number,
    { pauseMs, limitMs }: { pauseMs: number; limitMs: number },
  ): void {
    this.#apply(id, now, (entry) => entry.delayPoll(now, pauseMs, limitMs));
  }

  /** Requeues a request in flight, because the daemon has no room for it. */
  requeueForRetry(
    id: Id,
    now: number,
    delayMs: number,
  ): "requeued" | "expired" {
    return this.#apply(id, now, (entry) => entry.delayRetry(now, delayMs))!;
  }

  /** Requeues a request in flight; {@linkcode advance} makes it writable. */
  requeueForSecondWrite(id: Id, now: number): void {
    this.#apply(id, now, (entry) => entry.requeue(now, 0));
  }

  /** Requeues the long-lived requests of a connection that was replaced. */
  requeueLongLived(connectionId: number, now: number): void {
    for (const { key, isLongLived } of [...this.inFlightOn(connectionId)]) {
      if (!isLongLived) continue;
      this.#apply(key, now, (entry) => entry.requeue(now));
    }
  }

  /** Ends the polling: the next write makes the daemon execute the request. */
  clearOutcomePoll(id: Id): void {
    this.#entries.get(id)?.clearOutcomePoll();
  }

  /** Requires that a tool list confirms the hint before the next write. */
  requireHint(key: string, now: number): void {
    this.#apply(key, now, (entry) => entry.requireHint(now));
  }

  /** Records that the tool list was requested to confirm a hint. */
  markHintRequested(key: string, connectionId: number, now: number): void {
    this.#apply(key, now, (entry) => entry.requestHint(connectionId, now));
  }

  /** Parks an entry until more of the requested tool list has arrived. */
  awaitToolList(key: string): void {
    const entry = this.#entries.get(key);
    entry?.park();
    if (entry !== undefined) this.#queue.update(entry);
  }

  /** Unparks the entries that wait for more of a connection's tool list. */
  onToolList(connectionId: number): void {
    for (const entry of this.#queue.waitingForHint(connectionId)) {
      entry.unpark();
      this.#queue.update(entry);
    }
  }

  /** Starts or stops queue timers after a link became usable or unusable. */
  updateQueueTimers(now: number): void {
    for (const entry of this.#entries.values()) {
      this.#updateQueueTimer(entry, now);
    }
  }

  #updateQueueTimer(entry: PendingEntry, now: number): void {
    if (this.hasUsableLink(entry.message)) entry.stopQueueTimer(now);
    else entry.startQueueTimer(now);
    this.#deadlines.update(entry, now);
  }

  /** Requeues the requests of a lost connection; returns those that fail. */
  onDisconnect(
    connectionId: number,
    now: number,
    recoveryFor: (request: Request) => Recovery,
  ): PendingRequest[] {
    this.lateResponses.onDisconnect(connectionId);
    // The tool list must be requested again on the next connection.
    for (const { key } of this.#queue.waitingForHint(connectionId)) {
      this.requireHint(key, now);
    }
    const failed = [...this.inFlightOn(connectionId)].filter(
      ({ key }) =>
        this.#apply(key, now, (it) => it.onDisconnect(now, recoveryFor)) ===
          "failed",
    );
    for (const { key } of failed) this.close(key);
    this.#inFlight.delete(connectionId);
    return failed;
  }

  /** Returns when {@linkcode advance} is due, or an earlier time. */
  deadline(): number {
    return Math.min(this.#deadlines.earliest, this.lateResponses.deadline());
  }

  /** Returns the wait notices that are due, and closes the expired entries. */
  advance(now: number): DueEntries {
    this.lateResponses.advance(now);
    const due = sortByArrival(this.#deadlines.takeDue(now));
    const notices = due.map((entry) => entry.takeDueWaitNotice(now))
      .filter((notice) => notice !== undefined);
    const expired: { entry: ReadonlyEntry; expiry: ExpiryReason }[] = [];
    for (const entry of due) {
      const expiry = entry.advance(now);
      this.#queue.update(entry);
      if (expiry === undefined) {
        this.#deadlines.update(entry, now);
      } else {
        this.#close(entry);
        expired.push({ entry, expiry });
      }
    }
    return { notices, expired };
  }

  /** Returns wait notices for the requests on a suspect connection. */
  takeSuspicionNotices(connectionId: number): readonly WaitNotice[] {
    if (this.config.waitProgress === "off") return [];
    return [...this.inFlightOn(connectionId)]
      .map((entry) => entry.takeWaitNotice())
      .filter((notice) => notice !== undefined);
  }

  /** Moves every deadline by the time asleep, in milliseconds. */
  postpone(ms: number): void {
    this.lateResponses.postpone(ms);
    for (const entry of this.#entries.values()) entry.postpone(ms);
    this.#deadlines.postpone(ms);
  }

  /** Closes and returns every entry, for the end of the session. */
  closeAll(): ReadonlyEntry[] {
    const entries = [...this.#entries.values()];
    for (const entry of entries) this.#close(entry);
    return entries;
  }

  /** Applies an event to an entry, and updates the queue and the deadline. */
  #apply<T>(
    key: string,
    now: number,
    event: (entry: PendingEntry) => T,
  ): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const { isQueued, sentOnConnectionId } = entry;
    const result = event(entry);
    if (entry.isQueued && !isQueued) {
      this.#leaveConnection(entry, sentOnConnectionId);
      this.#queue.add(entry);
      this.#updateQueueTimer(entry, now);
    } else {
      this.#queue.update(entry);
      this.#deadlines.update(entry, now);
    }
    return result;
  }

  #close(entry: PendingEntry): void {
    if (!this.#entries.delete(entry.key)) return;
    this.#deadlines.delete(entry);
    this.#count(entry, -1);
    const token = entry.progressToken;
    if (token !== undefined && this.#byProgressToken.get(token) === entry) {
      this.#byProgressToken.delete(token);
    }
    if (entry.isQueued) this.#queue.remove(entry);
    else this.#leaveConnection(entry, entry.sentOnConnectionId);
  }

  #leaveConnection(entry: PendingEntry, connectionId?: number): void {
    const inFlight = this.#inFlight.get(connectionId!);
    if (inFlight === undefined) return;
    inFlight.requests--;
    if (entry.isCall) inFlight.calls--;
  }

  #count({ message, isLongLived }: PendingEntry, change: 1 | -1): void {
    if (message.kind !== "request") return;
    this.#requestCount += change;
    if (isLongLived && isSubscriptionMethod(message.method)) {
      this.#subscriptionCount += change;
    }
  }
}
