/**
 * The state machine of one link to the daemon. The folder `lib/link/` decides
 * when links dial, how long they wait, whether a connection is still alive, and
 * how many connections a daemon keeps.
 *
 * A link makes one connection after another. If a dial fails or a connection
 * ends, the link waits and dials again, without limit. Each connection has a
 * new id, so late events of an old connection can be ignored.
 *
 * The backoff schedule (`backoff.ts`) sets the time of the next dial. A request
 * that no other link can carry makes the dial urgent: it comes earlier, and has
 * shorter timeouts. A dial has two phases, each with its own timeout:
 *
 * 1. `dialing`: the WebSocket opens.
 * 2. `handshaking`: the opening message is sent, and the daemon answers it.
 *    Nothing is due until there is a message to send.
 *
 * `deadline` returns when something is due, and `nextAction` then returns what.
 *
 * | state             | what is due without an event                                        | event                                         | next          |
 * | ----------------- | ------------------------------------------------------------- | --------------------------------------------- | ------------- |
 * | `waiting`         | a dial, at `scheduledAt`; if it is urgent, at `urgentAt`      | `dial`                                        | `dialing`     |
 * |                   | removal of a pool link, unless it is wanted or refused        |                                               |               |
 * |                   |                                                               | `tryRedialAfterRefusal`: a request arrives, 5 s or more after the last dial | `waiting`, due now |
 * |                   |                                                               | `scheduleDialForRequest`: a request arrives, and another client has the connection | `waiting`, due at `urgentAt` |
 * | `dialing`         | a disconnect, at `until`; if it is urgent, at `urgentUntil`   | `onOpen`                                      | `handshaking` |
 * | `handshaking`     | the same, once the opening message is sent                    | `onHandshakeSent`, `resetHandshake`           | `handshaking` |
 * |                   |                                                               | `becomeReady`: the daemon has answered        | `ready`       |
 * | `ready`           | a probe, suspicion or a disconnect (`liveness.ts`)            | `markSuspect`                                 | `ready`       |
 * |                   | removal of a pool link 60 s after its last use, or of a draining link without calls | |         |
 * | any but `waiting` |                                                               | `onDisconnect`                                | `waiting`     |
 * | any               |                                                               | `onResume`: the program slept                 | the same      |
 *
 * While the program sleeps, no time passes for a link: what the clock counted
 * of the sleep is added to the times of the state. After a sleep, a waiting
 * link dials at once, unless it is refused or displaced by another client. A
 * ready link is probed at once.
 *
 * An event throws in a state without a row for it; only `tryRedialAfterRefusal`
 * and `scheduleDialForRequest` then change nothing. Facts about the connection,
 * for example from `onBacklog`, are dropped when it ends, and ignored in
 * `waiting`.
 *
 * @module
 */

import {
  Backoff,
  type BackoffConfig,
  type ConnectingPhase,
  type DialEnd,
  type DialSchedule,
  type HandshakeHistory,
} from "./backoff.ts";
import {
  AFTER_SLEEP_TIMEOUT_MS,
  type ConnectionUsage,
  Liveness,
  type LivenessAction,
  type LivenessConfig,
} from "./liveness.ts";

/** The timeouts of a link, in milliseconds. */
export interface LinkConfig extends LivenessConfig, BackoffConfig {
  /** The timeout of each phase of a dial; it is shorter for an urgent dial. */
  readonly handshakeTimeout: number;
}

/** How long a link must stay ready before its backoff schedule restarts. */
const BACKOFF_RESET_MS = 5_000;
/** After a sleep that is longer than this, the peer has given up a dial. */
const LONG_SLEEP_MS = 10_000;
/** The least time between a refused dial and a dial for a new request. */
const MIN_REFUSED_REDIAL_MS = 5_000;
/** A dial that hung beyond this many urgent timeouts was not urgent. */
const MAX_URGENT_HANG_FACTOR = 1.5;
const POOL_IDLE_MS = 60_000;
const NEVER = { until: Infinity, urgentUntil: Infinity };

/** The purpose of a link. */
export type LinkRole =
  | "main" // carries all messages, except those for the pool
  | "pool" // carries requests that occupy a connection
  | "standby" // tests the daemon while the main connection is silent
  | "draining" // was the main link, and keeps the calls in flight on it
  | "capacity-check"; // tests whether the daemon keeps two connections

/** The state of a link, with the times at which something is due. */
export type LinkState =
  /** `scheduledAt` is `Infinity` while another client has the connection. */
  | { readonly phase: "waiting" } & DialSchedule
  /** Both deadlines are `Infinity` until the opening message is sent. */
  | {
    readonly phase: ConnectingPhase;
    readonly since: number;
    readonly until: number;
    readonly urgentUntil: number;
  }
  | {
    readonly phase: "ready";
    readonly since: number;
    readonly liveness: Liveness;
  };

/** What requests need of a link, and what its connection carries. */
export interface LinkUsage extends ConnectionUsage {
  /** True if a request is queued for which this link should be dialed. */
  readonly isWanted: boolean;
  /** True if, in addition, no other link can carry it: a dial is urgent. */
  readonly isUrgent: boolean;
}

/** The causes of a failed dial or a lost connection that the code handles. */
export const FAILURE_CAUSES = [
  "nobody there", // nothing listens at the address
  "refused", // by the daemon, or by a proxy in front of it (HTTP 401, 403)
  "token refused", // the daemon rejects the configured token
  "policy violation", // the close code is 1008 (RFC 6455 section 7.4.1)
  "other dialect", // the daemon speaks another dialect than the configured one
] as const;

/** One of {@linkcode FAILURE_CAUSES}. */
export type FailureCause = typeof FAILURE_CAUSES[number];

/** Why a connection ended or a dial failed. */
export interface Failure {
  /** A description for people, without a full stop. */
  readonly reason: string;
  /** The cause, for code; `undefined` if it is not one of the known causes. */
  readonly cause?: FailureCause | undefined;
}

/** Why a link was disconnected, and what that means for its next dial. */
export interface DisconnectCause extends Failure, DialEnd {
  /** True if the proxy's own second connection caused it: dial at once. */
  readonly isSelfCaused?: boolean;
  /** True if the client reads too slowly; it must read before the next dial. */
  readonly isStdoutFull?: boolean;
  /**
   * Whether the daemon closed the connection in favor of another client;
   * `unclear` if a request may be the cause.
   */
  readonly displaced?: "likely" | "unclear" | "no";
  /** The close code; undefined if the proxy itself ended the connection. */
  readonly closeCode?: number;
  /** The message that was too large: a request, or the response to one. */
  readonly tooLarge?: "request" | "response" | undefined;
  /** True if the daemon may have rejected the offered subprotocol. */
  readonly mayBeSubprotocol?: boolean;
  /** How long ago the connection ended, in ms. The backoff starts then. */
  readonly agoMs?: number;
}

/** The state machine of one link to the daemon. */
export class Link {
  readonly #backoff: Backoff;
  #connectionId: number;
  #role: LinkRole;
  #state: LinkState;
  #attempt = 0;
  #dialedAt = -Infinity;
  /** When the current series of dials that hung began, if there is one. */
  #hungSince: number | undefined;
  #downSince: number;
  #handshakeMs = 0;
  #lastFailure: DisconnectCause | undefined;
  #lastFailureAt: number | undefined;
  /** When the pool link was last used; `Infinity` for any other role. */
  #lastUsedAt = Infinity;
  #isBacklogged = false;
  /** The write number of the last one-way message, which gets no response. */
  #lastOneWayNumber = -Infinity;
  #lastAnsweredNumber = 0;

  /** Creates a link in `waiting` whose first dial is due at `now`. */
  constructor(
    private readonly config: LinkConfig,
    random: () => number,
    connectionId: number,
    now: number,
    role: LinkRole,
    private readonly history: HandshakeHistory,
  ) {
    this.#connectionId = connectionId;
    this.#role = role;
    this.#backoff = new Backoff(config, random);
    this.#state = { phase: "waiting", scheduledAt: now, urgentAt: now };
    this.#downSince = now;
  }

  /** The id of the current connection, or of the next one while waiting. */
  get connectionId(): number {
    return this.#connectionId;
  }

  /** The purpose of the link. */
  get role(): LinkRole {
    return this.#role;
  }

  /** Changes the role of a standby that replaces the main link. */
  becomeMain(): void {
    this.#role = "main";
  }

  /** Changes the role of a main link that was replaced. */
  startDraining(): void {
    this.#role = "draining";
  }

  /** True for a second connection, which tests the daemon without any calls. */
  get isSecondConnection(): boolean {
    return this.role === "standby" || this.role === "capacity-check";
  }

  /** The name of the current state. */
  get phase(): LinkState["phase"] {
    return this.#state.phase;
  }

  /** The number of attempts to connect since the link was last ready. */
  get attemptCount(): number {
    return this.#attempt;
  }

  /** When the current outage began; meaningless while the link is usable. */
  get downSince(): number {
    return this.#downSince;
  }

  /** When the link became ready; `undefined` if it is not ready. */
  get readySince(): number | undefined {
    return this.#state.phase === "ready" ? this.#state.since : undefined;
  }

  /** Why the daemon refuses the link; `undefined` if it does not. */
  get refusal(): string | undefined {
    const isRefused = this.phase !== "ready" && this.#lastFailure?.isRefused;
    return isRefused ? this.lastFailure : undefined;
  }

  /** True while another client has the connection: only a request redials. */
  get isDisplaced(): boolean {
    const state = this.#state;
    return state.phase === "waiting" && state.scheduledAt === Infinity;
  }

  /** Why the last dial or connection ended, for people. */
  get lastFailure(): string | undefined {
    return this.#lastFailure?.reason;
  }

  /** When the last dial or connection ended; `undefined` if none has. */
  get lastFailureAt(): number | undefined {
    return this.#lastFailureAt;
  }

  /** Why the last dial or connection ended, for code. */
  get lastCause(): FailureCause | undefined {
    return this.#lastFailure?.cause;
  }

  /** The liveness of the connection; `undefined` unless the link is ready. */
  get liveness(): Liveness | undefined {
    return this.#state.phase === "ready" ? this.#state.liveness : undefined;
  }

  /** True if messages may be written: ready, verified and not suspect. */
  get isUsable(): boolean {
    return this.liveness?.isUsable ?? false;
  }

  /** How long both phases of the last dial took, in milliseconds. */
  get handshakeMs(): number {
    return this.#handshakeMs;
  }

  /** True if the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.history.offersSubprotocol;
  }

  /** True while the WebSocket is open and the opening message is unsent. */
  get isHandshakeUnsent(): boolean {
    return this.#state.phase === "handshaking" &&
      this.#state.until === Infinity;
  }

  /** True while the daemon reads so slowly that nothing may be written. */
  get isBacklogged(): boolean {
    return this.#isBacklogged;
  }

  /** True if the daemon answered a message written after all one-way ones. */
  get hasDaemonReadAllOneWay(): boolean {
    // Before that, an error without an id may refer to the one-way message.
    return this.#lastOneWayNumber < this.#lastAnsweredNumber;
  }

  /** Returns when `nextAction` must be called next; `Infinity` for never. */
  deadline(usage: LinkUsage): number {
    const { isWanted, isUrgent } = usage;
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isUrgent) return Math.min(state.urgentAt, state.scheduledAt);
        // A pool link that no request wants is removed, unless the daemon
        // refuses it: then it stays and keeps trying.
        return isWanted || this.role !== "pool" || this.refusal
          ? state.scheduledAt
          : -Infinity;
      case "dialing":
      case "handshaking":
        return isUrgent ? state.urgentUntil : state.until;
      case "ready":
        return Math.min(
          state.liveness.deadline(usage),
          state.liveness.deadAt(usage),
          this.#unneededAt(usage),
        );
    }
  }

  #unneededAt({ load }: LinkUsage): number {
    if (this.role === "draining" && load !== "busy") return -Infinity;
    const mayBeIdle = load === "idle" || load === "busy-on-other-link";
    return mayBeIdle ? this.#lastUsedAt + POOL_IDLE_MS : Infinity;
  }

  /** Returns what to do at `now`; `close` removes the link from the set. */
  nextAction(now: number, usage: LinkUsage): LivenessAction | "dial" | "close" {
    if (now < this.deadline(usage)) return "nothing";
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        return this.role === "pool" && !usage.isWanted ? "close" : "dial";
      case "dialing":
      case "handshaking":
        return "disconnect";
      case "ready":
        if (now >= state.liveness.deadAt(usage)) return "disconnect";
        if (now >= this.#unneededAt(usage)) return "close";
        return state.liveness.nextAction(now, usage);
    }
  }

  /**
   * waiting -> waiting: makes a dial due, because a request needs a link that
   * the daemon refuses. Returns false if the last dial is too recent: then the
   * request fails at once.
   */
  tryRedialAfterRefusal(now: number): boolean {
    if (this.#state.phase !== "waiting") return true;
    const { scheduledAt } = this.#state;
    const redialAt = this.#dialedAt + MIN_REFUSED_REDIAL_MS;
    if (now < Math.min(scheduledAt, redialAt)) return false;
    this.#state = { phase: "waiting", scheduledAt: now, urgentAt: now };
    return true;
  }

  /** waiting -> waiting: lets a request redial a link that is displaced. */
  scheduleDialForRequest(now: number): void {
    if (this.#state.phase !== "waiting" || !this.isDisplaced) return;
    const { urgentAt } = this.#state;
    // The outage begins with this request: none needed the link before.
    this.#downSince = now;
    this.#state = {
      phase: "waiting",
      scheduledAt: urgentAt,
      urgentAt,
    };
  }

  /** waiting -> dialing: starts an attempt to connect. */
  dial(now: number): void {
    const { scheduledAt } = this.#expectPhase("waiting", "dial");
    this.#backoff.onDial(now, scheduledAt);
    this.#dialedAt = now;
    this.#attempt++;
    this.#state = this.#startPhase("dialing", now);
  }

  /** dialing -> handshaking: records that the WebSocket is open. */
  onOpen(now: number): void {
    const { since } = this.#expectPhase("dialing", "open");
    this.#handshakeMs = now - since;
    this.history.onPhaseCompleted("dialing", now - since);
    this.#state = { phase: "handshaking", since: now, ...NEVER };
  }

  /** handshaking -> handshaking: records that the opening message was sent. */
  onHandshakeSent(now: number): void {
    const { since } = this.#expectPhase("handshaking", "send the handshake");
    // The outage begins with this message: the link was not needed before.
    if (now > since) this.#downSince = now;
    this.#state = this.#startPhase("handshaking", now);
  }

  /** handshaking -> handshaking: the opening message must be sent again. */
  resetHandshake(now: number): void {
    this.#expectPhase("handshaking", "repeat the handshake");
    this.#state = { phase: "handshaking", since: now, ...NEVER };
  }

  /** Returns the age of the phase in ms; `undefined` after its full timeout. */
  ageBeforeFullTimeoutMs(now: number): number | undefined {
    const state = this.#state;
    const isBeforeFullTimeout = "until" in state && now < state.until;
    return isBeforeFullTimeout ? now - state.since : undefined;
  }

  #startPhase(phase: ConnectingPhase, now: number): LinkState {
    const { handshakeTimeout } = this.config;
    const hungMs = now - (this.#hungSince ?? now);
    // A standby gets the full timeout: if it hangs, too, the daemon hangs.
    const urgentTimeout = this.role === "standby"
      ? handshakeTimeout
      : this.history.urgentTimeoutMs(phase, hungMs);
    return {
      phase,
      since: now,
      until: now + handshakeTimeout,
      urgentUntil: now + urgentTimeout,
    };
  }

  /** handshaking -> ready: records that the daemon answered the handshake. */
  becomeReady(now: number): void {
    const { since } = this.#expectPhase("handshaking", "become ready");
    this.#handshakeMs += now - since;
    this.history.onPhaseCompleted("handshaking", now - since);
    this.#attempt = 0;
    this.markUsed(now);
    const liveness = new Liveness(this.config, now);
    this.#state = { phase: "ready", since: now, liveness };
  }

  /** Restarts the backoff schedule: the daemon has answered a request. */
  onResponse(): void {
    this.#backoff.reset();
  }

  /** Records that a message of a request was sent or received on the link. */
  markUsed(now: number): void {
    if (this.role === "pool") this.#lastUsedAt = now;
  }

  /** Records that the unsent output exceeds its limit, or is mostly sent. */
  onBacklog(backlog: "full" | "drained"): void {
    this.#isBacklogged = backlog === "full" && this.phase !== "waiting";
  }

  /** Records that a message that gets no response was written. */
  onOneWaySent(writeNumber: number): void {
    if (this.phase !== "waiting") this.#lastOneWayNumber = writeNumber;
  }

  /** Records that the message with this write number was answered. */
  onAnswered(writeNumber: number): void {
    if (this.phase === "waiting") return;
    this.#lastAnsweredNumber = Math.max(this.#lastAnsweredNumber, writeNumber);
  }

  /** ready -> ready: begins a suspicion; a second connection will test it. */
  markSuspect(now: number, lastCallNumber: number): void {
    const { liveness } = this.#expectPhase("ready", "become suspect");
    liveness.markSuspect(now, lastCallNumber);
    this.#downSince = now;
  }

  /** Handles a sleep of `totalSleepMs`; `now` counts `monotonicGapMs` of it. */
  onResume(now: number, monotonicGapMs: number, totalSleepMs: number): void {
    const state = this.#state;
    // After a long sleep the peer has given up the dial: shorten its timeout.
    const maxUntil = totalSleepMs > LONG_SLEEP_MS
      ? now + AFTER_SLEEP_TIMEOUT_MS
      : Infinity;
    this.#downSince += monotonicGapMs;
    this.#lastUsedAt += monotonicGapMs;
    if (this.#hungSince !== undefined) this.#hungSince += monotonicGapMs;
    if (state.phase !== "waiting") this.#dialedAt += monotonicGapMs;
    switch (state.phase) {
      case "waiting": {
        let at = now;
        if (this.refusal !== undefined) at = state.scheduledAt + monotonicGapMs;
        const scheduledAt = this.isDisplaced ? Infinity : at;
        this.#state = { phase: "waiting", scheduledAt, urgentAt: at };
        return;
      }
      case "dialing":
      case "handshaking":
        if (this.isHandshakeUnsent) return;
        this.#state = {
          ...state,
          since: state.since + monotonicGapMs,
          until: Math.min(state.until + monotonicGapMs, maxUntil),
          urgentUntil: Math.min(state.urgentUntil + monotonicGapMs, maxUntil),
        };
        return;
      case "ready":
        this.#state = { ...state, since: state.since + monotonicGapMs };
        this.#downSince = now;
        state.liveness.onResume(now, monotonicGapMs);
    }
  }

  /** any but waiting -> waiting: records the end of a connection or a dial. */
  onDisconnect(
    now: number,
    cause: DisconnectCause,
    nextConnectionId: number,
  ): void {
    const state = this.#state;
    if (state.phase === "waiting") {
      throw new Error("A link that is waiting cannot disconnect");
    }
    this.#connectionId = nextConnectionId;
    this.#isBacklogged = false;
    this.#lastOneWayNumber = -Infinity;
    this.#lastAnsweredNumber = 0;
    this.#lastFailure = cause;
    this.#lastFailureAt = now - (cause.agoMs ?? 0);
    // A dial that was not urgent may have hung for its full timeout. It must
    // not make the next urgent timeout longer, so it does not count.
    const wasNotUrgent = "urgentUntil" in state && now - state.since >
        MAX_URGENT_HANG_FACTOR * (state.urgentUntil - state.since);
    if (!cause.isHung) this.#hungSince = undefined;
    else if (wasNotUrgent) this.#hungSince = now;
    else this.#hungSince ??= this.#dialedAt;
    // While the WebSocket waited for the first message, nobody needed it.
    if (this.isHandshakeUnsent) this.#downSince = now;
    const { displaced = "no" } = cause;
    if (displaced === "no") this.#backoff.endDisplacement();
    if (state.phase === "ready") {
      if (displaced === "likely") this.#backoff.onDisplaced(now, state.since);
      this.#downSince = now;
      // Without answers, a standby is dialed less and less often.
      const isStable = now >= state.since + BACKOFF_RESET_MS;
      if (isStable && this.role !== "standby") this.#backoff.reset();
    }
    const schedule = this.#scheduleNextDial(now, state, cause);
    this.#state = { phase: "waiting", ...schedule };
  }

  #scheduleNextDial(
    now: number,
    previous: LinkState,
    cause: DisconnectCause,
  ): DialSchedule {
    const { agoMs = 0, mayBeSubprotocol = false, isRefused } = cause;
    if (cause.isSelfCaused) return { scheduledAt: now, urgentAt: now };
    const isDialFailed = previous.phase === "dialing" && !isRefused;
    if (
      previous.phase !== "ready" &&
      this.history.onDialFailed(isDialFailed && mayBeSubprotocol)
    ) {
      // The repeat without the subprotocol is the same attempt.
      this.#attempt--;
      return this.#backoff.scheduleRepeat(now - agoMs);
    }
    const schedule = this.#backoff.scheduleAfter(cause, now - agoMs);
    // A standby that the daemon closes is dialed less and less often.
    const isUnwelcome = this.role === "standby" &&
      previous.phase === "handshaking";
    const { scheduledAt } = schedule;
    return isUnwelcome ? { scheduledAt, urgentAt: scheduledAt } : schedule;
  }

  #expectPhase<P extends LinkState["phase"]>(
    phase: P,
    event: string,
  ): LinkState & { readonly phase: P } {
    const state = this.#state;
    if (state.phase !== phase) {
      throw new Error(`A link that is ${state.phase} cannot ${event}`);
    }
    return state as LinkState & { readonly phase: P };
  }
}
