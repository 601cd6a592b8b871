/**
 * What this process has learned of the daemon's handshakes: how long they take,
 * and whether the subprotocol may be offered.
 *
 * @module
 */

/** The two steps of a dial: until the WebSocket is open, and until the daemon has answered the first message. */
export type ConnectingPhase = "dialing" | "handshaking";

/** The shortest limit of a step, in milliseconds. */
const MIN_PHASE_TIMEOUT_MS = 2_000;
/** The shortest limit once dials have hung for `LATER_MS`, in milliseconds: with the pause before the next dial it stays within 3.5 s. */
const MIN_TIMEOUT_AFTER_HANGS_MS = 3_000;
/** Two dials with the shortest limit, in milliseconds. */
const LONG_HANG_MS = 4_000;
/** The pause before the next dial with its jitter, and the time of that dial's answer, in milliseconds. */
const NEXT_DIAL_MARGIN_MS = 400;

/** What all links share. */
export class HandshakeHistory {
  readonly #maxTimeoutMs: number;
  /** How long each step took when it last succeeded, in milliseconds. */
  readonly #lastDurationMs = new Map<ConnectingPhase, number>();
  #subprotocolOffer: "try-with" | "always" | "try-without" | "never" =
    "try-with";
  #hasRepeatedDial = false;

  /** Nothing is known; `maxTimeoutMs` is the whole limit of a step, in milliseconds. */
  constructor(maxTimeoutMs: number) {
    this.#maxTimeoutMs = maxTimeoutMs;
  }

  /** A step has taken so many milliseconds. The daemon's first answer settles whether the subprotocol is offered from now on. */
  onPhaseCompleted(phase: ConnectingPhase, ms: number): void {
    this.#lastDurationMs.set(phase, ms);
    if (phase === "dialing") return;
    this.#subprotocolOffer = this.offersSubprotocol ? "always" : "never";
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
  urgentTimeoutMs(phase: ConnectingPhase, hungMs: number): number {
    if (!this.#lastDurationMs.has("handshaking")) return this.#maxTimeoutMs;
    // Not the slowest one of all: that dial may have met a daemon that was booting.
    const lastMs = this.#lastDurationMs.get(phase) ?? 0;
    const minMs = hungMs < LONG_HANG_MS
      ? MIN_PHASE_TIMEOUT_MS
      : MIN_TIMEOUT_AFTER_HANGS_MS;
    const urgentMs = Math.max(
      minMs,
      hungMs / 2 - NEXT_DIAL_MARGIN_MS,
      2 * lastMs,
    );
    return Math.min(urgentMs, this.#maxTimeoutMs);
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#subprotocolOffer === "try-with" ||
      this.#subprotocolOffer === "always";
  }

  /**
   * A dial has failed. As long as the daemon has not answered with the offer or
   * without it, dials with and without it take turns where the handshake fails.
   *
   * @param mayBeSubprotocol whether the offer may be the cause
   * @returns whether the dial is to be repeated at once, which happens once
   */
  onDialFailed(mayBeSubprotocol: boolean): boolean {
    if (this.#subprotocolOffer === "try-without") {
      this.#subprotocolOffer = "try-with";
    } else if (this.#subprotocolOffer === "try-with" && mayBeSubprotocol) {
      this.#subprotocolOffer = "try-without";
    }
    if (this.#subprotocolOffer !== "try-without" || this.#hasRepeatedDial) {
      return false;
    }
    this.#hasRepeatedDial = true;
    return true;
  }
}
