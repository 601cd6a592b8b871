/**
 * The state machine of one message from the client.
 *
 * The tracker keeps an entry for each request until the response, and for each
 * notification until it is written. An entry is in one of five states:
 *
 * - `arrived`: the message arrived during the current event.
 * - `queued`: the message can be written as soon as a link can carry it.
 * - `waiting-for-hint`: as `queued`, but a tool list must first confirm that
 *   the tool may be called twice (the tool's hint). If the pages so far do not
 *   name the tool, the entry is parked until another page arrives.
 * - `delayed`: as `queued`, but a delay must end first.
 * - `sent`: the request was written, and the response is pending.
 *
 * If a message cannot be written when it arrives, it is queued. A request
 * leaves `sent` without a response in four cases:
 *
 * - The connection is lost. The request is queued again if it may be sent
 *   twice, or if the daemon can be asked for its outcome. Otherwise it fails.
 *   At the second loss it fails, unless it is long-lived. A request that opens
 *   a connection (the handshake) is queued again after every loss.
 * - The daemon has no room for the request, or has no outcome of it yet. The
 *   request is delayed, and then sent again.
 * - The response is unreadable. A request that may be sent twice is sent again.
 * - The proxy moves to another connection. Long-lived requests move with it.
 *
 * If a tool call may be sent twice only because of the tool's hint, the hint
 * must be confirmed before the second write, by the tool list of the connection
 * that will carry it.
 *
 * | state                        | event                                               | next                 |
 * | ---------------------------- | --------------------------------------------------- | -------------------- |
 * | `arrived`                    | `enqueue`: the message cannot be written now        | `queued`             |
 * | `arrived`, `queued`          | `send`: the message was written                     | `sent`               |
 * | `waiting-for-hint`           | `send`: the hint was confirmed, the message written | `sent`               |
 * |                              | `park`: no page so far names the tool      | the same, parked     |
 * |                              | `unpark`: another page of the list arrived      | the same, not parked |
 * | `queued`, `waiting-for-hint` | `requestHint`: the tool list was requested          | `waiting-for-hint`   |
 * |                              | `requireHint`: the hint must be confirmed (again)   | `queued`             |
 * |                              | `clearOutcomePoll`: the daemon lost the outcome     | the same             |
 * | `delayed`                    | `advance`: the delay is over                        | `queued`             |
 * | `sent`                       | `onDisconnect`: the request may be written again    | `queued`             |
 * |                              | `onDisconnect`: the request must fail               | the same             |
 * |                              | `requeue`: another connection takes over            | `queued`             |
 * |                              | `requeue`: the response was unreadable              | `delayed`            |
 * |                              | `delayPoll`: the daemon has no outcome yet          | `delayed`            |
 * |                              | `delayRetry`: the daemon has no room                | `delayed`            |
 * |                              | `requireHint`: a second write needs the hint        | the same             |
 *
 * Any of these events in another state is a bug, except `advance`. The method
 * then throws an error that names the event and the state. While an entry is
 * parked, `send`, `requestHint` and `clearOutcomePoll` throw, too.
 *
 * All other methods may be called in every state. There is no final state: the
 * tracker removes an entry when the message is answered, cancelled or expired.
 *
 * @module
 */

import {
  getNestedId,
  type Id,
  type OutboundMessage,
  type Request,
} from "../protocol/jsonrpc.ts";
import { isLongLived } from "../protocol/methods.ts";
import type { Timeouts } from "./timeouts.ts";

/** The settings of the tracker; `Infinity` means no limit. */
export interface TrackerConfig {
  /** How long a message may wait for usable links in total, in milliseconds. */
  readonly queueTimeout: number;
  /** The limit of queued messages; twice as high for long-lived requests. */
  readonly queueLimit: number;
  /** `on` if a client that asked for progress gets wait notices. */
  readonly waitProgress: "on" | "off";
}

/** A state with its data. It ends by itself at `until`; `Infinity`: never. */
export type RequestState =
  & { until: number }
  & (
    /** An entry leaves `arrived` in the event that created it. */
    | { readonly kind: "arrived" | "queued" | "delayed" }
    /** While `isParked` is true, the list's next page has not arrived yet. */
    | {
      readonly kind: "waiting-for-hint";
      readonly connectionId: number;
      isParked: boolean;
    }
    /** `until` is the end of the idle timeout, which daemon activity moves. */
    | {
      readonly kind: "sent";
      readonly connectionId: number;
      readonly sentAt: number;
      readonly writeNumber: number;
      readonly isHandshakeRequest: boolean;
    }
  );

/** What the proxy does with a sent request after its connection was lost. */
export type Recovery =
  | "resend" // sends the request again
  | "confirm-hint" // sends it again once a tool list confirms the hint
  | "fail" // responds with an error
  // Asks the daemon for the outcome, for `limitMs` milliseconds at most.
  | { readonly kind: "poll-outcome"; readonly limitMs: number };

/** The timeout that ended an entry. */
export type ExpiryReason =
  | "queue-timeout" // the sum of all waits for a usable link
  | "hint-timeout" // the sum of all waits for a tool list
  | "total-timeout" // from the arrival of the request to the response
  | "daemon-timeout" // the daemon's own, if there is no total timeout
  | "idle-timeout"; // since the write, or the daemon's last activity

/** A progress notification that shows the client that its request waits. */
export interface WaitNotice {
  /** The request that waits. */
  readonly message: Request;
  /** The client's progress token. */
  readonly progressToken: Id;
  /** The progress value: the daemon's last one, or 0, plus very small steps. */
  readonly progress: number;
}

/** At this number of lost connections a request fails: it may cause them. */
const MAX_CONNECTION_LOSSES = 2;
/** How long a request may wait for tool lists, on all connections together. */
const HINT_TIMEOUT_MS = 5_000;
const FIRST_WAIT_NOTICE_MS = 1_000;
const WAIT_NOTICE_INTERVAL_MS = 5_000;
/** What each wait notice adds: less than a step of the daemon's progress. */
const WAIT_PROGRESS_STEP = 1e-6;

/** The first state of all entries, which has no data of its own. */
const ARRIVED: RequestState = { kind: "arrived", until: Infinity };

/** A message with its state, and the data that it keeps in every state. */
export class PendingEntry<M extends OutboundMessage = OutboundMessage> {
  #state: RequestState = ARRIVED;
  /** A request's id. A notification's key is not JSON, so it equals no id. */
  readonly key: string;
  /** True if the request waits for as long as the client wants. */
  readonly isLongLived: boolean;
  /** True if a daemon may need some time for the request. */
  readonly isCall: boolean;
  /** When the message arrived; the time asleep since then is added. */
  arrivedAt: number;
  /** The client's progress token; `undefined` if it wants no progress. */
  readonly progressToken: Id | undefined;
  /** The number of writes, since a daemon last had no room for the request. */
  writeCount = 0;
  /** How many connections were lost while the request was in flight. */
  connectionLosses = 0;
  /** How many of these were lost before the last write. */
  #lossesBeforeWrite = 0;
  /** True if the request is written only to ask the daemon for its outcome. */
  isOutcomePoll = false;
  /** When the daemon last reported work, and its last progress value if any. */
  lastDaemonActivity: { at: number; value: number | undefined } | undefined;
  /** The daemon timeout that was last set, in milliseconds, if one was. */
  daemonTimeoutMs: number | undefined;
  /** When the total timeout ends, or the daemon's if there is no total one. */
  #totalDeadline: number;
  /** When the daemon first had no room; `undefined` once it had some. */
  #daemonFullSince: number | undefined;
  /** The rest of the queue timeout when the current wait began. */
  #queueTimeLeftMs: number;
  /** When the current wait for a usable link began; `undefined` if none. */
  #waitingForLinkSince: number | undefined;
  /** The rest of the hint timeout; `undefined` if no hint must be confirmed. */
  #hintTimeLeftMs: number | undefined;
  /** The largest progress value that was sent to the client. */
  #clientProgress = -Infinity;
  #waitNoticeAt = Infinity;
  #waitNoticeCount = 0;

  /** Creates an `arrived` entry; `queueTimeout` is in milliseconds. */
  constructor(
    /** The message. */
    readonly message: M,
    /** The position of the message in the order of arrival. */
    readonly arrivalNumber: number,
    /** The timeouts of the message. */
    readonly timeouts: Timeouts,
    now: number,
    queueTimeout: number,
    private readonly waitProgress: TrackerConfig["waitProgress"],
  ) {
    this.isLongLived = isLongLived(message.method);
    if (message.kind === "request") {
      this.isCall = message.method !== "ping" && !this.isLongLived;
      this.key = message.id;
      this.progressToken = getNestedId(message, "_meta", "progressToken");
    } else {
      this.isCall = false;
      this.key = `notification ${arrivalNumber}`;
    }
    this.arrivedAt = now;
    this.#totalDeadline = now + (timeouts.total?.ms ?? Infinity);
    this.#queueTimeLeftMs = this.isLongLived ? Infinity : queueTimeout;
  }

  /** The name of the current state. */
  get state(): RequestState["kind"] {
    return this.#state.kind;
  }

  /** True if the message is in the queue, in any of its three states. */
  get isQueued(): boolean {
    const { kind } = this.#state;
    return kind !== "arrived" && kind !== "sent";
  }

  /** True if the message may be written as soon as a link can carry it. */
  get isWritable(): boolean {
    return this.#state.kind === "queued" ||
      this.#state.kind === "waiting-for-hint" && !this.#state.isParked;
  }

  /** True if the next write is the first since a connection was lost. */
  get isRepeat(): boolean {
    return this.connectionLosses > this.#lossesBeforeWrite;
  }

  /** The connection that carries the request; `undefined` unless `sent`. */
  get sentOnConnectionId(): number | undefined {
    return this.#state.kind === "sent" ? this.#state.connectionId : undefined;
  }

  /** True if the request opens its connection, and has no response yet. */
  get isHandshakeRequest(): boolean {
    return this.#state.kind === "sent" && this.#state.isHandshakeRequest;
  }

  /** When the request was written; `-Infinity` unless `sent`. */
  get sentAt(): number {
    return this.#state.kind === "sent" ? this.#state.sentAt : -Infinity;
  }

  /** The position among the connection's writes; 0 if unsent or a handshake. */
  get writeNumber(): number {
    return this.#state.kind === "sent" ? this.#state.writeNumber : 0;
  }

  /**
   * Set if a hint must be confirmed. It has a `connectionId` once the tool list
   * was requested on that connection.
   */
  get hintRequirement(): { readonly connectionId?: number } | undefined {
    if (this.#state.kind === "waiting-for-hint") return this.#state;
    return this.#hintTimeLeftMs === undefined ? undefined : {};
  }

  /** Moves the entry from `arrived` to `queued`. */
  enqueue(now: number): void {
    if (this.state !== "arrived") throw this.#unexpected("enqueue");
    this.#enterQueue(now);
  }

  /** Moves a writable entry, or one in `arrived`, to `sent`. */
  send(
    connectionId: number,
    now: number,
    writeNumber: number | "handshake",
  ): void {
    const { kind } = this.#state;
    const mayBeSent = kind === "arrived" || this.isWritable;
    if (!mayBeSent) throw this.#unexpected("send");
    // If this connection is lost, the next one must confirm the hint again.
    if (kind === "waiting-for-hint") this.requireHint(now);
    // A handshake request makes the link usable only when it is answered.
    const isHandshakeRequest = writeNumber === "handshake";
    if (!isHandshakeRequest) this.stopQueueTimer(now);
    this.#waitNoticeAt = Infinity;
    this.writeCount++;
    this.#lossesBeforeWrite = this.connectionLosses;
    this.#state = {
      kind: "sent",
      connectionId,
      sentAt: now,
      writeNumber: isHandshakeRequest ? 0 : writeNumber,
      isHandshakeRequest,
      until: isHandshakeRequest ? Infinity : now + this.timeouts.idle.ms,
    };
  }

  /** Requires a confirmed hint; moves `waiting-for-hint` to `queued`. */
  requireHint(now: number): void {
    const { kind, until } = this.#state;
    if (kind === "waiting-for-hint") {
      this.#hintTimeLeftMs = Math.max(0, until - now);
      this.#state = { kind: "queued", until: Infinity };
    } else if (kind === "queued" || kind === "sent") {
      this.#hintTimeLeftMs ??= HINT_TIMEOUT_MS;
    } else throw this.#unexpected("requireHint");
  }

  /** Moves a writable entry to `waiting-for-hint`. */
  requestHint(connectionId: number, now: number): void {
    if (!this.isWritable) throw this.#unexpected("requestHint");
    this.requireHint(now);
    const until = now + this.#hintTimeLeftMs!;
    const isParked = false;
    this.#state = { kind: "waiting-for-hint", connectionId, isParked, until };
  }

  /** Parks an entry in `waiting-for-hint`. */
  park(): void {
    const state = this.#state;
    if (state.kind === "waiting-for-hint") state.isParked = true;
    else throw this.#unexpected("park");
  }

  /** Makes a parked entry in `waiting-for-hint` writable again. */
  unpark(): void {
    const state = this.#state;
    if (state.kind === "waiting-for-hint") state.isParked = false;
    else throw this.#unexpected("unpark");
  }

  /** Ends the polling: the next write makes the daemon execute the request. */
  clearOutcomePoll(): void {
    if (!this.isWritable) throw this.#unexpected("clearOutcomePoll");
    this.isOutcomePoll = false;
    if (this.timeouts.total === undefined) this.#totalDeadline = Infinity;
  }

  /** Moves the entry from `sent` to `queued`, unless the request must fail. */
  onDisconnect(
    now: number,
    recoveryFor: (request: Request) => Recovery,
  ): "requeued" | "failed" {
    if (this.state !== "sent") throw this.#unexpected("onDisconnect");
    this.connectionLosses++;
    // A handshake request is always sent again, to open the next connection.
    if (!this.isHandshakeRequest) {
      const request = this.message as OutboundMessage as Request;
      const mayRecover = this.connectionLosses < MAX_CONNECTION_LOSSES ||
        isLongLived(request.method);
      const recovery = mayRecover ? recoveryFor(request) : "fail";
      if (recovery === "fail") return "failed";
      if (recovery === "confirm-hint") this.requireHint(now);
      this.isOutcomePoll = typeof recovery === "object";
      if (typeof recovery === "object" && this.timeouts.total === undefined) {
        this.#totalDeadline = now + recovery.limitMs;
        this.daemonTimeoutMs ??= recovery.limitMs;
      }
    }
    this.#enterQueue(now);
    return "requeued";
  }

  /** Moves the entry from `sent` to `queued`, or to `delayed` with a pause. */
  requeue(now: number, pauseMs?: number): void {
    if (this.state !== "sent") throw this.#unexpected("requeue");
    this.#enterQueue(now, pauseMs);
  }

  /** Moves the entry from `sent` to `delayed`; `limitMs` limits the polling. */
  delayPoll(now: number, pauseMs: number, limitMs: number): void {
    if (this.state !== "sent") throw this.#unexpected("delayPoll");
    this.isOutcomePoll = true;
    if (this.#totalDeadline === Infinity) this.setDaemonTimeout(limitMs, now);
    this.#enterQueue(now, pauseMs);
  }

  /**
   * Moves the entry from `sent` to `delayed`. Without a total timeout, returns
   * `expired` once the daemon had no room for as long as the idle timeout.
   */
  delayRetry(now: number, pauseMs: number): "requeued" | "expired" {
    if (this.state !== "sent") throw this.#unexpected("delayRetry");
    this.#daemonFullSince ??= now;
    this.isOutcomePoll = false;
    this.writeCount = 0;
    this.#enterQueue(now, pauseMs);
    if (this.timeouts.total !== undefined) return "requeued";
    this.#totalDeadline = Infinity;
    const fullUntil = this.#daemonFullSince + this.timeouts.idle.ms;
    return now >= fullUntil ? "expired" : "requeued";
  }

  #enterQueue(now: number, pauseMs?: number): void {
    const wantsNotices = this.progressToken !== undefined &&
      this.waitProgress === "on";
    this.#waitNoticeAt = wantsNotices ? now + FIRST_WAIT_NOTICE_MS : Infinity;
    this.#state = pauseMs === undefined
      ? { kind: "queued", until: Infinity }
      : { kind: "delayed", until: now + pauseMs };
  }

  /** Ends a delay that is over; returns the timeout that expired, if any. */
  advance(now: number): ExpiryReason | undefined {
    const { kind, until } = this.#state;
    if (now >= this.#totalDeadline) {
      return this.timeouts.total ? "total-timeout" : "daemon-timeout";
    }
    if (kind === "waiting-for-hint" && now >= until) return "hint-timeout";
    if (now >= this.#queueDeadline) return "queue-timeout";
    if (kind === "sent" && now >= until) return "idle-timeout";
    if (kind === "delayed" && now >= until) {
      this.#state = { kind: "queued", until: Infinity };
    }
    return undefined;
  }

  #unexpected(event: string): Error {
    return new Error(`a message in the state ${this.state} got ${event}`);
  }

  /** When {@linkcode advance} or a wait notice is due; `Infinity`: never. */
  get deadline(): number {
    return Math.min(
      this.#totalDeadline,
      this.#queueDeadline,
      this.#waitNoticeAt,
      this.#state.until,
    );
  }

  get #queueDeadline(): number {
    const since = this.#waitingForLinkSince;
    return since === undefined ? Infinity : since + this.#queueTimeLeftMs;
  }

  /** Starts the queue timer, if the message is queued or opens a connection. */
  startQueueTimer(now: number): void {
    if (this.isQueued || this.isHandshakeRequest) {
      this.#waitingForLinkSince ??= now;
    }
  }

  /** Stops the queue timer; the wait counts towards the queue timeout. */
  stopQueueTimer(now: number): void {
    if (this.#waitingForLinkSince === undefined) return;
    this.#queueTimeLeftMs -= now - this.#waitingForLinkSince;
    this.#waitingForLinkSince = undefined;
  }

  /** Starts the daemon's timeout, unless there is a total timeout. */
  setDaemonTimeout(ms: number, now: number): void {
    // The daemon has started the request, so it had room.
    this.#daemonFullSince = undefined;
    if (this.timeouts.total !== undefined) return;
    this.#totalDeadline = now + ms;
    this.daemonTimeoutMs = ms;
  }

  /** Restarts the idle timeout, because the daemon works on the request. */
  onDaemonWorking(now: number, value = this.lastDaemonActivity?.value): void {
    this.lastDaemonActivity = { at: now, value };
    const state = this.#state;
    if (state.kind === "sent" && !state.isHandshakeRequest) {
      state.until = now + this.timeouts.idle.ms;
    }
  }

  /** Records the daemon's progress; returns true if the client must get it. */
  acceptProgress(now: number, value: number): boolean {
    this.onDaemonWorking(now, value);
    // After a second write, the daemon's progress starts again. But the values
    // that the client gets must increase (MCP, utilities/progress).
    if (this.writeCount > 1 && !(value > this.#clientProgress)) return false;
    this.#clientProgress = Math.max(this.#clientProgress, value);
    return true;
  }

  /** Returns a wait notice if one is due and no link is usable. */
  takeDueWaitNotice(now: number): WaitNotice | undefined {
    if (now < this.#waitNoticeAt) return undefined;
    this.#waitNoticeAt = now + WAIT_NOTICE_INTERVAL_MS;
    if (this.#waitingForLinkSince !== undefined) return this.takeWaitNotice();
    this.#waitNoticeCount++;
    return undefined;
  }

  /** Returns a wait notice, if the client wants one and its value increases. */
  takeWaitNotice(): WaitNotice | undefined {
    const { progressToken } = this;
    if (progressToken === undefined) return undefined;
    const message = this.message as OutboundMessage as Request;
    const reported = Math.max(0, this.lastDaemonActivity?.value ?? 0);
    const progress = reported + ++this.#waitNoticeCount * WAIT_PROGRESS_STEP;
    if (!(progress > this.#clientProgress)) return undefined;
    this.#clientProgress = progress;
    return { message, progressToken, progress };
  }

  /** Moves every moment by the time asleep, in milliseconds. */
  postpone(ms: number): void {
    this.arrivedAt += ms;
    if (this.lastDaemonActivity !== undefined) this.lastDaemonActivity.at += ms;
    if (this.#waitingForLinkSince !== undefined) {
      this.#waitingForLinkSince += ms;
    }
    if (this.#daemonFullSince !== undefined) this.#daemonFullSince += ms;
    this.#totalDeadline += ms;
    this.#waitNoticeAt += ms;
    this.#state.until += ms;
  }
}

/** The entry of a pending request or of a queued notification. */
export type ReadonlyEntry<M extends OutboundMessage = OutboundMessage> =
  Readonly<PendingEntry<M>>;

/** The entry of a request that has no response yet. */
export type PendingRequest = ReadonlyEntry<Request>;
