/**
 * Checks the files in `config/` that Prometheus and Grafana read. `deno task
 * prometheus` runs their expressions.
 *
 * @module
 */

import {
  DASHBOARD_FILE,
  dashboardText,
} from "../.ci/build/grafana_dashboard.ts";
import {
  METRICS_PAGE_FILE,
  metricsPageText,
} from "../.ci/build/metrics_page.ts";
import { ERROR_REASONS } from "../lib/protocol/jsonrpc.ts";
import { metricFamiliesOf, METRICS } from "../lib/telemetry/metric_families.ts";
import { assert, assertEquals } from "./helpers/assert.ts";
import { newMeasuredProxy } from "./helpers/measured_proxy.ts";
import { test } from "./helpers/time_limit.ts";
import { seriesNamesOf } from "./prometheus/expressions.ts";

function readConfig(name: string): Promise<string> {
  return Deno.readTextFile(new URL(`../config/${name}`, import.meta.url));
}

function readCases(): Promise<string> {
  return Deno.readTextFile(
    new URL("prometheus/alert_cases.yml", import.meta.url),
  );
}

/** Our labels, and those that Prometheus and config/prometheus.yml add. */
const LABELS: ReadonlySet<string> = new Set([
  ...["job", "instance", "file", "expected"],
  ...metricFamiliesOf([newMeasuredProxy()]).flatMap(({ samples }) =>
    samples.flatMap(({ labels }) => Object.keys(labels))
  ),
]);

/** Returns what an expression names, but none of our metrics has. */
function unknownNamesOf(expression: string): string[] {
  const known = new Set(METRICS.flatMap(seriesNamesOf));
  const metrics = [
    ...expression.matchAll(/\b(?:alwaysup|mcp)_\w+(?=[{\s)[]|$)/g),
  ]
    .map(([name]) => name)
    .filter((name) => !LABELS.has(name) && !known.has(name));
  const used = [...expression.matchAll(/[{,]\s*(\w+)[!=]/g)]
    .map(([, name]) => name!);
  const grouped = [...expression.matchAll(/\b(?:by|without) \(([^)]*)\)/g)]
    .flatMap(([, names]) => names!.split(/,\s*/));
  return [
    ...metrics,
    ...[...used, ...grouped].filter((label) => !LABELS.has(label)),
  ];
}

/** Returns the alerts of a file of rules, with the text of each. */
function alertsOf(rules: string): { name: string; text: string }[] {
  return rules.split(/^ +- alert: /m).slice(1).map((text) => ({
    name: /^\w+/.exec(text)![0],
    text,
  }));
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { h: number; w: number; x: number; y: number };
  readonly targets?: readonly { expr: string; datasource: { uid: string } }[];
}

test("config/METRICS.md: it is what the table of metrics gives (deno task settings)", async () => {
  const text = await Deno.readTextFile(METRICS_PAGE_FILE);
  assertEquals(text, metricsPageText());
  for (const { name } of METRICS) assert(text.includes(`\`${name}\``), name);
  for (const label of LABELS) {
    if (/^(?:job|instance|file)$/.test(label)) continue;
    assert(text.includes(label), label);
  }
});

test("config/grafana-dashboard.json: it is what its script gives (deno task settings)", async () => {
  assertEquals(await Deno.readTextFile(DASHBOARD_FILE), dashboardText());
});

test("config/grafana-dashboard.json: the expressions name our metrics and labels, the choice of the instance, and no data source of their own", () => {
  const { panels } = JSON.parse(dashboardText()) as { panels: Panel[] };
  const charts = panels.filter(({ type }) => type !== "row");
  assert(charts.length >= 20);
  for (const { title, targets, datasource } of charts) {
    assertEquals(datasource!.uid, "${datasource}", title);
    assert(targets!.length > 0, title);
    for (const { expr, datasource } of targets!) {
      assertEquals(datasource.uid, "${datasource}", title);
      assertEquals(unknownNamesOf(expr), [], expr);
      // Each selector has the choice.
      const selectors = [...expr.matchAll(/\{[^}]*\}/g)];
      assert(selectors.length > 0, expr);
      for (const [selector] of selectors) {
        assert(selector.includes('instance=~"$instance"'), expr);
      }
    }
  }
});

test("config/grafana-dashboard.json: every metric is in it", () => {
  const text = dashboardText();
  const missing = METRICS.filter(({ name }) => !text.includes(name))
    .map(({ name }) => name);
  assertEquals(missing, []);
});

test("config/grafana-dashboard.json: panels have different ids, and do not overlap", () => {
  const { panels } = JSON.parse(dashboardText()) as { panels: Panel[] };
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  const cells = new Set<string>();
  for (const { title, gridPos: { h, w, x, y } } of panels) {
    assert(x + w <= 24, title);
    for (let cell = 0; cell < w * h; cell++) {
      const at = `${x + cell % w},${y + Math.floor(cell / w)}`;
      assert(!cells.has(at), `${title} overlaps at ${at}`);
      cells.add(at);
    }
  }
});

test("config/prometheus-alerts.yml: every alert names our metrics and labels, and says what to do", async () => {
  const alerts = alertsOf(await readConfig("prometheus-alerts.yml"));
  assert(alerts.length >= 8);
  for (const { name, text } of alerts) {
    const [, expression] =
      /expr: (?:>-\s+)?([^]*?)\n +(?:for|labels):/.exec(text) ?? [];
    assert(expression !== undefined, name);
    assertEquals(unknownNamesOf(expression), [], name);
    assert(/severity: (?:warning|critical)\n/.test(text), name);
    assert(/summary: ["'].*\$labels\.instance/.test(text), name);
    assert(/description: >-\n.{40}/.test(text), name);
  }
});

test("config/prometheus-alerts.yml: the alert about failed requests explains each reason", async () => {
  const alerts = alertsOf(await readConfig("prometheus-alerts.yml"));
  const { text } = alerts.find(({ name }) => name === "AlwaysupRequestsFail")!;
  for (const reason of ERROR_REASONS) assert(text.includes(reason), reason);
  const reconnects = alerts.find(({ name }) =>
    name === "AlwaysupReconnectsOften"
  )!;
  const reasons = metricFamiliesOf([newMeasuredProxy()])
    .find(({ name }) => name === "alwaysup_reconnects_total")!
    .samples.map(({ labels }) => labels.reason!);
  assert(reasons.length >= 8);
  for (const reason of reasons) {
    assert(reconnects.text.includes(reason), reason);
  }
});

test("config/prometheus-alerts.yml: every alert fires in a case, and has its metrics in the case of one quick restart, in which none fires", async () => {
  const alerts = alertsOf(await readConfig("prometheus-alerts.yml"));
  const [, ...cases] = (await readCases()).split(/^ {2}- name: /m);
  const restart = cases.find((text) => text.startsWith("one quick restart\n"))!;
  assert(/exp_samples: \[\]/.test(restart));
  assertEquals(/exp_samples:\n/.test(restart), false);
  for (const { name, text } of alerts) {
    assert(cases.some((it) => it.includes(`alertname="${name}"`)), name);
    const [metric] = /\b(?:alwaysup|mcp|node)_[a-z_]+|\bup(?=\{)/
      .exec(text.slice(text.indexOf("expr:")))!;
    assert(restart.includes(`series: ${metric}{`), `${name}: ${metric}`);
  }
});

test("config/prometheus.yml: it loads the alerts, and scrapes the port that config/METRICS.md names", async () => {
  const text = await readConfig("prometheus.yml");
  assert(/^ +- prometheus-alerts\.yml$/m.test(text));
  const [, address] = /^ +- targets: \["(.*)"\]$/m.exec(text)!;
  assert(metricsPageText().includes(`\`--metrics ${address}\``), address);
});
