/**
 * Serializes, parses and describes the content of a status file.
 *
 * @module
 */

import type { FailedRequest } from "../events.ts";
import { isRecord } from "../protocol/jsonrpc.ts";
import { tryParseJson } from "../json/spans.ts";
import { FAILURE_CAUSES } from "../link/link.ts";
import {
  EMPTY_HISTORY,
  type History,
  type Outage,
} from "../telemetry/history.ts";
import type {
  MessageFigures,
  OperationFigures,
  ProxyInfo,
} from "../telemetry/figures.ts";
import type { ConnectionState, Snapshot } from "../session/snapshot.ts";

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

/** The type of each member; a `?` permits that it is missing. */
type MemberTypes = Readonly<
  Record<string, "number" | "number?" | "string" | "string?" | "boolean?">
>;

const STATUS_TYPES = {
  pid: "number",
  startedAt: "number",
  reconnects: "number",
  pendingRequests: "number",
  version: "string",
  runtime: "string",
  url: "string",
  dialect: "string",
  // All of these may be missing, in a file of an older version or while they
  // are unknown.
  client: "string?",
  daemon: "string?",
  lastError: "string?",
  lastErrorAt: "number?",
  answersDuringCalls: "boolean?",
  queuedMessages: "number?",
  metricsUrl: "string?",
  writtenAt: "number?",
} as const satisfies
  & MemberTypes
  & { readonly [Name in keyof ProxyStatus]?: string };

const HISTORY_TYPES = {
  outageCount: "number",
  downMs: "number",
  downSince: "number?",
  dialAttempts: "number",
  repeatedCount: "number",
  unknownOutcomes: "number",
  circuitOpenings: "number",
} as const satisfies
  & MemberTypes
  & { readonly [Name in keyof History]?: string };

const OUTAGE_TYPES = {
  lostAt: "number",
  cause: "string",
  reason: "string",
  downMs: "number?",
  attempts: "number",
  repeatedCount: "number",
  failedCount: "number",
} as const satisfies
  & MemberTypes
  & { readonly [Name in keyof Outage]?: string };

const FAILED_TYPES = {
  method: "string",
  name: "string?",
  code: "number",
  reason: "string",
} as const satisfies
  & MemberTypes
  & { readonly [Name in keyof FailedRequest]?: string };

const OPERATION_TYPES = {
  side: "string",
  method: "string",
  name: "string?",
  errorType: "string?",
  statusCode: "number?",
  protocolVersion: "string?",
  sum: "number",
} as const satisfies
  & MemberTypes
  & { readonly [Name in keyof OperationFigures]?: string };

/** Parses a status file; `undefined` if it is invalid or of another version. */
export function parseStatus(text: string): ProxyStatus | undefined {
  const parsed = tryParseJson(text);
  if (
    !isRecord(parsed) || parsed.alwaysup !== STATUS_FORMAT_VERSION ||
    !hasTypes(parsed, STATUS_TYPES)
  ) return undefined;
  const { lastErrorCause: cause, connections = "unknown" } = parsed;
  const { circuit = "closed", queuedMessages = 0, figures } = parsed;
  const { history = EMPTY_HISTORY } = parsed;
  const isStatus = isConnectionState(parsed.connectionState) &&
    /^(one|many|unknown)$/.test(String(connections)) &&
    /^(closed|open|half-open)$/.test(String(circuit)) && isHistory(history) &&
    (figures === undefined || isFigures(figures));
  if (!isStatus) return undefined;
  // Drops a cause that only newer versions know.
  const lastErrorCause = FAILURE_CAUSES.find((it) => it === cause);
  return {
    ...parsed,
    ...{ connections, lastErrorCause, circuit, queuedMessages, history },
  } as unknown as ProxyStatus;
}

function hasTypes(
  value: unknown,
  types: MemberTypes,
): value is Record<string, unknown> {
  return isRecord(value) &&
    Object.entries(types).every(([name, type]) => {
      const member = value[name];
      if (member === undefined) return type.endsWith("?");
      return typeof member === "number"
        ? type.startsWith("number") && Number.isFinite(member)
        : type.startsWith(typeof member);
    });
}

function isHistory(value: unknown): value is History {
  return hasTypes(value, HISTORY_TYPES) && isCounts(value.reconnects) &&
    isCounts(value.failedRequests) && isListOf(value.outages, isOutage);
}

function isOutage(value: unknown): value is Outage {
  return hasTypes(value, OUTAGE_TYPES) &&
    isListOf(value.failed, (it) => hasTypes(it, FAILED_TYPES));
}

function isFigures(value: unknown): value is MessageFigures {
  return isRecord(value) && isCounts(value.bytes) &&
    isListOf(value.operations, isOperation);
}

function isOperation(value: unknown): value is OperationFigures {
  return hasTypes(value, OPERATION_TYPES) && isCounts(value.buckets);
}

/** Returns true for an array or an object whose members are numbers. */
function isCounts(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((it) => Number.isFinite(it));
}

function isListOf(
  value: unknown,
  isItem: (item: unknown) => boolean,
): value is unknown[] {
  return Array.isArray(value) && value.every(isItem);
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
