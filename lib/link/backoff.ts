/**
 * When the next dial comes: by the table of the back-off, or sooner because a
 * request waits.
 *
 * @module
 */

/** How long the pauses between dials are, in milliseconds. */
export interface BackoffConfig {
  /** The pause after the first failure. */
  readonly backoffBase: number;
  /** The longest pause, but for the jitter. */
  readonly backoffCap: number;
}

/** The longest pause between dials while a request waits, but for the jitter, in milliseconds. */
export const MAX_DEMAND_DELAY_MS = 900;
/** The most that the jitter adds to a pause, as a share of it. */
export const JITTER_FRACTION = 0.1;

/** How a dial or a connection ended, as far as the next dial depends on it. */
export type DialOutcome =
  /** The dial failed, or the connection was lost. */
  | "failed"
  /** The dial neither opened nor failed, and took longer than it may. */
  | "hung"
  /** The daemon said no and will say it again. */
  | "refused"
  /** Another client takes the connection. */
  | "displaced";

/** When the next dial comes. */
export interface DialSchedule {
  /** The moment by the table. */
  readonly scheduledAt: number;
  /** The moment while a request waits, if that is earlier. */
  readonly demandAt: number;
}

/**
 * The pause before the next dial after `failures` (>= 1) of them: the base
 * doubled each time up to the cap, plus up to a tenth of it by chance.
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
 * The table of one link. A dial that is made before the table's moment, because
 * a request waits, leaves the table as it is.
 */
export class Backoff {
  readonly #config: BackoffConfig;
  readonly #random: () => number;
  #failures = 0;
  /** The table's moment, if the last dial was made before it. */
  #pendingScheduledAt: number | undefined;

  /** A table at its beginning. */
  constructor(config: BackoffConfig, random: () => number) {
    this.#config = config;
    this.#random = random;
  }

  /** A dial is made; by the table it would have been at `scheduledAt`, or never. */
  onDial(now: number, scheduledAt: number): void {
    const isEarly = scheduledAt > now && scheduledAt < Infinity;
    this.#pendingScheduledAt = isEarly ? scheduledAt : undefined;
  }

  /** The table starts anew. */
  reset(): void {
    this.#failures = 0;
    this.#pendingScheduledAt = undefined;
  }

  /** When the next dial comes, now that the last one has ended. */
  scheduleAfter(outcome: DialOutcome, now: number): DialSchedule {
    const { backoffBase, backoffCap } = this.#config;
    if (outcome === "refused") {
      const at = now + addJitter(backoffCap, this.#random);
      return { scheduledAt: at, demandAt: at };
    }
    // One that hung has taken its time already.
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

  /** When the same attempt is repeated in another way: at once. One that was made ahead of the table is repeated only while a request waits. */
  scheduleRepeat(now: number): DialSchedule {
    return { scheduledAt: this.#pendingScheduledAt ?? now, demandAt: now };
  }
}
