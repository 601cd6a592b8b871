/**
 * Reads and describes the exai daemon's health file. The daemon writes this
 * file every ten seconds, so its age shows whether the daemon runs.
 *
 * @module
 */

import { getNested } from "../protocol/jsonrpc.ts";
import { tryParseJson } from "../json/spans.ts";
import type { Host } from "../runtime/host.ts";
import { formatSeconds } from "../session/errors.ts";

/** The largest age of a running daemon's file, in ms, as in the Python shim. */
export const HEALTH_FRESH_MS = 120_000;

/** The age of a health file in milliseconds, or why the age is unknown. */
export type HealthFileState = "missing" | "unreadable" | {
  readonly ageMs: number;
};

/** Reads a file that may be incomplete, because it is written in place. */
export function readHealthFile(
  { readFile }: Pick<Host, "readFile">,
  path: string,
): HealthFileState {
  let text: string;
  try {
    text = readFile(path);
  } catch {
    return "missing";
  }
  const seconds = getNested(tryParseJson(text), "t");
  return typeof seconds === "number"
    ? { ageMs: Math.max(0, Date.now() - seconds * 1000) }
    : "unreadable";
}

/**
 * Describes the health file. The text follows its path in a log message.
 *
 * @param disconnectedForMs how long ago the last connection was lost, in
 * milliseconds; `undefined` if there was none
 */
export function describeHealthFile(
  found: HealthFileState,
  disconnectedForMs: number | undefined,
): string {
  if (found === "missing") {
    return "cannot be read: the daemon never ran there, or it writes " +
      "a different file.";
  }
  if (found === "unreadable") return "is not a valid health file.";
  const age = formatSeconds(found.ageMs);
  if (found.ageMs > HEALTH_FRESH_MS) {
    return `is stale (${age} old): the daemon is down, or busy with a call ` +
      "that blocks it.";
  }
  // The daemon does not remove its file when it ends.
  return disconnectedForMs !== undefined && found.ageMs >= disconnectedForMs
    ? `is ${age} old and was written before the connection was lost, so it does not ` +
      "show whether the daemon is running now."
    : `is fresh (${age} old): the daemon was running then. If it still is, check ` +
      "EXAI_WS_HOST and EXAI_WS_PORT.";
}
