/**
 * Writes `config/grafana-dashboard.json` from a table of rows and panels.
 *
 *     deno task settings
 *
 * @module
 */

/** The URL of `config/grafana-dashboard.json`. */
export const DASHBOARD_FILE: URL = new URL(
  "../../config/grafana-dashboard.json",
  import.meta.url,
);

/** An expression, and the name of its series. */
type Query = readonly [expression: string, legend: string];

/** A panel; `SELECTED` in an expression is the choice of the instance. */
interface Panel {
  readonly title: string;
  /** What it shows, if the title does not say it. */
  readonly description?: string;
  readonly type: "stat" | "state-timeline" | "timeseries";
  /** The unit, as Grafana names it. */
  readonly unit?: string;
  /** Texts and colors for values. */
  readonly values?: readonly (readonly [text: string, color: string])[];
  readonly queries: readonly Query[];
  /** The width in 24ths. The panels of a row wrap. */
  readonly width: number;
}

const DATASOURCE = { type: "prometheus", uid: "${datasource}" } as const;
const ALL_SERIES = "SELECTED";
const ROW_HEIGHT = 7;
const STAT_HEIGHT = 4;

const LINK_VALUES = [["down", "red"], ["up", "green"]] as const;
const LINK = "min by (instance) (alwaysup_link_up{SELECTED})";
const CIRCUIT_VALUES = [
  ...[["closed", "green"], ["half-open", "orange"]] as const,
  ["open", "red"] as const,
];
const CIRCUIT = 'max by (instance) (alwaysup_circuit_state{state="half-open",' +
  'SELECTED} or 2 * alwaysup_circuit_state{state="open",SELECTED})';

/** Returns an expression whose series are named by their instance. */
function perInstance(expression: string): Query {
  return [expression, "{{instance}}"];
}

/** Returns the growth of a counter in a step of the graph, by a label. */
function increase(
  counter: string,
  by: string,
  legend: string = `{{${by}}}`,
): Query {
  const growth = `increase(${counter}{${ALL_SERIES}}[$__rate_interval])`;
  return [`sum by (${by}) (${growth})`, legend];
}

/** Returns the operations per second, by one of their labels. */
function operationRate(label: string, filter: string = ""): Query {
  const count = "mcp_server_operation_duration_seconds_count";
  const series = `${count}{${filter}${ALL_SERIES}}`;
  return [
    `sum by (${label}) (rate(${series}[$__rate_interval]))`,
    `{{${label}}}`,
  ];
}

/** Returns three quantiles of the durations on one side. */
function quantiles(side: "client" | "server"): Query[] {
  const buckets = `mcp_${side}_operation_duration_seconds_bucket`;
  return [0.5, 0.95, 0.99].map((quantile) => [
    `histogram_quantile(${quantile}, sum by (le) ` +
    `(rate(${buckets}{${ALL_SERIES}}[$__rate_interval])))`,
    `p${quantile * 100}`,
  ]);
}

const STATE: readonly Panel[] = [
  {
    title: "Daemon",
    type: "stat",
    values: LINK_VALUES,
    queries: [perInstance(LINK)],
    width: 6,
  },
  {
    title: "Circuit breaker",
    type: "stat",
    values: CIRCUIT_VALUES,
    queries: [perInstance(CIRCUIT)],
    width: 6,
  },
  {
    title: "Runs for",
    type: "stat",
    unit: "s",
    queries: [
      perInstance(
        "time() - max by (instance) (alwaysup_start_time_seconds{SELECTED})",
      ),
    ],
    width: 6,
  },
  {
    title: "Without a daemon, in this time range",
    type: "stat",
    unit: "s",
    queries: [
      perInstance(
        "sum by (instance) (increase(alwaysup_link_down_seconds_total{SELECTED}[$__range]))",
      ),
    ],
    width: 6,
  },
  {
    title: "Daemon over time",
    type: "state-timeline",
    values: LINK_VALUES,
    queries: [perInstance(LINK)],
    width: 12,
  },
  {
    title: "Circuit breaker over time",
    type: "state-timeline",
    values: CIRCUIT_VALUES,
    queries: [perInstance(CIRCUIT)],
    width: 12,
  },
  {
    title: "Open requests",
    description: "Requests of the client that have no answer yet.",
    type: "timeseries",
    queries: [
      perInstance("sum by (instance) (alwaysup_open_requests{SELECTED})"),
    ],
    width: 12,
  },
  {
    title: "Queue depth",
    description: "Messages of the client that wait for the daemon.",
    type: "timeseries",
    queries: [
      perInstance("sum by (instance) (alwaysup_queue_depth{SELECTED})"),
    ],
    width: 12,
  },
];

const OUTAGES: readonly Panel[] = [
  {
    title: "Reconnects by reason",
    type: "timeseries",
    queries: [increase("alwaysup_reconnects_total", "reason")],
    width: 8,
  },
  {
    title: "Part of the time without a daemon",
    type: "timeseries",
    unit: "percentunit",
    queries: [
      perInstance(
        "sum by (instance) (rate(alwaysup_link_down_seconds_total{SELECTED}[$__rate_interval]))",
      ),
    ],
    width: 8,
  },
  {
    title: "Attempts to connect, and openings of the circuit breaker",
    type: "timeseries",
    queries: [
      increase(
        "alwaysup_dial_attempts_total",
        "instance",
        "{{instance}} attempts",
      ),
      increase(
        "alwaysup_circuit_openings_total",
        "instance",
        "{{instance}} openings",
      ),
    ],
    width: 8,
  },
  {
    title: "Requests that were sent again",
    type: "timeseries",
    queries: [increase("alwaysup_retries_total", "instance")],
    width: 8,
  },
  {
    title: "Requests with an unknown outcome",
    description: "They were in flight when the daemon was lost, and may not " +
      "be repeated.",
    type: "timeseries",
    queries: [
      increase("alwaysup_outcome_unknown_total", "instance"),
    ],
    width: 8,
  },
  {
    title: "Failed requests by reason",
    description: "Requests that alwaysup itself answered with an error.",
    type: "timeseries",
    queries: [
      increase("alwaysup_failed_requests_total", "reason"),
    ],
    width: 8,
  },
];

const OPERATIONS: readonly Panel[] = [
  {
    title: "Requests by method",
    type: "timeseries",
    unit: "reqps",
    queries: [operationRate("mcp_method_name")],
    width: 8,
  },
  {
    title: "Calls by tool",
    type: "timeseries",
    unit: "reqps",
    queries: [
      operationRate("gen_ai_tool_name", 'mcp_method_name="tools/call",'),
    ],
    width: 8,
  },
  {
    title: "Errors by type",
    description: "Codes of JSON-RPC errors; tool_error is a result with " +
      "isError.",
    type: "timeseries",
    unit: "reqps",
    queries: [operationRate("error_type", 'error_type!="",')],
    width: 8,
  },
  {
    title: "How long clients waited",
    description: "From the client's request to the answer, with the time in " +
      "the queue.",
    type: "timeseries",
    unit: "s",
    queries: quantiles("server"),
    width: 8,
  },
  {
    title: "How long the daemon took",
    description: "From when a request was first sent to the answer.",
    type: "timeseries",
    unit: "s",
    queries: quantiles("client"),
    width: 8,
  },
  {
    title: "How long the daemon took, by tool (p95)",
    type: "timeseries",
    unit: "s",
    queries: [[
      "histogram_quantile(0.95, sum by (gen_ai_tool_name, le) " +
      "(rate(mcp_client_operation_duration_seconds_bucket" +
      '{mcp_method_name="tools/call",SELECTED}[$__rate_interval])))',
      "{{gen_ai_tool_name}}",
    ]],
    width: 8,
  },
];

const BYTES: readonly Panel[] = ["received", "sent"].map((verb) => ({
  title: `Bytes ${verb}, by peer`,
  type: "timeseries",
  unit: "Bps",
  queries: [[
    `sum by (peer) (rate(alwaysup_${verb}_bytes_total{SELECTED}[$__rate_interval]))`,
    "{{peer}}",
  ]],
  width: 12,
}));

const ROWS: readonly (readonly [title: string, panels: readonly Panel[]])[] = [
  ["State", STATE],
  ["Outages", OUTAGES],
  ["Operations", OPERATIONS],
  ["Bytes", BYTES],
];

/** Returns how the values of a panel are shown. */
function fieldConfigOf({ unit, values }: Panel): unknown {
  const options = Object.fromEntries(
    (values ?? []).map(([text, color], index) => [
      `${index}`,
      { color, index, text },
    ]),
  );
  return {
    defaults: {
      ...(unit !== undefined && { unit }),
      ...(values !== undefined && { mappings: [{ type: "value", options }] }),
    },
    overrides: [],
  };
}

function panelJson(panel: Panel, id: number, x: number, y: number): unknown {
  const { title, description, type, queries, width } = panel;
  return {
    id,
    type,
    title,
    ...(description !== undefined && { description }),
    datasource: DATASOURCE,
    gridPos: { h: heightOf(panel), w: width, x, y },
    fieldConfig: fieldConfigOf(panel),
    targets: queries.map(([expression, legendFormat], index) => ({
      refId: "ABC"[index],
      datasource: DATASOURCE,
      expr: expression.replaceAll(ALL_SERIES, 'instance=~"$instance"'),
      legendFormat,
      ...(type === "stat" && { instant: true, range: false }),
    })),
  };
}

function heightOf({ type }: Panel): number {
  return type === "timeseries" ? ROW_HEIGHT : STAT_HEIGHT;
}

/** Returns all rows and panels, placed from left to right and downwards. */
function placePanels(): unknown[] {
  const placed: unknown[] = [];
  let y = 0;
  for (const [title, panels] of ROWS) {
    placed.push({
      ...{ id: placed.length + 1, type: "row", title, collapsed: false },
      ...{ gridPos: { h: 1, w: 24, x: 0, y }, panels: [] },
    });
    y++;
    let x = 0;
    for (const panel of panels) {
      placed.push(panelJson(panel, placed.length + 1, x, y));
      x += panel.width;
      if (x < 24) continue;
      x = 0;
      y += heightOf(panel);
    }
  }
  return placed;
}

/** Returns the dashboard as JSON. */
export function dashboardText(): string {
  const dashboard = {
    title: "alwaysup",
    uid: "alwaysup",
    description: "Proxies between MCP clients and their daemons.",
    tags: ["alwaysup", "mcp"],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    timezone: "",
    templating: {
      list: [
        {
          ...{ name: "datasource", label: "Data source", type: "datasource" },
          query: "prometheus",
        },
        {
          ...{ name: "instance", label: "Instance", type: "query" },
          datasource: DATASOURCE,
          query: {
            query: "label_values(alwaysup_build_info, instance)",
            refId: "instance",
          },
          ...{ refresh: 2, multi: true, includeAll: true, allValue: ".*" },
          sort: 1,
        },
      ],
    },
    panels: placePanels(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

if (import.meta.main) {
  await Deno.writeTextFile(DASHBOARD_FILE, dashboardText());
}
