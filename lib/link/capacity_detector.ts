/**
 * Detects whether the daemon keeps more than one connection per client.
 *
 * | state       | event                                                                                | next         |
 * | ----------- | ------------------------------------------------------------------------------------ | ------------ |
 * | `unknown`   | the main connection is ready within 150 ms, no call was sent, probes are enabled     | `checking`   |
 * | `unknown`   | the cache says that this daemon keeps one                                            | `known` one  |
 * | `checking`  | both connections answered all probes                                                 | `known` many |
 * | `checking`  | the daemon closed the second one and answers on the main one                         | `known` one, cached |
 * | `checking`  | the second one's time is over, and the main one answers                              | `known` one  |
 * | `checking`  | the second one answered its probe, the main one did not, and it is closed            | `displaced`  |
 * | `checking`  | as above, but the main one no longer answers                                         | `known` one  |
 * | `checking`  | no probe is answered; or a sleep, a full queue, another disconnect                   | `known` one  |
 * | any but configured | the daemon closes the main one within 2 s of a second one's dial or opening   | `displaced`  |
 * | `displaced` | the main connection is ready again within a second                                   | `known` one, cached if `isCertain` |
 * | `displaced` | a dial fails without hanging: the daemon was down                                    | the previous capacity; one if it was unknown |
 * | `displaced` | it takes longer                                                                      | `known` one  |
 *
 * A process checks only once, so it displaces its own connection at most once.
 * If the check has no result, this process assumes that the daemon keeps one.
 *
 * @module
 */

/** How many connections the daemon keeps per client. */
export type ConnectionCapacity = "one" | "many";

/** The `--connections` setting. */
export type ConnectionsSetting = ConnectionCapacity | "auto";

/**
 * How long a request waits for a capacity check and the main connection's
 * handshake together, in milliseconds.
 */
const CAPACITY_CHECK_MS = 450;
/**
 * The part of that time reserved for the main connection after the second one
 * is closed, in milliseconds.
 */
const MAIN_ONLY_CHECK_MS = 100;
/**
 * The longest handshake of the main connection after which a capacity check
 * starts, in milliseconds.
 */
export const QUICK_HANDSHAKE_MS = 150;
/**
 * How long after a second connection opens a close of the main one is
 * attributed to it, in milliseconds.
 */
const DISPLACEMENT_WINDOW_MS = 2_000;
/** How long a running daemon takes to be ready again, in milliseconds. */
const QUICK_RECONNECT_MS = 1_000;

/** A capacity check with two connections. */
export interface CapacityCheck {
  /** Identifies this state. */
  readonly kind: "checking";
  /**
   * `both-connections`: both must answer; `main-only`: the main one must answer
   * after the second is closed.
   */
  step: "both-connections" | "main-only";
  /** When the second connection is closed. */
  secondConnectionUntil: number;
  /** When the main connection must have answered after that. */
  until: number;
  /** The id of the probe on the main connection that must be answered. */
  mainProbeId: string | undefined;
  /** The daemon has answered the opening message on the second connection. */
  isSecondReady: boolean;
  /** The daemon has answered the probe on the second connection. */
  hasSecondAnswered: boolean;
  /**
   * The daemon has answered the probe on the main connection in the meantime.
   */
  hasMainAnswered: boolean;
  /** The daemon has closed the second connection. */
  isSecondClosed: boolean;
  /** The steps got more time because the process was suspended or busy. */
  isExtended: boolean;
}

type CapacityState =
  | { readonly kind: "unknown" }
  | CapacityCheck
  | {
    readonly kind: "known";
    readonly connectionCapacity: ConnectionCapacity;
    readonly isConfigured: boolean;
  }
  | {
    readonly kind: "displaced";
    readonly since: number;
    readonly previousCapacity: ConnectionCapacity;
    /**
     * The main connection was closed cleanly or during a check. A process that
     * died or a network failure would look different.
     */
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
      : { kind: "known", connectionCapacity: setting, isConfigured: true };
  }

  /** The known capacity; `unknown` during a check. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    switch (this.#state.kind) {
      case "known":
        return this.#state.connectionCapacity;
      case "displaced":
        return "one";
      default:
        return "unknown";
    }
  }

  /** Whether the capacity is unknown and no check is running. */
  get isUnknown(): boolean {
    return this.#state.kind === "unknown";
  }

  /** The running check, if there is one. */
  get check(): CapacityCheck | undefined {
    return this.#state.kind === "checking" ? this.#state : undefined;
  }

  /**
   * Starts a check; `handshakeMs` is how long the main connection's handshake
   * took.
   */
  startCheck(handshakeMs: number, now: number): void {
    const until = now + CAPACITY_CHECK_MS - handshakeMs;
    this.#state = {
      kind: "checking",
      step: "both-connections",
      secondConnectionUntil: until - MAIN_ONLY_CHECK_MS,
      until,
      mainProbeId: undefined,
      isSecondReady: false,
      hasSecondAnswered: false,
      hasMainAnswered: false,
      isSecondClosed: false,
      isExtended: false,
    };
  }

  /**
   * Extends the check after the process was late by `lateMs`: responses may be
   * waiting to be read.
   *
   * @returns whether the check goes on
   */
  extendCheck(lateMs: number): boolean {
    const { check } = this;
    if (check === undefined || check.isExtended) return false;
    check.secondConnectionUntil += lateMs + MAIN_ONLY_CHECK_MS;
    check.until += lateMs + MAIN_ONLY_CHECK_MS;
    check.isExtended = true;
    return true;
  }

  /** When the current step of the check must be over. */
  deadline(): number {
    const { check } = this;
    if (check === undefined) return Infinity;
    return check.step === "main-only"
      ? check.until
      : check.secondConnectionUntil;
  }

  /** Records the capacity; it never overrides a setting. */
  record(connectionCapacity: ConnectionCapacity): void {
    if (this.#state.kind === "known" && this.#state.isConfigured) return;
    this.#state = { kind: "known", connectionCapacity, isConfigured: false };
  }

  /** Ends the check without a result, if one is running. */
  abandonCheck(): void {
    if (this.#state.kind === "checking") this.record("one");
  }

  /** Records that a second connection was dialed or opened. */
  onSecondConnection(at: number): void {
    this.#secondConnectionAt = at;
  }

  /**
   * Records that the second connection is gone: it can no longer displace the
   * main one.
   */
  onSecondConnectionClosed(): void {
    this.#secondConnectionAt = -Infinity;
  }

  /**
   * Records that the daemon closed the main connection.
   *
   * @param isClean whether it sent a close frame that may mean displacement
   * @returns whether a second connection is the cause
   */
  onMainConnectionClosed(isClean: boolean, now: number): boolean {
    const isRecent = now <= this.#secondConnectionAt + DISPLACEMENT_WINDOW_MS;
    this.#secondConnectionAt = -Infinity;
    const state = this.#state;
    if (!isRecent || state.kind === "known" && state.isConfigured) return false;
    this.markMainDisplaced(now, isClean || state.kind === "checking");
    return true;
  }

  /** Records that the main connection is unusable because of a second one. */
  markMainDisplaced(now: number, isCertain: boolean): void {
    const previousCapacity = this.connectionCapacity === "many"
      ? "many"
      : "one";
    this.#state = {
      kind: "displaced",
      since: now,
      previousCapacity,
      isCertain,
    };
  }

  /**
   * Records that the main connection is ready again.
   *
   * @returns whether the result should be cached: not if it took long, because
   * the daemon may have been busy or frozen
   */
  onMainConnectionReady(now: number): boolean {
    const state = this.#state;
    if (state.kind !== "displaced") return false;
    const isConfirmed = state.isCertain &&
      now <= state.since + QUICK_RECONNECT_MS;
    this.record("one");
    return isConfirmed;
  }

  /** Records that the daemon itself was down. */
  onDaemonDown(): void {
    const state = this.#state;
    if (state.kind === "displaced") this.record(state.previousCapacity);
  }
}
