/**
 * Reads and edits a client's file in the format of that client.
 *
 * @module
 */

import {
  type Client,
  filterAlwaysupServers,
  type InstalledServer,
  memberFilterFor,
} from "./registry.ts";
import type { EntryPath, ExtraSyntax, LaunchFields } from "./config_entry.ts";
import type { PathFilter } from "../json/jsonc.ts";
import {
  extraSyntaxIn,
  findJsonEntry,
  parseJsonFile,
  removeJsonEntry,
  setJsonEntry,
} from "./json_edit.ts";
import {
  findTomlEntry,
  parseTomlFile,
  removeTomlEntry,
  setTomlEntry,
} from "./toml_edit.ts";

/**
 * Reads and edits one format. Each function throws with what is wrong with a
 * text, as a part of a sentence: `it is not JSON (line 3)`.
 */
export interface ClientFileFormat {
  /** Parses a text; of JSON, only the wanted members. */
  parseClientFile(text: string, wanted?: PathFilter): unknown;
  /** Returns the existing entry, if there is one. */
  findEntry(text: string, entryPath: EntryPath): unknown;
  /** Returns the text with an entry. */
  setEntry(
    text: string,
    entryPath: EntryPath,
    launchFields: LaunchFields,
  ): string;
  /** Returns the text without an entry. */
  removeEntry(text: string, entryPath: EntryPath): string;
}

const JSON_FORMAT: ClientFileFormat = {
  parseClientFile: parseJsonFile,
  findEntry: findJsonEntry,
  setEntry: setJsonEntry,
  removeEntry: removeJsonEntry,
};

const TOML_FORMAT: ClientFileFormat = {
  parseClientFile: parseTomlFile,
  findEntry: findTomlEntry,
  setEntry: setTomlEntry,
  removeEntry: removeTomlEntry,
};

/** Returns the format of a client's file. */
export function clientFileFormatOf({ isToml }: Client): ClientFileFormat {
  return isToml ? TOML_FORMAT : JSON_FORMAT;
}

/**
 * Returns the servers in the text of a client's file that are this program.
 * Throws with what is wrong with the text.
 *
 * @param launchCommand the command that starts this program, wherever it is
 */
export function findAlwaysupServers(
  client: Client,
  text: string,
  launchCommand: readonly string[],
): InstalledServer[] {
  // `trim` also removes a byte order mark.
  if (text.trim() === "") return [];
  const file = clientFileFormatOf(client).parseClientFile(
    text,
    memberFilterFor(client),
  );
  return filterAlwaysupServers(client, file, launchCommand);
}

const EXTRA_SYNTAX_LABELS: Readonly<Record<ExtraSyntax, string>> = {
  bom: "a byte order mark",
  comment: "a comment",
  comma: "a comma behind the last member",
};

/**
 * Returns the syntax in a text that its client cannot parse, with its line,
 * counted from 1: `a comment (line 3)`; `undefined` if there is none. Throws
 * with what is wrong with the text.
 */
export function findRejectedSyntax(
  { isToml, rejectedSyntax = [] }: Client,
  text: string,
): string | undefined {
  if (isToml || rejectedSyntax.length === 0) return undefined;
  for (const [syntax, line] of extraSyntaxIn(text)) {
    if (rejectedSyntax.includes(syntax)) {
      return `${EXTRA_SYNTAX_LABELS[syntax]} (line ${line})`;
    }
  }
  return undefined;
}
