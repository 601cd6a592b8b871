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
export type Keeps = "one" | "many";

/** The `--connections` setting. */
export type ConnectionsSetting = Keeps | "auto";

/** How long a request waits for a trial and the main connection's handshake together, in milliseconds. */
const TRIAL_MS = 450;
/** How much of it is kept for the main connection, once the second one is closed, in milliseconds. */
const AFTER_MS = 100;
/** How long the main connection's handshake may have taken for a trial, in milliseconds. */
export const QUICK_MS = 150;
/** How long after the opening of a second connection the main one is closed because of it, in milliseconds. */
const DISPLACED_MS = 2_000;
/** How long a daemon that is there takes to be ready again, in milliseconds. */
const THERE_MS = 1_000;

/** A trial of two connections. */
export interface Trying {
  /** What this state is. */
  readonly kind: "trying";
  /** `both`: both connections are to answer; `after`: the main one, once the second is closed. */
  step: "both" | "after";
  /** When the second connection is closed. */
  secondUntil: number;
  /** When the main one must have answered after that. */
  until: number;
  /** The probe on the main connection that is to be answered. */
  probe: string | undefined;
  /** Whether the daemon has answered the first message on the second connection. */
  isGreeted: boolean;
  /** Whether it has answered the probe there. */
  isSecondAnswered: boolean;
  /** Whether it has answered the one on the main connection meanwhile. */
  isMainAnswered: boolean;
  /** Whether it has ended the second connection. */
  isEnded: boolean;
  /** Whether the steps have more time, because the program had none. */
  isExtended: boolean;
}

type CapacityState =
  | { readonly kind: "unknown" }
  | Trying
  | { readonly kind: "known"; readonly keeps: Keeps; readonly isSet: boolean }
  | {
    readonly kind: "displaced";
    readonly since: number;
    readonly before: Keeps;
    /** A process that ended, or a network that broke, would look another way. */
    readonly isSure: boolean;
  };

/** What this process knows. */
export class Capacity {
  #state: CapacityState;
  /** When a second connection was dialed or opened last. */
  #openedAt = -Infinity;

  /** What the setting says. */
  constructor(setting: ConnectionsSetting) {
    this.#state = setting === "auto"
      ? { kind: "unknown" }
      : { kind: "known", keeps: setting, isSet: true };
  }

  /** What is known; what is being tried is not. */
  get keeps(): Keeps | "unknown" {
    switch (this.#state.kind) {
      case "known":
        return this.#state.keeps;
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
  get trial(): Trying | undefined {
    return this.#state.kind === "trying" ? this.#state : undefined;
  }

  /** A trial begins; the main connection's handshake took so long. */
  begin(handshakeMs: number, now: number): void {
    const until = now + TRIAL_MS - handshakeMs;
    this.#state = {
      kind: "trying",
      step: "both",
      secondUntil: until - AFTER_MS,
      until,
      probe: undefined,
      isGreeted: false,
      isSecondAnswered: false,
      isMainAnswered: false,
      isEnded: false,
      isExtended: false,
    };
  }

  /**
   * The program had no time for so long: answers may wait to be read.
   *
   * @returns whether the trial goes on
   */
  extend(lateMs: number): boolean {
    const { trial } = this;
    if (trial === undefined || trial.isExtended) return false;
    trial.secondUntil += lateMs + AFTER_MS;
    trial.until += lateMs + AFTER_MS;
    trial.isExtended = true;
    return true;
  }

  /** When the trial's step must be over. */
  deadline(): number {
    const { trial } = this;
    if (trial === undefined) return Infinity;
    return trial.step === "after" ? trial.until : trial.secondUntil;
  }

  /** How many it keeps is known; a setting is never overwritten. */
  learn(keeps: Keeps): void {
    if (this.#state.kind === "known" && this.#state.isSet) return;
    this.#state = { kind: "known", keeps, isSet: false };
  }

  /** The trial is over without an outcome, if one goes on. */
  end(): void {
    if (this.#state.kind === "trying") this.learn("one");
  }

  /** A second connection is dialed, and then opens. */
  seconded(openedAt: number): void {
    this.#openedAt = openedAt;
  }

  /** The second connection is gone, and displaces nothing any more. */
  secondLost(): void {
    this.#openedAt = -Infinity;
  }

  /**
   * The main connection is closed by the daemon.
   *
   * @param isClean whether with a close frame that may speak of another client
   * @returns whether a second connection is the cause
   */
  lostMain(isClean: boolean, now: number): boolean {
    const isRecent = now <= this.#openedAt + DISPLACED_MS;
    this.#openedAt = -Infinity;
    const state = this.#state;
    if (!isRecent || state.kind === "known" && state.isSet) return false;
    this.displaced(now, isClean || state.kind === "trying");
    return true;
  }

  /** The main connection is of no use any more, because of a second one. */
  displaced(now: number, isSure: boolean): void {
    const before = this.keeps === "many" ? "many" : "one";
    this.#state = { kind: "displaced", since: now, before, isSure };
  }

  /**
   * The main connection is ready again.
   *
   * @returns whether that is to be remembered: not if it took long, because the daemon may have been busy or frozen
   */
  confirm(now: number): boolean {
    const state = this.#state;
    if (state.kind !== "displaced") return false;
    const isConfirmed = state.isSure && now <= state.since + THERE_MS;
    this.learn("one");
    return isConfirmed;
  }

  /** The daemon itself was away. */
  wasAway(): void {
    const state = this.#state;
    if (state.kind === "displaced") this.learn(state.before);
  }
}
