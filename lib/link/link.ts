/**
 * One link to the daemon through all its connections, with its deadlines.
 *
 * | phase         | until                                               | event               | next          |
 * | ------------- | --------------------------------------------------- | ------------------- | ------------- |
 * | `waiting`     | `scheduledAt`, or `demandAt` while a request waits  | the time is reached | `dialing`     |
 * | `dialing`     | `--handshake-timeout`, or `urgentUntil`             | the WebSocket opens | `handshaking` |
 * | `handshaking` | the same; none until the opening message is sent    | the first answer    | `ready`       |
 * | `ready`       | as long as the connection shows that it is alive    | a disconnect        | `waiting`     |
 *
 * `dialing` and `handshaking` end in `waiting` when the dial fails or times
 * out. A daemon that refuses the connection is dialed at the backoff cap.
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

/** The timeouts of a link, in milliseconds. */
export interface LinkConfig extends LivenessConfig, BackoffConfig {
  /**
   * How long a WebSocket may take to open, and then the daemon to answer the
   * opening message.
   */
  readonly handshakeTimeout: number;
}

/**
 * How long a link must stay ready for its backoff schedule to restart, in
 * milliseconds.
 */
export const BACKOFF_RESET_MS = 5_000;
/**
 * After a sleep of this length the peer has dropped a connection that was being
 * made, in milliseconds.
 */
const LONG_SLEEP_MS = 10_000;
/**
 * How long after the last dial a request redials a daemon that refuses the
 * connection, in milliseconds.
 */
const MIN_REFUSED_REDIAL_MS = 5_000;
/**
 * A dial that exceeded its urgent timeout by this factor had no request waiting
 * for it. A smaller excess may be a slow machine.
 */
const NO_DEMAND_FACTOR = 1.5;
/** How long a pool link may be unused before it is closed, in milliseconds. */
export const POOL_IDLE_MS = 60_000;

/**
 * What a link is for: `main` for everything, `pool` for requests that may
 * occupy a connection, `standby` to show whether the daemon is alive while the
 * main link is silent, `draining` for the calls in flight on a link that was
 * replaced, `capacity-check` to detect whether the daemon keeps two
 * connections.
 */
export type LinkRole =
  | "main"
  | "pool"
  | "standby"
  | "draining"
  | "capacity-check";

/**
 * The phase of a link. Each phase carries the time at which it ends by itself.
 */
export type LinkState =
  /**
   * `scheduledAt` is the time by the backoff schedule; `demandAt` applies while
   * a request is waiting.
   */
  | {
    readonly phase: "waiting";
    readonly scheduledAt: number;
    readonly demandAt: number;
  }
  /** `urgentUntil` is the deadline while a request is waiting. */
  | {
    readonly phase: "dialing";
    readonly since: number;
    readonly until: number;
    readonly urgentUntil: number;
  }
  /**
   * The socket is open; `until` is infinite until the opening message is sent.
   */
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

/**
 * What needs a link, and what it is busy with. This decides how long silence is
 * tolerated.
 */
export interface LinkUsage extends ConnectionUsage {
  /** A request with a timeout waits to be written on it. */
  readonly isWanted: boolean;
  /**
   * No other link can carry that request: the link is dialed on demand, with
   * short timeouts.
   */
  readonly isUrgent: boolean;
}

/**
 * Why a connection ended or could not be made, where a program acts on the
 * cause.
 */
export const FAILURE_CAUSES = [
  // Nothing listens at the address.
  "nobody there",
  // The daemon, or a proxy in front of it, refuses the handshake (HTTP 401 or
  // 403).
  "refused",
  // The daemon says that our token is wrong.
  "token refused",
  // The close code is 1008 (RFC 6455 section 7.4.1).
  "policy violation",
  // The daemon speaks the other dialect.
  "other dialect",
] as const;

/** One of the causes. */
export type FailureCause = typeof FAILURE_CAUSES[number];

/** The end of a connection, or of a dial. */
export interface Failure {
  /** For people: what happened, without a full stop. */
  readonly reason: string;
  /** For programs: the cause, if it is one of those that are distinguished. */
  readonly cause?: FailureCause | undefined;
}

/** Why a link was disconnected. */
export interface DisconnectCause extends Failure {
  /**
   * The daemon refused the connection and will refuse it again: dialing
   * continues at the backoff cap.
   */
  readonly isRefused?: boolean;
  /** Our own second connection is the cause, so the next dial is immediate. */
  readonly isSelfCaused?: boolean;
  /** The dial neither opened nor failed before its timeout. */
  readonly isHung?: boolean;
  /** The client reads too slowly; no link is dialed until it has read. */
  readonly isStdoutFull?: boolean;
  /**
   * Whether the daemon closed the connection in favor of another client;
   * `unclear` if a request in flight may be the cause.
   */
  readonly displaced?: "likely" | "unclear" | "no";
  /**
   * A message was too large for the daemon, or its response too large for us.
   */
  readonly tooLarge?: "request" | "response" | undefined;
  /**
   * The offered subprotocol may be the cause, so a dial without it is worth a
   * try.
   */
  readonly mayBeSubprotocol?: boolean;
  /**
   * How long ago the connection ended, in milliseconds; the next dial is not
   * delayed by that time.
   */
  readonly agoMs?: number;
}

/** What is due on a link. */
export type LinkAction = LivenessAction | "dial" | "close";

/** One link to the daemon through all its connections. */
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
  /**
   * When the first of the consecutive hanging dials was made; `undefined` if
   * the last dial did not hang.
   */
  #hungSince: number | undefined;
  readonly #displacement = new DisplacementTracker();
  #downSince: number;
  #handshakeMs = 0;
  #refusal: string | undefined;
  #lastFailure: Failure | undefined;
  /** When a pool link was last used. */
  #lastUsedAt = Infinity;

  /**
   * The number of the current or next connection; events with another number
   * are stale.
   */
  connectionId: number;
  /** What the link is for. */
  role: LinkRole;

  /**
   * Creates a link that was never connected and is due to be dialed at once.
   */
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

  /**
   * Whether it is a second connection beside the main one, which carries no
   * calls yet.
   */
  get isSecondConnection(): boolean {
    return this.role === "standby" || this.role === "capacity-check";
  }

  /** The current phase. */
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

  /**
   * Why the daemon refuses the connection, until it answers or fails in another
   * way.
   */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /**
   * Whether another client has the connection, so that only a request triggers
   * the next dial.
   */
  get isDisplaced(): boolean {
    const state = this.#state;
    return this.#displacement.isRecurring && state.phase === "waiting" &&
      state.scheduledAt === Infinity;
  }

  /** Why the last dial or connection ended, for people. */
  get lastFailure(): string | undefined {
    return this.#lastFailure?.reason;
  }

  /** The cause of the last failure, for programs. */
  get lastCause(): FailureCause | undefined {
    return this.#lastFailure?.cause;
  }

  /** The liveness of the connection, while the link is ready. */
  get liveness(): Liveness | undefined {
    return this.#state.phase === "ready" ? this.#state.liveness : undefined;
  }

  /**
   * Whether messages may be written: the link is ready, verified after a sleep,
   * and not suspect.
   */
  get isUsable(): boolean {
    return this.liveness?.isUsable ?? false;
  }

  /**
   * How long the WebSocket's opening and the handshake of this connection took,
   * in milliseconds.
   */
  get handshakeMs(): number {
    return this.#handshakeMs;
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#handshakeHistory.offersSubprotocol;
  }

  /**
   * Whether the connection is open and the opening message was not sent yet.
   */
  get isHandshakeUnsent(): boolean {
    return this.#state.phase === "handshaking" &&
      this.#state.until === Infinity;
  }

  /** When something is due on the link. */
  deadline(usage: LinkUsage): number {
    const { isWanted, isUrgent, load } = usage;
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isUrgent) return Math.min(state.demandAt, state.scheduledAt);
        // A pool link exists only while it is wanted, but it stays while the
        // daemon refuses the connection.
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

  /**
   * Returns what is due now; {@linkcode deadline} says when to call it again.
   */
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
   * waiting -> waiting: a request arrives, and the daemon refuses the
   * connection.
   *
   * @returns whether the request waits for the outcome of a dial that is due
   * now or under way
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

  /**
   * waiting -> waiting: a request arrives while another client has the
   * connection.
   */
  dialForRequest(now: number): void {
    if (!this.isDisplaced) return;
    const { demandAt } = this.#expectPhase("waiting");
    // No request needed the link until now.
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

  /**
   * dialing -> handshaking: the WebSocket is open and no message was sent on
   * it.
   */
  onOpen(now: number): void {
    const { since } = this.#expectPhase("dialing");
    this.#handshakeMs = now - since;
    this.#handshakeHistory.onPhaseCompleted("dialing", now - since);
    this.resetHandshake(now);
  }

  /** handshaking -> handshaking: the opening message was sent. */
  onHandshakeSent(now: number): void {
    const { since } = this.#expectPhase("handshaking");
    // The link was not needed until there was a message to send.
    if (now > since) this.#downSince = now;
    this.#state = {
      phase: "handshaking",
      ...this.#phaseTimes("handshaking", now),
    };
  }

  /**
   * How long the current phase of a dial has taken; `undefined` if it had the
   * full timeout, or no dial is under way.
   */
  shortenedPhaseMs(now: number): number | undefined {
    const state = this.#state;
    const isDial = state.phase === "dialing" || state.phase === "handshaking";
    return isDial && now < state.until ? now - state.since : undefined;
  }

  #phaseTimes(
    phase: ConnectingPhase,
    now: number,
  ): { since: number; until: number; urgentUntil: number } {
    const hungMs = now - (this.#hungSince ?? now);
    return {
      since: now,
      until: now + this.#config.handshakeTimeout,
      // If a second connection hangs as well, the daemon itself hangs.
      urgentUntil: now +
        (this.role === "standby"
          ? this.#config.handshakeTimeout
          : this.#handshakeHistory.urgentTimeoutMs(phase, hungMs)),
    };
  }

  /**
   * dialing or handshaking -> handshaking: the opening message must be sent,
   * for the first time or again.
   */
  resetHandshake(now: number): void {
    const noLimit = { until: Infinity, urgentUntil: Infinity };
    this.#state = { phase: "handshaking", since: now, ...noLimit };
  }

  /** handshaking -> ready: the daemon has answered the handshake. */
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

  /**
   * Restarts the backoff schedule: the daemon has responded to a request of the
   * client.
   */
  onResponse(): void {
    this.#backoff.reset();
  }

  /** Records that a message that belongs to a request used the link. */
  markUsed(now: number): void {
    if (this.role === "pool") this.#lastUsedAt = now;
  }

  /**
   * ready -> ready: the link is silent, and a second connection is to show
   * whether the daemon is alive.
   */
  markSuspect(now: number, lastCallNumber: number): void {
    this.#expectPhase("ready").liveness.markSuspect(now, lastCallNumber);
    this.#downSince = now;
  }

  /**
   * Handles a sleep: a waiting link is dialed at once, a ready one must show at
   * once that it is alive.
   *
   * @param monotonicGapMs how much of the sleep the monotonic clock counted
   * @param totalSleepMs the whole length of the sleep
   */
  onResume(now: number, monotonicGapMs: number, totalSleepMs: number): void {
    const state = this.#state;
    // After a long sleep the peer has dropped the connection attempt.
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

  /**
   * Any phase but waiting -> waiting, under the connection id of the next dial.
   */
  onDisconnect(
    now: number,
    cause: DisconnectCause,
    nextConnectionId: number,
  ): void {
    const state = this.#state;
    if (state.phase === "waiting") {
      throw new Error("A link that is waiting has no connection to end");
    }
    this.connectionId = nextConnectionId;
    this.#lastFailure = cause;
    this.#refusal = cause.isRefused ? cause.reason : undefined;
    this.#hungSince = cause.isHung
      ? this.#nextHungSince(now, state)
      : undefined;
    const { displaced = "no" } = cause;
    if (displaced === "no") this.#displacement.reset();
    else if (displaced === "likely" && state.phase === "ready") {
      this.#displacement.onDisplaced(now, state.since);
    }
    if (state.phase === "ready") {
      this.#downSince = now;
      // Dial a standby ever more seldom while the daemon does not answer on it.
      const isStable = now >= state.since + BACKOFF_RESET_MS;
      if (isStable && this.role !== "standby") this.#backoff.reset();
    }
    this.#state = {
      phase: "waiting",
      ...this.#scheduleNextDial(now, state, cause),
    };
  }

  /**
   * Returns since when dials have hung. A dial that no request waited for may
   * have hung for longer than the next timeout, and does not count.
   */
  #nextHungSince(now: number, previous: LinkState): number {
    const hadNoDemand = "urgentUntil" in previous &&
      now - previous.since >
        NO_DEMAND_FACTOR * (previous.urgentUntil - previous.since);
    return hadNoDemand ? now : this.#hungSince ?? this.#dialedAt;
  }

  #scheduleNextDial(
    now: number,
    previous: LinkState,
    cause: DisconnectCause,
  ): DialSchedule {
    const { agoMs = 0 } = cause;
    if (cause.isSelfCaused) return { scheduledAt: now, demandAt: now };
    if (previous.phase !== "ready") {
      const mayBeSubprotocol = previous.phase === "dialing" &&
        !cause.isRefused &&
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
    // Dial a standby ever more seldom while the daemon closes it.
    const isUnwelcome = this.role === "standby" &&
      previous.phase === "handshaking";
    const { scheduledAt } = schedule;
    return isUnwelcome ? { scheduledAt, demandAt: scheduledAt } : schedule;
  }

  #outcomeOf({ isRefused, isHung }: DisconnectCause): DialOutcome {
    if (isRefused) return "refused";
    if (this.#displacement.isRecurring) return "displaced";
    return isHung ? "hung" : "failed";
  }

  #expectPhase<P extends LinkState["phase"]>(
    phase: P,
  ): Extract<LinkState, { phase: P }> {
    const state = this.#state;
    if (state.phase !== phase) {
      throw new Error(`The link is ${state.phase}, and must be ${phase} here`);
    }
    return state as Extract<LinkState, { phase: P }>;
  }
}
