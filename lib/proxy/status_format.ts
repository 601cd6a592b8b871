/**
 * Serializes, parses and describes the content of a status file.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { tryParseJson } from "../json/spans.ts";
import { FAILURE_CAUSES } from "../link/link.ts";
import {
  EMPTY_HISTORY,
  type History,
  type Outage,
} from "../telemetry/history.ts";
import type { MessageFigures } from "../telemetry/figures.ts";
import type { ConnectionState, Snapshot } from "../session/snapshot.ts";

/** The properties of a proxy that do not change while it runs. */
export interface ProxyInfo {
  /** The process id. */
  readonly pid: number;
  /** The program's version. */
  readonly version: string;
  /** The runtime's name and version. */
  readonly runtime: string;
  /** The daemon's URL, without secrets. */
  readonly url: string;
  /** The daemon's dialect. */
  readonly dialect: string;
  /** When the proxy was started, in milliseconds since 1970. */
  readonly startedAt: number;
}

/** What changes while a proxy runs; times are on the session's clock. */
export interface LiveStatus extends Snapshot {
  /** What was lost, when and why. */
  readonly history: History;
  /** The figures of all messages, if they are collected (`--metrics`). */
  readonly figures?: MessageFigures | undefined;
  /** The URL of the metrics, if they are served. */
  readonly metricsUrl?: string | undefined;
  /** When this was written to the status file, if it was. */
  readonly writtenAt?: number;
}

/** The status of a running proxy; all times are in milliseconds since 1970. */
export interface ProxyStatus extends ProxyInfo, LiveStatus {}

/** Returns the status for `status --json`, without its internal members. */
export function toPublicStatus(
  { lastErrorCause: _, ...running }: ProxyStatus,
): Omit<ProxyStatus, "lastErrorCause"> {
  return running;
}

const STATUS_FORMAT_VERSION = 2;

/** Returns the text of a status file, with all times by the wall clock. */
export function serializeStatus(
  info: ProxyInfo,
  live: LiveStatus,
  wallClockOffsetMs: number,
): string {
  const toWallClock = (name: string, value: unknown): unknown =>
    typeof value === "number" &&
      /^(since|nextAt|lastErrorAt|downSince|writtenAt)$/.test(name)
      ? Math.round(value + wallClockOffsetMs)
      : value;
  const status = { alwaysup: STATUS_FORMAT_VERSION, ...info, ...live };
  return `${JSON.stringify(status, toWallClock)}\n`;
}

const MEMBER_TYPES = {
  pid: "number",
  startedAt: "number",
  reconnects: "number",
  pendingRequests: "number",
  version: "string",
  runtime: "string",
  url: "string",
  dialect: "string",
} as const satisfies { readonly [Name in keyof ProxyStatus]?: string };

/** Parses a status file; `undefined` if it is invalid or of another version. */
export function parseStatus(text: string): ProxyStatus | undefined {
  const parsed = tryParseJson(text);
  if (!isRecord(parsed) || parsed.alwaysup !== STATUS_FORMAT_VERSION) {
    return undefined;
  }
  const { client = "", lastError = "", lastErrorCause: cause } = parsed;
  // All may be absent, in a file of an older version or while they are unknown.
  const { connections = "unknown", answersDuringCalls = false } = parsed;
  const { circuit = "closed", queuedMessages = 0 } = parsed;
  const { history = EMPTY_HISTORY, daemon = "", lastErrorAt = 0 } = parsed;
  const { metricsUrl = "" } = parsed;
  const isStatus = isConnectionState(parsed.connectionState) &&
    Object.entries(MEMBER_TYPES).every(([name, type]) =>
      typeof parsed[name] === type
    ) &&
    typeof client === "string" && typeof lastError === "string" &&
    /^(one|many|unknown)$/.test(String(connections)) &&
    typeof answersDuringCalls === "boolean" &&
    /^(closed|open|half-open)$/.test(String(circuit)) &&
    typeof queuedMessages === "number" && typeof daemon === "string" &&
    typeof lastErrorAt === "number" && isHistory(history) &&
    typeof metricsUrl === "string";
  if (!isStatus) return undefined;
  // Drops a cause that only newer versions know.
  const lastErrorCause = FAILURE_CAUSES.find((it) => it === cause);
  return {
    ...parsed,
    ...{ connections, lastErrorCause, circuit, queuedMessages, history },
  } as unknown as ProxyStatus;
}

function isHistory(value: unknown): value is History {
  return isRecord(value) &&
    Object.entries(EMPTY_HISTORY).every(([name, empty]) =>
      Array.isArray(empty)
        ? Array.isArray(value[name]) && value[name].every(isOutage)
        : typeof value[name] === typeof empty && value[name] !== null
    );
}

const OUTAGE_TYPES = {
  lostAt: "number",
  reason: "string",
  attempts: "number",
  repeatedCount: "number",
  failedCount: "number",
} as const satisfies { readonly [Name in keyof Outage]?: string };

function isOutage(value: unknown): value is Outage {
  return isRecord(value) &&
    Object.entries(OUTAGE_TYPES).every(([name, type]) =>
      typeof value[name] === type
    ) && Array.isArray(value.failed) && value.failed.every(isRecord);
}

function isConnectionState(value: unknown): value is ConnectionState {
  if (!isRecord(value)) return false;
  const { phase, since, attempt, nextAt } = value;
  switch (phase) {
    case "ready":
    case "checking":
      return typeof since === "number";
    case "waiting":
      return typeof attempt === "number" && typeof nextAt === "number";
    case "dialing":
    case "handshaking":
      return typeof attempt === "number";
    default:
      return phase === "open" || phase === "displaced";
  }
}

/** True if the WebSocket is connected, as far as the proxy knows. */
export function hasOpenWebSocket({ phase }: ConnectionState): boolean {
  return phase === "ready" || phase === "checking" || phase === "open";
}

/** Describes a connection's state, e.g. `waiting, attempt 14, next in 12 s`. */
export function describeConnectionState(
  state: ConnectionState,
  now: number,
): string {
  switch (state.phase) {
    case "ready":
      return `ready ${formatDuration(now - state.since)}`;
    case "checking":
      return "silent, being checked";
    case "waiting": {
      const { attempt, nextAt } = state;
      return `waiting, attempt ${attempt}, next in ${
        formatDuration(nextAt - now)
      }`;
    }
    case "dialing":
      return `dialing, attempt ${state.attempt}`;
    case "handshaking":
      return `handshaking, attempt ${state.attempt}`;
    case "open":
      return "open, waiting for the client's first message";
    case "displaced":
      return "another client has the connection; the next request reconnects";
  }
}

/** Formats a duration in its largest unit, rounded down, e.g. `2 h`. */
export function formatDuration(ms: number): string {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000]] as const;
  const [unit, size] = units.find(([, size]) => ms >= size) ?? ["s", 1_000];
  return `${Math.max(0, Math.floor(ms / size))} ${unit}`;
}

/** Formats a duration in two units, e.g. `1 min 59 s`, or as `0.8 s`. */
export function formatExactDuration(ms: number): string {
  if (ms < 9_950) return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  const units = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const;
  const first = units.findIndex(([, size]) => seconds >= size);
  let rest = seconds;
  return units.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? "" : `${count} ${unit}`;
  }).join(" ").trim();
}

/** Formats a moment in local time, e.g. `2026-11-30 18:12:29`. */
export function formatMoment(msSince1970: number): string {
  const date = new Date(msSince1970);
  const digits = (value: number): string => `${value}`.padStart(2, "0");
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return `${day.map(digits).join("-")} ${time.map(digits).join(":")}`;
}
