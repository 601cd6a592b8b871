/**
 * Is a line to the daemon up: waiting, dialing, greeting, ready, and for how
 * long before something must change.
 *
 * @module
 */

/** What a link may take, in milliseconds. */
export interface LinkLimits {
  /** The pause after the first failure. */
  readonly backoffBase: number;
  /** The longest pause, but for what chance adds. */
  readonly backoffCap: number;
  /** How long a WebSocket may take to open, and then the daemon to answer the greeting. */
  readonly handshakeTimeout: number;
  /** Silence after which an idle link is probed; `Infinity` switches probes off. */
  readonly pingInterval: number;
  /** How long a probe may stay unanswered. */
  readonly pingTimeout: number;
}

/** How long a link must have stayed ready before its losses are forgiven. */
export const STABLE_MS = 5_000;
/** The longest pause between dials while a request waits and dials fail before they open. */
export const DEMAND_MS = 1_000;
/** How long a new daemon may be silent about what the proxy itself has asked it. */
export const RESTORE_MS = 60_000;
/** How long a request that was given up on may excuse the daemon's silence about others. */
export const ABANDONED_MS = 600_000;
/** How long a link of the pool may carry nothing before it is closed. */
export const POOL_IDLE_MS = 60_000;
/** The most that chance adds to a pause, as a share of it. */
export const JITTER = 0.1;

/** What a link is for: everything, or requests that may keep a connection for themselves. */
export type LinkRole = "main" | "pool";

/** Where a link is; every phase says when it ends by itself. */
export type LinkState =
  /** `until` is the table's moment; `soon` the one that a waiting request may have instead. */
  | { readonly phase: "waiting"; readonly until: number; readonly soon: number }
  /** `next` is the table's moment if this dial was made ahead of it. */
  | { readonly phase: "dialing"; readonly until: number; readonly next: number }
  /** The socket is open; `until` is infinite as long as nothing could be said on it. */
  | { readonly phase: "greeting"; readonly until: number }
  /** `probe` is the moment by which a probe that went out must have been answered. */
  | {
    readonly phase: "ready";
    readonly since: number;
    readonly heard: number;
    readonly probe: number | undefined;
    /** How long the daemon may still be at a request that was given up on, if nothing was heard since. */
    readonly abandonedUntil: number | undefined;
  };

/** What a link is wanted for and busy with; it decides how long silence is patience. */
export interface Traffic {
  /** A request waits to be written. */
  readonly isWanted: boolean;
  /**
   * `busy`: the client is owed an answer on this link; `elsewhere`: on another
   * one, and the daemon may do one thing at a time; `restoring`: the proxy
   * itself has asked for something.
   */
  readonly load: "idle" | "restoring" | "elsewhere" | "busy";
}

/** Why a link was lost. */
export interface Loss {
  /** For people: what happened, without a full stop. */
  readonly reason: string;
  /** The daemon said no and will say it again: dialing goes on at the cap only. */
  readonly refused?: boolean;
  /** The daemon took offence at the size of what was written. */
  readonly tooLarge?: boolean;
  /** The offered subprotocol may be the cause, so that a dial without it is worth a try. */
  readonly subprotocol?: boolean;
}

/** What a link asks for when its time has come. */
export type LinkWish = "nothing" | "dial" | "probe" | "give up" | "retire";

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
  #downSince: number;
  #refusal: string | undefined;
  #lastFailure: string | undefined;
  /** When a link of the pool last carried something. */
  #usedAt = Infinity;
  #subprotocol: "offered" | "agreed" | "left out" | "declined" = "offered";

  /** The number of the present or next dial; an event that names another one is a stranger's. */
  epoch: number;
  /** What the link is for. */
  readonly role: LinkRole;

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

  /** Why the daemon refuses us, until it opens a WebSocket or fails in another way. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Why the last dial or connection ended. */
  get lastFailure(): string | undefined {
    return this.#lastFailure;
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
  deadline({ isWanted, load }: Traffic): number {
    const state = this.#state;
    switch (state.phase) {
      case "waiting":
        if (isWanted) return Math.min(state.soon, state.until);
        // The pool is there on demand only.
        return this.role === "pool" ? -Infinity : state.until;
      case "dialing":
      case "greeting":
        return state.until;
      case "ready":
        return Math.min(this.#silentUntil(state, load), this.#idleUntil(load));
    }
  }

  #silentUntil(
    state: Extract<LinkState, { phase: "ready" }>,
    load: Traffic["load"],
  ): number {
    // While an answer is owed, silence is no verdict: the daemon may be slow.
    if (load === "elsewhere") return Infinity;
    if (state.probe !== undefined) {
      // A probe that went out before a call is answered before it, unless
      // the daemon is still at something that was given up on.
      if (load !== "busy") return state.probe;
      return Math.max(state.probe, state.abandonedUntil ?? -Infinity);
    }
    if (load === "busy") return Infinity;
    return Math.max(
      state.heard + this.#limits.pingInterval,
      load === "restoring" ? state.since + RESTORE_MS : 0,
    );
  }

  #idleUntil(load: Traffic["load"]): number {
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
        if (now >= this.#idleUntil(traffic.load)) return "retire";
        return state.probe === undefined ? "probe" : "give up";
    }
  }

  /** waiting -> waiting: what kept the daemon from taking us may be over. */
  hurry(now: number): void {
    if (this.#state.phase !== "waiting" || this.#refusal !== undefined) return;
    this.#state = { phase: "waiting", until: now, soon: now };
  }

  /** waiting -> dialing. */
  dial(now: number): void {
    const state = this.#expect("waiting");
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
      heard: now,
      probe: undefined,
      abandonedUntil: undefined,
    };
  }

  /** Any frame is proof of life. */
  heard(now: number): void {
    const state = this.#state;
    if (state.phase !== "ready") return;
    this.#state = {
      ...state,
      heard: now,
      probe: undefined,
      abandonedUntil: undefined,
    };
  }

  /** Something that belongs to a request went over the link. */
  used(now: number): void {
    if (this.role === "pool") this.#usedAt = now;
  }

  /** The daemon spoke on another link: a probe has its whole time again, for the daemon may have been busy until now. */
  excused(now: number): void {
    const state = this.#state;
    if (state.phase !== "ready" || state.probe === undefined) return;
    this.#state = { ...state, probe: now + this.#limits.pingTimeout };
  }

  /** ready -> ready: a probe went out and must be answered in time; a second one changes nothing. */
  probed(now: number): void {
    const state = this.#expect("ready");
    const probe = state.probe ?? now + this.#limits.pingTimeout;
    this.#state = { ...state, probe };
  }

  /** ready -> ready: a request that was written is given up on, and the daemon may still be at it. */
  abandoned(now: number): void {
    const state = this.#expect("ready");
    const abandonedUntil = state.abandonedUntil ?? now + ABANDONED_MS;
    this.#state = { ...state, abandonedUntil };
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
      if (now - state.since >= STABLE_MS) this.#failures = 0;
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
