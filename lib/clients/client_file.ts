/**
 * Reads and edits the text of a client's configuration file, in the format of
 * that client.
 *
 * @module
 */

import {
  alwaysupCommandOf,
  type Client,
  type EntryFormat,
  type ExtraSyntax,
  type InstalledServer,
} from "./registry.ts";
import { findJsoncExtensions, jsonFormatOf } from "./json_edit.ts";
import { tomlFormatOf } from "./toml_edit.ts";
import { lineNumberOf } from "../json/spans.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";

/** The functions for a text that may be empty or begin with a BOM. */
export interface ClientFileFormat extends Omit<EntryFormat, "parse"> {
  /** Parses a text; `undefined` for an empty one. Throws if it is invalid. */
  parseClientFile(text: string): unknown;
  /** Returns the entry of a server; `undefined` if there is none. */
  findEntry(text: string, name: string): unknown;
}

/** Returns the functions that read and edit a client's file. */
export function clientFileFormatOf(client: Client): ClientFileFormat {
  const { isToml, rejectedSyntax, serversKey } = client;
  const format = isToml ? tomlFormatOf(client) : jsonFormatOf(client);
  const parseClientFile = (original: string): unknown => {
    const [, text] = splitBom(original);
    if (text.trim() === "") return undefined;
    const file = format.parse(text);
    if (isRecord(file)) return file;
    throw new Error("it is not a JSON object");
  };
  return {
    parseClientFile,
    findEntry: (text, name) =>
      getNested(parseClientFile(text), serversKey, name),
    setEntry: (original, name, launchFields) => {
      const [bom, text] = splitBom(original);
      const keepsBom = text.trim() !== "" || !rejectedSyntax?.includes("bom");
      return (keepsBom ? bom : "") + format.setEntry(text, name, launchFields);
    },
    removeEntry: (original, name) => {
      const [bom, text] = splitBom(original);
      if (text.trim() === "") return original;
      return bom + format.removeEntry(text, name);
    },
  };
}

function splitBom(text: string): [bom: string, text: string] {
  return text.startsWith("\ufeff") ? ["\ufeff", text.slice(1)] : ["", text];
}

/**
 * Returns the servers in the text of a client's file that start this program.
 *
 * @throws {Error} if the text cannot be parsed
 */
export function findAlwaysupServers(
  client: Client,
  text: string,
  launchCommand: readonly string[],
): InstalledServer[] {
  const file = clientFileFormatOf(client).parseClientFile(text);
  const oursIn = (scope: unknown): InstalledServer[] =>
    recordEntries(getNested(scope, client.serversKey))
      .flatMap(([name, server]) => {
        const command = alwaysupCommandOf(server, launchCommand);
        return command === undefined ? [] : [{ name, command }];
      });
  const projects = client.projectsKey && getNested(file, client.projectsKey);
  const inProjects = recordEntries(projects).flatMap(([project, scope]) =>
    oursIn(scope).map((found) => ({ ...found, project }))
  );
  return [...oursIn(file), ...inProjects];
}

function recordEntries(value: unknown): [name: string, value: unknown][] {
  return isRecord(value) ? Object.entries(value) : [];
}

const SYNTAX_LABELS: Readonly<Record<ExtraSyntax, string>> = {
  bom: "a byte order mark",
  comment: "a comment",
  comma: "a trailing comma",
};

/**
 * Returns the first syntax in a text that the client cannot parse, with its
 * line number from 1: `a comment (line 3)`; `undefined` if there is none.
 */
export function findRejectedSyntax(
  { rejectedSyntax = [] }: Client,
  original: string,
): string | undefined {
  const [bom, text] = splitBom(original);
  // In an empty file, `setEntry` drops a BOM that the client rejects.
  if (rejectedSyntax.length === 0 || text.trim() === "") return undefined;
  const all = findJsoncExtensions(text);
  if (bom !== "") all.unshift(["bom", 0]);
  const found = all.find(([syntax]) => rejectedSyntax.includes(syntax));
  return found &&
    `${SYNTAX_LABELS[found[0]]} (line ${lineNumberOf(text, found[1])})`;
}
