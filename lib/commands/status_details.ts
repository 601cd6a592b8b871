/**
 * Describes everything that is known of running proxies, as a block of names
 * and values for each.
 *
 * @module
 */

import { downMsOf } from "../telemetry/history.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import {
  describeConnectionState,
  formatDuration,
  formatExactDuration,
  formatMoment,
  type ProxyStatus,
} from "../proxy/status_format.ts";
import { describeOutage } from "./outage_text.ts";
import { describeNoProxy, type View } from "./command_output.ts";
import { countOf, fitBlocks, layOutPairs, type Pair } from "./text_layout.ts";

/** How many outages are described; `alwaysup history` describes all. */
const SHOWN_OUTAGES = 3;
const UNKNOWN = "not known";

/** Returns a block for each proxy, in the size of the view. */
export function formatDetails(
  proxies: readonly ProxyStatus[],
  view: View,
): string {
  if (proxies.length === 0) return describeNoProxy(view);
  const blocks = proxies.map((proxy, i) => {
    const pairs = detailsOf(proxy, view.now).map(([name, ...values]): Pair => [
      name,
      ...values.map((value) => sanitizeLine(value, Infinity)),
    ]);
    const lines = layOutPairs(pairs, view.columns);
    return i === 0 ? lines : ["", ...lines];
  });
  return fitBlocks([], blocks, view.rows).join("\n");
}

function detailsOf(proxy: ProxyStatus, now: number): Pair[] {
  const { pid, version, runtime, url, dialect, startedAt } = proxy;
  const { client = UNKNOWN, daemon = UNKNOWN, metricsUrl } = proxy;
  const { connectionState, pendingRequests, queuedMessages } = proxy;
  return [
    ["pid", `${pid}`],
    ["version", version],
    ["runtime", runtime],
    ["client", client],
    ["daemon", daemon],
    ["url", url],
    ["dialect", dialect],
    ["state", describeConnectionState(connectionState, now)],
    ["started", momentWithAge(startedAt, now)],
    ["pending requests", `${pendingRequests}`],
    ["queued messages", `${queuedMessages}`],
    ...historyDetails(proxy, now),
    ["connections kept", connectionsKept(proxy)],
    ["last error", describeLastError(proxy, now)],
    ...metricsUrl === undefined ? [] : [["metrics", metricsUrl] as Pair],
    ...newestOutages(proxy, now),
  ];
}

function historyDetails(
  { history, circuit, reconnects }: ProxyStatus,
  now: number,
): Pair[] {
  const { circuitOpenings, outageCount } = history;
  const openings = circuitOpenings === 0
    ? ""
    : `, opened ${countOf(circuitOpenings, "time")}`;
  const causes = listCounts(history.reconnects);
  const failed = Object.values(history.failedRequests)
    .reduce((sum, count) => sum + count, 0);
  return [
    ["circuit breaker", `${circuit}${openings}`],
    ["outages", `${outageCount}`],
    ["downtime", formatExactDuration(downMsOf(history, now))],
    ["attempts", `${history.dialAttempts}`],
    ["reconnects", `${reconnects}${causes}`],
    ["requests repeated", `${history.repeatedCount}`],
    ["requests failed", `${failed}${listCounts(history.failedRequests)}`],
    ["outcome unknown", `${history.unknownOutcomes}`],
  ];
}

/** Returns the counts in parentheses, the largest first, if there are any. */
function listCounts(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).toSorted(([, a], [, b]) => b - a);
  if (sorted.length === 0) return "";
  return ` (${sorted.map(([name, count]) => `${name} ${count}`).join(", ")})`;
}

function connectionsKept({ connections }: ProxyStatus): string {
  switch (connections) {
    case "one":
      return "one for each client";
    case "many":
      return "many for each client";
    case "unknown":
      return UNKNOWN;
  }
}

function describeLastError(
  { lastError, lastErrorAt }: ProxyStatus,
  now: number,
): string {
  if (lastError === undefined) return "none";
  if (lastErrorAt === undefined) return lastError;
  return `${momentWithAge(lastErrorAt, now)}: ${lastError}`;
}

/** Returns e.g. `2026-11-30 18:12:29 (3 min ago)`. */
function momentWithAge(msSince1970: number, now: number): string {
  const age = formatDuration(now - msSince1970);
  return `${formatMoment(msSince1970)} (${age} ago)`;
}

/** Returns the newest outages, the newest last. */
function newestOutages({ history }: ProxyStatus, now: number): Pair[] {
  const newest = history.outages.slice(-SHOWN_OUTAGES);
  if (newest.length === 0) return [];
  const lines = newest.map((outage) =>
    `${formatMoment(outage.lostAt)} ${describeOutage(outage, history, now)}`
  );
  return [["newest outages", ...lines]];
}
