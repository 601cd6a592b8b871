/**
 * `alwaysup status`: lists every running proxy of this user.
 *
 * @module
 */

import { waitAtMost } from "../runtime/timeout.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { describeChoices } from "../text/suggest.ts";
import type { Host } from "../runtime/host.ts";
import { colorize, type Output } from "../runtime/terminal.ts";
import { findRunningProxies } from "../proxy/status_file.ts";
import {
  describeConnectionState,
  formatDuration,
  type ProxyStatus,
  toPublicStatus,
} from "../proxy/status_format.ts";
import { flagsOf } from "./command_table.ts";

/** How often `--watch` checks for changes. */
const WATCH_INTERVAL_MS = 1_000;
/** Moves the cursor to the top left and clears below it (ECMA-48 CUP, ED). */
const CLEAR_SCREEN = "\x1b[H\x1b[J";
const COLUMNS: readonly (readonly [
  title: string,
  cellOf: (proxy: ProxyStatus, now: number) => string,
])[] = [
  ["PID", ({ pid }) => `${pid}`],
  ["CLIENT", ({ client }) => client ?? "-"],
  ["DAEMON", ({ url }) => url],
  [
    "STATE",
    ({ connectionState }, now) => describeConnectionState(connectionState, now),
  ],
  ["STARTED", ({ startedAt }, now) => `${formatDuration(now - startedAt)} ago`],
  ["RECONNECTS", ({ reconnects }) => `${reconnects}`],
  ["PENDING", ({ pendingRequests }) => `${pendingRequests}`],
];

/**
 * Lists the running proxies once, or with `--watch` after each change until a
 * signal arrives.
 *
 * @returns the exit code: 0; 1 if the folder of the status files cannot be
 * read; 2 for an unknown flag
 */
export async function status(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const unknown = args.find((arg) => !/^--(json|watch)$/.test(arg));
  if (unknown !== undefined) {
    const flags = flagsOf("status");
    const hint = describeChoices(unknown, "flags", flags);
    output.printError(`alwaysup status: there is no such flag; ${hint}`);
    return 2;
  }
  const format = args.includes("--json") ? formatAsJson : formatAsTable;
  const isWatching = args.includes("--watch");
  const stop = Promise.withResolvers<"stop">();
  if (isWatching) host.onSignal(() => stop.resolve("stop"));
  const isRepainted = isWatching && host.isTty("stdout") &&
    host.getEnv("TERM") !== "dumb";
  let printedText = "";
  let printedProblems = "";
  for (;;) {
    const { proxies, problems, isComplete } = findRunningProxies(host);
    const problemText = problems.join("\n");
    for (const problem of problemText === printedProblems ? [] : problems) {
      output.printError(`alwaysup status: ${sanitizeLine(problem)}`);
    }
    // If the folder cannot be read, a proxy may run all the same.
    const text = isComplete ? format(proxies, output) : "";
    if (text !== printedText && text !== "") {
      output.print(isRepainted ? CLEAR_SCREEN + text : text);
    }
    [printedText, printedProblems] = [text, problemText];
    if (!isWatching) return isComplete ? 0 : 1;
    if (await waitAtMost(WATCH_INTERVAL_MS, stop.promise) === "stop") return 0;
  }
}

function formatAsJson(proxies: readonly ProxyStatus[]): string {
  return JSON.stringify(proxies.map(toPublicStatus));
}

function formatAsTable(
  proxies: readonly ProxyStatus[],
  output: Output,
): string {
  if (proxies.length === 0) return "No alwaysup is running.";
  const now = Date.now();
  const columns = COLUMNS.map(([title, cellOf]) => {
    const cells = proxies.map((proxy) => sanitizeLine(cellOf(proxy, now)));
    const width = Math.max(...[title, ...cells].map(({ length }) => length));
    return [title, ...cells].map((cell) => cell.padEnd(width));
  });
  const lineOf = (row: number, color?: "green" | "yellow"): string =>
    columns.map((cells, column) => {
      const isColored = color !== undefined && COLUMNS[column]![0] === "STATE";
      return isColored ? colorize(output, color, cells[row]!) : cells[row]!;
    }).join("  ").trimEnd();
  const lines = [lineOf(0)];
  const indent = " ".repeat(columns[0]![0]!.length + 2);
  for (const [i, { connectionState, lastError }] of proxies.entries()) {
    lines.push(
      lineOf(i + 1, connectionState.phase === "ready" ? "green" : "yellow"),
    );
    if (lastError === undefined) continue;
    lines.push(`${indent}last error: ${sanitizeLine(lastError)}`);
  }
  return lines.join("\n");
}
