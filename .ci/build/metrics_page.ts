/**
 * Writes `config/METRICS.md` from the table of metrics.
 *
 *     deno task settings
 *
 * @module
 */

import { DURATION_BOUNDS } from "../../lib/telemetry/figures.ts";
import {
  metricFamiliesOf,
  METRICS,
} from "../../lib/telemetry/metric_families.ts";
import { newMeasuredProxy } from "../../tests/helpers/measured_proxy.ts";
import { code, formatTable } from "./settings_page.ts";

/** The URL of `config/METRICS.md`. */
export const METRICS_PAGE_FILE: URL = new URL(
  "../../config/METRICS.md",
  import.meta.url,
);

const HEAD =
  `<!-- Written from lib/telemetry/metric_families.ts by: deno task settings -->

# Metrics

\`alwaysup\` counts outages always, and messages with \`--metrics\`. Prometheus can get the metrics in two ways: from a port
of each proxy, or from a file that \`alwaysup status\` writes for all proxies.

## From a port

\`--metrics 127.0.0.1:9464\` (or \`ALWAYSUP_METRICS\`) serves the metrics over HTTP. Port 0 picks a free port. The log (event
\`metrics\`) and \`alwaysup status --json\` (\`metricsUrl\`) say which. [prometheus.yml](prometheus.yml) is an example for
Prometheus.

| Path       | Response                                                                                    |
| ---------- | ------------------------------------------------------------------------------------------- |
| \`/metrics\` | in Prometheus's text format, or in that of OpenMetrics if the \`Accept\` header asks for it   |
| \`/healthz\` | 200: the proxy runs, with or without a daemon                                               |
| \`/readyz\`  | 200 if the daemon is connected, else 503. The proxy still accepts requests, and queues them |

- A proxy ends with its client, and its metrics end with it. That a target is down is normal, unless you know better: the
  alert \`AlwaysupGone\` looks only at targets with the label \`expected: always\`.
- One port serves one proxy. A second proxy with the same port warns in its log, and works without metrics. If a client
  starts several, give each its own port, or use the file.
- Prometheus in a container: On Docker Desktop, scrape \`host.docker.internal:9464\`. Docker on Linux needs
  \`--add-host host.docker.internal:host-gateway\`, and a proxy that listens on the address of the bridge
  (\`--metrics 172.17.0.1:9464\`), because a container cannot reach \`127.0.0.1\` of the machine. With \`--network host\`, it can.
- There is no password and no TLS. On an address that others reach, they can read the names of tools and the daemon's host
  name, but no argument, no result and no secret.
- A web page cannot read the metrics. A request must have a \`Host\` that is an IP address, \`localhost\`,
  \`host.docker.internal\` or the host of \`--metrics\`, which stops DNS rebinding. An \`Origin\` of another page gets 403, and
  no response permits CORS. So a reverse proxy must send such a \`Host\`.

## From a file

The textfile collector of node_exporter reads the metrics of all proxies from one file, also of proxies that run for a
short time. Start them with \`--metrics on\`, and run this each minute, as the user whose proxies they are. The file is
replaced at once, so node_exporter never reads half of it. It ignores the temporary name, which does not end in \`.prom\`:

\`\`\`sh
cd /var/lib/prometheus/node-exporter && alwaysup status --prometheus > alwaysup.tmp && mv alwaysup.tmp alwaysup.prom
\`\`\`

The folder is that of Debian's package; others set \`--collector.textfile.directory\`. The user must be able to write there.
\`AlwaysupTextfileOld\` reports a file that nothing writes any more.

## Alerts and dashboard

- [prometheus-alerts.yml](prometheus-alerts.yml) has alert rules. None fires for one quick restart of a daemon. The comments
  in the file say which limits depend on your tools.
- [grafana-dashboard.json](grafana-dashboard.json) is a dashboard. Import it, and choose the data source.
- In an outage, \`mcp_server_operation_duration_seconds\` shows how long clients waited, and
  \`mcp_client_operation_duration_seconds\` how long the daemon took.

## All metrics

`;

const TAIL = `
## Labels

- The names of tools and of prompts come from the client. Each of the first 200 tools and 200 prompts has series of its own,
  and all others together have the name \`other\`. In the same way, 50 methods, 50 codes and 10 versions of MCP are kept. There
  are 1,000 combinations at most.
- \`error_type\` is the code of a JSON-RPC error, \`tool_error\` for a result with \`isError\`, or \`cancelled\`. A success has no
  such label. -31002 means: outcome unknown.
- A histogram also has \`_bucket\` (with \`le\`), \`_sum\` and \`_count\`. The bounds are ${
  DURATION_BOUNDS.join(", ")
} seconds.
- \`mcp_*\` follows OpenTelemetry's conventions for MCP, with underscores for dots.
- Every \`alwaysup_*\` counter begins with 0 for each label, so \`increase()\` sees the first event. The series of a tool or of
  an error type begins with its first operation, which \`rate()\` and \`increase()\` therefore do not see.
- \`alwaysup_link_up\` is also 0, and \`/readyz\` gives 503, while an open WebSocket waits for the client's first message, and
  while another client has the only connection of the daemon. In both cases alwaysup makes no attempts.
- \`alwaysup status --prometheus\` adds \`pid\`, and \`client\` if its name is known.
- A counter begins with 0 for each new proxy. While a proxy runs, no counter falls.
`;

/** Returns the text of the page: a table of all metrics. */
export function metricsPageText(): string {
  // A histogram's buckets have one more label, `le`.
  const labels = new Map(
    metricFamiliesOf([newMeasuredProxy()]).map(({ name, samples }) => [
      name,
      new Set(samples.flatMap((it) => Object.keys(it.labels))),
    ]),
  );
  const rows = METRICS.map(({ name, type, help }) => [
    code(name),
    type,
    [...labels.get(name)!].filter((label) => label !== "le").map(code)
      .join(", "),
    help.replaceAll("<", "&lt;"),
  ]);
  const head = ["Metric", "Type", "Labels", "Meaning"];
  return `${HEAD}${formatTable([head, ...rows])}\n${TAIL}`;
}

if (import.meta.main) {
  await Deno.writeTextFile(METRICS_PAGE_FILE, metricsPageText());
}
