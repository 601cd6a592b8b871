/**
 * What this process has learned of the daemon's handshakes: how long they take,
 * and whether the subprotocol may be offered.
 *
 * @module
 */

/** The two steps of a dial: until the WebSocket is open, and until the daemon has answered the first message. */
export type HandshakeStep = "opening" | "first answer";

/** The shortest limit of a step, in milliseconds. */
const SHORT_MS = 2_000;
/** The shortest limit once dials have hung for `LATER_MS`, in milliseconds: with the pause before the next dial it stays within 3.5 s. */
const LONGER_MS = 3_000;
/** Two dials with the shortest limit, in milliseconds. */
const LATER_MS = 4_000;
/** The pause before the next dial with its jitter, and the time of that dial's answer, in milliseconds. */
const PAUSE_MS = 400;

/** What all links share. */
export class Handshakes {
  readonly #longest: number;
  /** How long each step took when it last succeeded, in milliseconds. */
  readonly #lastMs = new Map<HandshakeStep, number>();
  #offer: "made" | "agreed" | "left out" | "declined" = "made";
  #hasRepeated = false;

  /** Nothing is known; `longest` is the whole limit of a step, in milliseconds. */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** A step has taken so many milliseconds. The daemon's first answer settles whether the subprotocol is offered from now on. */
  succeeded(step: HandshakeStep, ms: number): void {
    this.#lastMs.set(step, ms);
    if (step === "opening") return;
    this.#offer = this.offersSubprotocol ? "agreed" : "declined";
  }

  /**
   * How long a step may take while a request waits, in milliseconds.
   *
   * A dial that hangs may have met a daemon that was booting, and the next one
   * may find it at once. So the limit is short, and grows with the time for
   * which dials have hung, because the daemon may have become slow. A daemon
   * that can be reached again answers within 3.5 s, or within half of the time
   * that dials have hung. A daemon that has never answered has the whole limit,
   * because some start a process for each connection.
   *
   * @param hungMs for how long dials have hung, one after another
   */
  limit(step: HandshakeStep, hungMs: number): number {
    if (!this.#lastMs.has("first answer")) return this.#longest;
    // Not the slowest one of all: that dial may have met a daemon that was booting.
    const last = this.#lastMs.get(step) ?? 0;
    const least = hungMs < LATER_MS ? SHORT_MS : LONGER_MS;
    const short = Math.max(least, hungMs / 2 - PAUSE_MS, 2 * last);
    return Math.min(short, this.#longest);
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#offer === "made" || this.#offer === "agreed";
  }

  /**
   * A dial has failed. As long as the daemon has not answered with the offer or
   * without it, dials with and without it take turns where the handshake fails.
   *
   * @param mayBeOffer whether the offer may be the cause
   * @returns whether the dial is to be repeated at once, which happens once
   */
  failed(mayBeOffer: boolean): boolean {
    if (this.#offer === "left out") this.#offer = "made";
    else if (this.#offer === "made" && mayBeOffer) this.#offer = "left out";
    if (this.#offer !== "left out" || this.#hasRepeated) return false;
    this.#hasRepeated = true;
    return true;
  }
}
