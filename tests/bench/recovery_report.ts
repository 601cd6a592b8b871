/**
 * Prints the results of `deno task recovery` as a table, and checks them.
 *
 * @module
 */

import { print } from "../helpers/print.ts";
import type { Dialect, MeasuredProgram } from "./recovery_client.ts";

/** The outages in which a dial neither opens nor fails. */
const SILENT_OUTAGES: readonly string[] = [
  "silent-tcp",
  "silent-ws",
  "syn-drop",
];
const MAX_LAG_MS = 1_500;
const MAX_SILENT_LAG_MS = 3_500;
const SHORT_SILENCE_MS = 5_000;

/**
 * The dials that an outage allows: a fixed number, one for each `DEMAND_MS`
 * that a call waits, and those of the backoff schedule while no call waits.
 */
const FREE_DIALS = 4;
const DEMAND_MS = 850;
const BACKOFF_MS = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000];

/** A call that waited for the end of an outage. */
export interface ResponseLag {
  /**
   * The time from the moment that the daemon could be reached to the response.
   * `undefined` if there was no response.
   */
  readonly ms: number | undefined;
  readonly outageMs: number;
}

/** How often a client dialed, and how often it was allowed to. */
export interface DialCounts {
  readonly seen: number;
  readonly allowed: number;
}

/** The results of one client in one kind of outage. */
export interface RecoveryResult {
  readonly kind: string;
  readonly dialect: Dialect;
  readonly program: MeasuredProgram;
  readonly lags: ResponseLag[];
  readonly dials: DialCounts[];
  readonly problems: string[];
  /** From the kill (-9) to the error for a call in flight, in milliseconds. */
  readonly errorMs: number[];
  /** From the end of stdin to the exit, in milliseconds. */
  readonly exitMs: number[];
}

/** Returns an empty result for a client. */
export function newResult(
  kind: string,
  dialect: Dialect,
  program: MeasuredProgram,
): RecoveryResult {
  const lists = { lags: [], dials: [], problems: [], errorMs: [], exitMs: [] };
  return { kind, dialect, program, ...lists };
}

/**
 * Returns how many dials are allowed.
 *
 * @param calls the number of calls; with exai, each has its own connection
 * @param waitedMs how long a call waited
 * @param unwaitedMs how long the daemon could not be reached while no call
 * waited
 */
export function allowedDials(
  { dialect }: Pick<RecoveryResult, "dialect">,
  outages: number,
  calls: number,
  waitedMs: number,
  unwaitedMs: number,
): number {
  let [backoffDials, at] = [0, 0];
  for (const ms of BACKOFF_MS) {
    at += ms;
    if (at <= unwaitedMs) backoffDials++;
  }
  const beyond = Math.max(0, backoffDials - (FREE_DIALS - 1));
  const own = dialect === "exai" ? calls : 0;
  const free = outages * FREE_DIALS + beyond + own;
  return free + Math.ceil(waitedMs / DEMAND_MS);
}

function targetMs(kind: string, outageMs: number): number {
  if (!SILENT_OUTAGES.includes(kind)) return MAX_LAG_MS;
  if (outageMs <= SHORT_SILENCE_MS) return MAX_SILENT_LAG_MS;
  return Math.max(MAX_SILENT_LAG_MS, outageMs / 2);
}

/** Prints one line with a client's result, as soon as it is known. */
export function printProgress(result: RecoveryResult): void {
  const { kind, dialect, program, lags } = result;
  const each = lags.map((lag) =>
    formatMs(lag.ms) +
    (lag.outageMs > 0 ? ` after ${formatMs(lag.outageMs)}` : "")
  );
  print(`${kind} ${dialect} ${program.name}: ${each.join(", ")}`);
}

/** Returns the value that a fraction `part` of all values does not exceed. */
function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)]!;
}

function formatMs(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "-";
  return value.toFixed(0);
}

function sortedLags(lags: readonly ResponseLag[]): number[] {
  return lags.flatMap((lag) => lag.ms ?? []).sort((a, b) => a - b);
}

const WIDTHS = [13, 8, 8, 6, 5, 7, 7, 7, 8, 9, 11, 8, 6];

function printRow(cells: readonly (string | number)[]): void {
  print(
    cells.map((cell, i) =>
      i < 3 ? `${cell}`.padEnd(WIDTHS[i]!) : `${cell}`.padStart(WIDTHS[i]!)
    ).join(""),
  );
}

/** Returns how many responses were late or missing. */
function lateCount({ kind, lags }: RecoveryResult): number {
  return lags.filter(({ ms, outageMs }) =>
    ms === undefined || ms > targetMs(kind, outageMs)
  ).length;
}

function printResult(result: RecoveryResult): void {
  const { kind, dialect, program, lags, dials, problems } = result;
  const all = sortedLags(lags);
  const isSilent = SILENT_OUTAGES.includes(kind);
  const short = lags.filter((lag) => lag.outageMs <= SHORT_SILENCE_MS);
  const long = lags.filter((lag) => lag.outageMs > SHORT_SILENCE_MS);
  const ratios = long.flatMap(({ ms, outageMs }) =>
    ms === undefined ? [] : ms / (outageMs / 2)
  );
  const worst =
    dials.toSorted((a, b) => b.seen / b.allowed - a.seen / a.allowed)[0];
  printRow([
    kind,
    dialect,
    program.name,
    lags.length,
    lags.length - all.length,
    formatMs(quantile(all, 0.5)),
    formatMs(quantile(all, 0.95)),
    formatMs(all.at(-1)),
    isSilent ? formatMs(sortedLags(short).at(-1)) : "",
    isSilent && ratios.length > 0 ? Math.max(...ratios).toFixed(2) : "",
    worst === undefined ? "" : `${worst.seen} of ${worst.allowed}`,
    lateCount(result),
    problems.length,
  ]);
}

function printFigure(what: string, all: number[]): void {
  if (all.length === 0) return;
  all.sort((a, b) => a - b);
  print(
    `${what}: p50 ${formatMs(quantile(all, 0.5))} ms, max ${
      formatMs(all.at(-1))
    } ms ` +
      `(${all.length} times)`,
  );
}

/**
 * Prints the table. Returns one line for each problem of our programs.
 *
 * @param isStrict whether a late response is a problem, too
 */
export function reportRecovery(
  results: readonly RecoveryResult[],
  isStrict: boolean,
): string[] {
  print(
    "Lag from the moment that the daemon can be reached to the response to a " +
      "waiting call, in ms.\n" +
      `Targets: max ${MAX_LAG_MS}; ${SILENT_OUTAGES.join(", ")}: max ` +
      `${MAX_SILENT_LAG_MS} after up to 5 s of silence ("<=5s"),\nelse at most ` +
      `${MAX_SILENT_LAG_MS} or, if longer, half of the silence (">5s": max ` +
      'of lag / half of the silence). "late": beyond the target.\n',
  );
  printRow([
    ...["kind", "dialect", "client", "calls", "lost", "p50", "p95", "max"],
    ...["<=5s", ">5s", "dials", "late", "bad"],
  ]);
  const failures: string[] = [];
  for (const result of results) {
    printResult(result);
    const { kind, dialect, program, dials, problems } = result;
    const which = `${kind} ${dialect} ${program.name}`;
    if (!program.isAlwaysup) continue;
    for (const problem of problems) failures.push(`${which}: ${problem}`);
    for (const { seen, allowed } of dials) {
      if (seen <= allowed) continue;
      failures.push(`${which}: ${seen} dials, but ${allowed} are allowed`);
    }
    const late = lateCount(result);
    if (isStrict && late > 0) failures.push(`${which}: ${late} late`);
  }
  print("");
  for (const name of new Set(results.map(({ program }) => program.name))) {
    const its = results.filter(({ program }) => program.name === name);
    const errors = its.flatMap(({ errorMs }) => errorMs);
    printFigure(`${name}: kill -9 to the error of the call in flight`, errors);
    const [away, there] = [true, false].map((isAway) =>
      its.filter(({ kind }) => (kind === "kill") === isAway)
        .flatMap(({ exitMs }) => exitMs)
    );
    printFigure(`${name}: end of stdin to exit, connected`, there!);
    printFigure(`${name}: end of stdin to exit, daemon away`, away!);
  }
  return failures;
}
