/**
 * One server's entry in the text of Codex's file: put in, replaced or taken out,
 * and every other byte kept.
 *
 * An entry may be a table of its own with tables below it, anywhere in the file,
 * a table in braces, or keys with dots. A new one is a table, but in braces
 * where all servers are. Taking out an entry takes the comments between its
 * header and its last pair; those above the header and below that pair stay, for
 * nobody knows what they belong to. What `setTomlEntry` has put in, `removeTomlEntry`
 * takes out without a trace.
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

/** White space and line ends. */
const WHITESPACE = " \t\r\n";

/** The value that a file's text is. Throws, with what is wrong with it. */
export function parseTomlFile(text: string): unknown {
  return tomlToPlain(parseToml(splitBom(text)[1]).root);
}

/** The entry that is there, if one is. Throws if the file is of another shape. */
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

/** What says how a server is reached; Codex refuses its whole file if what is for HTTP stands beside a command. */
const TOML_LAUNCH_FIELDS =
  /^(command|args|type|url|http_headers|http_headers_helper|env_http_headers|bearer_token|bearer_token_env_var|auth|oauth|oauth_resource)$/;

/** The text with this entry; what else an older one said is kept. It is the same text if the entry is there. Throws if the file is of another shape. */
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

/** The text without this entry, and without the tables below it. It is the same text if it is not there. Throws if the file is of another shape. */
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

/** A pair that says an entry, or something in it. */
interface EntryPair {
  readonly pair: TomlPair;
  /** How many parts of its key lead to the entry; the others lead into it. */
  readonly depth: number;
  /** The braces in which it stands, if it does. */
  readonly inlineTable?: InlineTable | undefined;
}

/** The pairs of a section that say what is at a path, or something below it. */
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

/** Whether a section is the table at a path, or lies below it. */
function isAtOrBelow(section: TomlSection, path: readonly string[]): boolean {
  return path.every((name, i) => name === section.path[i]);
}

/** Where further members of an entry are put. */
interface InsertionPoint {
  /** What stands in front of their names: the start of a key with dots. */
  readonly prefix: string;
  /** The braces in which they stand, if they do. */
  readonly inlineTable?: InlineTable | undefined;
  /** Behind what they come: the last member, or the header if there is none. */
  readonly after: Span;
}

/** The statements about the members of an entry. */
interface EntryParts {
  readonly entryPairs: readonly EntryPair[];
  /** The tables below it. */
  readonly subtables: readonly TomlSection[];
  /** There is none if there are only tables below it. */
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
  // It is a table in braces, for all else was taken out before.
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

/** The text with what reaches a server said anew, member by member: what else is said in its entry stays, comments too. */
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
  const lines = [...missing].map(([name, value]) => prefix + line(name, value));
  const next = applyEdits(
    text,
    edits.concat(pairEdits(text, removed, lines, insertion)),
  );
  return insertion === undefined
    ? addEntryTable(next, entryPath, launchFields)
    : next;
}

/** The text with a table of a server; tables below it stay. */
function addEntryTable(
  text: string,
  entryPath: EntryPath,
  launchFields: LaunchFields,
): string {
  const { sections } = parseToml(text);
  const lines = Object.entries(launchFields).map((pair) => line(...pair));
  // What is in braces can be nowhere else.
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

/** A change of a text: what stands between two offsets is replaced. No two overlap. */
interface TextEdit extends Span {
  /** What stands there then. */
  readonly text: string;
}

/** The text with these changes. */
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
    // It stood below what is gone.
    next = next.replace(/^[ \t]*\r?\n/, "");
  }
  // The last line had no end, nor has what is the last one now.
  return text.endsWith("\n") ? next : next.replace(/\r?\n$/, "");
}

/** Takes out a table from its header to its last pair, with one empty line above. */
function sectionRemoval(text: string, section: TomlSection): TextEdit {
  let start = lineStartAt(text, section.start);
  if (start > 0) {
    const above = lineStartAt(text, start - 1);
    if (/^[ \t\r\n]*$/.test(text.slice(above, start))) start = above;
  }
  const { end } = section.pairs.at(-1) ?? section;
  return { start, end: nextLineStart(text, end), text: "" };
}

/** Takes out pairs, and puts others where an entry's are. */
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
    const text = added.map((line) => line + lineBreak).join("");
    return [...edits, { start, end: start, text }];
  }
  const end = lineEndAt(text, after.end);
  const below = added.map((line) => lineBreak + line).join("");
  return [...edits, { start: end, end, text: below }];
}

/** Takes out a pair with its line; a comment behind it stays. */
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

/** Takes pairs out of braces, and puts others behind the last. */
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
      const said = gap(pair.end, next?.start ?? end - 1);
      return next === undefined ? said : emptyIfBlank(said);
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
    // With the comma in front of it, if that is one behind a pair that stays.
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

/** What stands between two pairs, or a pair and a brace, without its comma. */
function withoutComma(text: string): string {
  for (const { 0: part, index } of text.matchAll(/#[^\n]*|,/g)) {
    if (part === ",") return text.slice(0, index) + text.slice(index + 1);
  }
  return text;
}

/** What stands there, if it is not only space. */
function emptyIfBlank(text: string): string {
  return trimmedLength(text, WHITESPACE) === 0 ? "" : text;
}

/** The end of the comments directly below a table that do not stand directly above the next: they belong to it. */
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

/** Where a line's text ends. */
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

function line(name: string, value: unknown): string {
  return `${formatTomlKey(name)} = ${formatTomlValue(value)}`;
}

function formatTomlKey(name: string): string {
  return /^[\w-]+$/.test(name) ? name : formatTomlValue(name);
}

/** A value as a file says it. What has quotes or backslashes, a path for example, is easier to read without escapes, and Codex writes it so. */
function formatTomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatTomlValue).join(", ")}]`;
  if (typeof value !== "string") return String(value);
  const text = value.toWellFormed();
  if (/["\\]/.test(text) && /^[ -&(-~\x80-\uffff]*$/.test(text)) {
    return `'${text}'`;
  }
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}
