/**
 * How the time that something takes grows with its size.
 *
 * @module
 */

/** Something that is made ready for a size, and is done then. */
export interface MeasuredCase {
  /** What is read, and in which shape. */
  readonly name: string;
  /** The smaller size: some milliseconds. */
  readonly size: number;
  /** Makes it ready; only what it gives back is measured. */
  readonly prepareRun: (size: number) => () => unknown;
}

/** How much larger the larger size is. */
export const SIZE_FACTOR = 8;
/** Growth by this much is more than linear (8) and less than quadratic (64). */
export const GROWTH_LIMIT = 24;
const MEASUREMENTS = 5;

/** Gives the time, in milliseconds. */
type Clock = () => number;
const CLOCK: Clock = () => performance.now();

/** How long it takes at a size so many times, in milliseconds. */
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
 * By how much the time grows when the size grows by {@linkcode SIZE_FACTOR}. The
 * smaller size is done so many times in a row, so that both take about as long,
 * and a machine that is busy with something else changes both.
 *
 * @returns the least of some tries, but no more of them once that is little enough
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
