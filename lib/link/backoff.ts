/**
 * Calculates when the next dial is due: by the exponential backoff schedule, or
 * earlier when a request is waiting.
 *
 * @module
 */

/** The delays between dials, in milliseconds. */
export interface BackoffConfig {
  /** The delay after the first failure. */
  readonly backoffBase: number;
  /** The longest delay, without jitter. */
  readonly backoffCap: number;
}

/**
 * The longest delay between dials while a request is waiting, without jitter,
 * in milliseconds.
 */
export const MAX_DEMAND_DELAY_MS = 900;
/** The largest jitter, as a fraction of the delay. */
export const JITTER_FRACTION = 0.1;

/** How a dial or a connection ended, as far as it affects the next dial. */
export type DialOutcome =
  /** The dial failed, or the connection was lost. */
  | "failed"
  /** The dial neither opened nor failed before its timeout. */
  | "hung"
  /** The daemon refused the connection and will refuse it again. */
  | "refused"
  /** Another client took over the connection. */
  | "displaced";

/** When the next dial is due. */
export interface DialSchedule {
  /** The time by the backoff schedule. */
  readonly scheduledAt: number;
  /** The time while a request is waiting, if that is earlier. */
  readonly demandAt: number;
}

/**
 * Calculates the delay before the next dial after `failures` (>= 1) of them.
 * The base delay doubles with each failure up to the cap; jitter adds up to 10
 * %.
 *
 * @returns milliseconds
 */
export function calculateBackoffMs(
  failures: number,
  config: BackoffConfig,
  random: () => number,
): number {
  const delayMs = config.backoffBase * 2 ** (failures - 1);
  return addJitter(Math.min(delayMs, config.backoffCap), random);
}

function addJitter(ms: number, random: () => number): number {
  return ms * (1 + JITTER_FRACTION * random());
}

/**
 * The backoff schedule of one link. A dial that is made early because a request
 * is waiting leaves the schedule unchanged.
 */
export class Backoff {
  readonly #config: BackoffConfig;
  readonly #random: () => number;
  #failures = 0;
  /**
   * The scheduled time of the next dial, if the last dial was made before it.
   */
  #pendingScheduledAt: number | undefined;

  /** Creates a schedule with no failures. */
  constructor(config: BackoffConfig, random: () => number) {
    this.#config = config;
    this.#random = random;
  }

  /**
   * Records a dial. `scheduledAt` is when the schedule would have made it;
   * `Infinity` means never.
   */
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
  scheduleAfter(outcome: DialOutcome, now: number): DialSchedule {
    const { backoffBase, backoffCap } = this.#config;
    if (outcome === "refused") {
      const at = now + addJitter(backoffCap, this.#random);
      return { scheduledAt: at, demandAt: at };
    }
    // A dial that hung has already used up time.
    const delayMs = outcome === "hung"
      ? Math.min(MAX_DEMAND_DELAY_MS, backoffBase)
      : MAX_DEMAND_DELAY_MS;
    const demandAt = now + addJitter(delayMs, this.#random);
    if (outcome === "displaced") return { scheduledAt: Infinity, demandAt };
    const scheduledAt = this.#pendingScheduledAt === undefined
      ? now + calculateBackoffMs(++this.#failures, this.#config, this.#random)
      : Math.max(this.#pendingScheduledAt, demandAt);
    return { scheduledAt, demandAt };
  }

  /**
   * Returns when to repeat the same attempt in another way: at once. If the
   * last dial was ahead of the schedule, the repeat is immediate only while a
   * request is waiting.
   */
  scheduleRepeat(now: number): DialSchedule {
    return { scheduledAt: this.#pendingScheduledAt ?? now, demandAt: now };
  }
}
