/**
 * Runs the demo, and draws its timeline as `.github/outage.svg`.
 *
 *     deno task picture
 *
 * @module
 */

import { runDemo, type Timeline } from "../../tests/demo.ts";
import { svgText } from "./picture.ts";

/** The URL of the picture. */
export const PICTURE_FILE: URL = new URL(
  "../../.github/outage.svg",
  import.meta.url,
);

/** Where the bars begin, and where they end. */
const LEFT = 130;
const RIGHT = 780;
const ROW_HEIGHT = 40;
const TOP = 50;

const STYLE = `
  text { font: 14px system-ui, sans-serif; fill: #24292f; }
  .up { fill: #b7e1c0; } .call { fill: #b6d4f5; }
  .wait { fill: #f6dfa4; } .error { fill: #f2b8b5; }
  line { stroke: #57606a; stroke-dasharray: 4 3; }
  rect.back { fill: #ffffff; }
`;

type Color = "up" | "call" | "wait" | "error";

/** A bar of a row, with the text inside or after it. */
interface Bar {
  readonly from: number;
  readonly to: number;
  readonly color: Color;
  readonly text?: string;
}

/** A row: the name of a process or of a call, and its bars. */
interface Row {
  readonly name: string;
  readonly bars: readonly Bar[];
}

function rowsOf(timeline: Timeline, end: number): Row[] {
  const { daemonUp, clientReady, callsRunning, killed } = timeline;
  const { mailAnswered, addCalled, addAnswered } = timeline;
  const { daemonUpAgain, reportAnswered } = timeline;
  return [
    {
      name: "daemon",
      bars: [
        { from: daemonUp, to: killed, color: "up" },
        { from: daemonUpAgain, to: end, color: "up", text: "started again" },
      ],
    },
    {
      name: "alwaysup",
      bars: [
        {
          from: clientReady,
          to: killed,
          color: "up",
        },
        { from: killed, to: addAnswered, color: "wait", text: "reconnects" },
        { from: addAnswered, to: end, color: "up", text: "connected" },
      ],
    },
    {
      name: "read-report",
      bars: [
        { from: callsRunning, to: killed, color: "call" },
        { from: killed, to: addAnswered, color: "wait", text: "waits" },
        {
          from: addAnswered,
          to: reportAnswered,
          color: "call",
          text: "repeated, because it only reads: answered",
        },
      ],
    },
    {
      name: "send-mail",
      bars: [
        { from: callsRunning, to: killed, color: "call" },
        {
          from: killed,
          to: Math.max(mailAnswered, killed + 25),
          color: "error",
          text: "error: outcome unknown; never repeated",
        },
      ],
    },
    {
      name: "add",
      bars: [
        { from: addCalled, to: addAnswered, color: "wait", text: "waits" },
        {
          from: addAnswered,
          to: addAnswered + 25,
          color: "call",
          text: "answered",
        },
      ],
    },
  ];
}

/** Returns the picture of a timeline as SVG. */
export function drawOutage(timeline: Timeline): string {
  const end = timeline.reportAnswered + 100;
  const x = (ms: number): number =>
    Math.round(LEFT + (RIGHT - LEFT) * ms / end);
  const rows = rowsOf(timeline, end);
  const bottom = TOP + rows.length * ROW_HEIGHT;
  const height = bottom + 35;
  const marks: [at: number, text: string, anchor: string][] = [
    [timeline.killed, "kill -9", "end"],
    [timeline.daemonUpAgain, "daemon starts", "start"],
  ];
  const title = "A daemon is killed and started again";
  const parts: string[] = [];
  for (const [i, { name, bars }] of rows.entries()) {
    const y = TOP + i * ROW_HEIGHT;
    parts.push(`<text x="10" y="${y + 20}">${name}</text>`);
    for (const { from, to, color, text } of bars) {
      const width = Math.max(2, x(to) - x(from));
      parts.push(
        `<rect class="${color}" x="${x(from)}" y="${y}" width="${width}" ` +
          'height="30" rx="3"/>',
      );
      if (text === undefined) continue;
      const isInside = width > text.length * 7 + 12;
      const textX = isInside ? x(from) + 8 : x(from) + width + 8;
      parts.push(`<text x="${textX}" y="${y + 20}">${text}</text>`);
    }
  }
  for (const [at, text, anchor] of marks) {
    const shift = anchor === "end" ? -5 : 5;
    parts.push(
      `<line x1="${x(at)}" y1="12" x2="${x(at)}" y2="${bottom}"/>`,
      `<text x="${
        x(at) + shift
      }" y="24" text-anchor="${anchor}">${text}</text>`,
    );
  }
  for (let ms = 0; ms <= end; ms += 500) {
    parts.push(
      `<text x="${x(ms)}" y="${bottom + 20}" text-anchor="middle">${
        ms / 1000
      } s</text>`,
    );
  }
  return svgText({ title, height, data: timeline, style: STYLE }, parts);
}

if (import.meta.main) {
  await Deno.writeTextFile(PICTURE_FILE, drawOutage(await runDemo()));
  // Sockets of the demo may keep the process alive.
  Deno.exit(0);
}
