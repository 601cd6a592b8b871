/**
 * Makes untrusted text safe to show on a terminal. This folder holds functions
 * on plain text that know nothing of the proxy: control characters, paths,
 * UTF-8, and the message of an error.
 *
 * @module
 */

/** Runs of control characters, line ends and direction marks (UAX #9). */
export const CONTROL_CHARS: RegExp =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;

/** Returns text as one line; after `maxChars` UTF-16 units, `...` follows. */
export function sanitizeLine(text: string, maxChars: number = 300): string {
  return cutText(text.replace(CONTROL_CHARS, " "), maxChars);
}

/** Returns text; after `maxChars` UTF-16 units, `...` follows. */
export function cutText(text: string, maxChars: number): string {
  return text.length > maxChars ? `${text.slice(0, maxChars)}...` : text;
}
