/**
 * What this process has learned of the daemon's handshakes: how long they take,
 * and whether the subprotocol may be offered.
 *
 * @module
 */

/** The two steps of a dial: until the WebSocket is open, and until the daemon has answered the first message. */
export type HandshakeStep = "opening" | "first answer";

/** The shortest limit of a step, and the one after the first seconds of silence, in milliseconds. */
const SHORT_MS = [2_000, 3_000] as const;
/** How many milliseconds of silence these are. */
const FIRST_MS = 4_000;
/** What comes to the limit until the next dial is answered, in milliseconds. */
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
   * A dial that is silent may have met a daemon that was booting, and the next
   * one finds it at once: so the limit is short. It grows with the time of
   * silence, for a daemon that has become slow. A daemon that can be reached
   * again has thereby answered within 3.5 s, or half of the time that it was
   * silent. One that has never answered has the whole limit, because some start
   * a process for each connection.
   *
   * @param silentMs how long dials have been silent, one after another
   */
  limit(step: HandshakeStep, silentMs: number): number {
    if (!this.#lastMs.has("first answer")) return this.#longest;
    // Not the slowest one of all: that may have waited for a daemon that was booting.
    const last = this.#lastMs.get(step) ?? 0;
    const least = SHORT_MS[silentMs < FIRST_MS ? 0 : 1];
    const short = Math.max(least, silentMs / 2 - PAUSE_MS, 2 * last);
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
