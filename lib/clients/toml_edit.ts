/**
 * One server's entry in the text of Codex's file: put in, replaced or taken out,
 * and every other byte kept.
 *
 * An entry may be a table of its own with tables below it, anywhere in the file,
 * a table in braces, or keys with dots. A new one is a table, but in braces
 * where all servers are. Taking out an entry takes the comments between its
 * header and its last pair; those above the header and below that pair stay, for
 * nobody knows what they belong to. What `withEntry` has put in, `withoutEntry`
 * takes out without a trace.
 *
 * @module
 */

import { endOf, lineBreakOf, type Reached, type Slot, split } from "./entry.ts";
import type { Span } from "../json/spans.ts";
import { dig, isRecord } from "../protocol/jsonrpc.ts";
import {
  type InlineTable,
  type Pair,
  parse,
  plain,
  type Section,
} from "./toml.ts";

/** White space and line ends. */
const BLANKS = " \t\r\n";

/** The value that a file's text is. Throws, with what is wrong with it. */
export function parseFile(text: string): unknown {
  return plain(parse(split(text)[1]).root);
}

/** The entry that is there, if one is. Throws if the file is of another shape. */
export function entryIn(original: string, { key, name }: Slot): unknown {
  const servers = dig(parseFile(original), key);
  if (servers === undefined || isRecord(servers)) return dig(servers, name);
  throw new Error(`"${key}" in it is not a table`);
}

/** What says how a server is reached; Codex refuses its whole file if what is for HTTP stands beside a command. */
const REACHED =
  /^(command|args|type|url|http_headers|http_headers_helper|env_http_headers|bearer_token|bearer_token_env_var|auth|oauth|oauth_resource)$/;

/** The text with this entry; what else an older one said is kept. It is the same text if the entry is there. Throws if the file is of another shape. */
export function withEntry(
  original: string,
  slot: Slot,
  reached: Reached,
): string {
  const entry = entryIn(original, slot);
  const [mark, text] = split(original);
  if (entry === undefined) return mark + added(text, slot, reached);
  if (isRecord(entry)) return mark + remade(text, slot, reached);
  return withEntry(withoutEntry(original, slot), slot, reached);
}

/** The text without this entry, and without the tables below it. It is the same text if it is not there. Throws if the file is of another shape. */
export function withoutEntry(original: string, slot: Slot): string {
  if (entryIn(original, slot) === undefined) return original;
  const [mark, text] = split(original);
  const path = pathOf(slot);
  const { sections } = parse(text);
  const below = sections.filter((section) => isBelow(section, path));
  const entryPairs = sections.flatMap((section) => entryPairsIn(section, path));
  return mark + applied(text, [
    ...below.map((section) => sectionCut(text, section)),
    ...pairsCut(text, entryPairs, []),
  ]);
}

/** A pair that says an entry, or something in it. */
interface EntryPair {
  readonly pair: Pair;
  /** How many parts of its key lead to the entry; the others lead into it. */
  readonly depth: number;
  /** The braces in which it stands, if it does. */
  readonly braces?: InlineTable | undefined;
}

/** The pairs of a section that say what is at a path, or something below it. */
function entryPairsIn(
  { path: outer, pairs }: Section,
  path: readonly string[],
): EntryPair[] {
  const isAbove = outer.length < path.length &&
    outer.every((name, i) => name === path[i]);
  return isAbove ? entryPairsAmong(pairs, path.slice(outer.length)) : [];
}

function entryPairsAmong(
  pairs: readonly Pair[],
  path: readonly string[],
  braces?: InlineTable,
): EntryPair[] {
  return pairs.flatMap((pair): readonly EntryPair[] => {
    const { key, value } = pair;
    const isOther = key.slice(0, path.length)
      .some(({ name }, i) => name !== path[i]);
    if (isOther) return [];
    if (key.length >= path.length) {
      return [{ pair, depth: path.length, braces }];
    }
    return value.kind === "inline"
      ? entryPairsAmong(value.pairs, path.slice(key.length), value)
      : [];
  });
}

/** Whether a section is the table at a path, or lies below it. */
function isBelow(section: Section, path: readonly string[]): boolean {
  return path.every((name, i) => name === section.path[i]);
}

/** Where further members of an entry are put. */
interface Insertion {
  /** What stands in front of their names: the start of a key with dots. */
  readonly prefix: string;
  /** The braces in which they stand, if they do. */
  readonly braces?: InlineTable | undefined;
  /** Behind what they come: the last member, or the header if there is none. */
  readonly last: Span;
}

/** The statements about the members of an entry. */
interface Statements {
  readonly entryPairs: readonly EntryPair[];
  /** The tables below it. */
  readonly below: readonly Section[];
  /** There is none if there are only tables below it. */
  readonly insertion: Insertion | undefined;
}

function statementsIn(text: string, path: readonly string[]): Statements {
  const { sections } = parse(text);
  const below = sections.filter((section) => isBelow(section, path));
  const own = below.find((section) => section.path.length === path.length);
  if (own !== undefined) {
    return {
      entryPairs: own.pairs.map((pair) => ({ pair, depth: 0 })),
      below: below.filter((section) => section !== own),
      insertion: { prefix: "", last: own.pairs.at(-1) ?? own },
    };
  }
  const entryPairs = sections.flatMap((section) => entryPairsIn(section, path));
  const last = entryPairs.at(-1);
  if (last === undefined) return { entryPairs, below, insertion: undefined };
  const { pair, depth, braces } = last;
  if (pair.key.length > depth) {
    const prefix = text.slice(pair.start, pair.key[depth]!.start);
    return { entryPairs, below, insertion: { prefix, braces, last: pair } };
  }
  // It is a table in braces, for all else was taken out before.
  const inner = pair.value as InlineTable;
  return {
    entryPairs: inner.pairs.map((pair) => ({ pair, depth: 0, braces: inner })),
    below,
    insertion: { prefix: "", braces: inner, last: pair },
  };
}

/** The text with what reaches a server said anew, member by member: what else is said in its entry stays, comments too. */
function remade(text: string, slot: Slot, reached: Reached): string {
  const path = pathOf(slot);
  const { entryPairs, below, insertion } = statementsIn(text, path);
  const missing = new Map(Object.entries(reached));
  const edits: Edit[] = [];
  const cut: EntryPair[] = [];
  const isRemade = (name: string): boolean =>
    REACHED.test(name) || Object.hasOwn(reached, name);
  for (const entryPair of entryPairs) {
    const { pair: { key, value }, depth } = entryPair;
    const { name } = key[depth]!;
    if (!isRemade(name)) continue;
    if (key.length > depth + 1 || !Object.hasOwn(reached, name)) {
      cut.push(entryPair);
      continue;
    }
    missing.delete(name);
    if (JSON.stringify(plain(value)) === JSON.stringify(reached[name])) {
      continue;
    }
    const { start, end } = value;
    edits.push({ start, end, text: toValue(reached[name]) });
  }
  for (const section of below) {
    if (isRemade(section.path[path.length]!)) {
      edits.push(sectionCut(text, section));
    }
  }
  const prefix = insertion?.prefix ?? "";
  const lines = [...missing].map(([name, value]) => prefix + line(name, value));
  const next = applied(
    text,
    edits.concat(pairsCut(text, cut, lines, insertion)),
  );
  return insertion === undefined ? added(next, slot, reached) : next;
}

/** The text with a table of a server; tables below it stay. */
function added(text: string, slot: Slot, reached: Reached): string {
  const { sections } = parse(text);
  const lines = Object.entries(reached).map((pair) => line(...pair));
  // What is in braces can be nowhere else.
  const [servers] = entryPairsIn(sections[0]!, [slot.key]);
  const braces = servers?.pair.key.length === 1 && servers.pair.value;
  if (braces && braces.kind === "inline") {
    const entry = `${toKey(slot.name)} = { ${lines.join(", ")} }`;
    return applied(text, bracesEdits(text, braces, [], [entry]));
  }
  const lineBreak = lineBreakOf(text);
  const header = `[${pathOf(slot).map(toKey).join(".")}]`;
  const table = [header, ...lines].join(lineBreak);
  const last = sections.findLast(({ path }) => path[0] === slot.key);
  const start = last === undefined
    ? lineEnd(text, endOf(text, BLANKS))
    : behindComments(text, (last.pairs.at(-1) ?? last).end);
  if (endOf(text, BLANKS) === 0) return table + lineBreak + text;
  return applied(text, [
    { start, end: start, text: lineBreak + lineBreak + table },
  ]);
}

/** A change of a text: what stands between two offsets is replaced. No two overlap. */
interface Edit extends Span {
  /** What stands there then. */
  readonly text: string;
}

/** The text with these changes. */
function applied(text: string, edits: readonly Edit[]): string {
  const sorted = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let next = "";
  let from = 0;
  for (const edit of sorted) {
    next += text.slice(from, edit.start) + edit.text;
    from = edit.end;
  }
  next += text.slice(from);
  const [first] = sorted;
  if (first?.start === 0 && first.end > 0 && endOf(next, BLANKS) > 0) {
    // It stood below what is gone.
    next = next.replace(/^[ \t]*\r?\n/, "");
  }
  // The last line had no end, nor has what is the last one now.
  return text.endsWith("\n") ? next : next.replace(/\r?\n$/, "");
}

/** Takes out a table from its header to its last pair, with one empty line above. */
function sectionCut(text: string, section: Section): Edit {
  let start = lineStart(text, section.start);
  if (start > 0) {
    const above = lineStart(text, start - 1);
    if (/^[ \t\r\n]*$/.test(text.slice(above, start))) start = above;
  }
  const { end } = section.pairs.at(-1) ?? section;
  return { start, end: nextLine(text, end), text: "" };
}

/** Takes out pairs, and puts others where an entry's are. */
function pairsCut(
  text: string,
  entryPairs: readonly EntryPair[],
  lines: readonly string[],
  insertion?: Insertion,
): Edit[] {
  const braces = insertion?.braces ?? entryPairs[0]?.braces;
  const pairs = entryPairs.map(({ pair }) => pair);
  if (braces !== undefined) return bracesEdits(text, braces, pairs, lines);
  const edits = pairs.map((pair) => pairCut(text, pair));
  if (insertion === undefined || lines.length === 0) return edits;
  const { last } = insertion;
  const start = lineStart(text, last.start);
  const indent = text.slice(start, last.start);
  const lineBreak = lineBreakOf(text);
  const added = lines.map((line) => indent + line);
  if (pairs.some((pair) => pair === last)) {
    const text = added.map((line) => line + lineBreak).join("");
    return [...edits, { start, end: start, text }];
  }
  const end = lineEnd(text, last.end);
  const below = added.map((line) => lineBreak + line).join("");
  return [...edits, { start: end, end, text: below }];
}

/** Takes out a pair with its line; a comment behind it stays. */
function pairCut(text: string, { start, end }: Pair): Edit {
  const comment = text.slice(end, lineEnd(text, end)).indexOf("#");
  return comment === -1
    ? { start: lineStart(text, start), end: nextLine(text, end), text: "" }
    : { start, end: end + comment, text: "" };
}

/** Takes pairs out of braces, and puts others behind the last. */
function bracesEdits(
  text: string,
  { pairs, start, end }: InlineTable,
  cut: readonly Pair[],
  added: readonly string[],
): Edit[] {
  const gone = new Set(cut);
  const first = pairs.findIndex((pair) => !gone.has(pair));
  const last = pairs.findLast((pair) => !gone.has(pair));
  const gap = (from: number, to: number): string =>
    withoutComma(text.slice(from, to));
  if (last === undefined) {
    const head = gap(start + 1, pairs[0]?.start ?? end - 1);
    const tail = pairs.map((pair, i) => {
      const next = pairs[i + 1];
      const said = gap(pair.end, next?.start ?? end - 1);
      return next === undefined ? said : commentsOf(said);
    }).join("");
    const isSame = pairs.length === 0 || added.length === 0 && head === tail;
    const around = isSame && endOf(head, BLANKS) === 0
      ? [head, added.length === 0 ? "" : head]
      : pairs.length === 0
      ? ["", head]
      : [head, tail];
    const inside = around.join(added.join(", "));
    return [{ start: start + 1, end: end - 1, text: inside }];
  }
  const edits = pairs.flatMap((pair, i): Edit[] => {
    if (!gone.has(pair)) return [];
    // With the comma in front of it, if that is one behind a pair that stays.
    const [start, end] = i > first
      ? [pairs[i - 1]!.end, pair.start]
      : [pair.end, pairs[i + 1]!.start];
    return [{
      start: Math.min(start, pair.start),
      end: Math.max(end, pair.end),
      text: commentsOf(gap(start, end)),
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
function commentsOf(text: string): string {
  return endOf(text, BLANKS) === 0 ? "" : text;
}

/** The end of the comments directly below a table that do not stand directly above the next: they belong to it. */
function behindComments(text: string, from: number): number {
  const end = lineEnd(text, from);
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

function lineStart(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
}

/** Where a line's text ends. */
function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  if (end === -1) return text.length;
  return end > at && text[end - 1] === "\r" ? end - 1 : end;
}

function nextLine(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end === -1 ? text.length : end + 1;
}

function pathOf({ key, name }: Slot): readonly string[] {
  return [key, name];
}

function line(name: string, value: unknown): string {
  return `${toKey(name)} = ${toValue(value)}`;
}

function toKey(name: string): string {
  return /^[\w-]+$/.test(name) ? name : toValue(name);
}

/** A value as a file says it. What has quotes or backslashes, a path for example, is easier to read without escapes, and Codex writes it so. */
function toValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toValue).join(", ")}]`;
  if (typeof value !== "string") return String(value);
  const text = value.toWellFormed();
  if (/["\\]/.test(text) && /^[ -&(-~\x80-\uffff]*$/.test(text)) {
    return `'${text}'`;
  }
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}
