/**
 * What people see: where a command says it, its colours, and what others' texts
 * may not do there.
 *
 * @module
 */

/** The two streams of a command, line by line. */
export interface Output {
  /** A line for stdout. */
  print(line: string): void;
  /** A line for stderr. */
  complain(line: string): void;
  /** Whether a person sees colours on stdout. */
  readonly isColoured: boolean;
}

/** The colours of the terminal's own palette, as their numbers in SGR (ECMA-48 section 8.3.117). */
export const COLOURS = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

/** A text in a colour, where colours are seen. */
export function paint(
  { isColoured }: Output,
  colour: keyof typeof COLOURS,
  text: string,
): string {
  return isColoured ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
}

/** Control characters, line ends, and what turns the direction of a line (UAX #9). */
export const UNTAMED: RegExp =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;

/** A text of somebody else's as one line that does nothing to a terminal; `limit` is in UTF-16 units. */
export function tame(text: string, limit: number = 300): string {
  const line = text.replace(UNTAMED, " ");
  return line.length > limit ? `${line.slice(0, limit)}...` : line;
}
