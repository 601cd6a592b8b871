/**
 * Describes outages.
 *
 * @module
 */

import type { FailedRequest } from "../events.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import type { History, Outage } from "../telemetry/history.ts";
import { formatExactDuration, formatMoment } from "../proxy/status_format.ts";
import { countOf, type Pair } from "./text_layout.ts";

/** Describes how long an outage lasted, and why: `down 1.2 s: ...`. */
export function describeOutage(
  { downMs, reason }: Outage,
  { downSince }: History,
  now: number,
): string {
  const time = downMs !== undefined
    ? `down ${formatExactDuration(downMs)}`
    : downSince === undefined
    ? "still down"
    : `still down after ${formatExactDuration(now - downSince)}`;
  return `${time}: ${sanitizeLine(reason, Infinity)}`;
}

/** Returns when an outage began, and everything that is known of it. */
export function outageAsPair(
  outage: Outage,
  history: History,
  now: number,
): Pair {
  const { lostAt, attempts, repeatedCount, failedCount, failed } = outage;
  const others = failedCount - failed.length;
  const colon = failed.length > 0 ? ":" : "";
  return [
    formatMoment(lostAt),
    describeOutage(outage, history, now),
    `${countOf(attempts, "attempt")}; requests: ${repeatedCount} repeated, ` +
    `${failedCount} failed${colon}`,
    ...listFailed(failed),
    ...others > 0 ? [`and ${others} more`] : [],
  ];
}

/** Returns a line for each kind of failed request. */
function listFailed(failed: readonly FailedRequest[]): string[] {
  const counts = new Map<string, number>();
  for (const { method, name, code, reason } of failed) {
    const what = name === undefined ? method : `${method} ${name}`;
    const line = sanitizeLine(`${what}: ${code} ${reason}`, Infinity);
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, count]) =>
    count === 1 ? line : `${line} (${count} times)`
  );
}
