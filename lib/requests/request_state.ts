/**
 * The state machine of one message of the client's: a request until it is
 * answered, a notification until it is written.
 *
 * A message that has arrived is written at once, or else it is queued. What was
 * written waits for its response. If its connection is lost, it fails, or it is
 * queued again: it may be repeated, or the daemon can be asked for its outcome.
 * A call that is repeated only because of its tool's hint first waits until the
 * tool list of the new daemon confirms the hint. A daemon can also say "later":
 * then the message is delayed. The request that opens a connection is queued
 * again whenever that connection is lost before the response.
 *
 * | state                        | event                                        | next               |
 * | ---------------------------- | -------------------------------------------- | ------------------ |
 * | `arrived`                    | `enqueue`: it cannot be written now          | `queued`           |
 * | `arrived`, `queued`          | `send`: it was written                       | `sent`             |
 * | `waiting-for-hint`           | `send`: the hint is confirmed                | `sent`             |
 * |                              | `awaitToolList`: the list does not decide it | the same, parked   |
 * |                              | `onToolList`: more of the list has arrived   | the same           |
 * | `queued`, `waiting-for-hint` | `requestHint`: the tool list was requested   | `waiting-for-hint` |
 * |                              | `requireHint`: to be confirmed anew          | `queued`           |
 * |                              | `clearOutcomePoll`: the outcome is lost      | the same           |
 * | `delayed`                    | `advance`: its time has come                 | `queued`           |
 * | `sent`                       | `onDisconnect`: it may be written again      | `queued`           |
 * |                              | `onDisconnect`: it may not, and fails        | the same           |
 * |                              | `requeue`: another connection takes over     | `queued`           |
 * |                              | `requeue`: its response was unreadable       | `delayed`          |
 * |                              | `delayPoll`: its outcome is not known yet    | `delayed`          |
 * |                              | `delayRetry`: the daemon has no room         | `delayed`          |
 * |                              | `requireHint`: before it is written again    | the same           |
 *
 * Another of these events in a state is a bug of ours, and an error that names
 * both; so are `send`, `requestHint` and `clearOutcomePoll` while a message is
 * parked. In every state time passes (`advance`), the daemon may show that it
 * works (`onDaemonWorking`, `setDaemonTimeout`, `acceptProgress`), and a message
 * is closed when it is answered, cancelled or expired (its queue, idle, total or
 * daemon timeout): the tracker forgets it in its last state.
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

/** The settings that limit how long messages wait; `Infinity` for no limit. */
export interface TrackerConfig {
  /** How long a request may wait in all outages together, in milliseconds. */
  readonly queueTimeout: number;
  /** How many messages may be queued. */
  readonly queueLimit: number;
  /** Whether a client that asked for progress gets wait notices. */
  readonly waitProgress: "on" | "off";
}

/** A state, what has meaning only in it, and when it ends by itself. */
export type RequestState =
  & { until: number }
  & (
    /** `arrived` lasts only within one event. */
    | { readonly kind: "arrived" | "queued" | "delayed" }
    /** While it is parked, the tool list has brought nothing new. */
    | {
      readonly kind: "waiting-for-hint";
      readonly connectionId: number;
      isParked: boolean;
    }
    /** It ends when the daemon has not worked on it for the idle timeout. */
    | {
      readonly kind: "sent";
      readonly connectionId: number;
      readonly sentAt: number;
      readonly writeNumber: number;
      readonly isHandshake: boolean;
    }
  );

/** What happens to a request whose connection was lost. */
export type Recovery =
  | "resend"
  | "confirm-hint"
  | "fail"
  | { readonly kind: "poll-outcome"; readonly limitMs: number };

/** Why the tracker closed the entry of a request. */
export type ExpiryReason =
  | "queue-timeout"
  | "hint-timeout"
  | "total-timeout"
  | "daemon-timeout"
  | "idle-timeout";

/** A progress notification to a client while its request waits. */
export interface WaitNotice {
  /** The request. */
  readonly message: Request;
  /** The client's progress token. */
  readonly progressToken: Id;
  /** The progress value; smaller than any progress of the daemon itself. */
  readonly progress: number;
}

/** After how many losses in flight a request is assumed to crash daemons. */
const MAX_CONNECTION_LOSSES = 2;
/** How long daemons may take in total to list their tools. */
const HINT_TIMEOUT_MS = 5_000;
const FIRST_WAIT_NOTICE_MS = 1_000;
const WAIT_NOTICE_INTERVAL_MS = 5_000;
/** How much each notice adds: so little that the daemon's steps are larger. */
const WAIT_PROGRESS_STEP = 1e-6;

/** A message, its state, and what outlasts a change of the state. */
export class PendingEntry<M extends OutboundMessage = OutboundMessage> {
  #state: RequestState = { kind: "arrived", until: Infinity };
  /** The id; a notification has a key that is not JSON and so equals no id. */
  readonly key: string;
  /** When it arrived; a later sleep moves it. */
  arrivedAt: number;
  /** The progress token from the client. */
  readonly progressToken: Id | undefined;
  /** How often it was written since a daemon last had no room for it. */
  writeCount = 0;
  /** How many connections were lost while it was in flight. */
  connectionLosses = 0;
  /** It is written only to ask the daemon for its outcome. */
  isOutcomePoll = false;
  /** When the daemon last reported progress, and the value if it gave one. */
  daemonProgress: { at: number; value: number | undefined } | undefined;
  /** The length of the daemon's timeout when the daemon announced it. */
  daemonTimeoutMs: number | undefined;
  /** When the total timeout ends; if there is none, the daemon's. */
  #endsAt: number;
  #daemonFullSince: number | undefined;
  /** How much longer it may wait for a link, without the current wait. */
  #queueTimeLeftMs: number;
  /** Since when it waits for a link; `undefined` while it does not. */
  #waitingSince: number | undefined;
  /** How much longer daemons may take to confirm its hint, if it needs one. */
  #hintTimeLeftMs: number | undefined;
  /** The last progress value that the client got: the next must be larger. */
  #clientProgress = -Infinity;
  #waitNoticeAt = Infinity;
  #waitNoticeCount = 0;

  /** Creates the entry of a message that has just arrived. */
  constructor(
    /** The message. */
    readonly message: M,
    /** Its position in the order of arrival. */
    readonly arrivalNumber: number,
    /** Its timeouts. */
    readonly timeouts: Timeouts,
    now: number,
    queueTimeout: number,
    private readonly waitProgress: TrackerConfig["waitProgress"],
  ) {
    const { kind, method } = message;
    this.key = `notification ${arrivalNumber}`;
    if (kind === "request") {
      this.key = message.id;
      this.progressToken = getNestedId(message, "_meta", "progressToken");
    }
    this.arrivedAt = now;
    this.#endsAt = now + (timeouts.total?.ms ?? Infinity);
    this.#queueTimeLeftMs = isLongLived(method) ? Infinity : queueTimeout;
  }

  /** The state. */
  get state(): RequestState["kind"] {
    return this.#state.kind;
  }

  /** Whether it is in the queue. */
  get isQueued(): boolean {
    return this.state !== "arrived" && this.state !== "sent";
  }

  /** Whether it may be written as soon as a link can carry it. */
  get isWritable(): boolean {
    return this.#state.kind === "queued" ||
      this.#state.kind === "waiting-for-hint" && !this.#state.isParked;
  }

  /** The connection it was written to; `undefined` while it is queued. */
  get sentOnConnectionId(): number | undefined {
    return this.#state.kind === "sent" ? this.#state.connectionId : undefined;
  }

  /** Whether that connection is not ready before the response. */
  get isHandshake(): boolean {
    return this.#state.kind === "sent" && this.#state.isHandshake;
  }

  /** When it was written to that connection. */
  get sentAt(): number {
    return this.#state.kind === "sent" ? this.#state.sentAt : -Infinity;
  }

  /** Its position in the order of writes on that connection. */
  get writeNumber(): number {
    return this.#state.kind === "sent" ? this.#state.writeNumber : 0;
  }

  /** Its hint must be confirmed; by the tool list of the connection, if any. */
  get hintRequirement(): { readonly connectionId?: number } | undefined {
    if (this.#state.kind === "waiting-for-hint") return this.#state;
    return this.#hintTimeLeftMs === undefined ? undefined : {};
  }

  /** From `arrived` to `queued`. */
  enqueue(now: number): void {
    if (this.state !== "arrived") throw this.#unexpected("enqueue");
    this.#enterQueue(now);
  }

  /** From `arrived`, `queued` or `waiting-for-hint` to `sent`. */
  send(
    connectionId: number,
    now: number,
    writeNumber: number | "handshake",
  ): void {
    const mayBeSent = this.state === "arrived" || this.isWritable;
    if (!mayBeSent) throw this.#unexpected("send");
    // The next connection would have to confirm the hint again.
    if (this.state === "waiting-for-hint") this.requireHint(now);
    // The queue timer of a handshake request runs until the link is ready.
    const isHandshake = writeNumber === "handshake";
    if (!isHandshake) this.stopQueueTimer(now);
    this.#waitNoticeAt = Infinity;
    this.writeCount++;
    this.#state = {
      kind: "sent",
      connectionId,
      sentAt: now,
      writeNumber: isHandshake ? 0 : writeNumber,
      isHandshake,
      until: isHandshake ? Infinity : now + this.timeouts.idle.ms,
    };
  }

  /** From `queued` or `waiting-for-hint` to `queued`; `sent` stays. */
  requireHint(now: number): void {
    const { kind, until } = this.#state;
    if (kind === "waiting-for-hint") {
      this.#hintTimeLeftMs = Math.max(0, until - now);
      this.#state = { kind: "queued", until: Infinity };
    } else if (kind === "queued" || kind === "sent") {
      this.#hintTimeLeftMs ??= HINT_TIMEOUT_MS;
    } else throw this.#unexpected("requireHint");
  }

  /** From `queued` or `waiting-for-hint` to `waiting-for-hint`. */
  requestHint(connectionId: number, now: number): void {
    if (!this.isWritable) throw this.#unexpected("requestHint");
    this.requireHint(now);
    const until = now + this.#hintTimeLeftMs!;
    const isParked = false;
    this.#state = { kind: "waiting-for-hint", connectionId, isParked, until };
  }

  /** From `waiting-for-hint` to the same, parked. */
  awaitToolList(): void {
    const state = this.#state;
    if (state.kind === "waiting-for-hint") state.isParked = true;
    else throw this.#unexpected("awaitToolList");
  }

  /** From `waiting-for-hint` to the same, no longer parked. */
  onToolList(): void {
    const state = this.#state;
    if (state.kind === "waiting-for-hint") state.isParked = false;
    else throw this.#unexpected("onToolList");
  }

  /** From `queued` or `waiting-for-hint` to the same, to be executed. */
  clearOutcomePoll(): void {
    if (!this.isWritable) throw this.#unexpected("clearOutcomePoll");
    this.isOutcomePoll = false;
    if (this.timeouts.total === undefined) this.#endsAt = Infinity;
  }

  /** From `sent` to `queued`; a request that may not be repeated stays. */
  onDisconnect(
    now: number,
    recoveryFor: (request: Request) => Recovery,
  ): "requeued" | "failed" {
    if (this.state !== "sent") throw this.#unexpected("onDisconnect");
    this.connectionLosses++;
    // The handshake request opens every connection.
    if (!this.isHandshake) {
      const request = this.message as OutboundMessage as Request;
      const mayRecover = this.connectionLosses < MAX_CONNECTION_LOSSES ||
        isLongLived(request.method);
      const recovery = mayRecover ? recoveryFor(request) : "fail";
      if (recovery === "fail") return "failed";
      if (recovery === "confirm-hint") this.requireHint(now);
      this.isOutcomePoll = typeof recovery === "object";
      if (typeof recovery === "object" && this.timeouts.total === undefined) {
        this.#endsAt = now + recovery.limitMs;
        this.daemonTimeoutMs ??= recovery.limitMs;
      }
    }
    this.#enterQueue(now);
    return "requeued";
  }

  /** From `sent` to `queued`, or to `delayed` if there is a pause. */
  requeue(now: number, pauseMs?: number): void {
    if (this.state !== "sent") throw this.#unexpected("requeue");
    this.#enterQueue(now, pauseMs);
  }

  /** From `sent` to `delayed`, to poll the outcome for `limitMs` at most. */
  delayPoll(now: number, pauseMs: number, limitMs: number): void {
    if (this.state !== "sent") throw this.#unexpected("delayPoll");
    this.isOutcomePoll = true;
    if (this.#endsAt === Infinity) this.setDaemonTimeout(limitMs, now);
    this.#enterQueue(now, pauseMs);
  }

  /** From `sent` to `delayed`; expired if that repeats for the idle timeout. */
  delayRetry(now: number, pauseMs: number): "requeued" | "expired" {
    if (this.state !== "sent") throw this.#unexpected("delayRetry");
    this.#daemonFullSince ??= now;
    this.isOutcomePoll = false;
    this.writeCount = 0;
    this.#enterQueue(now, pauseMs);
    if (this.timeouts.total !== undefined) return "requeued";
    this.#endsAt = Infinity;
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

  /** From `delayed` to `queued`, if it is time; returns why it has expired. */
  advance(now: number): ExpiryReason | undefined {
    const { kind, until } = this.#state;
    if (now >= this.#endsAt) {
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

  /** The earliest time at which {@linkcode advance} or a notice is due. */
  get deadline(): number {
    return Math.min(
      this.#endsAt,
      this.#queueDeadline,
      this.#waitNoticeAt,
      this.#state.until,
    );
  }

  get #queueDeadline(): number {
    const since = this.#waitingSince;
    return since === undefined ? Infinity : since + this.#queueTimeLeftMs;
  }

  /** Starts the queue timer: the time in the queue is the sum of all waits. */
  startQueueTimer(now: number): void {
    if (this.isQueued || this.isHandshake) this.#waitingSince ??= now;
  }

  /** Stops the queue timer, if it runs. */
  stopQueueTimer(now: number): void {
    if (this.#waitingSince === undefined) return;
    this.#queueTimeLeftMs -= now - this.#waitingSince;
    this.#waitingSince = undefined;
  }

  /** Sets the daemon's timeout, which counts if there is no total timeout. */
  setDaemonTimeout(ms: number, now: number): void {
    // The daemon has started the request.
    this.#daemonFullSince = undefined;
    if (this.timeouts.total !== undefined) return;
    this.#endsAt = now + ms;
    this.daemonTimeoutMs = ms;
  }

  /** Records that the daemon works on it, and its progress if it gave any. */
  onDaemonWorking(now: number, value = this.daemonProgress?.value): void {
    this.daemonProgress = { at: now, value };
    const state = this.#state;
    if (state.kind === "sent" && !state.isHandshake) {
      state.until = now + this.timeouts.idle.ms;
    }
  }

  /** Records the daemon's progress; returns whether the client gets it. */
  acceptProgress(now: number, value: number): boolean {
    this.onDaemonWorking(now, value);
    // A request that was written again begins anew.
    if (this.writeCount > 1 && !(value > this.#clientProgress)) return false;
    this.#clientProgress = Math.max(this.#clientProgress, value);
    return true;
  }

  /** Returns the wait notice of a queued request, if one is due. */
  takeDueWaitNotice(now: number): WaitNotice | undefined {
    if (now < this.#waitNoticeAt) return undefined;
    this.#waitNoticeAt = now + WAIT_NOTICE_INTERVAL_MS;
    if (this.#waitingSince !== undefined) return this.takeWaitNotice();
    this.#waitNoticeCount++;
    return undefined;
  }

  /** Returns a wait notice, if the client wants one and the value increases. */
  takeWaitNotice(): WaitNotice | undefined {
    const { progressToken } = this;
    if (progressToken === undefined) return undefined;
    const message = this.message as OutboundMessage as Request;
    const reported = Math.max(0, this.daemonProgress?.value ?? 0);
    const progress = reported + ++this.#waitNoticeCount * WAIT_PROGRESS_STEP;
    if (!(progress > this.#clientProgress)) return undefined;
    this.#clientProgress = progress;
    return { message, progressToken, progress };
  }

  /** Postpones all moments, after a sleep. */
  postpone(ms: number): void {
    this.arrivedAt += ms;
    if (this.daemonProgress !== undefined) this.daemonProgress.at += ms;
    if (this.#waitingSince !== undefined) this.#waitingSince += ms;
    if (this.#daemonFullSince !== undefined) this.#daemonFullSince += ms;
    this.#endsAt += ms;
    this.#waitNoticeAt += ms;
    this.#state.until += ms;
  }
}

/** A request without a response yet, or a queued notification. */
export type ReadonlyEntry<M extends OutboundMessage = OutboundMessage> =
  Readonly<PendingEntry<M>>;

/** A request without a response yet. */
export type PendingRequest = ReadonlyEntry<Request>;
