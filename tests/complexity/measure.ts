/**
 * Measures how the time of an operation grows with the size of its input.
 *
 * @module
 */

/** An operation that is prepared for a size and then run. */
export interface MeasuredCase {
  /** What is parsed or done, and the shape of the input. */
  readonly name: string;
  /** The smaller size. An operation of this size takes some milliseconds. */
  readonly size: number;
  /** Prepares a run. Only the returned function is measured. */
  readonly prepareRun: (size: number) => () => unknown;
}

export const SIZE_FACTOR = 8;
/** The growth that fails: more than linear (8), less than quadratic (64). */
export const GROWTH_LIMIT = 24;
/** The maximum number of measurements: other load may disturb some. */
const MEASUREMENTS = 20;

/** Returns the time, in milliseconds. */
type Clock = () => number;
const CLOCK: Clock = () => performance.now();

/** Returns how long `times` runs of one size take, in milliseconds. */
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
 * Returns the factor by which the time grows when the size grows by
 * {@linkcode SIZE_FACTOR}. The smaller size is run that many times, so both
 * sizes take about as long, and other load on the machine affects both.
 *
 * @returns the smallest ratio that was measured; measuring stops once that is
 * below {@linkcode GROWTH_LIMIT}
 */
export function growthOf(
  measuredCase: MeasuredCase,
  clock: Clock = CLOCK,
): number {
  const { size } = measuredCase;
  let growth = Infinity;
  for (let i = 0; i < MEASUREMENTS && growth >= GROWTH_LIMIT; i++) {
    const small = timeOf(measuredCase, size, SIZE_FACTOR, clock) / SIZE_FACTOR;
    growth = Math.min(
      growth,
      timeOf(measuredCase, size * SIZE_FACTOR, 1, clock) / small,
    );
  }
  return growth;
}
