/**
 * Turns the status of proxies into metrics. The names are those of
 * OpenTelemetry's semantic conventions for MCP, in the form that Prometheus
 * gives them, and begin with `alwaysup_` where no convention exists.
 *
 * @module
 */

import type { CircuitState, LossCause } from "../events.ts";
import { ERROR_REASONS } from "../protocol/jsonrpc.ts";
import type { Snapshot } from "../session/snapshot.ts";
import {
  DURATION_BOUNDS,
  type MessageFigures,
  type OperationFigures,
  type ProxyInfo,
} from "./figures.ts";
import { downMsOf, type History } from "./history.ts";

/** A metric with all its samples. */
export interface MetricFamily {
  /** The name, with its unit, and with `_total` for a counter. */
  readonly name: string;
  /** The description: one sentence. */
  readonly help: string;
  /** The type. */
  readonly type: "counter" | "gauge" | "histogram";
  /** The samples; none if no proxy has this metric. */
  readonly samples: readonly Sample[];
}

/** The labels of a sample, without those that are not known. */
export type Labels = Readonly<Record<string, string>>;

/** A sample of a metric. */
export interface Sample {
  /** The name of the sample, if it is not that of the metric. */
  readonly name?: string;
  /** The labels. */
  readonly labels: Labels;
  /** The value. */
  readonly value: number;
}

/** What the metrics of a proxy are made of. */
export interface MeasuredProxy extends Omit<ProxyInfo, "pid"> {
  /** The time, on the clock of the times in `history`. */
  readonly now: number;
  /** The state of the session. */
  readonly snapshot: Pick<
    Snapshot,
    "connectionState" | "circuit" | "pendingRequests" | "queuedMessages"
  >;
  /** What was lost. */
  readonly history: History;
  /** The figures of all messages, if they are collected. */
  readonly figures?: MessageFigures | undefined;
  /** The labels of all samples of this proxy. */
  readonly labels: Labels;
}

/** The causes of a loss after which the daemon can be connected again. */
const RECONNECT_REASONS: readonly Exclude<LossCause, "unreachable">[] = [
  ...["closed", "aborted", "timeout", "refused"] as const,
  ...["displaced", "too-large", "second-connection", "stdout-full"] as const,
];

const CIRCUIT_STATES: readonly CircuitState[] = ["closed", "open", "half-open"];

/** A metric, and how its samples are made. */
export interface MetricDefinition extends Omit<MetricFamily, "samples"> {
  /** Returns the samples of a proxy. */
  readonly samplesOf: (proxy: MeasuredProxy) => Sample[];
}

/** All metrics, in the order in which they are shown. */
export const METRICS: readonly MetricDefinition[] = [
  {
    name: "alwaysup_build_info",
    help: "The version of alwaysup and its runtime. The value is 1.",
    type: "gauge",
    samplesOf: ({ version, runtime, dialect }) => [
      { labels: { version, runtime, dialect }, value: 1 },
    ],
  },
  {
    name: "alwaysup_start_time_seconds",
    help: "When alwaysup was started, in seconds since 1970.",
    type: "gauge",
    samplesOf: ({ startedAt }) => single(startedAt / 1000),
  },
  {
    name: "alwaysup_link_up",
    help: "1 if the daemon is connected, else 0.",
    type: "gauge",
    samplesOf: ({ snapshot }) => single(isConnected(snapshot) ? 1 : 0),
  },
  {
    name: "alwaysup_link_down_seconds_total",
    help: "How long the daemon was not connected, in all outages together.",
    type: "counter",
    samplesOf: ({ history, now }) => single(downMsOf(history, now) / 1000),
  },
  {
    name: "alwaysup_reconnects_total",
    help: "How often the daemon was connected again, by why it was lost.",
    type: "counter",
    samplesOf: ({ history: { reconnects } }) =>
      RECONNECT_REASONS.map((reason) => ({
        labels: { reason },
        value: reconnects[reason] ?? 0,
      })),
  },
  {
    name: "alwaysup_dial_attempts_total",
    help: "How many attempts to connect were made, on all connections.",
    type: "counter",
    samplesOf: ({ history }) => single(history.dialAttempts),
  },
  {
    name: "alwaysup_circuit_state",
    help: "1 for the state of the circuit breaker, and 0 for its other states.",
    type: "gauge",
    samplesOf: ({ snapshot: { circuit } }) =>
      CIRCUIT_STATES.map((state) => ({
        labels: { state },
        value: state === circuit ? 1 : 0,
      })),
  },
  {
    name: "alwaysup_circuit_openings_total",
    help: "How often the circuit breaker opened.",
    type: "counter",
    samplesOf: ({ history }) => single(history.circuitOpenings),
  },
  {
    name: "alwaysup_open_requests",
    help: "How many requests of the client have no answer yet.",
    type: "gauge",
    samplesOf: ({ snapshot }) => single(snapshot.pendingRequests),
  },
  {
    name: "alwaysup_queue_depth",
    help: "How many messages of the client wait for the daemon.",
    type: "gauge",
    samplesOf: ({ snapshot }) => single(snapshot.queuedMessages),
  },
  {
    name: "alwaysup_retries_total",
    help: "How many requests were sent again after a lost connection.",
    type: "counter",
    samplesOf: ({ history }) => single(history.repeatedCount),
  },
  {
    name: "alwaysup_outcome_unknown_total",
    help: "How many requests ended with an unknown outcome.",
    type: "counter",
    samplesOf: ({ history }) => single(history.unknownOutcomes),
  },
  {
    name: "alwaysup_failed_requests_total",
    help: "How many requests ended with an error of alwaysup, by its reason.",
    type: "counter",
    // Without zeros, Prometheus would not see the first failure as a growth.
    samplesOf: ({ history: { failedRequests } }) =>
      ERROR_REASONS.map((reason) => ({
        labels: { reason },
        value: failedRequests[reason] ?? 0,
      })),
  },
  {
    name: "alwaysup_received_bytes_total",
    help: "How many bytes of messages were received, by peer.",
    type: "counter",
    samplesOf: ({ figures }) =>
      figures === undefined ? [] : [
        { labels: { peer: "client" }, value: figures.bytes.fromClient },
        { labels: { peer: "daemon" }, value: figures.bytes.fromDaemon },
      ],
  },
  {
    name: "alwaysup_sent_bytes_total",
    help: "How many bytes of messages were sent, by peer.",
    type: "counter",
    samplesOf: ({ figures }) =>
      figures === undefined ? [] : [
        { labels: { peer: "client" }, value: figures.bytes.toClient },
        { labels: { peer: "daemon" }, value: figures.bytes.toDaemon },
      ],
  },
  {
    name: "mcp_client_operation_duration_seconds",
    help: "How long the daemon took for a request, from when it was first " +
      "sent to the answer.",
    type: "histogram",
    samplesOf: (proxy) => operationSamples(proxy, "client"),
  },
  {
    name: "mcp_server_operation_duration_seconds",
    help: "How long the client waited, from its request to the answer.",
    type: "histogram",
    samplesOf: (proxy) => operationSamples(proxy, "server"),
  },
];

/** Returns the metrics of proxies. */
export function metricFamiliesOf(
  proxies: readonly MeasuredProxy[],
): MetricFamily[] {
  return METRICS.map(({ samplesOf, ...metric }) => ({
    ...metric,
    samples: proxies.flatMap((proxy) =>
      samplesOf(proxy).map((sample) => ({
        ...sample,
        labels: { ...proxy.labels, ...sample.labels },
      }))
    ),
  }));
}

/** Returns true if the daemon is connected. */
export function isConnected(
  { connectionState }: MeasuredProxy["snapshot"],
): boolean {
  const { phase } = connectionState;
  return phase === "ready" || phase === "checking";
}

function single(value: number): Sample[] {
  return [{ labels: {}, value }];
}

function operationSamples(
  { figures, url }: MeasuredProxy,
  side: OperationFigures["side"],
): Sample[] {
  const transport = side === "server"
    ? { network_transport: "pipe" }
    : daemonLabels(url);
  return (figures?.operations ?? []).filter((it) => it.side === side)
    .flatMap((operation) =>
      histogramSamples(
        `mcp_${side}_operation_duration_seconds`,
        { ...operationLabels(operation), ...transport },
        operation,
      )
    );
}

function operationLabels(
  { method, name, errorType, statusCode, protocolVersion }: OperationFigures,
): Labels {
  const nameLabel = method === "tools/call"
    ? "gen_ai_tool_name"
    : "gen_ai_prompt_name";
  return {
    mcp_method_name: method,
    ...(name !== undefined && { [nameLabel]: name }),
    ...(method === "tools/call" && { gen_ai_operation_name: "execute_tool" }),
    ...(errorType !== undefined && { error_type: errorType }),
    ...(statusCode !== undefined && {
      rpc_response_status_code: `${statusCode}`,
    }),
    ...(protocolVersion !== undefined && {
      mcp_protocol_version: protocolVersion,
    }),
  };
}

function daemonLabels(url: string): Labels {
  const labels = {
    network_transport: "tcp",
    network_protocol_name: "websocket",
  };
  if (!URL.canParse(url)) return labels;
  const { hostname, port, protocol } = new URL(url);
  return {
    ...labels,
    server_address: hostname,
    server_port: port || (protocol === "wss:" ? "443" : "80"),
  };
}

/**
 * Returns a bound as OpenMetrics writes it: `1.0`, not `1`. Both formats use
 * it, so that a change of the format changes no series.
 */
function toBucketLabel(bound: number): string {
  if (bound === Infinity) return "+Inf";
  return Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
}

/** Returns the cumulated buckets of a histogram, its sum and its count. */
function histogramSamples(
  name: string,
  labels: Labels,
  { buckets, sum }: Pick<OperationFigures, "buckets" | "sum">,
): Sample[] {
  let count = 0;
  const samples = [...DURATION_BOUNDS, Infinity].map((bound, i): Sample => {
    count += buckets[i] ?? 0;
    const le = toBucketLabel(bound);
    return { name: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  return [
    ...samples,
    { name: `${name}_sum`, labels, value: sum },
    { name: `${name}_count`, labels, value: count },
  ];
}
