/**
 * Is a line to the daemon up: waiting, dialing, greeting, ready, and for how
 * long before something must change.
 *
 * @module
 */

import { type Load, Pulse, type PulseLimits, RESUME_MS } from "./pulse.ts";

/** What a link may take, in milliseconds. */
export interface LinkLimits extends PulseLimits {
  /** The pause after the first failure. */
  readonly backoffBase: number;
  /** The longest pause, but for what chance adds. */
  readonly backoffCap: number;
  /** How long a WebSocket may take to open, and then the daemon to answer the greeting. */
  readonly handshakeTimeout: number;
}

/** How long a link must have stayed ready before its losses are forgiven. */
export const STABLE_MS = 5_000;
/** The longest pause between dials while a request waits and dials fail before they open. */
export const DEMAND_MS = 1_000;
/** How long one must sleep to be forgotten by the other end of a connection that is being made. */
const LONG_SLEEP_MS = 10_000;
/** How long after a dial a single request may bring the next one forward. */
const HURRY_MS = 5_000;
/** How long a link of the pool may carry nothing before it is closed. */
export const POOL_IDLE_MS = 60_000;
/** The most that chance adds to a pause, as a share of it. */
export const JITTER = 0.1;

/**
 * What a link is for: `main` for everything, `pool` for requests that may keep
 * a connection for themselves, `second` for an opinion on a main link that is
 * silent, `kept` for what such a link still owes.
 */
export type LinkRole = "main" | "pool" | "second" | "kept";

/** Where a link is; every phase says when it ends by itself. */
export type LinkState =
  /** `until` is the table's moment; `soon` the one that a waiting request may have instead. */
  | { readonly phase: "waiting"; readonly until: number; readonly soon: number }
  /** `next` is the table's moment if this dial was made ahead of it. */
  | { readonly phase: "dialing"; readonly until: number; readonly next: number }
  /** The socket is open; `until` is infinite as long as nothing could be said on it. */
  | { readonly phase: "greeting"; readonly until: number }
  | { readonly phase: "ready"; readonly since: number; readonly pulse: Pulse };

/** What a link is wanted for and busy with; it decides how long silence is patience. */
export interface Traffic {
  /** A request waits to be written. */
  readonly isWanted: boolean;
  /** What it is busy with. */
  readonly load: Load;
  /** A second connection may be asked for its opinion on this one. */
  readonly mayDoubt: boolean;
}

/** Why a link was lost. */
export interface Loss {
  /** For people: what happened, without a full stop. */
  readonly reason: string;
  /** The daemon said no and will say it again: dialing goes on at the cap only. */
  readonly refused?: boolean;
  /** What was written was too large for the daemon, or what it answered too large for us. */
  readonly tooLarge?: "request" | "answer" | undefined;
  /** The offered subprotocol may be the cause, so that a dial without it is worth a try. */
  readonly subprotocol?: boolean;
}

/** What a link asks for when its time has come. */
export type LinkWish =
  | ("nothing" | "dial" | "probe")
  | ("doubt" | "replace" | "give up" | "retire");

/**
 * The pause before the next dial after `failures` (>= 1) of them: the base
 * doubled each time up to the cap, plus up to a tenth of it by chance.
 *
 * @returns milliseconds
 */
export function backoff(
  failures: number,
  limits: Pick<LinkLimits, "backoffBase" | "backoffCap">,
  random: () => number,
): number {
  const pause = limits.backoffBase * 2 ** (failures - 1);
  return Math.min(pause, limits.backoffCap) * (1 + JITTER * random());
}

/** Whether the retry log speaks of this attempt: the 1st, the 5th and every 10th. */
export function isLogged(attempt: number): boolean {
  return attempt === 1 || attempt === 5 || attempt % 10 === 0;
}

/** One line to the daemon through all its connections. */
export class Link {
  readonly #limits: LinkLimits;
  readonly #random: () => number;
  #state: LinkState = { phase: "waiting", until: -Infinity, soon: -Infinity };
  #failures = 0;
  #attempt = 0;
  #dialedAt = -Infinity;
  #downSince: number;
  #refusal: string | undefined;
  #lastFailure: string | undefined;
  /** When a link of the pool last carried something. */
  #usedAt = Infinity;
  #subprotocol: "offered" | "agreed" | "left out" | "declined" = "offered";

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
  ) {
    this.role = role;
    this.#limits = limits;
    this.#random = random;
    this.epoch = epoch;
    this.#downSince = now;
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

  /** Why the daemon refuses us, until it opens a WebSocket or fails in another way. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Why the last dial or connection ended. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
  }

  /** The signs of life, while the link is ready. */
  get pulse(): Pulse | undefined {
    return this.#state.phase === "ready" ? this.#state.pulse : undefined;
  }

  /** Whether messages may be written: it is ready, has not just slept, and is not silent although it used to answer probes whatever it did. */
  get isGood(): boolean {
    const { pulse } = this;
    return pulse !== undefined && !pulse.isStale &&
      !(pulse.isDoubted && pulse.isConcurrent);
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#subprotocol === "offered" || this.#subprotocol === "agreed";
  }

  /** Whether the greeting has nothing to wait for yet. */
  get isUngreeted(): boolean {
    return this.#state.phase === "greeting" && this.#state.until === Infinity;
  }

  /** When the link wants to be woken. */
  deadline({ isWanted, load, mayDoubt }: Traffic): number {
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isWanted) return Math.min(state.soon, state.until);
        // The pool is there on demand only; but a refusal is remembered.
        if (this.role !== "pool" || this.#refusal) return state.until;
        return -Infinity;
      case "dialing":
      case "greeting":
        return state.until;
      case "ready":
        if (this.role === "kept") return load === "busy" ? Infinity : -Infinity;
        return Math.min(
          state.pulse.deadline(load, mayDoubt),
          this.#idleUntil(load),
        );
    }
  }

  #idleUntil(load: Load): number {
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
        if (this.role === "kept") return "retire";
        if (now >= this.#idleUntil(traffic.load)) return "retire";
        return state.pulse.wish(traffic.load);
    }
  }

  /** waiting -> waiting: what kept the daemon from taking us may be over. */
  hurry(now: number): void {
    if (this.#state.phase !== "waiting" || this.#refusal !== undefined) return;
    const { until: tableUntil, soon } = this.#state;
    const until = Math.min(
      tableUntil,
      Math.max(now, this.#dialedAt + HURRY_MS),
    );
    this.#state = { phase: "waiting", until, soon: Math.min(soon, until) };
  }

  /** waiting -> dialing. */
  dial(now: number): void {
    const state = this.#expect("waiting");
    this.#dialedAt = now;
    this.#attempt++;
    this.#state = {
      phase: "dialing",
      until: now + this.#limits.handshakeTimeout,
      next: state.until,
    };
  }

  /** dialing -> greeting: the WebSocket is open and nothing has been said on it. */
  opened(): void {
    this.#expect("dialing");
    this.#refusal = undefined;
    this.#subprotocol = this.offersSubprotocol ? "agreed" : "declined";
    this.#state = { phase: "greeting", until: Infinity };
  }

  /** greeting -> greeting: the greeting went out and its answer is awaited. */
  greeted(now: number): void {
    this.#expect("greeting");
    this.#state = {
      phase: "greeting",
      until: now + this.#limits.handshakeTimeout,
    };
  }

  /** greeting -> greeting: the daemon answered, but what it said leaves the greeting to be said again. */
  unanswered(): void {
    this.#expect("greeting");
    this.#state = { phase: "greeting", until: Infinity };
  }

  /** greeting -> ready: the daemon gave a real answer. */
  validated(now: number): void {
    this.#expect("greeting");
    this.#attempt = 0;
    this.used(now);
    this.#state = {
      phase: "ready",
      since: now,
      pulse: new Pulse(this.#limits, now),
    };
  }

  /** Something that belongs to a request went over the link. */
  used(now: number): void {
    if (this.role === "pool") this.#usedAt = now;
  }

  /** ready -> ready: it is silent, and another connection is to show whether the daemon is. */
  doubted(now: number, reason: string): void {
    this.#expect("ready").pulse.doubted();
    this.#downSince = now;
    this.#lastFailure = reason;
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
    switch (state.phase) {
      case "waiting": {
        const until = this.#refusal === undefined ? now : state.until + ms;
        this.#state = { ...state, until, soon: until };
        return;
      }
      case "dialing":
        this.#state = {
          ...state,
          until: Math.min(state.until + ms, newsBy),
          next: state.next + ms,
        };
        return;
      case "greeting":
        if (this.isUngreeted) return;
        this.#state = { ...state, until: Math.min(state.until + ms, newsBy) };
        return;
      case "ready":
        this.#state = { ...state, since: state.since + ms };
        this.#downSince = now;
        state.pulse.resumed(now, ms);
    }
  }

  /** Any phase but waiting -> waiting, under the epoch of the next dial. */
  lost(now: number, loss: Loss, nextEpoch: number): void {
    const state = this.#state;
    if (state.phase === "waiting") {
      throw new Error("A link that is waiting was lost");
    }
    this.epoch = nextEpoch;
    this.#lastFailure = loss.reason;
    this.#refusal = loss.refused ? loss.reason : undefined;
    if (state.phase === "ready") {
      this.#downSince = now;
      // A daemon without an opinion is to be asked for it ever more seldom.
      const forgivenAt = state.since + STABLE_MS;
      if (now >= forgivenAt && this.role !== "second") this.#failures = 0;
    }
    this.#state = { phase: "waiting", ...this.#pause(now, state, loss) };
  }

  #pause(
    now: number,
    left: LinkState,
    loss: Loss,
  ): { until: number; soon: number } {
    if (loss.refused) {
      const until = now +
        this.#limits.backoffCap * (1 + JITTER * this.#random());
      return { until, soon: until };
    }
    if (left.phase === "dialing" && loss.subprotocol) {
      if (this.#subprotocol === "offered") {
        // The same attempt goes on without the offer.
        this.#subprotocol = "left out";
        this.#attempt--;
        return { until: left.next, soon: now };
      }
    }
    if (this.#subprotocol === "left out") this.#subprotocol = "offered";
    if (left.phase !== "dialing") {
      // A daemon that accepts and closes gains nothing by being dialed faster.
      const until = now + this.#tablePause();
      return { until, soon: until };
    }
    const demand = Math.min(DEMAND_MS, this.#limits.backoffCap);
    const soon = now + demand * (1 + JITTER * this.#random());
    // A dial that was made ahead of the table leaves the table where it was.
    const isAhead = left.next > now;
    const until = isAhead
      ? Math.max(left.next, soon)
      : now + this.#tablePause();
    return { until, soon };
  }

  #tablePause(): number {
    return backoff(++this.#failures, this.#limits, this.#random);
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
