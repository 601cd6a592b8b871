/**
 * When the next dial comes: by the table of the back-off, or sooner because a
 * request waits.
 *
 * @module
 */

/** How long the pauses between dials are, in milliseconds. */
export interface BackoffLimits {
  /** The pause after the first failure. */
  readonly backoffBase: number;
  /** The longest pause, but for the jitter. */
  readonly backoffCap: number;
}

/** The longest pause between dials while a request waits, but for the jitter, in milliseconds. */
export const DEMAND_MS = 900;
/** The most that the jitter adds to a pause, as a share of it. */
export const JITTER = 0.1;

/** How a dial or a connection ended, as far as the next dial depends on it. */
export type DialEnd =
  /** The dial failed, or the connection was lost. */
  | "failed"
  /** The dial neither opened nor failed, and took longer than it may. */
  | "hung"
  /** The daemon said no and will say it again. */
  | "refused"
  /** Another client takes the connection. */
  | "displaced";

/** When the next dial comes. */
export interface Moments {
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
export function pauseAfter(
  failures: number,
  limits: BackoffLimits,
  random: () => number,
): number {
  const pause = limits.backoffBase * 2 ** (failures - 1);
  return jittered(Math.min(pause, limits.backoffCap), random);
}

function jittered(ms: number, random: () => number): number {
  return ms * (1 + JITTER * random());
}

/**
 * The table of one link. A dial that is made before the table's moment, because
 * a request waits, leaves the table as it is.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #failures = 0;
  /** The table's moment, if the last dial was made before it. */
  #aheadOf: number | undefined;

  /** A table at its beginning. */
  constructor(limits: BackoffLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** A dial is made; by the table it would have been at `scheduledAt`, or never. */
  dialed(now: number, scheduledAt: number): void {
    const isAhead = scheduledAt > now && scheduledAt < Infinity;
    this.#aheadOf = isAhead ? scheduledAt : undefined;
  }

  /** The table starts anew. */
  restart(): void {
    this.#failures = 0;
    this.#aheadOf = undefined;
  }

  /** When the next dial comes, now that the last one has ended. */
  after(end: DialEnd, now: number): Moments {
    const { backoffBase, backoffCap } = this.#limits;
    if (end === "refused") {
      const at = now + jittered(backoffCap, this.#random);
      return { scheduledAt: at, demandAt: at };
    }
    // One that hung has taken its time already.
    const pause = end === "hung" ? Math.min(DEMAND_MS, backoffBase) : DEMAND_MS;
    const demandAt = now + jittered(pause, this.#random);
    if (end === "displaced") return { scheduledAt: Infinity, demandAt };
    const scheduledAt = this.#aheadOf === undefined
      ? now + pauseAfter(++this.#failures, this.#limits, this.#random)
      : Math.max(this.#aheadOf, demandAt);
    return { scheduledAt, demandAt };
  }

  /** When the same attempt is repeated in another way: at once. One that was made ahead of the table is repeated only while a request waits. */
  repeat(now: number): Moments {
    return { scheduledAt: this.#aheadOf ?? now, demandAt: now };
  }
}
