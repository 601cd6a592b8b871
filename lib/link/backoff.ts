/**
 * When the next dial is due, by exponential backoff and the requests that wait;
 * and how long it may take, by what was measured of the daemon's handshakes.
 *
 * @module
 */

/** The delays between dials. */
export interface BackoffConfig {
  /** The delay after the first failure. */
  readonly backoffBase: number;
  /** The longest delay, without jitter. */
  readonly backoffCap: number;
}

/** The longest delay while a request is waiting, without jitter. */
const MAX_DEMAND_DELAY_MS = 900;
const JITTER_FRACTION = 0.1;
/** The longest life of the second of two displaced connections in a row. */
const MAX_RECURRENCE_LIFETIME_MS = 10_000;
/** How long a connection must last for the displacement to be over. */
const STABLE_LIFETIME_MS = 60_000;
const MIN_PHASE_TIMEOUT_MS = 2_000;
/** The same after a long hang; with the next delay it is less than 3.5 s. */
const MIN_TIMEOUT_AFTER_HANGS_MS = 3_000;
/** Two dials with the shortest timeout. */
const LONG_HANG_MS = 4_000;
/** The delay before the next dial, with jitter, and the time of its answer. */
const NEXT_DIAL_MARGIN_MS = 400;

/** Until the WebSocket is open, and until the opening message is answered. */
export type ConnectingPhase = "dialing" | "handshaking";

/** How a dial or a connection ended, as far as it affects the next dial. */
export interface DialEnd {
  /** The daemon will refuse it again: dialing continues at the backoff cap. */
  readonly isRefused?: boolean;
  /** The dial neither opened nor failed before its timeout. */
  readonly isHung?: boolean;
}

/** When the next dial is due. */
export interface DialSchedule {
  /** The time by the backoff schedule; `Infinity` for never. */
  readonly scheduledAt: number;
  /** The time while a request is waiting, if that is earlier. */
  readonly demandAt: number;
}

/** The schedule of one link; an early dial on demand leaves it unchanged. */
export class Backoff {
  #failures = 0;
  /** When the next dial is scheduled, if the last one was made before that. */
  #pendingScheduledAt: number | undefined;
  #displacement: "none" | "once" | "recurring" = "none";

  /** Creates a schedule with no failures. */
  constructor(
    private readonly config: BackoffConfig,
    private readonly random: () => number,
  ) {}

  /** Records a dial, and when the schedule would have made it. */
  onDial(now: number, scheduledAt: number): void {
    const isEarly = scheduledAt > now && scheduledAt < Infinity;
    this.#pendingScheduledAt = isEarly ? scheduledAt : undefined;
  }

  /** Restarts the schedule at the base delay. */
  reset(): void {
    this.#failures = 0;
    this.#pendingScheduledAt = undefined;
  }

  /** Returns when the next dial is due, now that the last one has ended. */
  scheduleAfter({ isRefused, isHung }: DialEnd, now: number): DialSchedule {
    const { backoffBase, backoffCap } = this.config;
    if (isRefused) {
      const at = now + this.#addJitter(backoffCap);
      return { scheduledAt: at, demandAt: at };
    }
    const isRecurring = this.#displacement === "recurring";
    // A dial that hung has already used up time.
    const demandMs = isHung && !isRecurring
      ? Math.min(MAX_DEMAND_DELAY_MS, backoffBase)
      : MAX_DEMAND_DELAY_MS;
    const demandAt = now + this.#addJitter(demandMs);
    if (isRecurring) return { scheduledAt: Infinity, demandAt };
    if (this.#pendingScheduledAt !== undefined) {
      const scheduledAt = Math.max(this.#pendingScheduledAt, demandAt);
      return { scheduledAt, demandAt };
    }
    const delayMs = Math.min(backoffBase * 2 ** this.#failures++, backoffCap);
    return { scheduledAt: now + this.#addJitter(delayMs), demandAt };
  }

  #addJitter(ms: number): number {
    return ms * (1 + JITTER_FRACTION * this.random());
  }

  /**
   * Returns when to repeat the same attempt in another way: at once, but if the
   * last dial was ahead of the schedule only while a request is waiting.
   */
  scheduleRepeat(now: number): DialSchedule {
    return { scheduledAt: this.#pendingScheduledAt ?? now, demandAt: now };
  }

  /**
   * Records that the daemon displaced a connection that was ready. Once may be
   * an accident. If the next one is displaced soon, the other client redials as
   * often as this one does, and both would displace each other forever. The
   * delay between the two does not count, because it grows.
   */
  onDisplaced(now: number, readySince: number): void {
    const lastedMs = now - readySince;
    const isAgain = this.#displacement === "recurring"
      ? lastedMs < STABLE_LIFETIME_MS
      : this.#displacement === "once" && lastedMs <= MAX_RECURRENCE_LIFETIME_MS;
    this.#displacement = isAgain ? "recurring" : "once";
  }

  /** Records another end: the daemon itself was down. */
  endDisplacement(): void {
    this.#displacement = "none";
  }
}

/** The handshake measurements that all links share. */
export class HandshakeHistory {
  readonly #lastDurationMs = new Map<ConnectingPhase, number>();
  #subprotocolOffer: "try-with" | "always" | "try-without" | "never" =
    "try-with";
  #hasRepeatedDial = false;

  /** Starts without measurements, from the full timeout of a phase. */
  constructor(private readonly maxTimeoutMs: number) {}

  /** Records how long a phase took; an answer decides about the offer. */
  onPhaseCompleted(phase: ConnectingPhase, ms: number): void {
    this.#lastDurationMs.set(phase, ms);
    if (phase === "dialing") return;
    this.#subprotocolOffer = this.offersSubprotocol ? "always" : "never";
  }

  /**
   * Returns the timeout of a phase while a request is waiting, after dials that
   * have hung for `hungMs`. A dial that hangs may have reached a daemon that was
   * booting, and the next one may reach it at once: so it is short. It grows,
   * because the daemon may have become slow: one that can be reached again has
   * answered after 3.5 s, or half of `hungMs`. One that has never answered gets
   * the full timeout, because some start a process for each connection.
   */
  urgentTimeoutMs(phase: ConnectingPhase, hungMs: number): number {
    if (!this.#lastDurationMs.has("handshaking")) return this.maxTimeoutMs;
    // The last, not the longest: that one may have met a daemon that booted.
    const lastMs = this.#lastDurationMs.get(phase) ?? 0;
    const minMs = hungMs < LONG_HANG_MS
      ? MIN_PHASE_TIMEOUT_MS
      : MIN_TIMEOUT_AFTER_HANGS_MS;
    const growingMs = hungMs / 2 - NEXT_DIAL_MARGIN_MS;
    const urgentMs = Math.max(minMs, growingMs, 2 * lastMs);
    return Math.min(urgentMs, this.maxTimeoutMs);
  }

  /** Whether the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#subprotocolOffer === "try-with" ||
      this.#subprotocolOffer === "always";
  }

  /**
   * Records that a dial failed, and returns whether to repeat it at once, which
   * happens only once. Until the daemon has answered with or without the offer,
   * dials with and without it alternate when the handshake fails.
   */
  onDialFailed(mayBeSubprotocol: boolean): boolean {
    if (this.#subprotocolOffer === "try-without") {
      this.#subprotocolOffer = "try-with";
    } else if (this.#subprotocolOffer === "try-with" && mayBeSubprotocol) {
      this.#subprotocolOffer = "try-without";
      const isFirst = !this.#hasRepeatedDial;
      this.#hasRepeatedDial = true;
      return isFirst;
    }
    return false;
  }
}

/**
 * Returns whether a daemon that keeps running may close a connection with this
 * code in favor of another client (RFC 6455 section 7.4). The other codes mean
 * that the daemon ends, an error, "try again later", or a refusal (4003, after
 * the 403 of HTTP).
 */
export function mayMeanDisplacement(code: number): boolean {
  return code === 1000 || code === 1005 || code === 1008 ||
    code >= 3000 && code !== 4003;
}
