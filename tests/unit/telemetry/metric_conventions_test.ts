/**
 * The conventions of Prometheus and OpenMetrics that the metrics keep.
 *
 * @module
 */

import { ERROR_REASONS } from "../../../lib/protocol/jsonrpc.ts";
import {
  metricFamiliesOf,
  type MetricFamily,
} from "../../../lib/telemetry/metric_families.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { newMeasuredProxy } from "../../helpers/measured_proxy.ts";
import { test } from "../../helpers/time_limit.ts";

function familiesOf(type: MetricFamily["type"]): MetricFamily[] {
  return metricFamiliesOf([newMeasuredProxy()])
    .filter((family) => family.type === type);
}

test("Metrics: a counter's name ends with _total, and no other name does", () => {
  const families = metricFamiliesOf([newMeasuredProxy()]);
  assert(families.length > 10);
  for (const { name, type } of families) {
    assertEquals(name.endsWith("_total"), type === "counter", name);
  }
});

test("Metrics: every counter begins with zeros, so that Prometheus sees the first event", () => {
  const counters = familiesOf("counter");
  assert(counters.length > 5);
  for (const { name, samples } of counters) {
    assert(samples.length > 0, name);
    assertEquals(samples.map(({ value }) => value), samples.map(() => 0), name);
  }
});

test("Metrics: failed requests have a series for each reason of an error", () => {
  const proxy = newMeasuredProxy();
  const failedRequests = { timeout: 3 };
  const [family] = metricFamiliesOf([
    { ...proxy, history: { ...proxy.history, failedRequests } },
  ]).filter(({ name }) => name === "alwaysup_failed_requests_total");
  assertEquals(
    family!.samples.map(({ labels, value }) => [labels.reason!, value]),
    ERROR_REASONS.map((reason) => [reason, reason === "timeout" ? 3 : 0]),
  );
});

test("Metrics: the buckets of a histogram are cumulated, and their bounds are floats as in OpenMetrics", () => {
  const histograms = familiesOf("histogram");
  assertEquals(histograms.length, 2);
  for (const { name, samples } of histograms) {
    const buckets = samples.filter((it) => it.name === `${name}_bucket`)
      .slice(0, 15);
    const bounds = buckets.map(({ labels }) => labels.le!);
    assertEquals(bounds.slice(-3), ["120.0", "300.0", "+Inf"]);
    for (const bound of bounds.slice(0, -1)) {
      assert(/^\d+\.\d+$/.test(bound), bound);
    }
    const counts = buckets.map(({ value }) => value);
    assertEquals(counts, counts.toSorted((a, b) => a - b));
    assertEquals(counts.at(-1), 1);
  }
});
