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
  printError(line: string): void;
  /** Whether a person sees colours on stdout. */
  readonly hasColors: boolean;
}

/** The colours of the terminal's own palette, as their numbers in SGR (ECMA-48 section 8.3.117). */
export const SGR_CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

/** A text in a colour, where colours are seen. */
export function colorize(
  { hasColors }: Output,
  color: keyof typeof SGR_CODES,
  text: string,
): string {
  return hasColors ? `\x1b[${SGR_CODES[color]}m${text}\x1b[0m` : text;
}
