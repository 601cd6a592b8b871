/**
 * One link to the daemon through all its connections, and when something must
 * happen to it.
 *
 * | phase         | until                                          | event               | next          |
 * | ------------- | ---------------------------------------------- | ------------------- | ------------- |
 * | `waiting`     | the table's moment, or demand's                | its time            | `dialing`     |
 * | `dialing`     | `--handshake-timeout`, less on demand          | the WebSocket opens | `handshaking` |
 * | `handshaking` | the same; none while nothing can be said       | a first answer      | `ready`       |
 * | `ready`       | as long as the connection shows that it lives  | a loss              | `waiting`     |
 *
 * `dialing` and `handshaking` end in `waiting` when the dial fails or takes too
 * long. A daemon that refuses us is dialed at the cap of the back-off.
 *
 * @module
 */

import {
  Backoff,
  type BackoffConfig,
  type DialOutcome,
  type DialSchedule,
} from "./backoff.ts";
import { DisplacementTracker } from "./displacement.ts";
import { type ConnectingPhase, HandshakeHistory } from "./handshake_history.ts";
import {
  AFTER_SLEEP_TIMEOUT_MS,
  type ConnectionUsage,
  Liveness,
  type LivenessAction,
  type LivenessConfig,
} from "./liveness.ts";

/** What a link may take, in milliseconds. */
export interface LinkConfig extends LivenessConfig, BackoffConfig {
  /** How long a WebSocket may take to open, and then the daemon to answer the first message. */
  readonly handshakeTimeout: number;
}

/** How long a link must stay ready for the table of its dials to start anew. */
export const BACKOFF_RESET_MS = 5_000;
/** How long one must sleep to be forgotten by the other end of a connection that is being made. */
const LONG_SLEEP_MS = 10_000;
/** How long after the last dial a request dials a daemon again that refuses us, in milliseconds. */
const MIN_REFUSED_REDIAL_MS = 5_000;
/** A dial that lasted so many times its short limit was one that no request waited for; less may be a slow machine. */
const NO_DEMAND_FACTOR = 1.5;
/** How long a link of the pool may carry nothing before it is closed. */
export const POOL_IDLE_MS = 60_000;

/**
 * What a link is for: `main` for everything, `pool` for requests that may keep
 * a connection for themselves, `standby` to show whether the daemon lives while
 * the main link is silent, `draining` for the calls that are in flight on a link
 * that was replaced, `capacity-check` to show whether the daemon keeps two connections.
 */
export type LinkRole =
  | "main"
  | "pool"
  | "standby"
  | "draining"
  | "capacity-check";

/** Where a link is; every phase says when it ends by itself. */
export type LinkState =
  /** `scheduledAt` is the table's moment; `demandAt` the one that a waiting request may have instead. */
  | {
    readonly phase: "waiting";
    readonly scheduledAt: number;
    readonly demandAt: number;
  }
  /** `shortUntil` is the end while a request waits. */
  | {
    readonly phase: "dialing";
    readonly since: number;
    readonly until: number;
    readonly urgentUntil: number;
  }
  /** The socket is open; `until` is infinite as long as nothing could be said on it. */
  | {
    readonly phase: "handshaking";
    readonly since: number;
    readonly until: number;
    readonly urgentUntil: number;
  }
  | {
    readonly phase: "ready";
    readonly since: number;
    readonly liveness: Liveness;
  };

/** What a link is wanted for and busy with; it decides how long silence is patience. */
export interface LinkUsage extends ConnectionUsage {
  /** A request waits to be written on it that will be given up one day. */
  readonly isWanted: boolean;
  /** No other link can carry that request: it is dialed on demand, and its dials have short limits. */
  readonly isUrgent: boolean;
}

/** Why a connection ended or could not be made, as far as a program does something about it. */
export const FAILURE_CAUSES = [
  // Nothing listens at the address.
  "nobody there",
  // The daemon, or what stands in front of it, refuses the handshake (HTTP 401 or 403).
  "refused",
  // The daemon says that our token is not its own.
  "token refused",
  // The close code is 1008 (RFC 6455 section 7.4.1).
  "policy violation",
  // The daemon speaks the other dialect.
  "other dialect",
] as const;

/** One of these causes. */
export type FailureCause = typeof FAILURE_CAUSES[number];

/** The end of a connection, or of a dial. */
export interface Failure {
  /** For people: what happened, without a full stop. */
  readonly reason: string;
  /** For programs: why, where it is one of the causes that are told apart. */
  readonly cause?: FailureCause | undefined;
}

/** Why a link was lost. */
export interface DisconnectCause extends Failure {
  /** The daemon said no and will say it again: dialing goes on at the cap only. */
  readonly refused?: boolean;
  /** Our own second connection is the cause, so that the next dial comes at once. */
  readonly isSelfCaused?: boolean;
  /** The dial neither opened nor failed, and took longer than it may. */
  readonly isHung?: boolean;
  /** The client reads too slowly; no link is dialed until it has read. */
  readonly isStdoutFull?: boolean;
  /** Whether the daemon closed the connection for another client; `unclear` where a request in flight may be the cause. */
  readonly displaced?: "likely" | "unclear" | "no";
  /** What was written was too large for the daemon, or what it answered too large for us. */
  readonly tooLarge?: "request" | "response" | undefined;
  /** The offered subprotocol may be the cause, so that a dial without it is worth a try. */
  readonly mayBeSubprotocol?: boolean;
  /** How long ago it was, in milliseconds: the next dial does not come later for it. */
  readonly agoMs?: number;
}

/** What a link asks for when its time has come. */
export type LinkAction = LivenessAction | "dial" | "close";

/** One line to the daemon through all its connections. */
export class Link {
  readonly #config: LinkConfig;
  readonly #handshakeHistory: HandshakeHistory;
  readonly #backoff: Backoff;
  #state: LinkState = {
    phase: "waiting",
    scheduledAt: -Infinity,
    demandAt: -Infinity,
  };
  #attempt = 0;
  #dialedAt = -Infinity;
  /** When the first of the last dials that hung was made; `undefined` where the last one did not hang. */
  #hungSince: number | undefined;
  readonly #displacement = new DisplacementTracker();
  #downSince: number;
  #handshakeMs = 0;
  #refusal: string | undefined;
  #lastFailure: Failure | undefined;
  /** When a link of the pool last carried something. */
  #lastUsedAt = Infinity;

  /** The number of the present or next dial; an event that names another one is a stranger's. */
  connectionId: number;
  /** What the link is for. */
  role: LinkRole;

  /** A link that has never been up and wants to be dialed at once. */
  constructor(
    config: LinkConfig,
    random: () => number,
    connectionId: number,
    now: number,
    role: LinkRole = "main",
    handshakeHistory: HandshakeHistory = new HandshakeHistory(
      config.handshakeTimeout,
    ),
  ) {
    this.role = role;
    this.#config = config;
    this.#handshakeHistory = handshakeHistory;
    this.#backoff = new Backoff(config, random);
    this.connectionId = connectionId;
    this.#downSince = now;
  }

  /** Whether it is a second connection beside the main one, which carries nothing yet. */
  get isSecondConnection(): boolean {
    return this.role === "standby" || this.role === "capacity-check";
  }

  /** Where the link is. */
  get phase(): LinkState["phase"] {
    return this.#state.phase;
  }

  /** How many dials were made since the link was last ready. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Since when the link has not been ready; meaningless while it is. */
  get downSince(): number {
    return this.#downSince;
  }

  /** Since when the link has been ready; `undefined` while it is not. */
  get readySince(): number | undefined {
    return this.#state.phase === "ready" ? this.#state.since : undefined;
  }

  /** Why the daemon refuses us, until it answers or fails in another way. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Whether another client has the connection, so that the next dial comes with the next request. */
  get isDisplaced(): boolean {
    const state = this.#state;
    return this.#displacement.isRecurring && state.phase === "waiting" &&
      state.scheduledAt === Infinity;
  }

  /** Why the last dial or connection ended, for people. */
  get lastFailure(): string | undefined {
    return this.#lastFailure?.reason;
  }

  /** The same for programs. */
  get lastCause(): FailureCause | undefined {
    return this.#lastFailure?.cause;
  }

  /** The signs of life, while the link is ready. */
  get liveness(): Liveness | undefined {
    return this.#state.phase === "ready" ? this.#state.liveness : undefined;
  }

  /** Whether messages may be written: it is ready, has not just slept, and is not under suspicion. */
  get isUsable(): boolean {
    return this.liveness?.isUsable ?? false;
  }

  /** How long opening and first answer of this connection took, in milliseconds. */
  get handshakeMs(): number {
    return this.#handshakeMs;
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#handshakeHistory.offersSubprotocol;
  }

  /** Whether the connection is open, and no first message was sent yet. */
  get isHandshakeUnsent(): boolean {
    return this.#state.phase === "handshaking" &&
      this.#state.until === Infinity;
  }

  /** When the link wants to be woken. */
  deadline(usage: LinkUsage): number {
    const { isWanted, isUrgent, load } = usage;
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isUrgent) return Math.min(state.demandAt, state.scheduledAt);
        // A link of the pool is there only while it is wanted; but a refusal is remembered.
        return isWanted || this.role !== "pool" || this.#refusal
          ? state.scheduledAt
          : -Infinity;
      case "dialing":
      case "handshaking":
        return isUrgent ? state.urgentUntil : state.until;
      case "ready":
        if (this.role === "draining" && load !== "busy") return -Infinity;
        return Math.min(
          state.liveness.deadline(usage),
          this.#idleUntil(load),
        );
    }
  }

  #idleUntil(load: ConnectionUsage["load"]): number {
    const mayBeIdle = load === "idle" || load === "busy-on-other-link";
    return mayBeIdle ? this.#lastUsedAt + POOL_IDLE_MS : Infinity;
  }

  /** What is due now; {@linkcode deadline} says when to ask again. */
  nextAction(now: number, usage: LinkUsage): LinkAction {
    if (now < this.deadline(usage)) return "nothing";
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        return this.role === "pool" && !usage.isWanted ? "close" : "dial";
      case "dialing":
      case "handshaking":
        return "disconnect";
      case "ready":
        if (this.role === "draining" && usage.load !== "busy") {
          return "close";
        }
        if (now >= this.#idleUntil(usage.load)) return "close";
        return state.liveness.nextAction(now, usage);
    }
  }

  /**
   * waiting -> waiting: a request comes, and the daemon refuses us.
   *
   * @returns whether it waits for the end of a dial, which is made now or under way
   */
  redialRefused(now: number): boolean {
    if (this.#state.phase !== "waiting") return true;
    const { scheduledAt } = this.#state;
    if (now < Math.min(scheduledAt, this.#dialedAt + MIN_REFUSED_REDIAL_MS)) {
      return false;
    }
    this.#state = { phase: "waiting", scheduledAt: now, demandAt: now };
    return true;
  }

  /** waiting -> waiting: a request comes while another client has the connection. */
  dialForRequest(now: number): void {
    if (!this.isDisplaced) return;
    const { demandAt } = this.#expectPhase("waiting");
    // Until now nothing was missing.
    this.#downSince = now;
    this.#state = { phase: "waiting", scheduledAt: demandAt, demandAt };
  }

  /** waiting -> dialing. */
  dial(now: number): void {
    const { scheduledAt } = this.#expectPhase("waiting");
    this.#backoff.onDial(now, scheduledAt);
    this.#dialedAt = now;
    this.#attempt++;
    this.#state = { phase: "dialing", ...this.#phaseTimes("dialing", now) };
  }

  /** dialing -> handshaking: the WebSocket is open and nothing has been said on it. */
  onOpen(now: number): void {
    const { since } = this.#expectPhase("dialing");
    this.#handshakeMs = now - since;
    this.#handshakeHistory.onPhaseCompleted("dialing", now - since);
    this.resetHandshake(now);
  }

  /** handshaking -> handshaking: the first message went out and its answer is awaited. */
  onHandshakeSent(now: number): void {
    const { since } = this.#expectPhase("handshaking");
    // As long as there was nothing to say, nothing was missing.
    if (now > since) this.#downSince = now;
    this.#state = {
      phase: "handshaking",
      ...this.#phaseTimes("handshaking", now),
    };
  }

  /** How long the present step of a dial has taken; `undefined` where it had the whole limit, or none is under way. */
  shortenedPhaseMs(now: number): number | undefined {
    const state = this.#state;
    const isDial = state.phase === "dialing" || state.phase === "handshaking";
    return isDial && now < state.until ? now - state.since : undefined;
  }

  #phaseTimes(
    step: ConnectingPhase,
    now: number,
  ): { since: number; until: number; urgentUntil: number } {
    const hungMs = now - (this.#hungSince ?? now);
    return {
      since: now,
      until: now + this.#config.handshakeTimeout,
      // A second connection that hangs shows that the daemon does, too.
      urgentUntil: now +
        (this.role === "standby"
          ? this.#config.handshakeTimeout
          : this.#handshakeHistory.urgentTimeoutMs(step, hungMs)),
    };
  }

  /** dialing or handshaking -> handshaking: the first message is to be said, for the first time or again. */
  resetHandshake(now: number): void {
    const noLimit = { until: Infinity, urgentUntil: Infinity };
    this.#state = { phase: "handshaking", since: now, ...noLimit };
  }

  /** handshaking -> ready: the daemon gave a real answer. */
  becomeReady(now: number): void {
    const { since } = this.#expectPhase("handshaking");
    this.#handshakeMs += now - since;
    this.#handshakeHistory.onPhaseCompleted("handshaking", now - since);
    this.#refusal = undefined;
    this.#attempt = 0;
    this.markUsed(now);
    this.#state = {
      phase: "ready",
      since: now,
      liveness: new Liveness(this.#config, now),
    };
  }

  /** A request of the client's was answered, so that the table starts anew. */
  onResponse(): void {
    this.#backoff.reset();
  }

  /** Something that belongs to a request went over the link. */
  markUsed(now: number): void {
    if (this.role === "pool") this.#lastUsedAt = now;
  }

  /** ready -> ready: it is silent, and a second connection is to show whether the daemon lives. */
  markSuspect(now: number, lastCallNumber: number): void {
    this.#expectPhase("ready").liveness.markSuspect(now, lastCallNumber);
    this.#downSince = now;
  }

  /**
   * The program slept: what waits is dialed at once, what is ready shows at once
   * that it lives.
   *
   * @param monotonicGapMs how much of the sleep our clock counted
   * @param totalSleepMs how long it was altogether
   */
  onResume(now: number, monotonicGapMs: number, totalSleepMs: number): void {
    const state = this.#state;
    // After a long sleep nobody remembers at the other end.
    const maxUntil = totalSleepMs > LONG_SLEEP_MS
      ? now + AFTER_SLEEP_TIMEOUT_MS
      : Infinity;
    this.#downSince += monotonicGapMs;
    this.#lastUsedAt += monotonicGapMs;
    if (this.#hungSince !== undefined) this.#hungSince += monotonicGapMs;
    if (state.phase !== "waiting") this.#dialedAt += monotonicGapMs;
    switch (state.phase) {
      case "waiting": {
        const at = this.#refusal === undefined
          ? now
          : state.scheduledAt + monotonicGapMs;
        const scheduledAt = this.isDisplaced ? Infinity : at;
        this.#state = { phase: "waiting", scheduledAt, demandAt: at };
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

  /** Any phase but waiting -> waiting, under the connection id of the next dial. */
  onDisconnect(
    now: number,
    cause: DisconnectCause,
    nextConnectionId: number,
  ): void {
    const state = this.#state;
    if (state.phase === "waiting") {
      throw new Error("A link that is waiting was lost");
    }
    this.connectionId = nextConnectionId;
    this.#lastFailure = cause;
    this.#refusal = cause.refused ? cause.reason : undefined;
    this.#hungSince = cause.isHung ? this.#hangingSince(now, state) : undefined;
    const { displaced = "no" } = cause;
    if (displaced === "no") this.#displacement.reset();
    else if (displaced === "likely" && state.phase === "ready") {
      this.#displacement.onDisplaced(now, state.since);
    }
    if (state.phase === "ready") {
      this.#downSince = now;
      // A daemon that shows nothing on a second connection is to be asked ever more seldom.
      const isStable = now >= state.since + BACKOFF_RESET_MS;
      if (isStable && this.role !== "standby") this.#backoff.reset();
    }
    this.#state = {
      phase: "waiting",
      ...this.#scheduleNextDial(now, state, cause),
    };
  }

  /** Since when dials have hung. One that no request waited for may have hung for longer than the next one would have, and does not count. */
  #hangingSince(now: number, previous: LinkState): number {
    const isUnattended = "urgentUntil" in previous &&
      now - previous.since >
        NO_DEMAND_FACTOR * (previous.urgentUntil - previous.since);
    return isUnattended ? now : this.#hungSince ?? this.#dialedAt;
  }

  #scheduleNextDial(
    now: number,
    previous: LinkState,
    cause: DisconnectCause,
  ): DialSchedule {
    const { agoMs = 0 } = cause;
    if (cause.isSelfCaused) return { scheduledAt: now, demandAt: now };
    if (previous.phase !== "ready") {
      const mayBeSubprotocol = previous.phase === "dialing" && !cause.refused &&
        cause.mayBeSubprotocol === true;
      if (this.#handshakeHistory.onDialFailed(mayBeSubprotocol)) {
        // The same attempt goes on without the offer.
        this.#attempt--;
        return this.#backoff.scheduleRepeat(now - agoMs);
      }
    }
    const schedule = this.#backoff.scheduleAfter(
      this.#outcomeOf(cause),
      now - agoMs,
    );
    // A daemon that closes a second connection is to be asked ever more seldom.
    const isUnwelcome = this.role === "standby" &&
      previous.phase === "handshaking";
    const { scheduledAt } = schedule;
    return isUnwelcome ? { scheduledAt, demandAt: scheduledAt } : schedule;
  }

  #outcomeOf({ refused, isHung }: DisconnectCause): DialOutcome {
    if (refused) return "refused";
    if (this.#displacement.isRecurring) return "displaced";
    return isHung ? "hung" : "failed";
  }

  #expectPhase<P extends LinkState["phase"]>(
    phase: P,
  ): Extract<LinkState, { phase: P }> {
    const state = this.#state;
    if (state.phase !== phase) {
      throw new Error(`A link that is ${state.phase} was taken for ${phase}`);
    }
    return state as Extract<LinkState, { phase: P }>;
  }
}
