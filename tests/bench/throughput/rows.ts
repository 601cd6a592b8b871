/**
 * The rows of the table: their names, labels and units.
 *
 * @module
 */

/** How many calls a sequential row measures, and how many come before. */
export const SEQUENTIAL = 1_000;
export const WARM_UP = 200;
/** How many calls are sent at once. */
export const BURST = 20_000;
/**
 * Bridges to HTTP are slow. They get this many times fewer of the calls at
 * once, of which time and CPU are multiplied, and of those that are answered
 * while others are open.
 */
export const HTTP_DIVISOR = 10;
/** The rounds in which bridges to HTTP take part. */
export const HTTP_ROUNDS = 3;
/** How many answers of 100 kB are asked for, one after the other. */
export const REPORTS = 40;
/** How many calls stay open, and how many others are answered meanwhile. */
export const FEW_OPEN = 10;
export const MANY_OPEN = 10_000;
export const ANSWERED = 5_000;
/** How many calls are answered before these rows measure. */
export const OPEN_WARM_UP = 15_000;
/** How often these are sent. The median counts. */
export const REPEATED = 5;
/** How many of those are on their way at the same time. */
export const WINDOW = 100;
/** How many calls wait while there is no daemon. */
export const QUEUED = 10_000;
/** How long the daemon stays away after it was killed. */
export const OUTAGE_MS = 500;

/** A row: its name on the command line, what it measures, and its unit. */
interface RowText {
  readonly name: string;
  readonly label: string;
  readonly unit: "ms" | "us" | "MiB" | "x";
}

/** Every row, in the order of the table. */
export const ROWS = [
  { name: "start", label: "start to the answer to initialize", unit: "ms" },
  { name: "p50", label: "one call after the other, median, pipe", unit: "us" },
  { name: "p99", label: "one call after the other, p99, pipe", unit: "us" },
  {
    name: "p50-socketpair",
    label: "one call after the other, median, socketpair",
    unit: "us",
  },
  {
    name: "p99-socketpair",
    label: "one call after the other, p99, socketpair",
    unit: "us",
  },
  { name: "burst", label: "20,000 calls at once", unit: "ms" },
  { name: "burst-cpu", label: "CPU for these", unit: "ms" },
  { name: "burst-daemon", label: "the daemon's CPU for these", unit: "ms" },
  {
    name: "structured",
    label: "40 structured answers of 100 kB, one after the other",
    unit: "ms",
  },
  { name: "1mb", label: "1 MB to the daemon and back", unit: "ms" },
  { name: "16mb", label: "16 MB to the daemon and back", unit: "ms" },
  { name: "idle", label: "memory after the start", unit: "MiB" },
  { name: "idle-1s", label: "memory 1 s later, idle", unit: "MiB" },
  { name: "peak-burst", label: "peak memory after the burst", unit: "MiB" },
  { name: "peak", label: "peak memory after all that", unit: "MiB" },
  { name: "minute", label: "memory a minute later, idle", unit: "MiB" },
  { name: "open-10", label: "CPU per call, 10 others open", unit: "us" },
  { name: "open-10000", label: "CPU per call, 10,000 others open", unit: "us" },
  { name: "open-ratio", label: "10,000 open compared with 10", unit: "x" },
  {
    name: "queued",
    label: "10,000 queued calls, from the daemon's return to the last answer",
    unit: "ms",
  },
  { name: "queued-cpu", label: "CPU for these answers", unit: "ms" },
  {
    name: "recovery",
    label: "kill -9 of the daemon, from its return to a waiting call's answer",
    unit: "ms",
  },
] as const satisfies readonly RowText[];

/** The name of a row. */
export type RowName = typeof ROWS[number]["name"];

/** A row with a name of the table. */
export interface Row extends RowText {
  readonly name: RowName;
}

/** Returns the rows with these names. Throws if there is no such row. */
export function selectRows(names: readonly string[] | undefined): Set<RowName> {
  const known = ROWS.map(({ name }) => name);
  // The last one takes a minute, so it is measured only on request.
  if (names === undefined) {
    return new Set(known.filter((it) => it !== "minute"));
  }
  return new Set(names.map((name) => {
    const row = known.find((it) => it === name);
    if (row !== undefined) return row;
    throw new Error(`--rows ${name}: must be one of ${known.join(", ")}`);
  }));
}
