/**
 * Defines the output streams of a command, and colors text for a terminal.
 *
 * @module
 */

import type { Host, TerminalSize } from "./host.ts";

/** The output streams of a command, line by line. */
export interface Output {
  /** Writes a line to stdout. */
  print(line: string): void;
  /** Writes a line to stderr. */
  printError(line: string): void;
  /** True if stdout gets colors: see {@linkcode showsColors}. */
  readonly hasColors: boolean;
}

/**
 * Returns true if stdout gets colors. If `FORCE_COLOR` is set, it decides: `0`
 * and `false` disable colors, anything else enables them. If it is not set,
 * `NO_COLOR` and `TERM=dumb` disable them. Otherwise only a terminal gets
 * colors. The order is that of Node; see also no-color.org.
 */
export function showsColors(host: Pick<Host, "getEnv" | "isTty">): boolean {
  const forced = host.getEnv("FORCE_COLOR");
  if (forced !== undefined) return !/^(0|false)$/i.test(forced);
  return host.getEnv("NO_COLOR") === undefined &&
    host.getEnv("TERM") !== "dumb" && host.isTty("stdout");
}

/** SGR parameters (ECMA-48 section 8.3.117). */
const SGR_CODES = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

/** Returns the text in a color or in bold; unchanged without colors. */
export function colorize(
  { hasColors }: Pick<Output, "hasColors">,
  color: "bold" | "red" | "green" | "yellow",
  text: string,
): string {
  return hasColors ? `\x1b[${SGR_CODES[color]}m${text}\x1b[0m` : text;
}

/** The size of a terminal that does not tell it: that of the VT100. */
const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

/**
 * Returns the size for the text on stdout: `Infinity` if it is no terminal.
 *
 * `COLUMNS` and `LINES` count only if the terminal does not tell its size, e.g.
 * on a serial line. A shell that exports them does not change them in a running
 * program, so they would be wrong after a resize.
 */
export function outputSize(
  host: Pick<Host, "getEnv" | "terminalSize">,
): TerminalSize {
  const size = host.terminalSize();
  if (size === undefined) return { columns: Infinity, rows: Infinity };
  const fromEnv = (name: string): number => {
    const text = host.getEnv(name) ?? "";
    return /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  };
  return {
    columns: size.columns || fromEnv("COLUMNS") || DEFAULT_SIZE.columns,
    rows: size.rows || fromEnv("LINES") || DEFAULT_SIZE.rows,
  };
}
