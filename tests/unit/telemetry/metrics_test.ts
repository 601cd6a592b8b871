/**
 * Tests the metrics: names, labels and values, and their text.
 *
 * @module
 */

import { downMsOf, EMPTY_HISTORY } from "../../../lib/telemetry/history.ts";
import { LOG_EVENTS } from "../../../lib/telemetry/log_events.ts";
import {
  type MeasuredProxy,
  metricFamiliesOf,
  METRICS,
} from "../../../lib/telemetry/metric_families.ts";
import {
  acceptedFormat,
  renderMetrics,
} from "../../../lib/telemetry/metrics_text.ts";
import { emptyBuckets } from "../../../lib/telemetry/message_figures.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const PROXY: MeasuredProxy = {
  ...{ version: "1.2.3", runtime: "deno 2", url: "ws://daemon:81/x" },
  ...{ dialect: "mcp", startedAt: 5_000, now: 0, labels: {} },
  snapshot: {
    connectionState: { phase: "ready", since: 0 },
    ...{ circuit: "half-open", pendingRequests: 3, queuedMessages: 2 },
  },
  history: {
    ...EMPTY_HISTORY,
    ...{ downMs: 1_500, dialAttempts: 7, repeatedCount: 4 },
    ...{ reconnects: { aborted: 2, "too-large": 1 }, circuitOpenings: 6 },
    ...{ failedRequests: { timeout: 8 }, unknownOutcomes: 5 },
  },
};

const BUCKETS = [1, 2, ...emptyBuckets().slice(3), 3];

const OBSERVED: MeasuredProxy = {
  ...PROXY,
  figures: {
    bytes: { fromClient: 1, toClient: 2, fromDaemon: 3, toDaemon: 4 },
    operations: [
      {
        ...{ side: "client", method: "tools/call", name: 'a "b"\\\n' },
        ...{ protocolVersion: "2025-11-25", buckets: BUCKETS, sum: 1_000.5 },
      },
      {
        ...{ side: "server", method: "prompts/get", name: "p" },
        ...{ errorType: "-31002", statusCode: -31002 },
        ...{ buckets: BUCKETS, sum: 2 },
      },
    ],
  },
};

function linesOf(text: string, pattern: RegExp): string[] {
  return text.split("\n").filter((line) => pattern.test(line));
}

function textOf(...proxies: MeasuredProxy[]): Promise<string> {
  return renderMetrics(metricFamiliesOf(proxies), "prometheus");
}

test("Metrics: what is always known", async () => {
  const lines = linesOf(await textOf(PROXY), /^alwaysup/);
  assertEquals(lines, [
    'alwaysup_build_info{version="1.2.3",runtime="deno 2",dialect="mcp"} 1',
    "alwaysup_start_time_seconds 5",
    "alwaysup_link_up 1",
    "alwaysup_link_down_seconds_total 1.5",
    'alwaysup_reconnects_total{reason="closed"} 0',
    'alwaysup_reconnects_total{reason="aborted"} 2',
    'alwaysup_reconnects_total{reason="timeout"} 0',
    'alwaysup_reconnects_total{reason="refused"} 0',
    'alwaysup_reconnects_total{reason="displaced"} 0',
    'alwaysup_reconnects_total{reason="too-large"} 1',
    'alwaysup_reconnects_total{reason="second-connection"} 0',
    'alwaysup_reconnects_total{reason="stdout-full"} 0',
    "alwaysup_dial_attempts_total 7",
    'alwaysup_circuit_state{state="closed"} 0',
    'alwaysup_circuit_state{state="open"} 0',
    'alwaysup_circuit_state{state="half-open"} 1',
    "alwaysup_circuit_openings_total 6",
    "alwaysup_open_requests 3",
    "alwaysup_queue_depth 2",
    "alwaysup_retries_total 4",
    "alwaysup_outcome_unknown_total 5",
    'alwaysup_failed_requests_total{reason="unavailable"} 0',
    'alwaysup_failed_requests_total{reason="refused"} 0',
    'alwaysup_failed_requests_total{reason="connection_lost"} 0',
    'alwaysup_failed_requests_total{reason="timeout"} 8',
    'alwaysup_failed_requests_total{reason="overloaded"} 0',
    'alwaysup_failed_requests_total{reason="too_large"} 0',
    'alwaysup_failed_requests_total{reason="unreadable_answer"} 0',
    'alwaysup_failed_requests_total{reason="stopped"} 0',
  ]);
});

test("Metrics: operations have the names of OpenTelemetry's conventions, on both sides", async () => {
  const text = await textOf(OBSERVED);
  const client = '{mcp_method_name="tools/call",gen_ai_tool_name="a \\"b\\"' +
    '\\\\\\n",gen_ai_operation_name="execute_tool",' +
    'mcp_protocol_version="2025-11-25",network_transport="tcp",' +
    'network_protocol_name="websocket",server_address="daemon",' +
    'server_port="81"';
  const name = "mcp_client_operation_duration_seconds";
  const [first, second, ...rest] = linesOf(text, /^mcp_client/);
  assertEquals(first, `${name}_bucket${client},le="0.01"} 1`);
  assertEquals(second, `${name}_bucket${client},le="0.02"} 3`);
  assertEquals(rest.slice(-3), [
    `${name}_bucket${client},le="+Inf"} 6`,
    `${name}_sum${client}} 1000.5`,
    `${name}_count${client}} 6`,
  ]);
  assertEquals(linesOf(text, /^mcp_server.*_count/), [
    'mcp_server_operation_duration_seconds_count{mcp_method_name="prompts/get",' +
    'gen_ai_prompt_name="p",error_type="-31002",' +
    'rpc_response_status_code="-31002",network_transport="pipe"} 6',
  ]);
  assertEquals(linesOf(text, /^alwaysup_\w+_bytes_total/), [
    'alwaysup_received_bytes_total{peer="client"} 1',
    'alwaysup_received_bytes_total{peer="daemon"} 3',
    'alwaysup_sent_bytes_total{peer="client"} 2',
    'alwaysup_sent_bytes_total{peer="daemon"} 4',
  ]);
});

test("Metrics: several proxies share a metric, and differ by their labels", async () => {
  const text = await textOf(
    { ...PROXY, labels: { pid: "1" } },
    { ...OBSERVED, labels: { pid: "2" } },
  );
  assertEquals(linesOf(text, /alwaysup_link_up/), [
    "# HELP alwaysup_link_up 1 if the daemon is connected, else 0.",
    "# TYPE alwaysup_link_up gauge",
    'alwaysup_link_up{pid="1"} 1',
    'alwaysup_link_up{pid="2"} 1',
  ]);
});

test("Metrics: OpenMetrics names a counter without _total, and has an end", async () => {
  const families = metricFamiliesOf([OBSERVED]);
  const text = await renderMetrics(families, "openmetrics");
  assertEquals(linesOf(text, /retries/), [
    "# HELP alwaysup_retries How many requests were sent again after a lost connection.",
    "# TYPE alwaysup_retries counter",
    "alwaysup_retries_total 4",
  ]);
  assertMatch(text, /\n# EOF\n$/);
  // The families can be rendered again.
  assertMatch(await renderMetrics(families, "openmetrics"), /retries_total 4/);
});

test("Metrics: an outage that lasts counts as downtime", () => {
  assertEquals(downMsOf({ ...EMPTY_HISTORY, downMs: 500 }, 9), 500);
  const down = { ...EMPTY_HISTORY, downMs: 500, downSince: 1_000 };
  assertEquals([1_000, 3_000, 0].map((now) => downMsOf(down, now)), [
    ...[500, 2_500, 500],
  ]);
});

test("Metrics: the daemon is up only while it is connected", async () => {
  const states = [
    ...[{ phase: "checking", since: 1 }, { phase: "open" }],
    ...[{ phase: "dialing", attempt: 1 }, { phase: "displaced" }],
  ] as MeasuredProxy["snapshot"]["connectionState"][];
  const values = await Promise.all(states.map(async (connectionState) => {
    const snapshot = { ...PROXY.snapshot, connectionState };
    const text = await textOf({ ...PROXY, snapshot });
    return linesOf(text, /^alwaysup_link_up/)[0];
  }));
  assertEquals(values.map((line) => line!.at(-1)), ["1", "0", "0", "0"]);
});

test("Metrics: OpenMetrics only for who accepts its version 1", () => {
  const formats = [
    undefined,
    "*/*",
    "text/plain;version=0.0.4",
    "application/openmetrics-text",
    "application/openmetrics-text; version=0.0.1,text/plain",
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
  ].map(acceptedFormat);
  assertEquals(formats, [
    ...["prometheus", "prometheus", "prometheus"] as const,
    ...["openmetrics", "prometheus", "openmetrics"] as const,
  ]);
});

test("Metrics: names and texts follow the rules of Prometheus", () => {
  for (const { name, help, type } of METRICS) {
    assertMatch(name, /^(alwaysup|mcp_client|mcp_server)(_[a-z]+)+$/);
    assertEquals(name.endsWith("_total"), type === "counter", name);
    assertMatch(help, /^[A-Z1].*\.$/);
  }
});

test("Log events: each has a short description without a full stop", () => {
  for (const [name, text] of Object.entries(LOG_EVENTS)) {
    assertMatch(name, /^[a-z]+(-[a-z]+)*$/);
    assert(/^[a-z].*[^.]$/.test(text) && text.length <= 70, text);
  }
});
