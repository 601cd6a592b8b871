/**
 * One link to the daemon through all its connections, and when something must
 * happen to it.
 *
 * | phase      | until                                          | event               | next       |
 * | ---------- | ---------------------------------------------- | ------------------- | ---------- |
 * | `waiting`  | the table's moment, or demand's                | its time            | `dialing`  |
 * | `dialing`  | `--handshake-timeout`, less on demand          | the WebSocket opens | `greeting` |
 * | `greeting` | the same; none while nothing can be said       | a first answer      | `ready`    |
 * | `ready`    | as long as the connection shows that it lives  | a loss              | `waiting`  |
 *
 * `dialing` and `greeting` end in `waiting` when the dial fails or takes too
 * long. A daemon that refuses us is dialed at the cap of the back-off.
 *
 * @module
 */

import {
  Backoff,
  type BackoffLimits,
  type DialEnd,
  type Moments,
} from "./backoff.ts";
import { Displacement } from "./displacement.ts";
import { Handshakes, type HandshakeStep } from "./handshakes.ts";
import {
  Liveness,
  type LivenessAction,
  type LivenessLimits,
  RESUME_MS,
  type Work,
} from "./liveness.ts";

/** What a link may take, in milliseconds. */
export interface LinkLimits extends LivenessLimits, BackoffLimits {
  /** How long a WebSocket may take to open, and then the daemon to answer the greeting. */
  readonly handshakeTimeout: number;
}

/** How long a link must stay ready for the table of its dials to start anew. */
export const STABLE_MS = 5_000;
/** How long one must sleep to be forgotten by the other end of a connection that is being made. */
const LONG_SLEEP_MS = 10_000;
/** How long after the last dial a request dials a daemon again that refuses us, in milliseconds. */
const ASK_AGAIN_MS = 5_000;
/** A dial that lasted so many times its short limit was one that no request waited for; less may be a slow machine. */
const UNATTENDED = 1.5;
/** How long a link of the pool may carry nothing before it is closed. */
export const POOL_IDLE_MS = 60_000;

/**
 * What a link is for: `main` for everything, `pool` for requests that may keep
 * a connection for themselves, `standby` to show whether the daemon lives while
 * the main link is silent, `draining` for the calls that are in flight on a link
 * that was replaced, `trial` to show whether the daemon keeps two connections.
 */
export type LinkRole = "main" | "pool" | "standby" | "draining" | "trial";

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
    readonly shortUntil: number;
  }
  /** The socket is open; `until` is infinite as long as nothing could be said on it. */
  | {
    readonly phase: "greeting";
    readonly since: number;
    readonly until: number;
    readonly shortUntil: number;
  }
  | {
    readonly phase: "ready";
    readonly since: number;
    readonly liveness: Liveness;
  };

/** What a link is wanted for and busy with; it decides how long silence is patience. */
export interface Traffic extends Work {
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
export interface Loss extends Failure {
  /** The daemon said no and will say it again: dialing goes on at the cap only. */
  readonly refused?: boolean;
  /** Our own second connection is the cause, so that the next dial comes at once. */
  readonly isOurs?: boolean;
  /** The dial neither opened nor failed, and took longer than it may. */
  readonly isHung?: boolean;
  /** The client reads too slowly; no link is dialed until it has read. */
  readonly isClogged?: boolean;
  /** Whether the daemon closed the connection for another client; `unclear` where a request in flight may be the cause. */
  readonly displaced?: "likely" | "unclear" | "no";
  /** What was written was too large for the daemon, or what it answered too large for us. */
  readonly tooLarge?: "request" | "answer" | undefined;
  /** The offered subprotocol may be the cause, so that a dial without it is worth a try. */
  readonly subprotocol?: boolean;
  /** How long ago it was, in milliseconds: the next dial does not come later for it. */
  readonly agoMs?: number;
}

/** What a link asks for when its time has come. */
export type LinkWish = LivenessAction | "dial" | "retire";

/** One line to the daemon through all its connections. */
export class Link {
  readonly #limits: LinkLimits;
  readonly #handshakes: Handshakes;
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
  readonly #displacement = new Displacement();
  #downSince: number;
  #handshakeMs = 0;
  #refusal: string | undefined;
  #lastFailure: Failure | undefined;
  /** When a link of the pool last carried something. */
  #usedAt = Infinity;

  /** The number of the present or next dial; an event that names another one is a stranger's. */
  epoch: number;
  /** What the link is for. */
  role: LinkRole;

  /** A link that has never been up and wants to be dialed at once. */
  constructor(
    limits: LinkLimits,
    random: () => number,
    epoch: number,
    now: number,
    role: LinkRole = "main",
    handshakes: Handshakes = new Handshakes(limits.handshakeTimeout),
  ) {
    this.role = role;
    this.#limits = limits;
    this.#handshakes = handshakes;
    this.#backoff = new Backoff(limits, random);
    this.epoch = epoch;
    this.#downSince = now;
  }

  /** Whether it is a second connection beside the main one, which carries nothing yet. */
  get isSecond(): boolean {
    return this.role === "standby" || this.role === "trial";
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
    return this.#displacement.isLasting && state.phase === "waiting" &&
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
    return this.#handshakes.offersSubprotocol;
  }

  /** Whether the greeting has nothing to wait for yet. */
  get isUngreeted(): boolean {
    return this.#state.phase === "greeting" && this.#state.until === Infinity;
  }

  /** When the link wants to be woken. */
  deadline(traffic: Traffic): number {
    const { isWanted, isUrgent, load } = traffic;
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isUrgent) return Math.min(state.demandAt, state.scheduledAt);
        // A link of the pool is there only while it is wanted; but a refusal is remembered.
        return isWanted || this.role !== "pool" || this.#refusal
          ? state.scheduledAt
          : -Infinity;
      case "dialing":
      case "greeting":
        return isUrgent ? state.shortUntil : state.until;
      case "ready":
        if (this.role === "draining" && load !== "busy") return -Infinity;
        return Math.min(
          state.liveness.deadline(traffic),
          this.#idleUntil(load),
        );
    }
  }

  #idleUntil(load: Work["load"]): number {
    const mayBeIdle = load === "idle" || load === "elsewhere";
    return mayBeIdle ? this.#usedAt + POOL_IDLE_MS : Infinity;
  }

  /** What is due now; {@linkcode deadline} says when to ask again. */
  wish(now: number, traffic: Traffic): LinkWish {
    if (now < this.deadline(traffic)) return "nothing";
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        return this.role === "pool" && !traffic.isWanted ? "retire" : "dial";
      case "dialing":
      case "greeting":
        return "give up";
      case "ready":
        if (this.role === "draining" && traffic.load !== "busy") {
          return "retire";
        }
        if (now >= this.#idleUntil(traffic.load)) return "retire";
        return state.liveness.action(now, traffic);
    }
  }

  /**
   * waiting -> waiting: a request comes, and the daemon refuses us.
   *
   * @returns whether it waits for the end of a dial, which is made now or under way
   */
  askAgain(now: number): boolean {
    if (this.#state.phase !== "waiting") return true;
    const { scheduledAt } = this.#state;
    if (now < Math.min(scheduledAt, this.#dialedAt + ASK_AGAIN_MS)) {
      return false;
    }
    this.#state = { phase: "waiting", scheduledAt: now, demandAt: now };
    return true;
  }

  /** waiting -> waiting: a request comes while another client has the connection. */
  dialForRequest(now: number): void {
    if (!this.isDisplaced) return;
    const { demandAt } = this.#expect("waiting");
    // Until now nothing was missing.
    this.#downSince = now;
    this.#state = { phase: "waiting", scheduledAt: demandAt, demandAt };
  }

  /** waiting -> dialing. */
  dial(now: number): void {
    const { scheduledAt } = this.#expect("waiting");
    this.#backoff.dialed(now, scheduledAt);
    this.#dialedAt = now;
    this.#attempt++;
    this.#state = { phase: "dialing", ...this.#step("opening", now) };
  }

  /** dialing -> greeting: the WebSocket is open and nothing has been said on it. */
  opened(now: number): void {
    const { since } = this.#expect("dialing");
    this.#handshakeMs = now - since;
    this.#handshakes.succeeded("opening", now - since);
    this.awaitGreeting(now);
  }

  /** greeting -> greeting: the greeting went out and its answer is awaited. */
  greeted(now: number): void {
    const { since } = this.#expect("greeting");
    // As long as there was nothing to say, nothing was missing.
    if (now > since) this.#downSince = now;
    this.#state = { phase: "greeting", ...this.#step("first answer", now) };
  }

  /** How long the present step of a dial has taken; `undefined` where it had the whole limit, or none is under way. */
  shortenedMs(now: number): number | undefined {
    const state = this.#state;
    const isDial = state.phase === "dialing" || state.phase === "greeting";
    return isDial && now < state.until ? now - state.since : undefined;
  }

  #step(
    step: HandshakeStep,
    now: number,
  ): { since: number; until: number; shortUntil: number } {
    const hungMs = now - (this.#hungSince ?? now);
    return {
      since: now,
      until: now + this.#limits.handshakeTimeout,
      // A second connection that hangs shows that the daemon does, too.
      shortUntil: now +
        (this.role === "standby"
          ? this.#limits.handshakeTimeout
          : this.#handshakes.limit(step, hungMs)),
    };
  }

  /** dialing or greeting -> greeting: the greeting is to be said, for the first time or again. */
  awaitGreeting(now: number): void {
    const endless = { until: Infinity, shortUntil: Infinity };
    this.#state = { phase: "greeting", since: now, ...endless };
  }

  /** greeting -> ready: the daemon gave a real answer. */
  validated(now: number): void {
    const { since } = this.#expect("greeting");
    this.#handshakeMs += now - since;
    this.#handshakes.succeeded("first answer", now - since);
    this.#refusal = undefined;
    this.#attempt = 0;
    this.used(now);
    this.#state = {
      phase: "ready",
      since: now,
      liveness: new Liveness(this.#limits, now),
    };
  }

  /** A request of the client's was answered, so that the table starts anew. */
  answered(): void {
    this.#backoff.restart();
  }

  /** Something that belongs to a request went over the link. */
  used(now: number): void {
    if (this.role === "pool") this.#usedAt = now;
  }

  /** ready -> ready: it is silent, and a second connection is to show whether the daemon lives. */
  suspect(now: number, lastCall: number): void {
    this.#expect("ready").liveness.suspect(now, lastCall);
    this.#downSince = now;
  }

  /**
   * The program slept: what waits is dialed at once, what is ready shows at once
   * that it lives.
   *
   * @param ms how much of the sleep our clock counted
   * @param sleptMs how long it was altogether
   */
  resumed(now: number, ms: number, sleptMs: number): void {
    const state = this.#state;
    // After a long sleep nobody remembers at the other end.
    const newsBy = sleptMs > LONG_SLEEP_MS ? now + RESUME_MS : Infinity;
    this.#downSince += ms;
    this.#usedAt += ms;
    if (this.#hungSince !== undefined) this.#hungSince += ms;
    if (state.phase !== "waiting") this.#dialedAt += ms;
    switch (state.phase) {
      case "waiting": {
        const at = this.#refusal === undefined ? now : state.scheduledAt + ms;
        const scheduledAt = this.isDisplaced ? Infinity : at;
        this.#state = { phase: "waiting", scheduledAt, demandAt: at };
        return;
      }
      case "dialing":
      case "greeting":
        if (this.isUngreeted) return;
        this.#state = {
          ...state,
          since: state.since + ms,
          until: Math.min(state.until + ms, newsBy),
          shortUntil: Math.min(state.shortUntil + ms, newsBy),
        };
        return;
      case "ready":
        this.#state = { ...state, since: state.since + ms };
        this.#downSince = now;
        state.liveness.resumed(now, ms);
    }
  }

  /** Any phase but waiting -> waiting, under the epoch of the next dial. */
  lost(now: number, loss: Loss, nextEpoch: number): void {
    const state = this.#state;
    if (state.phase === "waiting") {
      throw new Error("A link that is waiting was lost");
    }
    this.epoch = nextEpoch;
    this.#lastFailure = loss;
    this.#refusal = loss.refused ? loss.reason : undefined;
    this.#hungSince = loss.isHung ? this.#hangsSince(now, state) : undefined;
    const { displaced = "no" } = loss;
    if (displaced === "no") this.#displacement.reset();
    else if (displaced === "likely" && state.phase === "ready") {
      this.#displacement.displaced(now, state.since);
    }
    if (state.phase === "ready") {
      this.#downSince = now;
      // A daemon that shows nothing on a second connection is to be asked ever more seldom.
      const isStable = now >= state.since + STABLE_MS;
      if (isStable && this.role !== "standby") this.#backoff.restart();
    }
    this.#state = { phase: "waiting", ...this.#next(now, state, loss) };
  }

  /** Since when dials have hung. One that no request waited for may have hung for longer than the next one would have, and does not count. */
  #hangsSince(now: number, left: LinkState): number {
    const isUnattended = "shortUntil" in left &&
      now - left.since > UNATTENDED * (left.shortUntil - left.since);
    return isUnattended ? now : this.#hungSince ?? this.#dialedAt;
  }

  #next(now: number, left: LinkState, loss: Loss): Moments {
    const { agoMs = 0 } = loss;
    if (loss.isOurs) return { scheduledAt: now, demandAt: now };
    if (left.phase !== "ready") {
      const mayBeOffer = left.phase === "dialing" && !loss.refused &&
        loss.subprotocol === true;
      if (this.#handshakes.failed(mayBeOffer)) {
        // The same attempt goes on without the offer.
        this.#attempt--;
        return this.#backoff.repeat(now - agoMs);
      }
    }
    const moments = this.#backoff.after(this.#endOf(loss), now - agoMs);
    // A daemon that closes a second connection is to be asked ever more seldom.
    const isUnwelcome = this.role === "standby" && left.phase === "greeting";
    const { scheduledAt } = moments;
    return isUnwelcome ? { scheduledAt, demandAt: scheduledAt } : moments;
  }

  #endOf({ refused, isHung }: Loss): DialEnd {
    if (refused) return "refused";
    if (this.#displacement.isLasting) return "displaced";
    return isHung ? "hung" : "failed";
  }

  #expect<P extends LinkState["phase"]>(
    phase: P,
  ): Extract<LinkState, { phase: P }> {
    const state = this.#state;
    if (state.phase !== phase) {
      throw new Error(`A link that is ${state.phase} was taken for ${phase}`);
    }
    return state as Extract<LinkState, { phase: P }>;
  }
}
