/**
 * What is checked of the files in `config/` and of the metrics that Prometheus
 * has scraped. Each check throws, or returns a line for the report.
 *
 * @module
 */

import { METRICS } from "../../lib/telemetry/metric_families.ts";
import type { OutageMetrics, Values } from "../../.ci/build/metrics_picture.ts";
import { dashboardExpressions, seriesNamesOf } from "./expressions.ts";
import type { OutageRecord } from "./outage.ts";
import {
  type PrometheusServer,
  runPromtool,
  type TimeRange,
  waitFor,
} from "./prometheus_server.ts";

const CONFIG = `${import.meta.dirname}/../../config`;
const CASES = `${import.meta.dirname}/alert_cases.yml`;
const RULES = "prometheus-alerts.yml";

/** What Prometheus 2 sends; Prometheus 3 also prefers OpenMetrics 1.0. */
const ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5," +
  "text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/** How far the downtime of the metrics may be from the client's, in seconds. */
const DOWNTIME_TOLERANCE = 1;

const TOOL_CALLS = 'mcp_method_name="tools/call"';

/** Returns `config/prometheus.yml` for this run: another target, and faster. */
export async function runConfig(metricsUrl: string): Promise<string> {
  let text = await Deno.readTextFile(`${CONFIG}/prometheus.yml`);
  const changes = [
    [/15s/g, "1s"],
    [/^( +- )prometheus-alerts\.yml$/gm, `$1${CONFIG}/${RULES}`],
    [/(?<=targets: \[")127\.0\.0\.1:9464/g, new URL(metricsUrl).host],
  ] as const;
  for (const [pattern, value] of changes) {
    const changed = text.replaceAll(pattern, value);
    if (changed === text) throw new Error(`prometheus.yml: no ${pattern}`);
    text = changed;
  }
  return text;
}

/** Checks the files with promtool. */
export async function checkFiles(): Promise<string> {
  await runPromtool(["check", "rules", `${CONFIG}/${RULES}`]);
  await runPromtool(["check", "config", `${CONFIG}/prometheus.yml`]);
  await runPromtool(["test", "rules", CASES]);
  return "promtool: the rules, their cases and the configuration are valid";
}

/** Checks that promtool has no advice about the metrics. */
export async function checkText(metricsUrl: string): Promise<string> {
  const { text } = await scrape(metricsUrl, "text/plain");
  await runPromtool(["check", "metrics"], text);
  return "promtool: the metrics' names, types and texts are as they should be";
}

async function scrape(
  url: string,
  accept: string,
): Promise<{ type: string; text: string }> {
  const response = await fetch(url, { headers: { accept } });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const type = response.headers.get("content-type") ?? "";
  return { type, text: await response.text() };
}

/** Returns the samples of a text, without comments, in the order of names. */
function samplesOf(text: string): string {
  return text.split("\n").filter((line) => /^\w/.test(line))
    .toSorted().join("\n");
}

/** Checks that both formats have the same samples, and which one was scraped. */
export async function checkFormats(
  server: PrometheusServer,
  metricsUrl: string,
): Promise<string> {
  const samples = await waitFor("two scrapes without a change", async () => {
    const before = samplesOf((await scrape(metricsUrl, "text/plain")).text);
    const { type, text } = await scrape(metricsUrl, ACCEPT);
    const after = samplesOf((await scrape(metricsUrl, "text/plain")).text);
    // A probe between them changes the bytes.
    if (before !== after) return undefined;
    if (!type.startsWith("application/openmetrics-text; version=1.0.0")) {
      throw new Error(`the response to OpenMetrics is ${type}`);
    }
    if (!text.endsWith("# EOF\n")) throw new Error("OpenMetrics has no end");
    if (samplesOf(text) !== before) {
      throw new Error("OpenMetrics has other samples than Prometheus's text");
    }
    return before.split("\n").length;
  });
  const types = await server.metricTypes();
  for (const { name, type } of METRICS) {
    // Only in OpenMetrics, the name of a counter has no suffix here.
    const family = name.replace(/_total$/, "");
    if (types.get(family) !== type) {
      throw new Error(
        `${family}: Prometheus has the type ${types.get(family)}`,
      );
    }
  }
  return `OpenMetrics: Prometheus has scraped it, and its ${samples} samples ` +
    "are those of the text format";
}

/** Runs every expression of the dashboard and of the rules. */
export async function checkExpressions(
  server: PrometheusServer,
): Promise<string> {
  const json = await Deno.readTextFile(`${CONFIG}/grafana-dashboard.json`);
  const expressions = dashboardExpressions(json);
  const empty: string[] = [];
  for (const { panel, expression } of expressions) {
    // Every panel shows something after an outage.
    if ((await server.query(expression)).length === 0) {
      empty.push(`${panel}: ${expression}`);
    }
  }
  if (empty.length > 0) throw new Error(`no data:\n${empty.join("\n")}`);
  const rules = await server.rules();
  if (rules.length === 0) throw new Error("Prometheus has loaded no rule");
  for (const { name, query, health } of rules) {
    await server.query(query);
    if (health !== "ok") throw new Error(`${name}: ${health}`);
  }
  return `${expressions.length} expressions of the dashboard have data, and ` +
    `${rules.length} rules have no error`;
}

/** Checks that no alert has fired. */
export async function checkAlerts(server: PrometheusServer): Promise<string> {
  const fired = await server.query(
    'count_over_time(ALERTS{alertstate="firing"}[10m])',
  );
  const names = fired.map(({ metric }) => metric.alertname).join(", ");
  if (fired.length > 0) throw new Error(`alerts have fired: ${names}`);
  return "No alert has fired";
}

/** Checks that no counter has fallen. */
export async function checkCounters(server: PrometheusServer): Promise<string> {
  const counters = METRICS.filter(({ type }) => type !== "gauge")
    .flatMap(seriesNamesOf);
  let count = 0;
  for (const name of counters) {
    const series = await server.query(`resets(${name}[10m])`);
    if (series.length === 0) throw new Error(`${name} has no series`);
    const fallen = series.filter(({ value }) => value![1] !== "0");
    if (fallen.length > 0) {
      throw new Error(`fallen: ${name} ${JSON.stringify(fallen[0]!.metric)}`);
    }
    count += series.length;
  }
  return `None of ${count} counters has fallen`;
}

/** Checks that the metrics are what the client has seen. */
export async function checkFigures(
  server: PrometheusServer,
  { calls, unknownOutcomes, downSeconds }: OutageRecord,
): Promise<string> {
  const expected = [
    [`sum(mcp_server_operation_duration_seconds_count{${TOOL_CALLS}})`, calls],
    ["alwaysup_outcome_unknown_total", unknownOutcomes],
    [
      'alwaysup_failed_requests_total{reason="connection_lost"}',
      unknownOutcomes,
    ],
    ["sum(alwaysup_failed_requests_total)", unknownOutcomes],
    ["sum(alwaysup_reconnects_total)", 1],
    ["alwaysup_open_requests", 0],
    ["alwaysup_queue_depth", 0],
  ] as const;
  for (const [expression, value] of expected) {
    await waitFor(
      `${expression} to be ${value}`,
      async () => await server.valueOf(expression) === value || undefined,
    );
  }
  const retries = await server.valueOf("alwaysup_retries_total") ?? 0;
  if (retries < 1) throw new Error("the call that only reads is not repeated");
  const outage = "max_over_time(alwaysup_link_down_seconds_total[10m]) - " +
    "min_over_time(alwaysup_link_down_seconds_total[10m])";
  const down = await server.valueOf(outage) ?? 0;
  if (Math.abs(down - downSeconds) > DOWNTIME_TOLERANCE) {
    throw new Error(`${down} s without a daemon, but ${downSeconds} s passed`);
  }
  return `${calls} calls, ${unknownOutcomes} with an unknown outcome, ` +
    `${retries} repeated: client and metrics agree. Without a daemon: ` +
    `${downSeconds.toFixed(2)} s, by the metrics ${down.toFixed(2)} s`;
}

/** How many scrapes the picture shows before the kill and after the start. */
const PICTURE_SCRAPES = { before: 6, after: 7 };
/** Prometheus scrapes each second, up to some ms late. */
const LATE_SECONDS = 0.05;

/** Returns what the picture shows. */
export async function readPicture(
  server: PrometheusServer,
  { killedAt, startedAt }: OutageRecord,
): Promise<OutageMetrics> {
  const lastScrape = await server.valueOf("timestamp(alwaysup_link_up)") ?? 0;
  // Each step is just after a scrape.
  const phase = lastScrape % 1 + LATE_SECONDS;
  const start = Math.floor(killedAt - phase) + phase - PICTURE_SCRAPES.before +
    1;
  const count = Math.ceil(startedAt - start) + PICTURE_SCRAPES.after;
  const range: TimeRange = { start, end: start + count - 1, step: 1 };
  const medianOf = (side: string): string =>
    "histogram_quantile(0.5, sum by (le) (rate(" +
    `mcp_${side}_operation_duration_seconds_bucket{${TOOL_CALLS}}[3s])))`;
  const read = async (expression: string): Promise<Values> => {
    const [series] = await server.queryRange(expression, range);
    const values = new Map(
      series?.values?.map(([at, value]) => [Math.round(at - start), value]),
    );
    return Array.from({ length: count }, (_, second) => {
      const value = Number(values.get(second) ?? NaN);
      return Number.isFinite(value) ? round(value) : null;
    });
  };
  return {
    killed: round(killedAt - start),
    started: round(startedAt - start),
    up: await read("alwaysup_link_up"),
    open: await read("alwaysup_open_requests"),
    queued: await read("alwaysup_queue_depth"),
    answered: await read(
      `sum(rate(mcp_server_operation_duration_seconds_count{${TOOL_CALLS}}[3s]))`,
    ),
    waited: await read(medianOf("server")),
    daemonTook: await read(medianOf("client")),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
