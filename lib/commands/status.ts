/**
 * `alwaysup status`: lists every running proxy of this user.
 *
 * @module
 */

import { cutEnd } from "../text/display_width.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import {
  type Paint,
  withAlternateScreen,
} from "../runtime/alternate_screen.ts";
import type { Host } from "../runtime/host.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import type { Output } from "../runtime/terminal.ts";
import { findRunningProxies } from "../proxy/status_file.ts";
import { type ProxyStatus, toPublicStatus } from "../proxy/status_format.ts";
import {
  describeUnknownFlag,
  type Format,
  printOnce,
  printProblems,
  viewOf,
} from "./command_output.ts";
import { formatDetails } from "./status_details.ts";
import { formatTable } from "./status_table.ts";

/** How often `--watch` checks for changes. */
const WATCH_INTERVAL_MS = 1_000;
/** The most lines about unusable status files on the screen of `--watch`. */
const MAX_SHOWN_PROBLEMS = 3;

/** The flags that choose a format, and who reads it. */
const FORMATS: readonly {
  readonly flag: string;
  readonly format: Format;
  readonly reader: "program" | "person";
}[] = [
  { flag: "--json", format: formatAsJson, reader: "program" },
  { flag: "--prometheus", format: formatMetrics, reader: "program" },
  { flag: "--verbose", format: formatDetails, reader: "person" },
];

/**
 * Lists the running proxies once, or with `--watch` until a signal arrives.
 *
 * @returns the exit code: 0; 1 if no status file, or not their folder, can be
 * read; 2 for an unknown flag, or for flags that exclude each other
 */
export async function status(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const mistake = describeUnknownFlag("status", args) ??
    describeConflict(args);
  if (mistake !== undefined) {
    output.printError(mistake);
    return 2;
  }
  const { format, reader } = FORMATS.find(({ flag }) => args.includes(flag)) ??
    { format: formatTable, reader: "person" };
  if (!args.includes("--watch")) {
    return await printOnce("status", format, host, output);
  }
  const { promise: stop, resolve } = Promise.withResolvers<"stop">();
  host.onSignal(() => resolve("stop"));
  const hasScreen = reader === "person" && host.isTty("stdout") &&
    host.getEnv("TERM") !== "dumb";
  if (hasScreen) {
    await withAlternateScreen(
      host,
      (paint) => paintUntil(stop, format, host, output, paint),
    );
  } else await printChangesUntil(stop, format, host, output);
  return 0;
}

/** Returns a message about flags that exclude each other, if there are any. */
function describeConflict(args: readonly string[]): string | undefined {
  const [first, second] = FORMATS.map(({ flag }) => flag)
    .filter((flag) => args.includes(flag));
  const other = second ??
    (first === "--prometheus" && args.includes("--watch")
      ? "--watch"
      : undefined);
  return other &&
    `alwaysup status: ${first} and ${other} exclude each other; use one`;
}

/** Prints the text after each change. */
async function printChangesUntil(
  stop: Promise<"stop">,
  format: Format,
  host: Host,
  output: Output,
): Promise<void> {
  let printedText = "";
  let printedProblems = "";
  do {
    const { proxies, problems, isComplete } = findRunningProxies(host);
    const problemText = problems.join("\n");
    if (problemText !== printedProblems) {
      printProblems("status", problems, output);
    }
    // If the folder cannot be read, a proxy may run all the same.
    const view = { ...viewOf(host, output, problems), rows: Infinity };
    const text = isComplete ? await format(proxies, view) : "";
    if (text !== printedText && text !== "") output.print(text);
    [printedText, printedProblems] = [text, problemText];
  } while (await waitAtMost(WATCH_INTERVAL_MS, stop) !== "stop");
}

/** Paints the text again and again, because it has durations. */
async function paintUntil(
  stop: Promise<"stop">,
  format: Format,
  host: Host,
  output: Output,
  paint: Paint,
): Promise<void> {
  do {
    const { proxies, problems, isComplete } = findRunningProxies(host);
    // The terminal may have got another size.
    const view = viewOf(host, output, problems);
    const { columns, rows } = view;
    // A line on stderr would be painted over.
    const problemLines = problems.slice(0, MAX_SHOWN_PROBLEMS)
      .map((problem) => cutEnd(sanitizeLine(problem), columns));
    const textRows = Math.max(1, rows - problemLines.length);
    const lines = isComplete
      ? (await format(proxies, { ...view, rows: textRows })).split("\n")
      : [];
    await paint([...lines, ...problemLines].slice(0, rows));
  } while (await waitAtMost(WATCH_INTERVAL_MS, stop) !== "stop");
}

async function formatMetrics(
  proxies: readonly ProxyStatus[],
): Promise<string> {
  // Imported only here, because it imports a package.
  const { formatAsPrometheus } = await import("./status_metrics.ts");
  return await formatAsPrometheus(proxies);
}

function formatAsJson(proxies: readonly ProxyStatus[]): string {
  return JSON.stringify(proxies.map(toPublicStatus));
}
