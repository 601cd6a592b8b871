/**
 * The format of the status file: how it is written and parsed.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { FAILURE_CAUSES } from "../link/link.ts";
import type { ConnectionState, Snapshot } from "../session/snapshot.ts";

/** What does not change while a proxy runs. */
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
  /** When it was started, in milliseconds since 1970. */
  readonly startedAt: number;
  /**
   * How others see that it runs: by an advisory lock, or by the age of the
   * file.
   */
  readonly sign: "lock" | "heartbeat";
}

/** A running proxy; every moment is in milliseconds since 1970. */
export interface ProxyStatus extends ProxyInfo, Snapshot {}

/**
 * Returns the JSON for `alwaysup status --json`, without what only this program
 * uses.
 */
export function toPublicStatus(
  { lastErrorCause: _, ...running }: ProxyStatus,
): Omit<ProxyStatus, "lastErrorCause"> {
  return running;
}

/** How often a file is written at least, in milliseconds. */
export const REFRESH_INTERVAL_MS = 20_000;
/** The age at which a file without a lock is stale, in milliseconds. */
export const STALE_STATUS_MS = 3 * REFRESH_INTERVAL_MS;
/** The largest file that is read, in bytes. */
export const MAX_STATUS_FILE_BYTES = 64 * 1024;
const STATUS_FORMAT_VERSION = 1;

/**
 * Returns the file's text. `wallClockOffsetMs` is how far the wall clock is
 * ahead of the session's clock.
 */
export function serializeStatus(
  info: ProxyInfo,
  { standing, ...snapshot }: Snapshot,
  wallClockOffsetMs: number,
): string {
  const onWallClock = Object.fromEntries(
    Object.entries(standing).map(([name, value]) => [
      name,
      /^(since|nextAt)$/.test(name)
        ? Math.round(Number(value) + wallClockOffsetMs)
        : value,
    ]),
  );
  const format = { alwaysup: STATUS_FORMAT_VERSION };
  return `${
    JSON.stringify({ ...format, ...info, ...snapshot, standing: onWallClock })
  }\n`;
}

/** Parses the file's text; `undefined` if it is not one of ours. */
export function parseStatus(text: string): ProxyStatus | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(parsed) || parsed.alwaysup !== STATUS_FORMAT_VERSION) {
    return undefined;
  }
  const numbers = [
    parsed.pid,
    parsed.startedAt,
    parsed.reconnects,
    parsed.owed,
  ];
  const texts = [parsed.version, parsed.runtime, parsed.url, parsed.dialect];
  const optionalTexts = [parsed.client ?? "", parsed.lastError ?? ""];
  const isStatus = numbers.every(Number.isFinite) &&
    [...texts, ...optionalTexts].every((text) => typeof text === "string") &&
    /^(lock|heartbeat)$/.test(String(parsed.sign)) &&
    isConnectionState(parsed.standing);
  // A proxy of an older version writes nothing about its daemon.
  const { connections = "unknown", answersDuringCalls, lastErrorCause: cause } =
    parsed;
  const isCapacityValid = /^(one|many|unknown)$/.test(String(connections)) &&
    typeof (answersDuringCalls ?? false) === "boolean";
  if (!isStatus || !isCapacityValid) return undefined;
  // A cause that only a newer version knows is dropped.
  const lastErrorCause = FAILURE_CAUSES.find((it) => it === cause);
  return { ...parsed, connections, lastErrorCause } as unknown as ProxyStatus;
}

/**
 * True if a proxy has written the text, or if a power cut has left it: empty,
 * or only zeros.
 */
export function isStatusText(text: string): boolean {
  if (/^\0*$/.test(text)) return true;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && value.alwaysup === STATUS_FORMAT_VERSION;
  } catch {
    return false;
  }
}

function isConnectionState(value: unknown): value is ConnectionState {
  if (!isRecord(value)) return false;
  switch (value.phase) {
    case "ready":
    case "checking":
      return Number.isFinite(value.since);
    case "waiting":
      return Number.isFinite(value.attempt) && Number.isFinite(value.nextAt);
    case "dialing":
    case "greeting":
      return Number.isFinite(value.attempt);
    default:
      return value.phase === "open" || value.phase === "displaced";
  }
}

/**
 * Describes the connection's state, e.g. `waiting, attempt 14, next in 12 s`.
 */
export function describeConnectionState(
  standing: ConnectionState,
  now: number,
): string {
  switch (standing.phase) {
    case "ready":
      return `ready ${formatDuration(now - standing.since)}`;
    case "checking":
      return "silent, being checked";
    case "waiting": {
      const { attempt, nextAt } = standing;
      return `waiting, attempt ${attempt}, next in ${
        formatDuration(nextAt - now)
      }`;
    }
    case "dialing":
      return `dialing, attempt ${standing.attempt}`;
    case "greeting":
      return `greeting, attempt ${standing.attempt}`;
    case "open":
      return "open, the client has not spoken";
    case "displaced":
      return "another client has the connection, dialed with the next request";
  }
}

/** Formats a duration in its largest unit, e.g. `2 h`. */
export function formatDuration(ms: number): string {
  const units = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000]] as const;
  const [unit, size] = units.find(([, size]) => ms >= size) ?? ["s", 1_000];
  return `${Math.max(0, Math.floor(ms / size))} ${unit}`;
}
