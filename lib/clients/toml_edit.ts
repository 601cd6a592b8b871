/**
 * Edits the TOML text of Codex's file: adds, replaces or removes the entry of
 * one server, and keeps every other byte.
 *
 * An existing entry has one of three forms: a table with a header and perhaps
 * subtables, anywhere in the file; an inline table (in braces); or dotted keys.
 * A new entry is a table with a header, or an inline table if the table of all
 * servers is an inline one.
 *
 * Removing an entry also removes the comments between its header and its last
 * pair. Comments above the header or below that pair stay, because they may
 * belong to another entry. Adding an entry and removing it again restores the
 * text.
 *
 * @module
 */

import type { Edit } from "npm:/jsonc-parser@3.3.1";
import {
  type AST,
  getStaticTOMLValue,
  ParseError,
  parseTOML,
} from "npm:/toml-eslint-parser@1.0.3";
import type { Client, EntryFormat, LaunchFields } from "./registry.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";

/** Returns the functions that read and edit a client's TOML file. */
export function tomlFormatOf({ serversKey }: Client): EntryFormat {
  return {
    parse: (text) => getStaticTOMLValue(parseToml(text)),
    setEntry: (text, name, launchFields) => {
      const path = [serversKey, name] as const;
      const file = new TomlText(text, path);
      if (isTable(file.entry)) return file.update(launchFields);
      return new TomlText(file.remove(), path).add(launchFields);
    },
    removeEntry: (text, name) =>
      new TomlText(text, [serversKey, name]).remove(),
  };
}

/** True for a table, but not for a date, which is an object, too. */
function isTable(value: unknown): boolean {
  return isRecord(value) && Object.getPrototypeOf(value) === Object.prototype;
}

function parseToml(text: string): AST.TOMLProgram {
  try {
    // Codex also accepts the additions of TOML 1.1.
    return parseTOML(text, { tomlVersion: "1.1" });
  } catch (error) {
    throw new Error(
      error instanceof ParseError
        ? `it is not TOML (line ${error.lineNumber}: ${error.message})`
        : "it is nested too deeply, or a text in it is too long",
    );
  }
}

/**
 * The members that an update replaces or removes. Codex rejects its whole file
 * if an entry has a command and also members for HTTP.
 */
const TOML_LAUNCH_FIELDS =
  /^(command|args|type|url|http_headers|http_headers_helper|env_http_headers|bearer_token|bearer_token_env_var|auth|oauth|oauth_resource)$/;

/** The keys that lead from the root to the entry. */
type EntryPath = readonly [serversKey: string, name: string];

/** A key/value pair that defines all servers, the entry, or a part of it. */
interface EntryPair {
  readonly pair: AST.TOMLKeyValue;
  /** The keys that lead from the root to its value. */
  readonly path: readonly (string | number)[];
}

/** A TOML text, one entry in it, and the edits for a single change. */
class TomlText {
  /** The value of the entry; `undefined` if there is none. */
  readonly entry: unknown;
  readonly #text: string;
  readonly #lineBreak: string;
  readonly #path: EntryPath;
  /** The pairs above the first header, and the tables with a header. */
  readonly #body: AST.TOMLTopLevelTable["body"];
  /** The edits of this change, which do not overlap. */
  readonly #edits: Edit[] = [];

  constructor(text: string, path: EntryPath) {
    const [serversKey, name] = path;
    const program = parseToml(text);
    const servers = getNested(getStaticTOMLValue(program), serversKey);
    if (servers !== undefined && !isTable(servers)) {
      throw new Error(`"${serversKey}" in it is not a table`);
    }
    this.entry = getNested(servers, name);
    this.#text = text;
    this.#lineBreak = text.includes("\r\n") ? "\r\n" : "\n";
    this.#path = path;
    this.#body = program.body[0].body;
  }

  /** Returns the text without the entry. */
  remove(): string {
    const pairs = this.#pairsReaching(this.#path.length);
    const braces = asInlineTable(pairs[0]?.pair.parent);
    if (braces !== undefined) this.#editInlineTable(braces, pairs, []);
    else this.#editLines(undefined, pairs, []);
    for (const table of this.#entryTables()) this.#removeTable(table);
    return this.#apply();
  }

  /** Replaces the entry's launch fields; other members and comments stay. */
  update(launchFields: LaunchFields): string {
    const depth = this.#path.length;
    const members = this.#pairsReaching(depth + 1);
    const removed: EntryPair[] = [];
    const missing = new Map(Object.entries(launchFields));
    for (const member of members) {
      const { pair: { value }, path } = member;
      const name = String(path[depth]);
      if (!TOML_LAUNCH_FIELDS.test(name)) continue;
      const field = path.length === depth + 1 ? missing.get(name) : undefined;
      if (field === undefined) {
        removed.push(member);
        continue;
      }
      missing.delete(name);
      if (JSON.stringify(getStaticTOMLValue(value)) !== JSON.stringify(field)) {
        this.#replace(value.range, formatTomlValue(field));
      }
    }
    const tables = this.#entryTables();
    for (const table of tables) {
      const name = String(table.resolvedKey[depth]);
      if (TOML_LAUNCH_FIELDS.test(name)) this.#removeTable(table);
    }
    const last = members.at(-1);
    const after = last?.pair ??
      tables.find(({ resolvedKey }) => resolvedKey.length === depth);
    const braces = asInlineTable(
      last?.pair.parent ?? this.#pairsReaching(depth)[0]?.pair.value,
    );
    // If the members have dotted keys, a new key needs the same beginning.
    const prefix = last === undefined ? "" : this.#text.slice(
      last.pair.range[0],
      last.pair.key.keys.at(depth - last.path.length)!.range[0],
    );
    const added = [...missing].map((pair) => prefix + formatTomlPair(pair));
    if (braces !== undefined) this.#editInlineTable(braces, removed, added);
    else this.#editLines(after, removed, added);
    const text = this.#apply();
    return braces === undefined && after === undefined
      ? new TomlText(text, this.#path).add(launchFields)
      : text;
  }

  /** Adds the entry; existing subtables of it stay. */
  add(launchFields: LaunchFields): string {
    const text = this.#text;
    const pairs = Object.entries(launchFields).map(formatTomlPair);
    const [serversKey, name] = this.#path;
    // TOML allows no additions to an inline table outside its braces.
    const servers = this.#pairsReaching(1).find(({ path }) =>
      path.length === 1
    );
    const braces = asInlineTable(servers?.pair.value);
    if (braces !== undefined) {
      const table = `${formatTomlKey(name)} = { ${pairs.join(", ")} }`;
      this.#editInlineTable(braces, [], [table]);
      return this.#apply();
    }
    const header = `[${this.#path.map(formatTomlKey).join(".")}]`;
    const table = [header, ...pairs].join(this.#lineBreak);
    if (text.trim() === "") return table + this.#lineBreak + text;
    const last = this.#body.findLast((node) =>
      node.type === "TOMLTable" && node.resolvedKey[0] === serversKey
    );
    const at = last === undefined
      ? lineAt(text, text.trimEnd().length).end
      : endOfComments(text, last.range[1]);
    this.#replace([at, at], this.#lineBreak.repeat(2) + table);
    return this.#apply();
  }

  /**
   * Returns the pairs on the entry's path, or below it, whose path has at least
   * `depth` keys, while the path of the table around the pair has fewer.
   */
  #pairsReaching(depth: number): EntryPair[] {
    const start = this.#path.slice(0, depth);
    const find = (
      nodes: AST.TOMLTopLevelTable["body"],
      outer: EntryPair["path"],
    ): EntryPair[] =>
      nodes.flatMap((node) => {
        const isTable = node.type === "TOMLTable";
        const path = isTable
          ? node.resolvedKey
          : [...outer, ...getStaticTOMLValue(node.key)];
        if (start.some((name, i) => name !== (path[i] ?? name))) return [];
        if (path.length >= depth) return isTable ? [] : [{ pair: node, path }];
        const body = isTable ? node.body : asInlineTable(node.value)?.body;
        return find(body ?? [], path);
      });
    return find(this.#body, []);
  }

  /** Returns the tables with a header that are the entry or its subtables. */
  #entryTables(): AST.TOMLTable[] {
    return this.#body.filter((node) => node.type === "TOMLTable")
      .filter(({ resolvedKey }) =>
        this.#path.every((name, i) => name === resolvedKey[i])
      );
  }

  #replace([start, end]: AST.TOMLNode["range"], content: string): void {
    this.#edits.push({ offset: start, length: end - start, content });
  }

  /** Removes a table with its header, and one empty line above it. */
  #removeTable({ range: [from, to] }: AST.TOMLTable): void {
    const { start } = lineAt(this.#text, from);
    const above = lineAt(this.#text, Math.max(0, start - 1)).start;
    const isEmpty = this.#text.slice(above, start).trim() === "";
    const { next } = lineAt(this.#text, to);
    this.#replace([isEmpty ? above : start, next], "");
  }

  /**
   * Removes pairs with their lines. Adds lines below a node, or in its place if
   * the node is removed. A comment at the end of a removed line stays.
   */
  #editLines(
    node: AST.TOMLNode | undefined,
    removed: readonly EntryPair[],
    added: readonly string[],
  ): void {
    for (const { pair: { range: [from, to] } } of removed) {
      const { end, next } = lineAt(this.#text, to);
      const comment = this.#text.slice(to, end).indexOf("#");
      const { start } = lineAt(this.#text, from);
      this.#replace(comment === -1 ? [start, next] : [from, to + comment], "");
    }
    if (node === undefined) return;
    const [from, to] = node.range;
    const { start } = lineAt(this.#text, from);
    const indent = this.#text.slice(start, from);
    const isRemoved = removed.some(({ pair }) => pair === node);
    const at = isRemoved ? start : lineAt(this.#text, to).end;
    const lines = added.map((line) =>
      isRemoved
        ? indent + line + this.#lineBreak
        : this.#lineBreak + indent + line
    );
    this.#replace([at, at], lines.join(""));
  }

  /** Removes pairs from an inline table, and adds others at its end. */
  #editInlineTable(
    { body: pairs, range: [open, close] }: AST.TOMLInlineTable,
    removed: readonly EntryPair[],
    added: readonly string[],
  ): void {
    const removedPairs = new Set(removed.map(({ pair }) => pair));
    const last = pairs.findLast((pair) => !removedPairs.has(pair));
    let hasKept = false;
    for (const [i, pair] of pairs.entries()) {
      if (!removedPairs.has(pair)) {
        hasKept = true;
        continue;
      }
      this.#replace(pair.range, "");
      // Removes the comma before it, or else the one after it. Comments stay.
      const from = hasKept ? pairs[i - 1]!.range[1] : pair.range[1];
      const to = hasKept ? pair.range[0] : pairs[i + 1]?.range[0] ?? close - 1;
      const gap = withoutComma(this.#text.slice(from, to));
      const mustKeepGap = last === undefined && added.length > 0 &&
        i === pairs.length - 1;
      this.#replace([from, to], gap.trim() === "" && !mustKeepGap ? "" : gap);
    }
    if (added.length === 0) return;
    const inside = this.#text.slice(open + 1, close - 1);
    const blanks = inside.trim() === "" ? inside : "";
    const at = last?.range[1] ?? pairs[0]?.range[0] ?? open + 1;
    this.#replace([at, at], (last ? ", " : blanks) + added.join(", "));
  }

  #apply(): string {
    const text = this.#text;
    let next = withEdits(text, this.#edits);
    const isStartRemoved = this.#edits.some(({ offset, length }) =>
      offset === 0 && length > 0
    );
    if (isStartRemoved && next.trim() !== "") {
      // Removes the empty line that followed the removed text.
      next = next.replace(/^[ \t]*\r?\n/, "");
    }
    // If the last line had no line break, the new last line has none.
    return text.endsWith("\n") ? next : next.replace(/\r?\n$/, "");
  }
}

/** Returns a node if it is an inline table; otherwise `undefined`. */
function asInlineTable(
  node: AST.TOMLNode | undefined,
): AST.TOMLInlineTable | undefined {
  return node?.type === "TOMLInlineTable" ? node : undefined;
}

/** Removes the first comma that is not in a comment. */
function withoutComma(text: string): string {
  for (const { 0: part, index } of text.matchAll(/#[^\n]*|,/g)) {
    if (part === ",") return text.slice(0, index) + text.slice(index + 1);
  }
  return text;
}

/**
 * Returns the end of the comments directly below a table. Comments directly
 * above the next header belong to that header, and are not included.
 */
function endOfComments(text: string, from: number): number {
  const { end } = lineAt(text, from);
  const comments = /(?:\r?\n[ \t]*#[^\r\n]*)*(?=\r?\n[ \t]*(?:\r?\n|$)|$)/y;
  comments.lastIndex = end;
  return end + (comments.exec(text)?.[0].length ?? 0);
}

/** Returns the start of a line, its end, and the start of the next line. */
function lineAt(
  text: string,
  at: number,
): { start: number; end: number; next: number } {
  const start = at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
  const next = text.indexOf("\n", at) + 1 || text.length;
  const end = at + text.slice(at, next).replace(/\r?\n$/, "").length;
  return { start, end, next };
}

function formatTomlPair([name, value]: [string, unknown]): string {
  return `${formatTomlKey(name)} = ${formatTomlValue(value)}`;
}

function formatTomlKey(name: string): string {
  return /^[\w-]+$/.test(name) ? name : formatTomlValue(name);
}

/**
 * Formats a value. A string with double quotes or backslashes, e.g. a Windows
 * path, becomes a literal string ('...'), which needs no escapes. Codex writes
 * such strings in the same way.
 */
function formatTomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatTomlValue).join(", ")}]`;
  if (typeof value !== "string") return String(value);
  const text = value.toWellFormed();
  if (/["\\]/.test(text) && /^[ -&(-~\x80-\uffff]*$/.test(text)) {
    return `'${text}'`;
  }
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}

/** Applies edits in one pass; `jsonc-parser` copies the text for each edit. */
function withEdits(text: string, edits: readonly Edit[]): string {
  const parts: string[] = [];
  let at = 0;
  const inOrder = edits.toSorted((a, b) =>
    a.offset - b.offset || a.length - b.length
  );
  for (const { offset, length, content } of inOrder) {
    parts.push(text.slice(at, offset), content);
    at = offset + length;
  }
  return parts.join("") + text.slice(at);
}
