/**
 * Provides the simulated time and the seeded randomness of a simulation.
 *
 * @module
 */

/** Returns a seeded generator of random numbers from 0 to 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The clock, the scheduled events and the random generator of a simulation. */
export class Scheduler {
  readonly random: () => number;
  readonly #scheduled: { at: number; run: () => void }[] = [];
  /** The simulated time, in milliseconds since the start. */
  now = 0;
  #suspendedMs = 0;
  #suspendedAt: number | undefined;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /**
   * How long the program was awake, in milliseconds. Deadlines count only this
   * time.
   */
  get awakeMs(): number {
    return (this.#suspendedAt ?? this.now) - this.#suspendedMs;
  }

  get isSuspended(): boolean {
    return this.#suspendedAt !== undefined;
  }

  suspend(): void {
    this.#suspendedAt = this.now;
  }

  /** Ends the sleep. Returns how long it lasted, in milliseconds. */
  resume(): number {
    const ms = this.now - this.#suspendedAt!;
    this.#suspendedAt = undefined;
    this.#suspendedMs += ms;
    return ms;
  }

  /** Schedules an event in `ms`, after those for the same moment. */
  schedule(ms: number, run: () => void): void {
    const at = this.now + ms;
    let low = 0;
    let high = this.#scheduled.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#scheduled[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#scheduled.splice(low, 0, { at, run });
  }

  /** Runs the next event if it is due by `until`. Returns whether one ran. */
  runNext(until: number): boolean {
    const next = this.#scheduled[0];
    if (next === undefined || next.at > until) return false;
    this.#scheduled.shift();
    this.now = Math.max(this.now, next.at);
    next.run();
    return true;
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<const T>(choices: readonly T[]): T {
    return choices[Math.floor(this.random() * choices.length)]!;
  }
}
