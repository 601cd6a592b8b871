/**
 * What is the same for an entry in JSON and in TOML: where it belongs, what it
 * says, and the start, the line ends and the end of the text around it.
 *
 * @module
 */

import type { JsoncExtension } from "../json/jsonc.ts";

/** Where an entry belongs: the member that holds the servers, and the server's name in it. */
export interface EntryPath {
  /** The member of the file; in TOML a table. */
  readonly serversKey: string;
  /** The member of that one. */
  readonly name: string;
  /** What the client does not read, so that none is added. */
  readonly rejectedSyntax?: readonly ExtraSyntax[];
}

/** What a text may have before or in its JSON that some clients do not read; `mark` is a byte order mark. */
export type ExtraSyntax = JsoncExtension | "mark";

/** The members of an entry that say how its server is reached: texts, and lists of them. */
export type LaunchFields = Readonly<Record<string, unknown>>;

/** The byte order mark, if there is one, and the rest. */
export function splitBom(text: string): [bom: string, text: string] {
  return text.startsWith("\ufeff") ? ["\ufeff", text.slice(1)] : ["", text];
}

/** The line end of a text; of two kinds, CRLF. */
export function lineBreakOf(text: string): "\r\n" | "\n" {
  return text.includes("\r\n") ? "\r\n" : "\n";
}

/** Where the blanks begin that end a text; an expression would try from each of them. */
export function trimmedLength(text: string, blanks: string): number {
  let at = text.length;
  while (at > 0 && blanks.includes(text[at - 1]!)) at--;
  return at;
}
