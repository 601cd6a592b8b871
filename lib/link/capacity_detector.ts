/**
 * Detects whether the daemon keeps more than one connection per client.
 *
 * Some daemons keep only one connection: if a second one opens, they close one
 * of the two, or answer on the newest only. With such a daemon, the proxy must
 * not open a second connection while calls are in flight.
 *
 * To find out, the session runs a check before any call. It opens a second
 * connection, and the daemon must answer a probe on both. Then the second
 * connection is closed, and the main one must answer again. If it does not, it
 * is dropped, because calls on it might never be answered. A process checks
 * only once, so that it displaces its own connection at most once. If the check
 * ends without a result, one connection is assumed.
 *
 * | state                           | event                                              | next                 | what the session does |
 * | ------------------------------- | -------------------------------------------------- | -------------------- | --------------------- |
 * | `unknown`                       | `startCheck`                                       | `both-connections`   | opens the second one  |
 * | `unknown`                       | `record`: the cache says that this daemon keeps one | `known` one         |                       |
 * | `both-connections`              | `onSecondReady`                                    | the same             | probes both           |
 * | `both-connections`              | both have answered; `onSecondLost`; the time is over         | `main-only` | closes the second one, and probes the main one |
 * | `main-only`                     | the main one answers, and both had answered before | `known` many         | sends the queue       |
 * | `main-only`                     | the main one answers in any other case             | `known` one          | sends the queue; caches the result if the second one was lost |
 * | `main-only`                     | the time is over; the second one was never ready: the daemon is busy or frozen | `known` one | sends the queue |
 * | `main-only`                     | the time is over; only the second one has answered | `displaced`          | drops the main one    |
 * | `main-only`                     | the time is over in any other case                 | `known` one          | drops the main one    |
 * | `both-connections`, `main-only` | the time is over, but the process was late; at most once | the same, with more time |               |
 * | `both-connections`, `main-only` | `abandonCheck`: a sleep, a full queue, the loss of the main one | `known` one | closes the second one |
 * | any but `configured`            | `onMainConnectionClosed`: by the daemon, within 2 s of the dial or opening of a second one | `displaced` | during a check, dials again at once |
 * | `displaced`                     | `onMainConnectionReady`                            | `known` one          | caches the result, if `isCertain` and within 1 s |
 * | `displaced`                     | `onDaemonDown`: a dial fails without hanging       | `known`: the previous capacity; one if it was unknown |  |
 *
 * `startCheck` and `onSecondLost` throw in a state without a row for them.
 * Every other event without a row changes nothing.
 *
 * @module
 */

/** How many connections the daemon keeps per client. */
export type ConnectionCapacity = "one" | "many";

/** The `--connections` setting; `auto` detects the capacity. */
export type ConnectionsSetting = ConnectionCapacity | "auto";

/** How long a request may wait for the main handshake and the check. */
const CAPACITY_CHECK_MS = 450;
/** The part of that time that is left once the second one is closed. */
const MAIN_ONLY_CHECK_MS = 100;
/** The longest main handshake after which a check may start. */
export const QUICK_HANDSHAKE_MS = 150;
/** If a timeout is noticed later than this, the step gets more time. */
const TIMER_LAG_MS = 50;
/** A close this soon after a second one was dialed or opened is due to it. */
const DISPLACEMENT_WINDOW_MS = 2_000;
/** The longest time that a running daemon needs to become ready again. */
const QUICK_RECONNECT_MS = 1_000;

/** The next step of a check, which the session must carry out. */
export type CheckStep =
  | { readonly kind: "close-second" } // then probe the main connection
  | {
    readonly kind: "conclude";
    readonly capacity: ConnectionCapacity;
    /** True if the loss of the second one proves `one`, so it can be cached. */
    readonly isProven: boolean;
  }
  | { readonly kind: "drop-main" }; // then dial the main link again

/** A running check. `until` is when the current step times out. */
interface CapacityCheck {
  readonly kind: "both-connections" | "main-only";
  readonly until: number;
  /** The id of the pending probe on the main connection. */
  readonly mainProbeId?: string | undefined;
  readonly isSecondReady?: boolean;
  readonly hasSecondAnswered?: boolean;
  /** True once the main one has answered while the second one was open. */
  readonly hasMainAnswered?: boolean;
  readonly isSecondLost?: boolean;
  /** True once it got more time, because the process was late. */
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
    /** True if the main one closed cleanly or in a check: the daemon lives. */
    readonly isCertain: boolean;
  };

/** The state machine of the capacity. */
export class CapacityDetector {
  #state: CapacityState;
  /** When a second connection was last dialed or opened. */
  #secondConnectionAt = -Infinity;

  /** Starts with the setting: `configured`, or `unknown` for `auto`. */
  constructor(setting: ConnectionsSetting) {
    this.#state = setting === "auto"
      ? { kind: "unknown" }
      : { kind: "configured", connectionCapacity: setting };
  }

  /** The capacity; `unknown` before and during a check. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    const state = this.#state;
    if (state.kind === "displaced") return "one";
    return "connectionCapacity" in state ? state.connectionCapacity : "unknown";
  }

  /** True if the capacity is unknown and no check is running. */
  get isUnknown(): boolean {
    return this.#state.kind === "unknown";
  }

  /** True while a check is running: no request may be sent. */
  get isChecking(): boolean {
    return this.#check !== undefined;
  }

  /** True during the part of a check in which both must answer. */
  get isAwaitingSecond(): boolean {
    return this.#state.kind === "both-connections";
  }

  get #check(): CapacityCheck | undefined {
    return "until" in this.#state ? this.#state : undefined;
  }

  /** Starts a check; `handshakeMs` is how long the main handshake took. */
  startCheck(handshakeMs: number, now: number): void {
    if (!this.isUnknown) {
      throw new Error(`A check cannot start: the state is ${this.#state.kind}`);
    }
    this.#state = {
      kind: "both-connections",
      until: now + CAPACITY_CHECK_MS - MAIN_ONLY_CHECK_MS - handshakeMs,
    };
  }

  /** Records that the second one is ready, with the probe on the main one. */
  onSecondReady(mainProbeId: string | undefined): void {
    if (this.#state.kind !== "both-connections") return;
    this.#state = { ...this.#state, isSecondReady: true, mainProbeId };
  }

  /** Records which probe on the main connection must be answered. */
  setMainProbe(mainProbeId: string | undefined): void {
    if (this.#check) this.#state = { ...this.#check, mainProbeId };
  }

  /** Records the answer to a probe; returns the next step, if there is one. */
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

  /** Records that the second connection was lost; returns the next step. */
  onSecondLost(): CheckStep {
    const state = this.#state;
    if (state.kind !== "both-connections") {
      throw new Error(`No second one can be lost: the state is ${state.kind}`);
    }
    return this.#closeSecond({ ...state, isSecondLost: true });
  }

  /** Returns when the current step times out; `Infinity` without a check. */
  deadline(): number {
    return this.#check?.until ?? Infinity;
  }

  /** Ends the current step if it has timed out; returns the next step. */
  advance(now: number): CheckStep | undefined {
    const check = this.#check;
    if (check === undefined || now < check.until) return undefined;
    if (now - check.until > TIMER_LAG_MS && !check.isExtended) {
      // The answers may have arrived, and are not read yet.
      const until = now + MAIN_ONLY_CHECK_MS;
      this.#state = { ...check, until, isExtended: true };
      return undefined;
    }
    if (check.kind === "both-connections") return this.#closeSecond(check);
    // A daemon that answers nothing at all is busy or frozen.
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

  /** Records the capacity, unless it is configured. */
  record(connectionCapacity: ConnectionCapacity): void {
    if (this.#state.kind === "configured") return;
    this.#state = { kind: "known", connectionCapacity };
  }

  /** Ends the check without a result, if one is running. */
  abandonCheck(): void {
    if (this.isChecking) this.record("one");
  }

  /** Records that a second connection was dialed or opened. */
  onSecondConnectionOpening(at: number): void {
    this.#secondConnectionAt = at;
  }

  /** Records the end of the second one: it no longer displaces the main one. */
  onSecondConnectionClosed(): void {
    this.#secondConnectionAt = -Infinity;
  }

  /** Records that the daemon closed the main one; true if the second is why. */
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

  /** Ends a displacement; returns true if the result may be cached. */
  onMainConnectionReady(now: number): boolean {
    const state = this.#state;
    if (state.kind !== "displaced") return false;
    this.record("one");
    // If it took longer, the daemon may have been busy.
    return state.isCertain && now <= state.since + QUICK_RECONNECT_MS;
  }

  /** Ends a displacement without a result: the daemon itself was down. */
  onDaemonDown(): void {
    const state = this.#state;
    if (state.kind === "displaced") this.record(state.previousCapacity);
  }
}
