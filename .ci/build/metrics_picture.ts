/**
 * Draws an outage as Prometheus has seen it, for `.github/metrics.svg`.
 *
 *     deno task prometheus --picture
 *
 * @module
 */

import { svgText } from "./picture.ts";

/** The URL of the picture. */
export const METRICS_PICTURE_FILE: URL = new URL(
  "../../.github/metrics.svg",
  import.meta.url,
);

/** The values of an expression, one for each second; null if it has none. */
export type Values = readonly (number | null)[];

/** What Prometheus has seen. All times are seconds after the first value. */
export interface OutageMetrics {
  /** When the daemon was killed. */
  readonly killed: number;
  /** When it listened again. */
  readonly started: number;
  /** 1 if the daemon was connected, else 0. */
  readonly up: Values;
  /** How many requests had no answer. */
  readonly open: Values;
  /** How many messages waited for the daemon. */
  readonly queued: Values;
  /** How many calls were answered in a second. */
  readonly answered: Values;
  /** How long the client had waited for half of them, in seconds. */
  readonly waited: Values;
  /** How long the daemon took for half of them, in seconds. */
  readonly daemonTook: Values;
}

const LEFT = 150;
const RIGHT = 785;
const TOP = 36;
const LINK_HEIGHT = 26;
const CHART_HEIGHT = 62;
const GAP = 16;

const STYLE = `
  text { font: 14px system-ui, sans-serif; fill: #24292f; }
  text.small { font-size: 12px; fill: #57606a; }
  rect.back { fill: #ffffff; }
  .up { fill: #b7e1c0; } .down { fill: #f2b8b5; }
  path { fill: none; stroke-width: 2; }
  path.first { stroke: #54aeff; stroke-width: 4; } text.first { fill: #0969da; }
  path.second { stroke: #bc4c00; } text.second { fill: #bc4c00; }
  path.axis { stroke: #d0d7de; stroke-width: 1; }
  path.mark { stroke: #57606a; stroke-width: 1; stroke-dasharray: 4 3; }
`;

/** A line of a chart, and its name. */
interface Line {
  readonly name: string;
  readonly values: Values;
  readonly color: "first" | "second";
}

interface Chart {
  readonly unit: string;
  readonly lines: readonly Line[];
}

function chartsOf(metrics: OutageMetrics): Chart[] {
  return [
    {
      unit: "requests",
      lines: [
        { name: "open", values: metrics.open, color: "first" },
        { name: "queued", values: metrics.queued, color: "second" },
      ],
    },
    {
      unit: "calls/s",
      lines: [{ name: "answered", values: metrics.answered, color: "first" }],
    },
    {
      unit: "s (median)",
      lines: [
        { name: "client waited", values: metrics.waited, color: "first" },
        { name: "daemon took", values: metrics.daemonTook, color: "second" },
      ],
    },
  ];
}

/** Returns the parts of the bar that shows whether the daemon is connected. */
function linkBar(up: Values, x: (second: number) => number): string[] {
  const parts: string[] = [];
  for (let from = 0, to = 1; from < up.length - 1; from = to++) {
    while (to < up.length - 1 && up[to] === up[from]) to++;
    const color = up[from] === 1 ? "up" : "down";
    const [left, width] = [x(from), x(to) - x(from)];
    parts.push(
      `<rect class="${color}" x="${left}" y="${TOP}" width="${width}" ` +
        `height="${LINK_HEIGHT}"/>`,
      `<text x="${left + width / 2}" y="${TOP + 18}" text-anchor="middle">` +
        `${color}</text>`,
    );
  }
  return parts;
}

/** Returns the path of a line, with a gap where there is no value. */
function pathOf(
  values: Values,
  x: (second: number) => number,
  y: (value: number) => number,
): string {
  let isInGap = true;
  return values.map((value, second) => {
    const command = isInGap ? "M" : "L";
    isInGap = value === null;
    return value === null ? "" : `${command}${x(second)} ${y(value)}`;
  }).join("");
}

function drawChart(
  { unit, lines }: Chart,
  top: number,
  x: (second: number) => number,
): string[] {
  const bottom = top + CHART_HEIGHT;
  const largest = Math.max(
    ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)),
  );
  const y = (value: number): number =>
    Math.round(10 * (bottom - CHART_HEIGHT * value / largest)) / 10;
  const shown = largest < 10 ? largest.toFixed(1) : largest.toFixed(0);
  return [
    `<text class="small" x="${LEFT - 6}" y="${top + 10}" text-anchor="end">` +
    `${shown}</text>`,
    `<text class="small" x="${LEFT - 6}" y="${bottom}" text-anchor="end">` +
    "0</text>",
    `<text class="small" x="10" y="${top + 10}">${unit}</text>`,
    `<path class="axis" d="M${LEFT} ${bottom}H${RIGHT}"/>`,
    ...lines.flatMap(({ name, values, color }, index) => [
      `<path class="${color}" d="${pathOf(values, x, y)}"/>`,
      `<text class="${color}" x="10" y="${top + 30 + 18 * index}">` +
      `${name}</text>`,
    ]),
  ];
}

function drawMarks(
  { killed, started }: OutageMetrics,
  bottom: number,
  x: (second: number) => number,
): string[] {
  const marks = [
    [killed, "kill -9", "end", -5],
    [started, "daemon starts", "start", 5],
  ] as const;
  return marks.flatMap(([second, text, anchor, shift]) => [
    `<path class="mark" d="M${x(second)} 12V${bottom}"/>`,
    `<text x="${x(second) + shift}" y="24" text-anchor="${anchor}">` +
    `${text}</text>`,
  ]);
}

/** Returns the picture as SVG. */
export function drawMetrics(metrics: OutageMetrics): string {
  const seconds = metrics.up.length - 1;
  const x = (second: number): number =>
    Math.round(LEFT + (RIGHT - LEFT) * second / seconds);
  const charts = chartsOf(metrics);
  const chartTop = (index: number): number =>
    TOP + LINK_HEIGHT + GAP + index * (CHART_HEIGHT + GAP);
  const bottom = chartTop(charts.length) - GAP;
  const height = bottom + 28;
  const title = "Metrics while a daemon is killed and started again";
  const times = Array.from(
    { length: Math.floor(seconds / 5) + 1 },
    (_, i) =>
      `<text class="small" x="${x(5 * i)}" y="${bottom + 19}" ` +
      `text-anchor="middle">${5 * i} s</text>`,
  );
  return svgText({ title, height, data: metrics, style: STYLE }, [
    `<text x="10" y="${TOP + 18}">daemon</text>`,
    ...linkBar(metrics.up, x),
    ...charts.flatMap((chart, i) => drawChart(chart, chartTop(i), x)),
    ...drawMarks(metrics, bottom, x),
    ...times,
  ]);
}
