/**
 * The text of a client's file, in the format of that client.
 *
 * @module
 */

import { type Client, findOurs, type Found, wantedBy } from "./registry.ts";
import type { Oddity, Reached, Slot } from "./entry.ts";
import type { Wanted } from "../json/jsonc.ts";
import * as json from "./json_edit.ts";
import * as toml from "./toml_edit.ts";

/** How a format is read and changed; each function throws with what is wrong with a text, as a part of a sentence: `it is not JSON (line 3)`. */
export interface Format {
  /** The value that a text is; of JSON, those of its members that are asked for. */
  parseFile(text: string, wanted?: Wanted): unknown;
  /** The entry that is there, if one is. */
  entryIn(text: string, slot: Slot): unknown;
  /** The text with an entry. */
  withEntry(text: string, slot: Slot, reached: Reached): string;
  /** The text without an entry. */
  withoutEntry(text: string, slot: Slot): string;
}

/** The format of a client's file. */
export function formatOf({ isToml }: Client): Format {
  return isToml ? toml : json;
}

/**
 * The servers in the text of a client's file that are this program. Throws with
 * what is wrong with the text.
 *
 * @param program what starts it, wherever it lies
 */
export function oursIn(
  client: Client,
  text: string,
  program: readonly string[],
): Found[] {
  // A byte order mark is white space, too.
  if (text.trim() === "") return [];
  const file = formatOf(client).parseFile(text, wantedBy(client));
  return findOurs(client, file, program);
}

const ODDITIES: Readonly<Record<Oddity, string>> = {
  mark: "a byte order mark",
  comment: "a comment",
  comma: "a comma behind the last member",
};

/**
 * What in a text keeps its client from reading it, and in which line, counted
 * from 1: `a comment (line 3)`; `undefined` if nothing does. Throws with what is
 * wrong with the text.
 */
export function rejectedIn(
  { isToml, rejects = [] }: Client,
  text: string,
): string | undefined {
  if (isToml || rejects.length === 0) return undefined;
  for (const [what, line] of json.odditiesIn(text)) {
    if (rejects.includes(what)) return `${ODDITIES[what]} (line ${line})`;
  }
  return undefined;
}
