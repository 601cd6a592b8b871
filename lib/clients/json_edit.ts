/**
 * One server's entry in the text of a client's file: put in, replaced or taken
 * out, and nothing else touched. Comments, commas at the end, line ends and
 * indentation stay. What `withEntry` has put beside other servers, `withoutEntry`
 * takes out without a trace, but for a comma at the end that the client does not
 * read.
 *
 * @module
 */

import {
  endOf,
  lineBreakOf,
  type Oddity,
  type Reached,
  type Slot,
  split,
} from "./entry.ts";
import {
  additionsIn,
  type Member,
  type ObjectValue,
  parse,
  plain,
  type Wanted,
} from "../json/jsonc.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

/** The value that a file's text is, or those of its members that are asked for. Throws, with what is wrong with it. */
export function parseFile(text: string, wanted?: Wanted): unknown {
  return plain(rootOf(split(text)[1], wanted));
}

/** What a text has that some clients do not read, with the first line that has it, counted from 1. Throws as {@linkcode parseFile} does. */
export function odditiesIn(original: string): Map<Oddity, number> {
  const [mark, text] = split(original);
  // An empty one is written anew.
  if (text.trim() === "") return new Map();
  return new Map<Oddity, number>([
    ...(mark === "" ? [] : [["mark", 1]] as const),
    ...additionsIn(text),
  ]);
}

/** The entry that is there, if one is. Throws if the file is of another shape. */
export function entryIn(original: string, { key, name }: Slot): unknown {
  const [, text] = split(original);
  if (text.trim() === "") return undefined;
  const servers = serversIn(rootOf(text, only(key)), key);
  const member = servers && memberOf(servers, name);
  return member && plain(member.value);
}

/** What says how a server is reached; the rest of an entry, its `env` first of all, is its user's. */
const REACHED = /^(command|args|type|url|serverUrl|httpUrl|headers)$/;

/** The text with this entry; what else an older one said is kept. It is the same text if the entry is there. Throws if the file is of another shape. */
export function withEntry(
  original: string,
  { key, name, rejects = [] }: Slot,
  reached: Reached,
): string {
  const [mark, text] = split(original);
  if (text.trim() === "") {
    const whole = pretty({ [key]: { [name]: reached } }, "  ", "\n");
    return `${rejects.includes("mark") ? "" : mark}${whole}\n`;
  }
  const root = rootOf(text, only(key));
  const layout = layoutOf(text, root, !rejects.includes("comma"));
  const servers = serversIn(root, key);
  const list = memberOf(root, key);
  if (servers === undefined) {
    const value = { [name]: reached };
    return mark +
      (list === undefined
        ? added(text, root, layout, key, value)
        : replaced(text, root, layout, list, value));
  }
  const old = memberOf(servers, name);
  if (old === undefined) {
    return mark + added(text, servers, layout, name, reached);
  }
  if (old.value.kind !== "object") {
    return mark + replaced(text, servers, layout, old, reached);
  }
  const { start, end } = old.value;
  // The entry alone: the rest may be large, and is not touched.
  const indent = indentAt(text, old.start);
  const entry = remade(indent + text.slice(start, end), layout, reached);
  return mark + text.slice(0, start) + entry.slice(indent.length) +
    text.slice(end);
}

/** The entry's text with what reaches a server said anew, member by member: what else is said in it stays, comments too. */
function remade(
  original: string,
  layout: Layout,
  reached: Reached,
): string {
  let text = flattened(original, layout);
  for (const { name } of rootOf(text).members) {
    if (!REACHED.test(name) || Object.hasOwn(reached, name)) continue;
    const entry = rootOf(text);
    text = removed(text, entry, memberOf(entry, name)!);
  }
  for (const [name, value] of Object.entries(reached)) {
    const entry = rootOf(text);
    const old = memberOf(entry, name);
    if (old === undefined) text = added(text, entry, layout, name, value);
    else text = replaced(text, entry, layout, old, value);
  }
  return text;
}

/**
 * The text of an entry of Zed's older form, where `command` is an object with
 * the members `path`, `args` and `env`, with the members beside the first two a
 * level higher: they are the user's.
 */
function flattened(original: string, layout: Layout): string {
  let text = original;
  const command = memberOf(rootOf(text), "command")?.value;
  if (command?.kind !== "object") return text;
  for (const { name, value, start } of command.members) {
    if (name === "path" || name === "args") continue;
    const entry = rootOf(text);
    const own = memberOf(entry, name);
    const inner = plain(value);
    if (own === undefined && inner !== null) {
      const said = {
        text: original.slice(value.start, value.end),
        indent: indentAt(original, start),
      };
      text = added(text, entry, layout, name, inner, said);
    }
    if (own === undefined) continue;
    const outer = plain(own.value);
    if (!isRecord(inner) || !isRecord(outer)) continue;
    text = replaced(text, entry, layout, own, { ...inner, ...outer });
  }
  return text;
}

/** The text without this entry. It is the same text if it is not there. Throws if the file is of another shape. */
export function withoutEntry(original: string, { key, name }: Slot): string {
  const [mark, text] = split(original);
  if (text.trim() === "") return original;
  const servers = serversIn(rootOf(text, only(key)), key);
  const old = servers && memberOf(servers, name);
  return old === undefined ? original : mark + removed(text, servers!, old);
}

/** How a file is laid out. */
interface Layout {
  readonly unit: string;
  readonly lineEnd: string;
  readonly isOneLine: boolean;
  /** Whether a comma may stand behind the last member. */
  readonly isTrailing: boolean;
}

/** The member with the servers, and no other. */
function only(key: string): Wanted {
  return ([first]) => first === key;
}

function rootOf(text: string, wanted?: Wanted): ObjectValue {
  const root = parse(text, wanted);
  if (root.kind === "object") return root;
  throw new Error("it is not a JSON object");
}

/** The object that holds the servers; `null` in its place is none, as clients take it. */
function serversIn(root: ObjectValue, key: string): ObjectValue | undefined {
  const value = memberOf(root, key)?.value;
  if (value === undefined || value.kind === "object") return value;
  if (value.kind === "scalar" && value.value === null) return undefined;
  throw new Error(`"${key}" in it is not an object`);
}

/** The member of that name. Of two, clients take one or the other, so that there must be no second. */
function memberOf(object: ObjectValue, name: string): Member | undefined {
  const found = object.members.filter((member) => member.name === name);
  if (found.length > 1) throw new Error(`"${name}" is there twice`);
  return found[0];
}

/** The indentation of a file is that of its first member. */
function layoutOf(
  text: string,
  { members: [first] }: ObjectValue,
  isTrailing: boolean,
): Layout {
  const unit = first && indentAt(text, first.start);
  return {
    unit: unit || "  ",
    lineEnd: lineBreakOf(text),
    isOneLine: first !== undefined && !text.trim().includes("\n"),
    isTrailing,
  };
}

/** The white space at the start of a line. */
function indentAt(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  return /^[ \t]*/.exec(text.slice(start, offset))![0];
}

/** Whether an object keeps its members on one line. */
function isCompact(
  text: string,
  { members, start, end }: ObjectValue,
  { isOneLine }: Layout,
): boolean {
  return members.length > 0
    ? !text.slice(start, end).includes("\n")
    : isOneLine;
}

function pretty(value: unknown, unit: string, lineEnd: string): string {
  return JSON.stringify(value, null, unit).replaceAll("\n", lineEnd);
}

/** A value as it is written, and the indentation of its first line. */
interface Said {
  readonly text: string;
  readonly indent: string;
}

/** The text with a new last member in an object; its value is written as it was said, if it was. */
function added(
  text: string,
  object: ObjectValue,
  layout: Layout,
  name: string,
  value: unknown,
  worded?: Said,
): string {
  const { unit, lineEnd } = layout;
  const last = object.members.at(-1);
  const from = last?.end ?? object.start + 1;
  const close = object.end - 1;
  const isTrailing = commaIn(text, from, close) !== undefined;
  const comma = last !== undefined && !isTrailing ? "," : "";
  // What is said behind the last member stays with it, and so do the blanks that end its line.
  const gap = text.slice(from, close);
  const said = gap.trimEnd().length;
  const rest = gap.slice(0, said) +
    (/^[ \t]+(?=\r?\n)/.exec(gap.slice(said))?.[0] ?? "");
  const head = text.slice(0, from) + comma + rest;
  let tail = text.slice(from + rest.length);
  const quoted = JSON.stringify(name);
  const end = isTrailing && layout.isTrailing ? "," : "";
  if (isCompact(text, object, layout)) {
    const before = text.slice(0, last?.start ?? from);
    const blanks = before.slice(endOf(before, " "));
    const compact = worded?.text ?? JSON.stringify(value);
    return `${head}${blanks}${quoted}:${compact}${end}${tail}`;
  }
  const outer = lineEnd + indentAt(text, object.start);
  const inner = last === undefined
    ? outer + unit
    : lineEnd + indentAt(text, last.start);
  if (last === undefined && !/^\s*\n/.test(tail)) {
    tail = outer + tail.trimStart();
  }
  const written = worded === undefined
    ? pretty(value, unit, inner)
    : worded.text.replaceAll(`\n${worded.indent}`, inner.replace("\r", ""));
  const property = `${quoted}: ${written}`;
  return head + inner + property + end + tail;
}

/** The text with another value of a member; the same text if it has that value. */
function replaced(
  text: string,
  object: ObjectValue,
  layout: Layout,
  member: Member,
  value: unknown,
): string {
  const { unit, lineEnd } = layout;
  if (isSame(plain(member.value), value)) return text;
  const next = isCompact(text, object, layout)
    ? JSON.stringify(value)
    : pretty(value, unit, lineEnd + indentAt(text, member.start));
  return text.slice(0, member.value.start) + next + text.slice(member.end);
}

/** The text without a member of an object; what is said around it stays. */
function removed(text: string, object: ObjectValue, member: Member): string {
  const { members } = object;
  const at = members.indexOf(member);
  const [previous, next] = [members[at - 1], members[at + 1]];
  const comma = commaIn(text, member.end, next?.start ?? object.end - 1);
  let head = text.slice(0, member.start);
  let tail = comma === undefined
    ? text.slice(member.end)
    : behind(text, member.end, comma);
  if (comma === undefined && previous !== undefined) {
    const old = commaIn(text, previous.end, member.start)!;
    head = head.slice(0, old) + head.slice(old + 1);
  }
  if (/\n[ \t]*$/.test(head) && /^[ \t]*\r?\n/.test(tail)) {
    // Its lines were its own.
    head = head.replace(/\r?\n[ \t]*$/, "");
    tail = tail.replace(/^[ \t]+/, "");
  } else if (
    previous !== undefined && /\n[ \t]*$/.test(head) &&
    /^[ \t\r]*\}/.test(tail) && !isLineComment(text, previous.end, member.start)
  ) {
    // Its line was its own up to the brace.
    head = head.replace(/\r?\n[ \t]*$/, "");
  } else if (
    comma === undefined || next === undefined && !/\n[ \t]*$/.test(head)
  ) {
    head = head.slice(0, endOf(head, " \t"));
  } else {
    tail = tail.replace(/^[ \t]+/, "");
  }
  const isEmpty = /\{\s*$/.test(head) && /^\s*\}/.test(tail);
  return isEmpty ? head.trimEnd() + tail.trimStart() : head + tail;
}

/** What follows a member, without its comma; what is said before that stays. */
function behind(text: string, from: number, comma: number): string {
  const said = text.slice(from, comma);
  const rest = text.slice(comma + 1);
  // A comment that ends with its line needs that end.
  return (/^[ \t]*\r?\n/.test(rest) ? said.trimEnd() : said) + rest;
}

/** The comma between two places between which nothing else is but space and comments. */
function commaIn(text: string, from: number, to: number): number | undefined {
  const parts = /\/\*[^]*?\*\/|\/\/[^\n]*|,/g;
  for (const { 0: part, index } of text.slice(from, to).matchAll(parts)) {
    if (part === ",") return from + index;
  }
  return undefined;
}

/** Whether a comment ends with the last line end between two places. */
function isLineComment(text: string, from: number, to: number): boolean {
  const end = text.lastIndexOf("\n", to - 1);
  const all = text.slice(from, to).matchAll(/\/\*[^]*?\*\/|\/\/[^\n]*/g);
  return all.some(({ 0: comment, index }) =>
    comment.startsWith("//") && from + index + comment.length === end
  );
}

/** Whether two values are the same, whatever the order of their members. */
function isSame(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(
      value,
      (_, part) =>
        typeof part === "object" && part !== null && !Array.isArray(part)
          ? Object.fromEntries(
            Object.entries(part).toSorted(([a], [b]) => a < b ? -1 : 1),
          )
          : part,
    );
  return sorted(a) === sorted(b);
}
