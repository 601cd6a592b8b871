/**
 * The exai daemon's health file, which the daemon writes every ten seconds: how
 * old it is, and what that tells.
 *
 * @module
 */

import { getNested } from "../protocol/jsonrpc.ts";
import { tryParseJson } from "../json/spans.ts";
import type { Host } from "../runtime/host.ts";
import { formatSeconds } from "../session/errors.ts";

/** The greatest age that shows a living daemon (the Python shim's). */
export const HEALTH_FRESH_MS = 120_000;

/** What a health file contains. */
export type HealthFileState = "missing" | "unreadable" | {
  readonly ageMs: number;
};

/** Reads a health file, perhaps half of it: the daemon writes it in place. */
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
 * Returns what the log says of a health file. `disconnectedForMs` is how long
 * ago the connection was lost, if there was one.
 */
export function describeHealthFile(
  found: HealthFileState,
  disconnectedForMs: number | undefined,
): string {
  if (found === "missing") {
    return "is missing: the daemon was never started there, or writes " +
      "another one.";
  }
  if (found === "unreadable") return "cannot be read as one.";
  const age = formatSeconds(found.ageMs);
  if (found.ageMs > HEALTH_FRESH_MS) {
    return `is stale (${age} old): the daemon is down, or busy with a call ` +
      "that blocks it.";
  }
  // The file stays behind when the daemon ends.
  return disconnectedForMs !== undefined && found.ageMs >= disconnectedForMs
    ? `is ${age} old, from before the connection was lost: it says nothing ` +
      "about now."
    : `is fresh (${age} old): the daemon ran then. If it still does, check ` +
      "EXAI_WS_HOST and EXAI_WS_PORT.";
}
