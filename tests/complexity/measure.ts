/**
 * Measures how the time of an operation grows with its size.
 *
 * @module
 */

/** An operation that is prepared for a size, and then run. */
export interface MeasuredCase {
  /** What is read, and the shape of the input. */
  readonly name: string;
  /** The smaller size; it takes some milliseconds. */
  readonly size: number;
  /** Prepares the run. Only the returned function is measured. */
  readonly prepareRun: (size: number) => () => unknown;
}

/** The ratio of the larger size to the smaller one. */
export const SIZE_FACTOR = 8;
/** Growth by this much is more than linear (8) and less than quadratic (64). */
export const GROWTH_LIMIT = 24;
/** Other load may last longer than a few. */
const MEASUREMENTS = 20;

/** Returns the time, in milliseconds. */
type Clock = () => number;
const CLOCK: Clock = () => performance.now();

/** How long so many runs of one size take, in milliseconds. */
export function timeOf(
  { prepareRun }: MeasuredCase,
  size: number,
  times: number = 1,
  clock: Clock = CLOCK,
): number {
  const runs = Array.from({ length: times }, () => prepareRun(size));
  const start = clock();
  for (const run of runs) run();
  return clock() - start;
}

/**
 * By how much the time grows when the size grows by {@linkcode SIZE_FACTOR}.
 * The smaller size is run repeatedly, so that both take about as long, and
 * other load on the machine affects both.
 *
 * @returns the smallest ratio of some tries; stops early once it is small
 * enough
 */
export function growthOf(reader: MeasuredCase, clock: Clock = CLOCK): number {
  const { size } = reader;
  let growth = Infinity;
  for (let i = 0; i < MEASUREMENTS && growth >= GROWTH_LIMIT; i++) {
    const small = timeOf(reader, size, SIZE_FACTOR, clock) / SIZE_FACTOR;
    growth = Math.min(
      growth,
      timeOf(reader, size * SIZE_FACTOR, 1, clock) / small,
    );
  }
  return growth;
}
