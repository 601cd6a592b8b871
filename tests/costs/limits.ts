/**
 * The table of what a message may cost. A change that costs more must change
 * this table, and say why. `deno task costs` prints what is measured now, and
 * `deno task costs --write` writes it into this file.
 *
 * @module
 */

/** What was measured, and how far a measurement may differ from it. */
export interface Limit {
  readonly measured: number;
  /** The greatest value that is accepted. */
  readonly most: number;
  /** The least value that is accepted. */
  readonly least: number;
}

/** A count that is the same in every run. */
function exact(measured: number): Limit {
  return { measured, most: measured, least: 0.9 * measured };
}

/** A number of bytes. It differs by less than 0.1% from run to run. */
function bytes(measured: number): Limit {
  return { measured, most: 1.01 * measured, least: 0.9 * measured };
}

/** Percent of a body. Each message also costs some bytes by itself. */
function percent(measured: number): Limit {
  return { measured, most: measured + 5, least: measured - 10 };
}

/**
 * What depends on the system's scheduler, and has no lower limit for that
 * reason. `--write` does not change the value.
 */
function wakeUps(measured: number): Limit {
  return { measured, most: 1.35 * measured, least: 0 };
}

/** Limits by the names of costs. */
export type Limits = Readonly<Record<string, Limit>>;

/** The counts of a call with its result, unless the name says otherwise. */
export const COUNT_LIMITS: Limits = {
  "session, call: functions": exact(206),
  "session, call: look-ups": exact(12),
  "session, call: JSON texts": exact(2),
  "session, call: bytes": bytes(3155),
  "session, call with progress: functions": exact(274),
  "session, call with progress: look-ups": exact(17),
  "session, call with progress: JSON texts": exact(3),
  "session, call with progress: bytes": bytes(5565),
  "session, call while 10,000 are open: functions": exact(195),
  "session, call while 10,000 are open: look-ups": exact(11),
  "session, call while 10,000 are open: JSON texts": exact(2),
  "session, call while 10,000 are open: bytes": bytes(2964),
  "session, call of 1 MB: percent copied": percent(101),
  "session, call of 1 MB: percent parsed": percent(100),
  "session, result of 1 MB: percent copied": percent(2),
  "session, result of 1 MB: percent parsed": percent(0),
  "proxy, call: functions": exact(247),
  "proxy, call: look-ups": exact(15),
  "proxy, call: JSON texts": exact(2),
  "proxy, call: bytes": bytes(6159),
  "proxy, call: turns": exact(2),
  "proxy, call: clock readings": exact(6),
  "proxy, call: timers": exact(0),
  "proxy, call: frames sent": exact(1),
  "proxy, call: writes to stdout": exact(1),
  "proxy, call with progress: functions": exact(337),
  "proxy, call with progress: look-ups": exact(20),
  "proxy, call with progress: JSON texts": exact(3),
  "proxy, call with progress: bytes": bytes(10654),
  "proxy, call with progress: turns": exact(3),
  "proxy, call with progress: clock readings": exact(10),
  "proxy, call with progress: timers": exact(0),
  "proxy, call with progress: frames sent": exact(1),
  "proxy, call with progress: writes to stdout": exact(2),
  "proxy, 100 lines in one chunk: turns": exact(1),
  "proxy, 100 lines in one chunk: clock readings": exact(5),
  "proxy, 100 lines in one chunk: timers": exact(0),
  "proxy, 100 lines in one chunk: frames sent": exact(100),
  "proxy, 100 results at once: turns": exact(1),
  "proxy, 100 results at once: clock readings": exact(4),
  "proxy, 100 results at once: timers": exact(0),
  "proxy, 100 results at once: writes to stdout": exact(1),
  "proxy, 100 results one by one: turns": exact(100),
  "proxy, 100 results one by one: clock readings": exact(204),
  "proxy, 100 results one by one: timers": exact(0),
  "proxy, 100 results one by one: writes to stdout": exact(2),
  "proxy, 100 calls and results at once: functions per call": exact(195.62),
  "proxy, 1,000 calls in a second: timers": exact(4),
  "proxy, off: functions of lib/telemetry/ per call": exact(0),
  "proxy, off: modules of lib/telemetry/": exact(2),
  "proxy, off: modules of the metrics and of the log file": exact(0),
};

/** What a call costs in a real process. Linux only. */
export const WAKE_UP_LIMITS: Limits = {
  "process, call: waits of the main thread": wakeUps(2.2),
  "process, call: switches from the main thread": wakeUps(3),
};
