/**
 * What JSON and TOML entries have in common: the entry's path, its launch
 * fields, and helpers for the byte order mark, line breaks and trailing space.
 *
 * @module
 */

import type { JsoncExtension } from "../json/jsonc.ts";

/**
 * The path of an entry: the member with the servers, and the server's name in
 * it.
 */
export interface EntryPath {
  /** The member of the file; in TOML, a table. */
  readonly serversKey: string;
  /** The server's name. */
  readonly name: string;
  /** Syntax that the client cannot parse, so that none is added. */
  readonly rejectedSyntax?: readonly ExtraSyntax[];
}

/** Syntax that some clients cannot parse; `bom` is a byte order mark. */
export type ExtraSyntax = JsoncExtension | "bom";

/**
 * The members of an entry that say how its server is reached: strings, and
 * lists of them.
 */
export type LaunchFields = Readonly<Record<string, unknown>>;

/** Splits off the byte order mark, if there is one. */
export function splitBom(text: string): [bom: string, text: string] {
  return text.startsWith("\ufeff") ? ["\ufeff", text.slice(1)] : ["", text];
}

/** Returns the line break of a text; CRLF if it has both kinds. */
export function lineBreakOf(text: string): "\r\n" | "\n" {
  return text.includes("\r\n") ? "\r\n" : "\n";
}

/**
 * Returns the length of a text without these characters at its end; a regular
 * expression would try from each of them.
 */
export function trimmedLength(text: string, blanks: string): number {
  let at = text.length;
  while (at > 0 && blanks.includes(text[at - 1]!)) at--;
  return at;
}
