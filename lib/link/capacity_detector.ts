/**
 * Detects whether the daemon keeps more than one connection per client.
 *
 * The proxy opens a second connection once, before any call is sent, and the
 * daemon must answer on both. A daemon that keeps one connection closes one of
 * the two, or answers on the newest only. So the main one must also answer once
 * the second is closed; else it is dropped, because calls on it might never be
 * answered. A process checks only once, so that it displaces its own connection
 * at most once, and without a result it assumes that the daemon keeps one.
 *
 * | state               | event                                          | next               | what the session does |
 * | ------------------- | ---------------------------------------------- | ------------------ | --------------------- |
 * | `unknown`           | a check starts                                 | `both-connections` | opens the second one  |
 * | `unknown`           | the cache says that this daemon keeps one      | `known`            |                       |
 * | `both-connections`  | the second one is ready, and the main one probed | the same         |                       |
 * | `both-connections`  | both have answered; the second one is lost; its time is over | `main-only` | closes the second one, and probes the main one |
 * | `main-only`         | the main one answers                           | `known`            | concludes: many, if both have answered; else one, proven if the second one was lost |
 * | `main-only`         | its time is over; the second was never ready   | `known` one        | concludes: the daemon is busy or frozen |
 * | `main-only`         | its time is over; only the second has answered | `displaced`        | drops the main one    |
 * | `main-only`         | its time is over in any other case             | `known` one        | drops the main one    |
 * | both of a check     | the time is over, but the process was late, for the first time | the same, later |  |
 * | both of a check     | a sleep, a full queue, the loss of the main one | `known` one       |                       |
 * | any but `configured` | the daemon closes the main one within 2 s of a second one's dial or opening | `displaced` | dials again at once after a check |
 * | `displaced`         | the main one is ready again                    | `known` one        | caches it, if `isCertain` and within a second |
 * | `displaced`         | a dial fails without hanging: the daemon was down | `known`: the previous capacity, or one | |
 *
 * To start a second check, or to lose a second connection without a check, is
 * an error. Every other event without a row changes nothing.
 *
 * @module
 */

/** How many connections the daemon keeps per client. */
export type ConnectionCapacity = "one" | "many";

/** The `--connections` setting. */
export type ConnectionsSetting = ConnectionCapacity | "auto";

/** How long a request waits for the main handshake and the check together. */
const CAPACITY_CHECK_MS = 450;
/** The part of that time for the main connection after the second is closed. */
const MAIN_ONLY_CHECK_MS = 100;
/** The longest handshake of the main connection after which a check starts. */
export const QUICK_HANDSHAKE_MS = 150;
/** A step that ends later than this gets more time: the program had none. */
const TIMER_LAG_MS = 50;
/** How long after a second connection opens a close is attributed to it. */
const DISPLACEMENT_WINDOW_MS = 2_000;
/** How long a running daemon takes to be ready again. */
const QUICK_RECONNECT_MS = 1_000;

/** What the session must do next in a check. */
export type CheckStep =
  | { readonly kind: "close-second" } // and probe the main connection
  | {
    readonly kind: "conclude";
    readonly capacity: ConnectionCapacity;
    /** The daemon has shown it, so that it can be cached. */
    readonly isProven: boolean;
  }
  | { readonly kind: "drop-main" }; // it must be dialed again

/** `until` is when the step ends, or began to be late. */
interface CapacityCheck {
  readonly kind: "both-connections" | "main-only";
  readonly until: number;
  /** The probe on the main connection that must be answered. */
  readonly mainProbeId?: string | undefined;
  readonly isSecondReady?: boolean;
  readonly hasSecondAnswered?: boolean;
  /** While there were two. */
  readonly hasMainAnswered?: boolean;
  readonly isSecondLost?: boolean;
  /** It got more time because the process was suspended or busy. */
  readonly isExtended?: boolean;
}

type CapacityState =
  | { readonly kind: "unknown" }
  | CapacityCheck
  | {
    readonly kind: "known" | "configured";
    readonly connectionCapacity: ConnectionCapacity;
  }
  | {
    readonly kind: "displaced";
    readonly since: number;
    readonly previousCapacity: ConnectionCapacity;
    /** Closed cleanly or during a check: the daemon did not just die. */
    readonly isCertain: boolean;
  };

/** Keeps what this process knows about the capacity. */
export class CapacityDetector {
  #state: CapacityState;
  /** When a second connection was last dialed or opened. */
  #secondConnectionAt = -Infinity;

  /** Starts from the setting. */
  constructor(setting: ConnectionsSetting) {
    this.#state = setting === "auto"
      ? { kind: "unknown" }
      : { kind: "configured", connectionCapacity: setting };
  }

  /** The known capacity; `unknown` during a check. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    const state = this.#state;
    if (state.kind === "displaced") return "one";
    return "connectionCapacity" in state ? state.connectionCapacity : "unknown";
  }

  /** Whether the capacity is unknown and no check is running. */
  get isUnknown(): boolean {
    return this.#state.kind === "unknown";
  }

  /** Whether a check is running: no request may be sent. */
  get isChecking(): boolean {
    return this.#check !== undefined;
  }

  /** Whether a check is running in which both connections must answer. */
  get isAwaitingSecond(): boolean {
    return this.#state.kind === "both-connections";
  }

  get #check(): CapacityCheck | undefined {
    return "until" in this.#state ? this.#state : undefined;
  }

  /** Starts a check after a handshake of the main connection of this length. */
  startCheck(handshakeMs: number, now: number): void {
    if (!this.isUnknown) {
      throw new Error(`A check cannot start: the state is ${this.#state.kind}`);
    }
    this.#state = {
      kind: "both-connections",
      until: now + CAPACITY_CHECK_MS - MAIN_ONLY_CHECK_MS - handshakeMs,
    };
  }

  /** Records that the second one is ready, and the main one was probed. */
  onSecondReady(mainProbeId: string | undefined): void {
    if (this.#state.kind !== "both-connections") return;
    this.#state = { ...this.#state, isSecondReady: true, mainProbeId };
  }

  /** Records the probe on the main connection that must be answered. */
  setMainProbe(mainProbeId: string | undefined): void {
    if (this.#check) this.#state = { ...this.#check, mainProbeId };
  }

  /** Records the answer to a probe, and returns what must be done. */
  onProbeAnswered(
    connection: "main" | "second",
    id: string,
  ): CheckStep | undefined {
    const check = this.#check;
    if (check === undefined) return undefined;
    const isMain = connection === "main" && id === check.mainProbeId;
    if (check.kind === "main-only") {
      const isProven = check.isSecondLost === true;
      return isMain ? this.#conclude(check, isProven) : undefined;
    }
    const hasMainAnswered = check.hasMainAnswered || isMain;
    const hasSecondAnswered = check.hasSecondAnswered ||
      connection === "second";
    this.#state = { ...check, hasMainAnswered, hasSecondAnswered };
    if (!hasMainAnswered || !hasSecondAnswered) return undefined;
    return this.#closeSecond(this.#state);
  }

  /** Records that the second connection was lost. */
  onSecondLost(): CheckStep {
    const state = this.#state;
    if (state.kind !== "both-connections") {
      throw new Error(`No second connection can be lost: it is ${state.kind}`);
    }
    return this.#closeSecond({ ...state, isSecondLost: true });
  }

  /** When the current step of the check must be over. */
  deadline(): number {
    return this.#check?.until ?? Infinity;
  }

  /** Moves a check on if its step is over, and returns what must be done. */
  advance(now: number): CheckStep | undefined {
    const check = this.#check;
    if (check === undefined || now < check.until) return undefined;
    if (now - check.until > TIMER_LAG_MS && !check.isExtended) {
      // Responses may be waiting to be read.
      const until = now + MAIN_ONLY_CHECK_MS;
      this.#state = { ...check, until, isExtended: true };
      return undefined;
    }
    if (check.kind === "both-connections") return this.#closeSecond(check);
    // A daemon that answers nothing is busy or frozen.
    if (!check.isSecondReady) return this.#conclude(check, false);
    if (check.hasSecondAnswered && !check.hasMainAnswered) {
      this.#markMainDisplaced(now, true);
    } else this.record("one");
    return { kind: "drop-main" };
  }

  #closeSecond(check: CapacityCheck): CheckStep {
    const until = check.until + MAIN_ONLY_CHECK_MS;
    this.#state = { ...check, kind: "main-only", until };
    return { kind: "close-second" };
  }

  #conclude(check: CapacityCheck, isProven: boolean): CheckStep {
    const isMany = check.hasMainAnswered && check.hasSecondAnswered;
    const capacity = isMany ? "many" : "one";
    this.record(capacity);
    return { kind: "conclude", capacity, isProven };
  }

  /** Records the capacity; it never overrides a setting. */
  record(connectionCapacity: ConnectionCapacity): void {
    if (this.#state.kind === "configured") return;
    this.#state = { kind: "known", connectionCapacity };
  }

  /** Ends the check without a result, if one is running. */
  abandonCheck(): void {
    if (this.isChecking) this.record("one");
  }

  /** Records that a second connection was dialed or opened. */
  onSecondConnection(at: number): void {
    this.#secondConnectionAt = at;
  }

  /** The second connection is gone: it can no longer displace the main one. */
  onSecondConnectionClosed(): void {
    this.#secondConnectionAt = -Infinity;
  }

  /** Records a close by the daemon; returns whether a second one caused it. */
  onMainConnectionClosed(isClean: boolean, now: number): boolean {
    const isRecent = now <= this.#secondConnectionAt + DISPLACEMENT_WINDOW_MS;
    this.#secondConnectionAt = -Infinity;
    if (!isRecent || this.#state.kind === "configured") return false;
    this.#markMainDisplaced(now, isClean || this.isChecking);
    return true;
  }

  #markMainDisplaced(since: number, isCertain: boolean): void {
    const wasMany = this.connectionCapacity === "many";
    const previousCapacity = wasMany ? "many" : "one";
    this.#state = { kind: "displaced", since, previousCapacity, isCertain };
  }

  /** Records that the main one is ready; returns whether to cache the result. */
  onMainConnectionReady(now: number): boolean {
    const state = this.#state;
    if (state.kind !== "displaced") return false;
    this.record("one");
    // If it took long, the daemon may have been busy.
    return state.isCertain && now <= state.since + QUICK_RECONNECT_MS;
  }

  /** Records that the daemon itself was down. */
  onDaemonDown(): void {
    const state = this.#state;
    if (state.kind === "displaced") this.record(state.previousCapacity);
  }
}
