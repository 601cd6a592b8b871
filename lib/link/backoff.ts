/**
 * Calculates when the next dial is due, and how long it may take. The delay
 * between dials grows exponentially, but is short while a request is waiting.
 * The timeout depends on how long the daemon's last handshakes took.
 *
 * @module
 */

/** The delays between dials, in milliseconds. */
export interface BackoffConfig {
  /** The delay after the first failure; it doubles with each further one. */
  readonly backoffBase: number;
  /** The longest delay, without jitter. */
  readonly backoffCap: number;
}

/** The longest delay while a request is waiting, without jitter. */
const MAX_URGENT_DELAY_MS = 900;
const JITTER_FRACTION = 0.1;
/** If the next connection is displaced within this time, it is a recurrence. */
const MAX_RECURRENCE_LIFETIME_MS = 10_000;
/** A connection that lasts this long ends repeated displacement. */
const STABLE_LIFETIME_MS = 60_000;
const MIN_PHASE_TIMEOUT_MS = 2_000;
/**
 * The shortest timeout after a long hang. Together with the margin for the next
 * dial (`NEXT_DIAL_MARGIN_MS`), it is below 3.5 s.
 */
const MIN_TIMEOUT_AFTER_HANGS_MS = 3_000;
/** The total hang that counts as long: two dials with the short timeout. */
const LONG_HANG_MS = 4_000;
/** For the delay with jitter before the next dial, and that dial's response. */
const NEXT_DIAL_MARGIN_MS = 400;

/**
 * `dialing`: until the WebSocket is open. `handshaking`: until the opening
 * message is answered.
 */
export type ConnectingPhase = "dialing" | "handshaking";

/** How a dial or a connection ended, as far as it affects the next dial. */
export interface DialEnd {
  /** True if the daemon would refuse the next dial: wait for `backoffCap`. */
  readonly isRefused?: boolean;
  /** True if the dial neither succeeded nor failed before its timeout. */
  readonly isHung?: boolean;
}

/** When the next dial is due. */
export interface DialSchedule {
  /** When the dial is due by the backoff schedule; `Infinity` for never. */
  readonly scheduledAt: number;
  /** When it is due if a request waits, unless `scheduledAt` is earlier. */
  readonly urgentAt: number;
}

/** The backoff schedule of one link. A dial on demand does not change it. */
export class Backoff {
  #failures = 0;
  /** The time that the last dial was scheduled for, if it was made earlier. */
  #pendingScheduledAt: number | undefined;
  #displacement: "none" | "once" | "recurring" = "none";

  /** Creates a schedule without failures; `random` is from 0 to below 1. */
  constructor(
    private readonly config: BackoffConfig,
    private readonly random: () => number,
  ) {}

  /** Records a dial at `now` that was scheduled for `scheduledAt`. */
  onDial(now: number, scheduledAt: number): void {
    const isEarly = scheduledAt > now && scheduledAt < Infinity;
    this.#pendingScheduledAt = isEarly ? scheduledAt : undefined;
  }

  /** Restarts the schedule: the next delay is `backoffBase`. */
  reset(): void {
    this.#failures = 0;
    this.#pendingScheduledAt = undefined;
  }

  /** Returns when the next dial is due after the last one ended at `now`. */
  scheduleAfter({ isRefused, isHung }: DialEnd, now: number): DialSchedule {
    const { backoffBase, backoffCap } = this.config;
    if (isRefused) {
      const at = now + this.#addJitter(backoffCap);
      return { scheduledAt: at, urgentAt: at };
    }
    const isRecurring = this.#displacement === "recurring";
    // A dial that hung has already taken time from the waiting request.
    const urgentDelayMs = isHung && !isRecurring
      ? Math.min(MAX_URGENT_DELAY_MS, backoffBase)
      : MAX_URGENT_DELAY_MS;
    const urgentAt = now + this.#addJitter(urgentDelayMs);
    if (isRecurring) return { scheduledAt: Infinity, urgentAt };
    if (this.#pendingScheduledAt !== undefined) {
      const scheduledAt = Math.max(this.#pendingScheduledAt, urgentAt);
      return { scheduledAt, urgentAt };
    }
    const delayMs = Math.min(backoffBase * 2 ** this.#failures++, backoffCap);
    return { scheduledAt: now + this.#addJitter(delayMs), urgentAt };
  }

  #addJitter(ms: number): number {
    return ms * (1 + JITTER_FRACTION * this.random());
  }

  /**
   * Returns when to repeat the last dial without the subprotocol. If the last
   * dial came before its scheduled time, only a waiting request repeats it at
   * once.
   */
  scheduleRepeat(now: number): DialSchedule {
    return { scheduledAt: this.#pendingScheduledAt ?? now, urgentAt: now };
  }

  /**
   * Records that another client displaced a connection that was ready. The
   * first time may be an accident. If it happens again soon, that client also
   * redials, and both would displace each other forever. So from then on, the
   * link is dialed only for a request. The time between the two connections
   * does not count, because it contains the backoff delay, which grows.
   */
  onDisplaced(now: number, readySince: number): void {
    const lastedMs = now - readySince;
    const isAgain = this.#displacement === "recurring"
      ? lastedMs < STABLE_LIFETIME_MS
      : this.#displacement === "once" && lastedMs <= MAX_RECURRENCE_LIFETIME_MS;
    this.#displacement = isAgain ? "recurring" : "once";
  }

  /** Ends repeated displacement: a dial or connection ended without it. */
  endDisplacement(): void {
    this.#displacement = "none";
  }
}

/** What all links share: how long handshakes took, and what dials offer. */
export class HandshakeHistory {
  readonly #lastDurationMs = new Map<ConnectingPhase, number>();
  #subprotocolOffer: "try-with" | "always" | "try-without" | "never" =
    "try-with";
  #hasRepeatedDial = false;

  /** Starts empty; `maxTimeoutMs` is the full timeout of a phase. */
  constructor(private readonly maxTimeoutMs: number) {}

  /** Records a phase's duration; a handshake also settles the subprotocol. */
  onPhaseCompleted(phase: ConnectingPhase, ms: number): void {
    this.#lastDurationMs.set(phase, ms);
    if (phase === "dialing") return;
    this.#subprotocolOffer = this.offersSubprotocol ? "always" : "never";
  }

  /**
   * Returns the timeout of a phase in ms while a request is waiting. The dials
   * before this one have hung for `hungMs` in total. A dial may hang because
   * the daemon was still booting, while a new dial would succeed at once. So
   * the timeout is short. It grows with `hungMs`, because the daemon may have
   * become slow. Once the daemon can be reached again, it takes at most 3.5 s,
   * or half of `hungMs`, until it has answered. A daemon that has never
   * answered gets the full timeout, because some start a process for each
   * connection.
   */
  urgentTimeoutMs(phase: ConnectingPhase, hungMs: number): number {
    if (!this.#lastDurationMs.has("handshaking")) return this.maxTimeoutMs;
    // Not the longest duration, because a booting daemon may have caused it.
    const lastMs = this.#lastDurationMs.get(phase) ?? 0;
    const minMs = hungMs < LONG_HANG_MS
      ? MIN_PHASE_TIMEOUT_MS
      : MIN_TIMEOUT_AFTER_HANGS_MS;
    const growingMs = hungMs / 2 - NEXT_DIAL_MARGIN_MS;
    const urgentMs = Math.max(minMs, growingMs, 2 * lastMs);
    return Math.min(urgentMs, this.maxTimeoutMs);
  }

  /** True if the next dial offers the dialect's subprotocol. */
  get offersSubprotocol(): boolean {
    return this.#subprotocolOffer === "try-with" ||
      this.#subprotocolOffer === "always";
  }

  /**
   * Records that a dial failed. Returns true if it must be repeated at once
   * without the subprotocol, which happens only once. Until the daemon has
   * answered a handshake, dials with and without the subprotocol alternate.
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
 * Returns true if a daemon that keeps running may send this close code because
 * another client has connected (RFC 6455 section 7.4). All other codes mean
 * something else: the daemon stops, an error, "try again later", or a refusal
 * (4003, like HTTP 403).
 */
export function mayMeanDisplacement(code: number): boolean {
  return code === 1000 || code === 1005 || code === 1008 ||
    code >= 3000 && code !== 4003;
}
