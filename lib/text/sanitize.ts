/**
 * Makes untrusted text safe to show on a terminal.
 *
 * @module
 */

/** Control characters, line ends, and direction marks (UAX #9). */
export const CONTROL_CHARS: RegExp =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;

/** Makes untrusted text one line without control characters. */
export function sanitizeLine(text: string, maxChars: number = 300): string {
  const line = text.replace(CONTROL_CHARS, " ");
  return line.length > maxChars ? `${line.slice(0, maxChars)}...` : line;
}
