/**
 * How old the exai daemon's health file is, which it writes every ten seconds.
 *
 * @module
 */

import { getNested } from "../protocol/jsonrpc.ts";

/** What a health file tells. */
export type HealthFileState = "missing" | "unreadable" | {
  readonly ageMs: number;
};

/**
 * Reads a health file; the daemon overwrites it in place, so half of it may be
 * there.
 *
 * @param readText gives the text, or throws
 * @param wallClockMs milliseconds since 1970
 */
export function readHealthFile(
  readText: () => string,
  wallClockMs: number,
): HealthFileState {
  let text: string;
  try {
    text = readText();
  } catch {
    return "missing";
  }
  try {
    const seconds = getNested(JSON.parse(text), "t");
    if (typeof seconds !== "number") return "unreadable";
    return { ageMs: Math.max(0, wallClockMs - seconds * 1000) };
  } catch {
    return "unreadable";
  }
}
