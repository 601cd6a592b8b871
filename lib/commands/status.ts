/**
 * `alwaysup status`: lists every running proxy of this user.
 *
 * @module
 */

import { waitAtMost } from "../runtime/timeout.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import type { Host } from "../runtime/host.ts";
import { colorize, type Output } from "../runtime/terminal.ts";
import {
  findRunningProxies,
  type RunningProxies,
} from "../proxy/status_file.ts";
import type { ConnectionState } from "../session/snapshot.ts";
import {
  describeConnectionState,
  formatDuration,
  type ProxyStatus,
  toPublicStatus,
} from "../proxy/status_format.ts";

/** How often `--watch` checks for changes, in milliseconds. */
const WATCH_INTERVAL_MS = 1_000;
/** Moves the cursor to the top left and clears below it (ECMA-48 CUP, ED). */
const CLEAR_SCREEN = "\x1b[H\x1b[J";
const COLUMN_TITLES = [
  "PID",
  "CLIENT",
  "DAEMON",
  "STATE",
  "STARTED",
  "RECONNECTS",
  "OWED",
];

/**
 * Lists the running proxies: once, or with `--watch` until it is interrupted.
 *
 * @returns the process's exit code: 0; 1 if the folder cannot be read; 2 for an
 * unknown flag
 */
export async function status(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const unknown = args.find((arg) => !/^--(json|watch)$/.test(arg));
  if (unknown !== undefined) {
    output.printError("alwaysup status: its flags are --json and --watch");
    return 2;
  }
  const format = args.includes("--json") ? formatAsJson : formatAsTable;
  const isWatching = args.includes("--watch");
  const stop = Promise.withResolvers<"stop">();
  if (isWatching) host.onSignal(() => stop.resolve("stop"));
  let printedText = "";
  let printedProblems = "";
  for (;;) {
    const found = findRunningProxies(host);
    const problemText = found.problems.join("\n");
    if (problemText !== printedProblems) {
      for (const problem of found.problems) {
        output.printError(`alwaysup status: ${sanitizeLine(problem)}`);
      }
    }
    const text = format(found, output);
    const isRepainted = isWatching && host.isTty("stdout");
    if (text !== printedText && text !== "") {
      output.print(isRepainted ? CLEAR_SCREEN + text : text);
    }
    [printedText, printedProblems] = [text, problemText];
    if (!isWatching) return found.isComplete ? 0 : 1;
    if (await waitAtMost(WATCH_INTERVAL_MS, stop.promise) === "stop") return 0;
  }
}

function formatAsJson({ proxies, isComplete }: RunningProxies): string {
  return isComplete ? JSON.stringify(proxies.map(toPublicStatus)) : "";
}

function formatAsTable(
  { proxies, isComplete }: RunningProxies,
  output: Output,
): string {
  // If the folder cannot be read, it is unknown whether a proxy runs.
  if (!isComplete) return "";
  if (proxies.length === 0) return "No alwaysup is running.";
  const now = Date.now();
  const rows = [COLUMN_TITLES, ...proxies.map((it) => tableRowOf(it, now))];
  const widths = COLUMN_TITLES.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return rows.flatMap((row, i) => {
    const line = row.map((cell, column) => {
      const padded = cell.padEnd(widths[column]!);
      const { standing } = proxies[i - 1] ?? {};
      return column === 3 && standing !== undefined
        ? colorizeState(padded, standing, output)
        : padded;
    }).join("  ").trimEnd();
    const { lastError } = proxies[i - 1] ?? {};
    const indent = " ".repeat(widths[0]! + 2);
    return lastError === undefined
      ? [line]
      : [line, `${indent}last error: ${sanitizeLine(lastError)}`];
  }).join("\n");
}

function tableRowOf(proxy: ProxyStatus, now: number): string[] {
  return [
    `${proxy.pid}`,
    proxy.client ?? "-",
    proxy.url,
    describeConnectionState(proxy.standing, now),
    `${formatDuration(now - proxy.startedAt)} ago`,
    `${proxy.reconnects}`,
    `${proxy.owed}`,
  ].map((text) => sanitizeLine(text));
}

function colorizeState(
  text: string,
  { phase }: ConnectionState,
  output: Output,
): string {
  return colorize(output, phase === "ready" ? "green" : "yellow", text);
}
