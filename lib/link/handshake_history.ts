/**
 * What this process has measured of the daemon's handshakes: how long they
 * take, and whether the subprotocol may be offered.
 *
 * @module
 */

/**
 * The two phases of a dial: until the WebSocket is open, and until the daemon
 * has answered the opening message.
 */
export type ConnectingPhase = "dialing" | "handshaking";

/** The shortest timeout of a phase, in milliseconds. */
const MIN_PHASE_TIMEOUT_MS = 2_000;
/**
 * The shortest timeout once dials have hung for `LONG_HANG_MS`, in
 * milliseconds. With the delay before the next dial it stays within 3.5 s.
 */
const MIN_TIMEOUT_AFTER_HANGS_MS = 3_000;
/** Two dials with the shortest timeout, in milliseconds. */
const LONG_HANG_MS = 4_000;
/**
 * The delay before the next dial with its jitter, plus the time until that dial
 * is answered, in milliseconds.
 */
const NEXT_DIAL_MARGIN_MS = 400;

/** The handshake measurements that all links share. */
export class HandshakeHistory {
  readonly #maxTimeoutMs: number;
  /** How long each phase took when it last succeeded, in milliseconds. */
  readonly #lastDurationMs = new Map<ConnectingPhase, number>();
  #subprotocolOffer: "try-with" | "always" | "try-without" | "never" =
    "try-with";
  #hasRepeatedDial = false;

  /**
   * Starts without measurements; `maxTimeoutMs` is the full timeout of a phase,
   * in milliseconds.
   */
  constructor(maxTimeoutMs: number) {
    this.#maxTimeoutMs = maxTimeoutMs;
  }

  /**
   * Records that a phase has taken `ms` milliseconds. The daemon's first answer
   * decides whether the subprotocol is offered from now on.
   */
  onPhaseCompleted(phase: ConnectingPhase, ms: number): void {
    this.#lastDurationMs.set(phase, ms);
    if (phase === "dialing") return;
    this.#subprotocolOffer = this.offersSubprotocol ? "always" : "never";
  }

  /**
   * Returns the timeout of a phase while a request is waiting, in milliseconds.
   *
   * A dial that hangs may have reached a daemon that was booting, and the next
   * one may reach it at once. So the timeout is short. It grows with the time
   * for which dials have hung, because the daemon may have become slow. A
   * daemon that becomes reachable again answers within 3.5 s, or within half of
   * the time for which dials have hung. A daemon that has never answered gets
   * the full timeout, because some start a process for each connection.
   *
   * @param hungMs for how long consecutive dials have hung
   */
  urgentTimeoutMs(phase: ConnectingPhase, hungMs: number): number {
    if (!this.#lastDurationMs.has("handshaking")) return this.#maxTimeoutMs;
    // The last duration, not the maximum: that dial may have reached a daemon
    // that was booting.
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
   * Records that a dial failed. Until the daemon has answered with or without
   * the offer, dials with and without it alternate when the handshake fails.
   *
   * @param mayBeSubprotocol whether the offer may be the cause
   * @returns whether the dial should be repeated at once, which happens only
   * once
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
