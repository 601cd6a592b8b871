/**
 * The output streams of a command, and colors.
 *
 * @module
 */

/** The output streams of a command, line by line. */
export interface Output {
  /** Writes a line to stdout. */
  print(line: string): void;
  /** Writes a line to stderr. */
  printError(line: string): void;
  /** True if stdout shows colors to a person. */
  readonly hasColors: boolean;
}

/** The terminal's palette, as SGR numbers (ECMA-48 section 8.3.117). */
const SGR_CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

/** Returns the text in a color, where colors are shown. */
export function colorize(
  { hasColors }: Output,
  color: "bold" | "red" | "green" | "yellow",
  text: string,
): string {
  return hasColors ? `\x1b[${SGR_CODES[color]}m${text}\x1b[0m` : text;
}
