/**
 * One link to the daemon, a state machine through all its connections.
 *
 * When a dial fails or a connection ends, the link waits for the next dial, for
 * ever, under a new connection id. That dial comes by the backoff schedule, or
 * earlier while a request waits that no other link can carry. A dial has two
 * phases with a limit each: the WebSocket opens, and the daemon answers the
 * opening message. Nothing is due until that message can be sent. `deadline`
 * says exactly when `nextAction` must be called.
 *
 * | state         | ends by itself                                     | event                                    | next          |
 * | ------------- | -------------------------------------------------- | ---------------------------------------- | ------------- |
 * | `waiting`     | `scheduledAt`; `demandAt` while a request waits    | `dial`                                   | `dialing`     |
 * |               | at once, in a pool that is not wanted nor refused  | the link is removed                      |               |
 * |               |                                                    | `redialRefused`: a request, 5 s after the last dial; `dialForRequest`: a request, and another client has the connection | `waiting`, sooner |
 * | `dialing`     | `--handshake-timeout`; `urgentUntil` while a request waits | `onOpen`                         | `handshaking` |
 * | `handshaking` | the same; never while the opening message is unsent | `onHandshakeSent`, `resetHandshake`     | `handshaking` |
 * |               |                                                    | `becomeReady`: the first answer          | `ready`       |
 * | `ready`       | when the connection shows no life (`liveness.ts`)  | `markSuspect`                            | `ready`       |
 * |               | a minute after a pool link was used; without calls, when it drains | the link is removed      |               |
 * | any but `waiting` |                                                | `onDisconnect`                           | `waiting`     |
 * | any           |                                                    | `onResume`: a sleep                      | the same, moved by its length; `waiting` and `ready` act at once |
 *
 * In a state without a row, an event is an error; but `redialRefused`,
 * `dialForRequest` and what is recorded of a connection (its backlog, and which
 * messages without a response were received) change nothing there. What was
 * recorded ends with the connection.
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

/** The timeouts of a link. */
export interface LinkConfig extends LivenessConfig, BackoffConfig {
  /** How long a WebSocket may take to open, and then the first answer. */
  readonly handshakeTimeout: number;
}

/** How long a link must stay ready for its backoff schedule to restart. */
const BACKOFF_RESET_MS = 5_000;
/** After a sleep of this length the peer has dropped a dial. */
const LONG_SLEEP_MS = 10_000;
/** How long after the last dial a request redials a daemon that refuses us. */
const MIN_REFUSED_REDIAL_MS = 5_000;
/** A dial that exceeded its urgent timeout so far was not wanted till then. */
const NO_DEMAND_FACTOR = 1.5;
const POOL_IDLE_MS = 60_000;
const NEVER = { until: Infinity, urgentUntil: Infinity };

/** What a link is for. */
export type LinkRole =
  | "main" // everything
  | "pool" // requests that may occupy a connection
  | "standby" // to show whether the daemon lives while the main one is silent
  | "draining" // the calls in flight on a link that was replaced
  | "capacity-check"; // to detect whether the daemon keeps two connections

/** The state of a link, with the time at which it ends by itself, if it does. */
export type LinkState =
  /** `scheduledAt` is infinite while another client has the connection. */
  | { readonly phase: "waiting" } & DialSchedule
  /** Both times are infinite while the opening message is unsent. */
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

/** What needs a link, and what it is busy with. */
export interface LinkUsage extends ConnectionUsage {
  /** A request with a timeout waits to be written on it. */
  readonly isWanted: boolean;
  /** No other link can carry it: the dial is on demand, with short timeouts. */
  readonly isUrgent: boolean;
}

/** Why a connection ended or could not be made, where a program acts on it. */
export const FAILURE_CAUSES = [
  "nobody there", // nothing listens at the address
  "refused", // by the daemon, or a proxy before it (HTTP 401, 403)
  "token refused", // the daemon says that our token is wrong
  "policy violation", // the close code is 1008 (RFC 6455 section 7.4.1)
  "other dialect", // the daemon speaks the other one
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
export interface DisconnectCause extends Failure, DialEnd {
  /** Our own second connection is the cause, so the next dial is immediate. */
  readonly isSelfCaused?: boolean;
  /** The client reads too slowly; no link is dialed until it has read. */
  readonly isStdoutFull?: boolean;
  /** In favor of another client; `unclear` if a request may be the cause. */
  readonly displaced?: "likely" | "unclear" | "no";
  /** A message was too large for the daemon, or its response for us. */
  readonly tooLarge?: "request" | "response" | undefined;
  /** The offered subprotocol may be the cause. */
  readonly mayBeSubprotocol?: boolean;
  /** How many milliseconds ago it ended; they do not delay the next dial. */
  readonly agoMs?: number;
}

/** One link to the daemon through all its connections. */
export class Link {
  readonly #backoff: Backoff;
  #connectionId: number;
  #role: LinkRole;
  #state: LinkState;
  #attempt = 0;
  #dialedAt = -Infinity;
  /** When the first of the last dials was made, if all of them hung. */
  #hungSince: number | undefined;
  #downSince: number;
  #handshakeMs = 0;
  #lastFailure: DisconnectCause | undefined;
  /** Of a pool link only. */
  #lastUsedAt = Infinity;
  #isBacklogged = false;
  /** The write number of the last message that gets no response. */
  #lastOneWayNumber = -Infinity;
  #lastAnsweredNumber = 0;

  /** Creates a link that is due to be dialed at once. */
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
    this.#state = { phase: "waiting", scheduledAt: now, demandAt: now };
    this.#downSince = now;
  }

  /** The id of the current or next connection; other events are stale. */
  get connectionId(): number {
    return this.#connectionId;
  }

  /** What the link is for. */
  get role(): LinkRole {
    return this.#role;
  }

  /** It was the standby, and takes over. */
  becomeMain(): void {
    this.#role = "main";
  }

  /** It was the main link, and keeps the calls in flight on it. */
  startDraining(): void {
    this.#role = "draining";
  }

  /** Whether it is a second connection, which carries no calls yet. */
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

  /** Why the daemon refuses the link, until it does something else. */
  get refusal(): string | undefined {
    const isRefused = this.phase !== "ready" && this.#lastFailure?.isRefused;
    return isRefused ? this.lastFailure : undefined;
  }

  /** Whether another client has the connection: only a request makes a dial. */
  get isDisplaced(): boolean {
    const state = this.#state;
    return state.phase === "waiting" && state.scheduledAt === Infinity;
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

  /** Whether messages may be written. */
  get isUsable(): boolean {
    return this.liveness?.isUsable ?? false;
  }

  /** How many milliseconds the opening and the handshake took. */
  get handshakeMs(): number {
    return this.#handshakeMs;
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.history.offersSubprotocol;
  }

  /** Whether the connection is open and the opening message was not sent. */
  get isHandshakeUnsent(): boolean {
    return this.#state.phase === "handshaking" &&
      this.#state.until === Infinity;
  }

  /** Whether the daemon reads so slowly that nothing may be written. */
  get isBacklogged(): boolean {
    return this.#isBacklogged;
  }

  /** Whether something behind the last one-way message was answered. */
  get hasReceivedAllOneWay(): boolean {
    // Before that, an error without an id may be about that message.
    return this.#lastOneWayNumber < this.#lastAnsweredNumber;
  }

  /** When something is due on the link. */
  deadline(usage: LinkUsage): number {
    const { isWanted, isUrgent } = usage;
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isUrgent) return Math.min(state.demandAt, state.scheduledAt);
        // A pool link exists only while it is wanted, but it stays while the
        // daemon refuses the connection.
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

  /** Returns what is due now. */
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
   * waiting -> waiting: a request arrives that would be refused. Returns whether
   * a dial is due, or has been made.
   */
  redialRefused(now: number): boolean {
    if (this.#state.phase !== "waiting") return true;
    const { scheduledAt } = this.#state;
    const redialAt = this.#dialedAt + MIN_REFUSED_REDIAL_MS;
    if (now < Math.min(scheduledAt, redialAt)) return false;
    this.#state = { phase: "waiting", scheduledAt: now, demandAt: now };
    return true;
  }

  /** waiting -> waiting: a request arrives while the link is displaced. */
  dialForRequest(now: number): void {
    if (this.#state.phase !== "waiting" || !this.isDisplaced) return;
    const { demandAt } = this.#state;
    // No request needed the link until now.
    this.#downSince = now;
    this.#state = { phase: "waiting", scheduledAt: demandAt, demandAt };
  }

  /** waiting -> dialing. */
  dial(now: number): void {
    const { scheduledAt } = this.#expectPhase("waiting", "dial");
    this.#backoff.onDial(now, scheduledAt);
    this.#dialedAt = now;
    this.#attempt++;
    this.#state = this.#startPhase("dialing", now);
  }

  /** dialing -> handshaking: the WebSocket is open. */
  onOpen(now: number): void {
    const { since } = this.#expectPhase("dialing", "open");
    this.#handshakeMs = now - since;
    this.history.onPhaseCompleted("dialing", now - since);
    this.#state = { phase: "handshaking", since: now, ...NEVER };
  }

  /** handshaking -> handshaking: the opening message was sent. */
  onHandshakeSent(now: number): void {
    const { since } = this.#expectPhase("handshaking", "send the handshake");
    // The link was not needed until there was a message to send.
    if (now > since) this.#downSince = now;
    this.#state = this.#startPhase("handshaking", now);
  }

  /** handshaking -> handshaking: the opening message must be sent again. */
  resetHandshake(now: number): void {
    this.#expectPhase("handshaking", "repeat the handshake");
    this.#state = { phase: "handshaking", since: now, ...NEVER };
  }

  /** How long a phase has taken; `undefined` if it had the full timeout. */
  shortenedPhaseMs(now: number): number | undefined {
    const state = this.#state;
    const isShortened = "until" in state && now < state.until;
    return isShortened ? now - state.since : undefined;
  }

  #startPhase(phase: ConnectingPhase, now: number): LinkState {
    const { handshakeTimeout } = this.config;
    const hungMs = now - (this.#hungSince ?? now);
    // If a second connection hangs as well, the daemon itself hangs.
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

  /** handshaking -> ready: the daemon has answered the handshake. */
  becomeReady(now: number): void {
    const { since } = this.#expectPhase("handshaking", "become ready");
    this.#handshakeMs += now - since;
    this.history.onPhaseCompleted("handshaking", now - since);
    this.#attempt = 0;
    this.markUsed(now);
    const liveness = new Liveness(this.config, now);
    this.#state = { phase: "ready", since: now, liveness };
  }

  /** The daemon has answered a request: the backoff schedule restarts. */
  onResponse(): void {
    this.#backoff.reset();
  }

  /** Records that a message that belongs to a request used the link. */
  markUsed(now: number): void {
    if (this.role === "pool") this.#lastUsedAt = now;
  }

  /** Records that the daemon reads too slowly, or has read most of it. */
  onBacklog(backlog: "full" | "drained"): void {
    this.#isBacklogged = backlog === "full" && this.phase !== "waiting";
  }

  /** Records the write of a message that gets no response. */
  onOneWaySent(writeNumber: number): void {
    if (this.phase !== "waiting") this.#lastOneWayNumber = writeNumber;
  }

  /** Records the answer to the request with this write number. */
  onAnswered(writeNumber: number): void {
    if (this.phase === "waiting") return;
    this.#lastAnsweredNumber = Math.max(this.#lastAnsweredNumber, writeNumber);
  }

  /** ready -> ready: a second connection is to show whether it is alive. */
  markSuspect(now: number, lastCallNumber: number): void {
    const { liveness } = this.#expectPhase("ready", "become suspect");
    liveness.markSuspect(now, lastCallNumber);
    this.#downSince = now;
  }

  /** Handles a sleep, of which the monotonic clock counted `monotonicGapMs`. */
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
        let at = now;
        if (this.refusal !== undefined) at = state.scheduledAt + monotonicGapMs;
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

  /** dialing, handshaking, ready -> waiting, under the next connection id. */
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
    // A dial that no request waited for may have hung for longer than the next
    // timeout, and does not count.
    const hadNoDemand = "urgentUntil" in state && now - state.since >
        NO_DEMAND_FACTOR * (state.urgentUntil - state.since);
    if (!cause.isHung) this.#hungSince = undefined;
    else if (hadNoDemand) this.#hungSince = now;
    else this.#hungSince ??= this.#dialedAt;
    const { displaced = "no" } = cause;
    if (displaced === "no") this.#backoff.endDisplacement();
    if (state.phase === "ready") {
      if (displaced === "likely") this.#backoff.onDisplaced(now, state.since);
      this.#downSince = now;
      // Dial a standby ever more seldom while the daemon does not answer on it.
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
    if (cause.isSelfCaused) return { scheduledAt: now, demandAt: now };
    const isDialFailed = previous.phase === "dialing" && !isRefused;
    if (
      previous.phase !== "ready" &&
      this.history.onDialFailed(isDialFailed && mayBeSubprotocol)
    ) {
      // The same attempt goes on without the offer.
      this.#attempt--;
      return this.#backoff.scheduleRepeat(now - agoMs);
    }
    const schedule = this.#backoff.scheduleAfter(cause, now - agoMs);
    // Dial a standby ever more seldom while the daemon closes it.
    const isUnwelcome = this.role === "standby" &&
      previous.phase === "handshaking";
    const { scheduledAt } = schedule;
    return isUnwelcome ? { scheduledAt, demandAt: scheduledAt } : schedule;
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
