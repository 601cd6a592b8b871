/**
 * `alwaysup history`: lists the outages of every running proxy of this user.
 *
 * @module
 */

import { cutEnd, wrapText } from "../text/display_width.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import type { Host } from "../runtime/host.ts";
import type { Output } from "../runtime/terminal.ts";
import { formatMoment, type ProxyStatus } from "../proxy/status_format.ts";
import {
  describeNoProxy,
  describeUnknownFlag,
  printOnce,
  type View,
} from "./command_output.ts";
import { outageAsPair } from "./outage_text.ts";
import { countOf, layOutPairs } from "./text_layout.ts";

const INDENT = "  ";

/**
 * Lists the outages of the running proxies, the newest last.
 *
 * @returns the exit code: 0; 1 if no status file, or not their folder, can be
 * read; 2 for an unknown flag
 */
export async function history(
  args: readonly string[],
  host: Host,
  output: Output,
): Promise<number> {
  const mistake = describeUnknownFlag("history", args);
  if (mistake !== undefined) {
    output.printError(mistake);
    return 2;
  }
  const format = args.includes("--json") ? formatHistoryAsJson : formatHistory;
  return await printOnce("history", format, host, output);
}

/** Returns a JSON array of the proxies with their outages. */
export function formatHistoryAsJson(proxies: readonly ProxyStatus[]): string {
  return JSON.stringify(
    proxies.map((
      { pid, client, daemon, url, dialect, startedAt, history },
    ) => ({ pid, client, daemon, url, dialect, startedAt, history })),
  );
}

/** Returns the outages of the proxies as lines, a group for each proxy. */
export function formatHistory(
  proxies: readonly ProxyStatus[],
  view: Pick<View, "now" | "columns" | "problemCount">,
): string {
  const { now, columns } = view;
  const [oldest] = proxies;
  if (oldest === undefined) return describeNoProxy(view);
  if (proxies.every(({ history }) => history.outageCount === 0)) {
    const since = formatMoment(oldest.startedAt);
    const many = `${proxies.length} proxies have run, the oldest since`;
    const who = proxies.length === 1 ? "the proxy has run since" : many;
    return wrapText(`There was no outage: ${who} ${since}.`, columns)
      .join("\n");
  }
  return proxies.map((proxy) => {
    const heading = cutEnd(headingOf(proxy), columns);
    return [heading, ...outageLines(proxy, now, columns)].join("\n");
  }).join("\n\n");
}

/** Returns e.g. `editor 1, everything 2.0.0 at ws://127.0.0.1/, pid 7`. */
function headingOf({ client, daemon, url, pid }: ProxyStatus): string {
  const where = daemon === undefined ? url : `${daemon} at ${url}`;
  const parts = [client ?? "no client yet", where, `pid ${pid}`];
  return sanitizeLine(parts.join(", "), Infinity);
}

function outageLines(
  { history, startedAt }: ProxyStatus,
  now: number,
  columns: number,
): string[] {
  const { outages, outageCount } = history;
  const forgotten = outageCount - outages.length;
  const notes: string[] = [];
  if (outageCount === 0) {
    notes.push(`no outage since ${formatMoment(startedAt)}`);
  }
  if (forgotten > 0) {
    notes.push(`${countOf(forgotten, "older outage")} not kept`);
  }
  return [
    ...notes.map((note) => INDENT + note),
    ...layOutPairs(
      outages.map((outage) => outageAsPair(outage, history, now)),
      columns,
      INDENT,
    ),
  ];
}
