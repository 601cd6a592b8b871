/**
 * `alwaysup status`: every running proxy of this user.
 *
 * @module
 */

import { tame } from "../text/sanitize.ts";
import type { Host } from "../runtime/host.ts";
import { type Output, paint } from "../runtime/terminal.ts";
import { findRunning, type Found } from "../proxy/status_file.ts";
import type { Standing } from "../session/snapshot.ts";
import {
  inWords,
  publicOf,
  type Running,
  span,
} from "../proxy/status_format.ts";

/** How often `--watch` looks. */
const WATCH_MS = 1_000;
/** Back to the first column of the first row, and nothing below it (ECMA-48 CUP, ED). */
const CLEAR = "\x1b[H\x1b[J";
const TITLES = [
  ...["PID", "CLIENT", "DAEMON", "STATE", "STARTED", "RECONNECTS", "OWED"],
];

/**
 * Lists the running proxies, once or (`--watch`) until it is interrupted.
 *
 * @returns the process's exit code: 0, 1 if it cannot know, 2 for a flag that there is not
 */
export async function status(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const unknown = args.find((arg) => !/^--(json|watch)$/.test(arg));
  if (unknown !== undefined) {
    output.complain("alwaysup status: its flags are --json and --watch");
    return 2;
  }
  const toText = args.includes("--json") ? inJson : inTable;
  const isWatching = args.includes("--watch");
  const stop = Promise.withResolvers<"stop">();
  if (isWatching) host.onSignal(() => stop.resolve("stop"));
  let shown = "";
  let complained = "";
  for (;;) {
    const found = findRunning(host);
    const troubles = found.troubles.join("\n");
    if (troubles !== complained) {
      for (const trouble of found.troubles) {
        output.complain(`alwaysup status: ${tame(trouble)}`);
      }
    }
    const text = toText(found, output);
    const isRepainted = isWatching && host.isTerminal("stdout");
    if (text !== shown && text !== "") {
      output.print(isRepainted ? CLEAR + text : text);
    }
    [shown, complained] = [text, troubles];
    if (!isWatching) return found.isWhole ? 0 : 1;
    const tick = new Promise((go) => setTimeout(go, WATCH_MS));
    if (await Promise.race([tick, stop.promise]) === "stop") return 0;
  }
}

function inJson({ running, isWhole }: Found): string {
  return isWhole ? JSON.stringify(running.map(publicOf)) : "";
}

function inTable({ running, isWhole }: Found, output: Output): string {
  // Who cannot know does not say that there is none.
  if (!isWhole) return "";
  if (running.length === 0) return "No alwaysup is running.";
  const now = Date.now();
  const rows = [TITLES, ...running.map((it) => cells(it, now))];
  const widths = TITLES.map((_, i) =>
    Math.max(...rows.map((row) => row[i]!.length))
  );
  return rows.flatMap((row, i) => {
    const line = row.map((cell, column) => {
      const padded = cell.padEnd(widths[column]!);
      const { standing } = running[i - 1] ?? {};
      return column === 3 && standing !== undefined
        ? painted(padded, standing, output)
        : padded;
    }).join("  ").trimEnd();
    const { lastError } = running[i - 1] ?? {};
    const indent = " ".repeat(widths[0]! + 2);
    return lastError === undefined
      ? [line]
      : [line, `${indent}last error: ${tame(lastError)}`];
  }).join("\n");
}

function cells(it: Running, now: number): string[] {
  return [
    ...[`${it.pid}`, it.client ?? "-", it.url, inWords(it.standing, now)],
    ...[`${span(now - it.startedAt)} ago`, `${it.reconnects}`, `${it.owed}`],
  ].map((text) => tame(text));
}

function painted(text: string, { phase }: Standing, output: Output): string {
  return paint(output, phase === "ready" ? "green" : "yellow", text);
}
