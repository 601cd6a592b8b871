/**
 * Describes running proxies as a table with one line each, and a line below it
 * for what is wrong.
 *
 * @module
 */

import { cutEnd, cutMiddle } from "../text/display_width.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { colorize } from "../runtime/terminal.ts";
import {
  describeConnectionState,
  formatDuration,
  hasOpenWebSocket,
  type ProxyStatus,
} from "../proxy/status_format.ts";
import { describeNoProxy, type View } from "./command_output.ts";
import {
  fitBlocks,
  fitColumns,
  joinCells,
  type TableColumn,
} from "./text_layout.ts";

/** A column of the table; the cell is a function of the proxy. */
type StatusColumn = Omit<TableColumn, "cells"> & {
  readonly cellOf: (proxy: ProxyStatus, now: number) => string;
};

const COLUMNS: readonly StatusColumn[] = [
  { title: "PID", importance: 7, cellOf: ({ pid }) => `${pid}` },
  {
    ...{ title: "CLIENT", importance: 5, minWidth: 10 },
    cellOf: ({ client }) => client ?? "-",
  },
  {
    ...{ title: "DAEMON", importance: 4, minWidth: 12 },
    cellOf: ({ daemon }) => daemon ?? "-",
  },
  {
    ...{ title: "URL", importance: 6, minWidth: 17, shorten: cutMiddle },
    cellOf: ({ url }) => url,
  },
  {
    ...{ title: "STATE", importance: 8, minWidth: 18 },
    cellOf: ({ connectionState }, now) =>
      describeConnectionState(connectionState, now),
  },
  {
    ...{ title: "STARTED", importance: 1 },
    cellOf: ({ startedAt }, now) => `${formatDuration(now - startedAt)} ago`,
  },
  {
    ...{ title: "RECONNECTS", importance: 2 },
    cellOf: ({ reconnects }) => `${reconnects}`,
  },
  {
    ...{ title: "PENDING", importance: 3 },
    cellOf: ({ pendingRequests }) => `${pendingRequests}`,
  },
];

/** Returns the table of the proxies, in the size of the view. */
export function formatTable(
  proxies: readonly ProxyStatus[],
  view: View,
): string {
  if (proxies.length === 0) return describeNoProxy(view);
  const { now, columns: width } = view;
  const columns = fitColumns(
    COLUMNS.map(({ cellOf, ...column }) => ({
      ...column,
      cells: proxies.map((proxy) => sanitizeLine(cellOf(proxy, now), Infinity)),
    })),
    width,
  );
  const lineOf = (row: number, color?: "green" | "yellow"): string =>
    joinCells(
      columns.map(({ title, lines }) =>
        color !== undefined && title === "STATE"
          ? colorize(view, color, lines[row]!)
          : lines[row]!
      ),
    );
  const indent = " ".repeat(columns[0]!.lines[0]!.length + 2);
  const blocks = proxies.map((proxy, i) => {
    const isReady = proxy.connectionState.phase === "ready";
    const line = lineOf(i + 1, isReady ? "green" : "yellow");
    const note = describeTrouble(proxy, now);
    if (note === undefined) return [line];
    return [line, cutEnd(indent + note, width)];
  });
  return fitBlocks([lineOf(0)], blocks, view.rows).join("\n");
}

/** Describes the circuit breaker and the last error while they matter. */
function describeTrouble(
  { circuit, connectionState, lastError, lastErrorAt }: ProxyStatus,
  now: number,
): string | undefined {
  const notes: string[] = [];
  if (circuit !== "closed") notes.push(`circuit breaker ${circuit}`);
  if (lastError !== undefined && !hasOpenWebSocket(connectionState)) {
    const age = lastErrorAt === undefined
      ? ""
      : ` ${formatDuration(now - lastErrorAt)} ago`;
    notes.push(`last error${age}: ${sanitizeLine(lastError, Infinity)}`);
  }
  return notes.length === 0 ? undefined : notes.join("; ");
}
