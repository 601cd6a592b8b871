/**
 * How old the exai daemon's health file is, which it writes every ten seconds.
 *
 * @module
 */

import { dig } from "../protocol/jsonrpc.ts";

/** What a health file tells. */
export type Health = "missing" | "unreadable" | { readonly ageMs: number };

/**
 * Reads a health file; the daemon overwrites it in place, so half of it may be
 * there.
 *
 * @param readText gives the text, or throws
 * @param wallMs milliseconds since 1970
 */
export function readHealth(readText: () => string, wallMs: number): Health {
  let text: string;
  try {
    text = readText();
  } catch {
    return "missing";
  }
  try {
    const seconds = dig(JSON.parse(text), "t");
    if (typeof seconds !== "number") return "unreadable";
    return { ageMs: Math.max(0, wallMs - seconds * 1000) };
  } catch {
    return "unreadable";
  }
}
