/**
 * Reads the age of the exai daemon's health file, which the daemon writes every
 * ten seconds.
 *
 * @module
 */

import { getNested } from "../protocol/jsonrpc.ts";

/** What a health file contains. */
export type HealthFileState = "missing" | "unreadable" | {
  readonly ageMs: number;
};

/**
 * Reads a health file. The daemon overwrites it in place, so it may be
 * incomplete.
 *
 * @param readText returns the text, or throws
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
