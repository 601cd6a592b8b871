/**
 * `alwaysup status --prometheus`: the metrics of all running proxies, as text
 * for the textfile collector of node_exporter.
 *
 * @module
 */

import type { ProxyStatus } from "../proxy/status_format.ts";
import {
  type MeasuredProxy,
  metricFamiliesOf,
} from "../telemetry/metric_families.ts";
import { renderMetrics } from "../telemetry/metrics_text.ts";
import { sanitizeLine } from "../text/sanitize.ts";

/** Each time in a status file is rounded to a millisecond. */
const ROUNDING_MS = 1;

/**
 * Returns the text with the metrics of proxies. Each proxy has its own `pid`
 * label. An outage that lasts counts until the status was written: with the
 * clock of this process, a counter could fall.
 */
export async function formatAsPrometheus(
  proxies: readonly ProxyStatus[],
): Promise<string> {
  const pids = new Set<string>();
  const measured = proxies.map((proxy) => {
    const { client, startedAt, writtenAt = 0 } = proxy;
    // Containers that share the folder may have processes with the same id.
    const pid = pids.has(`${proxy.pid}`)
      ? `${proxy.pid}-${startedAt}`
      : `${proxy.pid}`;
    pids.add(pid);
    return {
      ...proxy,
      snapshot: proxy,
      now: writtenAt - ROUNDING_MS,
      labels: {
        pid,
        ...(client !== undefined && { client: sanitizeLine(client) }),
      },
    } satisfies MeasuredProxy;
  });
  const text = await renderMetrics(metricFamiliesOf(measured), "prometheus");
  return text.trimEnd();
}
