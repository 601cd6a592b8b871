/**
 * Whether the daemon keeps more than one connection for a client, as far as it
 * is known.
 *
 * | state       | event                                                                         | next        |
 * | ----------- | ----------------------------------------------------------------------------- | ----------- |
 * | `unknown`   | the main connection is ready within 150 ms, nothing was called, probes are on | `trying`    |
 * | `unknown`   | it is remembered that this daemon keeps one                                   | `known` one |
 * | `trying`    | both connections answered all probes                                          | `known` many |
 * | `trying`    | the daemon ended the second one, and answers on the main one                  | `known` one, remembered |
 * | `trying`    | the second one's time is over, and the main one answers                       | `known` one |
 * | `trying`    | the second one has answered its probe, the main one none, and is left         | `displaced` |
 * | `trying`    | the main one answers no more; else the same                                   | `known` one |
 * | `trying`    | nothing is answered; or a sleep, a full queue, another loss                   | `known` one |
 * | any but set | the daemon closes the main one within 2 s of a second's dial or opening       | `displaced` |
 * | `displaced` | the main connection is ready again within a second                            | `known` one, remembered if it was not just cut |
 * | `displaced` | a dial fails without hanging: the daemon was away                             | as before, one if nothing was known |
 * | `displaced` | it takes longer                                                               | `known` one |
 *
 * A process tries once, so that it displaces itself once at most. Where nothing
 * is known after that, the daemon counts as keeping one for this process.
 *
 * @module
 */

/** How many connections the daemon keeps for a client. */
export type ConnectionCapacity = "one" | "many";

/** The `--connections` setting. */
export type ConnectionsSetting = ConnectionCapacity | "auto";

/** How long a request waits for a trial and the main connection's handshake together, in milliseconds. */
const CAPACITY_CHECK_MS = 450;
/** How much of it is kept for the main connection, once the second one is closed, in milliseconds. */
const MAIN_ONLY_CHECK_MS = 100;
/** How long the main connection's handshake may have taken for a trial, in milliseconds. */
export const QUICK_HANDSHAKE_MS = 150;
/** How long after the opening of a second connection the main one is closed because of it, in milliseconds. */
const DISPLACEMENT_WINDOW_MS = 2_000;
/** How long a daemon that is there takes to be ready again, in milliseconds. */
const QUICK_RECONNECT_MS = 1_000;

/** A trial of two connections. */
export interface CapacityCheck {
  /** What this state is. */
  readonly kind: "trying";
  /** `both-connections`: both are to answer; `main-only`: the main one, once the second is closed. */
  step: "both-connections" | "main-only";
  /** When the second connection is closed. */
  secondConnectionUntil: number;
  /** When the main one must have answered after that. */
  until: number;
  /** The probe on the main connection that is to be answered. */
  mainProbeId: string | undefined;
  /** Whether the daemon has answered the first message on the second connection. */
  isSecondReady: boolean;
  /** Whether it has answered the probe there. */
  hasSecondAnswered: boolean;
  /** Whether it has answered the one on the main connection meanwhile. */
  hasMainAnswered: boolean;
  /** Whether it has ended the second connection. */
  isSecondClosed: boolean;
  /** Whether the steps have more time, because the program had none. */
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
    /** A process that ended, or a network that broke, would look another way. */
    readonly isCertain: boolean;
  };

/** What this process knows. */
export class CapacityDetector {
  #state: CapacityState;
  /** When a second connection was dialed or opened last. */
  #secondConnectionAt = -Infinity;

  /** What the setting says. */
  constructor(setting: ConnectionsSetting) {
    this.#state = setting === "auto"
      ? { kind: "unknown" }
      : { kind: "known", connectionCapacity: setting, isConfigured: true };
  }

  /** What is known; what is being tried is not. */
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

  /** Whether nothing is known, and nothing is being tried. */
  get isUnknown(): boolean {
    return this.#state.kind === "unknown";
  }

  /** The trial that goes on, if one does. */
  get check(): CapacityCheck | undefined {
    return this.#state.kind === "trying" ? this.#state : undefined;
  }

  /** A trial begins; the main connection's handshake took so long. */
  startCheck(handshakeMs: number, now: number): void {
    const until = now + CAPACITY_CHECK_MS - handshakeMs;
    this.#state = {
      kind: "trying",
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
   * The program had no time for so long: answers may wait to be read.
   *
   * @returns whether the trial goes on
   */
  extendCheck(lateMs: number): boolean {
    const { check } = this;
    if (check === undefined || check.isExtended) return false;
    check.secondConnectionUntil += lateMs + MAIN_ONLY_CHECK_MS;
    check.until += lateMs + MAIN_ONLY_CHECK_MS;
    check.isExtended = true;
    return true;
  }

  /** When the trial's step must be over. */
  deadline(): number {
    const { check } = this;
    if (check === undefined) return Infinity;
    return check.step === "main-only"
      ? check.until
      : check.secondConnectionUntil;
  }

  /** How many it keeps is known; a setting is never overwritten. */
  record(connectionCapacity: ConnectionCapacity): void {
    if (this.#state.kind === "known" && this.#state.isConfigured) return;
    this.#state = { kind: "known", connectionCapacity, isConfigured: false };
  }

  /** The trial is over without an outcome, if one goes on. */
  abandonCheck(): void {
    if (this.#state.kind === "trying") this.record("one");
  }

  /** A second connection is dialed, and then opens. */
  onSecondConnection(at: number): void {
    this.#secondConnectionAt = at;
  }

  /** The second connection is gone, and displaces nothing any more. */
  onSecondConnectionClosed(): void {
    this.#secondConnectionAt = -Infinity;
  }

  /**
   * The main connection is closed by the daemon.
   *
   * @param isClean whether with a close frame that may speak of another client
   * @returns whether a second connection is the cause
   */
  onMainConnectionClosed(isClean: boolean, now: number): boolean {
    const isRecent = now <= this.#secondConnectionAt + DISPLACEMENT_WINDOW_MS;
    this.#secondConnectionAt = -Infinity;
    const state = this.#state;
    if (!isRecent || state.kind === "known" && state.isConfigured) return false;
    this.markMainDisplaced(now, isClean || state.kind === "trying");
    return true;
  }

  /** The main connection is of no use any more, because of a second one. */
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
   * The main connection is ready again.
   *
   * @returns whether that is to be remembered: not if it took long, because the daemon may have been busy or frozen
   */
  onMainConnectionReady(now: number): boolean {
    const state = this.#state;
    if (state.kind !== "displaced") return false;
    const isConfirmed = state.isCertain &&
      now <= state.since + QUICK_RECONNECT_MS;
    this.record("one");
    return isConfirmed;
  }

  /** The daemon itself was away. */
  onDaemonDown(): void {
    const state = this.#state;
    if (state.kind === "displaced") this.record(state.previousCapacity);
  }
}
