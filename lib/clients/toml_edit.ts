/**
 * Sets, replaces or removes one server's entry in the text of Codex's file, and
 * keeps every other byte.
 *
 * An entry may be a table of its own with tables below it, anywhere in the
 * file, a table in braces, or dotted keys. A new one is a table, but in braces
 * if all servers are. Removing an entry removes the comments between its header
 * and its last pair; those above the header and below that pair stay, because
 * it is unknown what they belong to. `removeTomlEntry` restores what
 * `setTomlEntry` has changed.
 *
 * @module
 */

import {
  type EntryPath,
  type LaunchFields,
  lineBreakOf,
  splitBom,
  trimmedLength,
} from "./config_entry.ts";
import type { Span } from "../json/spans.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";
import {
  type InlineTable,
  parseToml,
  type TomlPair,
  type TomlSection,
  tomlToPlain,
} from "./toml.ts";

/** White space and line breaks. */
const WHITESPACE = " \t\r\n";

/** Returns the value of a file's text. Throws with what is wrong with it. */
export function parseTomlFile(text: string): unknown {
  return tomlToPlain(parseToml(splitBom(text)[1]).root);
}

/**
 * Returns the existing entry, if there is one. Throws if the file has another
 * structure.
 */
export function findTomlEntry(
  original: string,
  { serversKey, name }: EntryPath,
): unknown {
  const servers = getNested(parseTomlFile(original), serversKey);
  if (servers === undefined || isRecord(servers)) {
    return getNested(servers, name);
  }
  throw new Error(`"${serversKey}" in it is not a table`);
}

/**
 * The members that say how a server is reached. Codex rejects its whole file if
 * members for HTTP are beside a command.
 */
const TOML_LAUNCH_FIELDS =
  /^(command|args|type|url|http_headers|http_headers_helper|env_http_headers|bearer_token|bearer_token_env_var|auth|oauth|oauth_resource)$/;

/**
 * Returns the text with this entry; other members of an existing entry are
 * kept. Returns the same text if the entry is already there. Throws if the file
 * has another structure.
 */
export function setTomlEntry(
  original: string,
  entryPath: EntryPath,
  launchFields: LaunchFields,
): string {
  const entry = findTomlEntry(original, entryPath);
  const [bom, text] = splitBom(original);
  if (entry === undefined) {
    return bom + addEntryTable(text, entryPath, launchFields);
  }
  if (isRecord(entry)) {
    return bom + updateTomlEntry(text, entryPath, launchFields);
  }
  return setTomlEntry(
    removeTomlEntry(original, entryPath),
    entryPath,
    launchFields,
  );
}

/**
 * Returns the text without this entry and the tables below it; the same text if
 * the entry is not there. Throws if the file has another structure.
 */
export function removeTomlEntry(
  original: string,
  entryPath: EntryPath,
): string {
  if (findTomlEntry(original, entryPath) === undefined) return original;
  const [bom, text] = splitBom(original);
  const path = tablePathOf(entryPath);
  const { sections } = parseToml(text);
  const below = sections.filter((section) => isAtOrBelow(section, path));
  const entryPairs = sections.flatMap((section) =>
    findEntryPairs(section, path)
  );
  return bom + applyEdits(text, [
    ...below.map((section) => sectionRemoval(text, section)),
    ...pairEdits(text, entryPairs, []),
  ]);
}

/** A pair that defines an entry, or a member of it. */
interface EntryPair {
  readonly pair: TomlPair;
  /** How many parts of its key lead to the entry; the others lead into it. */
  readonly depth: number;
  /** The inline table that contains it, if any. */
  readonly inlineTable?: InlineTable | undefined;
}

/**
 * Returns the pairs of a section that define what is at a path, or below it.
 */
function findEntryPairs(
  { path: outer, pairs }: TomlSection,
  path: readonly string[],
): EntryPair[] {
  const isAbove = outer.length < path.length &&
    outer.every((name, i) => name === path[i]);
  return isAbove ? filterEntryPairs(pairs, path.slice(outer.length)) : [];
}

function filterEntryPairs(
  pairs: readonly TomlPair[],
  path: readonly string[],
  inlineTable?: InlineTable,
): EntryPair[] {
  return pairs.flatMap((pair): readonly EntryPair[] => {
    const { key, value } = pair;
    const isOther = key.slice(0, path.length)
      .some(({ name }, i) => name !== path[i]);
    if (isOther) return [];
    if (key.length >= path.length) {
      return [{ pair, depth: path.length, inlineTable }];
    }
    return value.kind === "inline"
      ? filterEntryPairs(value.pairs, path.slice(key.length), value)
      : [];
  });
}

/** True if a section is the table at a path, or below it. */
function isAtOrBelow(section: TomlSection, path: readonly string[]): boolean {
  return path.every((name, i) => name === section.path[i]);
}

/** Where new members of an entry are inserted. */
interface InsertionPoint {
  /** The prefix of their names: the start of a dotted key. */
  readonly prefix: string;
  /** The inline table that contains them, if any. */
  readonly inlineTable?: InlineTable | undefined;
  /** They follow this span: the last member, or the header if there is none. */
  readonly after: Span;
}

/** The parts of the text that define an entry. */
interface EntryParts {
  readonly entryPairs: readonly EntryPair[];
  /** The tables below it. */
  readonly subtables: readonly TomlSection[];
  /** `undefined` if there are only tables below it. */
  readonly insertion: InsertionPoint | undefined;
}

function findEntryParts(text: string, path: readonly string[]): EntryParts {
  const { sections } = parseToml(text);
  const subtables = sections.filter((section) => isAtOrBelow(section, path));
  const own = subtables.find((section) => section.path.length === path.length);
  if (own !== undefined) {
    return {
      entryPairs: own.pairs.map((pair) => ({ pair, depth: 0 })),
      subtables: subtables.filter((section) => section !== own),
      insertion: { prefix: "", after: own.pairs.at(-1) ?? own },
    };
  }
  const entryPairs = sections.flatMap((section) =>
    findEntryPairs(section, path)
  );
  const last = entryPairs.at(-1);
  if (last === undefined) {
    return { entryPairs, subtables, insertion: undefined };
  }
  const { pair, depth, inlineTable } = last;
  if (pair.key.length > depth) {
    const prefix = text.slice(pair.start, pair.key[depth]!.start);
    return {
      entryPairs,
      subtables,
      insertion: { prefix, inlineTable, after: pair },
    };
  }
  // It is an inline table: an entry of any other kind was removed before.
  const inner = pair.value as InlineTable;
  return {
    entryPairs: inner.pairs.map((pair) => ({
      pair,
      depth: 0,
      inlineTable: inner,
    })),
    subtables,
    insertion: { prefix: "", inlineTable: inner, after: pair },
  };
}

/**
 * Replaces the launch fields of an entry, member by member; its other members
 * and its comments stay.
 */
function updateTomlEntry(
  text: string,
  entryPath: EntryPath,
  launchFields: LaunchFields,
): string {
  const path = tablePathOf(entryPath);
  const { entryPairs, subtables, insertion } = findEntryParts(text, path);
  const missing = new Map(Object.entries(launchFields));
  const edits: TextEdit[] = [];
  const removed: EntryPair[] = [];
  const isReplaced = (name: string): boolean =>
    TOML_LAUNCH_FIELDS.test(name) || Object.hasOwn(launchFields, name);
  for (const entryPair of entryPairs) {
    const { pair: { key, value }, depth } = entryPair;
    const { name } = key[depth]!;
    if (!isReplaced(name)) continue;
    if (key.length > depth + 1 || !Object.hasOwn(launchFields, name)) {
      removed.push(entryPair);
      continue;
    }
    missing.delete(name);
    if (
      JSON.stringify(tomlToPlain(value)) === JSON.stringify(launchFields[name])
    ) {
      continue;
    }
    const { start, end } = value;
    edits.push({ start, end, text: formatTomlValue(launchFields[name]) });
  }
  for (const section of subtables) {
    if (isReplaced(section.path[path.length]!)) {
      edits.push(sectionRemoval(text, section));
    }
  }
  const prefix = insertion?.prefix ?? "";
  const lines = [...missing].map(([name, value]) =>
    prefix + formatTomlPair(name, value)
  );
  const next = applyEdits(
    text,
    edits.concat(pairEdits(text, removed, lines, insertion)),
  );
  return insertion === undefined
    ? addEntryTable(next, entryPath, launchFields)
    : next;
}

/** Adds a server's table; tables below it stay. */
function addEntryTable(
  text: string,
  entryPath: EntryPath,
  launchFields: LaunchFields,
): string {
  const { sections } = parseToml(text);
  const lines = Object.entries(launchFields).map((pair) =>
    formatTomlPair(...pair)
  );
  // If the servers are an inline table, the entry must be in it.
  const [servers] = findEntryPairs(sections[0]!, [entryPath.serversKey]);
  const inlineTable = servers?.pair.key.length === 1 && servers.pair.value;
  if (inlineTable && inlineTable.kind === "inline") {
    const entry = `${formatTomlKey(entryPath.name)} = { ${lines.join(", ")} }`;
    return applyEdits(text, inlineTableEdits(text, inlineTable, [], [entry]));
  }
  const lineBreak = lineBreakOf(text);
  const header = `[${tablePathOf(entryPath).map(formatTomlKey).join(".")}]`;
  const table = [header, ...lines].join(lineBreak);
  const last = sections.findLast(({ path }) =>
    path[0] === entryPath.serversKey
  );
  const start = last === undefined
    ? lineEndAt(text, trimmedLength(text, WHITESPACE))
    : endOfComments(text, (last.pairs.at(-1) ?? last).end);
  if (trimmedLength(text, WHITESPACE) === 0) return table + lineBreak + text;
  return applyEdits(text, [
    { start, end: start, text: lineBreak + lineBreak + table },
  ]);
}

/** Replaces the text between two offsets. Edits do not overlap. */
interface TextEdit extends Span {
  /** The new text. */
  readonly text: string;
}

/** Applies edits to a text. */
function applyEdits(text: string, edits: readonly TextEdit[]): string {
  const sorted = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let next = "";
  let from = 0;
  for (const edit of sorted) {
    next += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  next += text.slice(from);
  const [first] = sorted;
  if (
    first?.start === 0 && first.end > 0 && trimmedLength(next, WHITESPACE) > 0
  ) {
    // The empty line was below the removed text.
    next = next.replace(/^[ \t]*\r?\n/, "");
  }
  // If the last line had no line break, the new last line has none.
  return text.endsWith("\n") ? next : next.replace(/\r?\n$/, "");
}

/**
 * Removes a table from its header to its last pair, with one empty line above.
 */
function sectionRemoval(text: string, section: TomlSection): TextEdit {
  let start = lineStartAt(text, section.start);
  if (start > 0) {
    const above = lineStartAt(text, start - 1);
    if (/^[ \t\r\n]*$/.test(text.slice(above, start))) start = above;
  }
  const { end } = section.pairs.at(-1) ?? section;
  return { start, end: nextLineStart(text, end), text: "" };
}

/** Removes pairs, and adds lines where the entry's pairs are. */
function pairEdits(
  text: string,
  entryPairs: readonly EntryPair[],
  lines: readonly string[],
  insertion?: InsertionPoint,
): TextEdit[] {
  const inlineTable = insertion?.inlineTable ?? entryPairs[0]?.inlineTable;
  const pairs = entryPairs.map(({ pair }) => pair);
  if (inlineTable !== undefined) {
    return inlineTableEdits(text, inlineTable, pairs, lines);
  }
  const edits = pairs.map((pair) => pairRemoval(text, pair));
  if (insertion === undefined || lines.length === 0) return edits;
  const { after } = insertion;
  const start = lineStartAt(text, after.start);
  const indent = text.slice(start, after.start);
  const lineBreak = lineBreakOf(text);
  const added = lines.map((line) => indent + line);
  if (pairs.some((pair) => pair === after)) {
    const above = added.map((line) => line + lineBreak).join("");
    return [...edits, { start, end: start, text: above }];
  }
  const end = lineEndAt(text, after.end);
  const below = added.map((line) => lineBreak + line).join("");
  return [...edits, { start: end, end, text: below }];
}

/** Removes a pair with its line; a comment after it stays. */
function pairRemoval(text: string, { start, end }: TomlPair): TextEdit {
  const comment = text.slice(end, lineEndAt(text, end)).indexOf("#");
  return comment === -1
    ? {
      start: lineStartAt(text, start),
      end: nextLineStart(text, end),
      text: "",
    }
    : { start, end: end + comment, text: "" };
}

/** Removes pairs from an inline table, and adds others after the last one. */
function inlineTableEdits(
  text: string,
  { pairs, start, end }: InlineTable,
  removed: readonly TomlPair[],
  added: readonly string[],
): TextEdit[] {
  const removedSet = new Set(removed);
  const first = pairs.findIndex((pair) => !removedSet.has(pair));
  const last = pairs.findLast((pair) => !removedSet.has(pair));
  const gap = (from: number, to: number): string =>
    withoutComma(text.slice(from, to));
  if (last === undefined) {
    const head = gap(start + 1, pairs[0]?.start ?? end - 1);
    const tail = pairs.map((pair, i) => {
      const next = pairs[i + 1];
      const between = gap(pair.end, next?.start ?? end - 1);
      return next === undefined ? between : emptyIfBlank(between);
    }).join("");
    const isSame = pairs.length === 0 || added.length === 0 && head === tail;
    const around = isSame && trimmedLength(head, WHITESPACE) === 0
      ? [head, added.length === 0 ? "" : head]
      : pairs.length === 0
      ? ["", head]
      : [head, tail];
    const inside = around.join(added.join(", "));
    return [{ start: start + 1, end: end - 1, text: inside }];
  }
  const edits = pairs.flatMap((pair, i): TextEdit[] => {
    if (!removedSet.has(pair)) return [];
    // Includes the comma before it, if that comma follows a pair that stays.
    const [start, end] = i > first
      ? [pairs[i - 1]!.end, pair.start]
      : [pair.end, pairs[i + 1]!.start];
    return [{
      start: Math.min(start, pair.start),
      end: Math.max(end, pair.end),
      text: emptyIfBlank(gap(start, end)),
    }];
  });
  const more = added.map((pair) => `, ${pair}`).join("");
  return [...edits, { start: last.end, end: last.end, text: more }];
}

/**
 * Removes the comma from the text between two pairs, or between a pair and a
 * brace.
 */
function withoutComma(text: string): string {
  for (const { 0: part, index } of text.matchAll(/#[^\n]*|,/g)) {
    if (part === ",") return text.slice(0, index) + text.slice(index + 1);
  }
  return text;
}

/** Returns the text, or an empty one if it is only white space. */
function emptyIfBlank(text: string): string {
  return trimmedLength(text, WHITESPACE) === 0 ? "" : text;
}

/**
 * Returns the end of the comments directly below a table, unless they are
 * directly above the next one, to which they belong then.
 */
function endOfComments(text: string, from: number): number {
  const end = lineEndAt(text, from);
  const comment = /\r?\n[ \t]*#[^\r\n]*/y;
  let at = end;
  for (;;) {
    comment.lastIndex = at;
    const found = comment.exec(text)?.[0];
    if (found === undefined) break;
    at += found.length;
  }
  const apart = /\r?\n[ \t]*(?:\r?\n|$)|$/y;
  apart.lastIndex = at;
  return apart.test(text) ? at : end;
}

function lineStartAt(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
}

/** Returns where a line's text ends. */
function lineEndAt(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  if (end === -1) return text.length;
  return end > at && text[end - 1] === "\r" ? end - 1 : end;
}

function nextLineStart(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end === -1 ? text.length : end + 1;
}

function tablePathOf({ serversKey, name }: EntryPath): readonly string[] {
  return [serversKey, name];
}

function formatTomlPair(name: string, value: unknown): string {
  return `${formatTomlKey(name)} = ${formatTomlValue(value)}`;
}

function formatTomlKey(name: string): string {
  return /^[\w-]+$/.test(name) ? name : formatTomlValue(name);
}

/**
 * Formats a value. A string with quotes or backslashes, e.g. a path, is easier
 * to read without escapes, and Codex writes it so.
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
