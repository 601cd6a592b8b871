/**
 * Writes metrics as text, in the format of Prometheus or of OpenMetrics. It is
 * loaded only for that.
 *
 * @module
 */

import Registry from "npm:/prom-client@15.1.3/lib/registry.js";
import type { MetricFamily } from "./metric_families.ts";

/** The formats of metrics. */
export type MetricsFormat = "prometheus" | "openmetrics";

/** The media type of each format, for `Content-Type`. */
export const METRICS_MEDIA_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

/** Returns the text of the metrics that have samples. */
export function renderMetrics(
  families: readonly MetricFamily[],
  format: MetricsFormat,
): Promise<string> {
  const registry = new Registry(METRICS_MEDIA_TYPES[format]);
  for (const { name, help, type, samples } of families) {
    if (samples.length === 0) continue;
    const metric = {
      name,
      help,
      type,
      values: samples.map(({ name: metricName, labels, value }) => ({
        ...(metricName !== undefined && { metricName }),
        labels,
        value,
      })),
      // For OpenMetrics, the registry cuts `_total` off `name` first.
      get: () => metric,
    };
    registry.registerMetric(metric);
  }
  return registry.metrics();
}

/**
 * Returns the format that a scraper prefers, from its `Accept` header: Only
 * OpenMetrics 1.0 is known. `q` values do not count.
 */
export function acceptedFormat(accept: string | undefined): MetricsFormat {
  const isOpenMetrics = /application\/openmetrics-text(?!\s*;\s*version=0)/i
    .test(accept ?? "");
  return isOpenMetrics ? "openmetrics" : "prometheus";
}
