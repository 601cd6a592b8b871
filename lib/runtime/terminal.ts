/**
 * The terminal: the two streams of a command, and colours.
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
