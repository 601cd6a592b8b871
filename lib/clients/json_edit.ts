/**
 * Sets, replaces or removes one server's entry in the JSON text of a client's
 * file, and changes nothing else. Comments, trailing commas, line breaks and
 * indentation stay. `removeJsonEntry` restores what `setJsonEntry` has changed
 * beside other servers, except a trailing comma that the client cannot parse.
 *
 * @module
 */

import {
  type EntryPath,
  type ExtraSyntax,
  type LaunchFields,
  lineBreakOf,
  splitBom,
  trimmedLength,
} from "./config_entry.ts";
import {
  findJsoncExtensions,
  type JsoncMember,
  type JsoncObject,
  parseJsonc,
  type PathFilter,
  toJsonValue,
} from "../json/jsonc.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

/**
 * Returns the value of a file's text, or only the wanted members of it. Throws
 * with what is wrong with the text.
 */
export function parseJsonFile(text: string, wanted?: PathFilter): unknown {
  return toJsonValue(parseRootObject(splitBom(text)[1], wanted));
}

/**
 * Returns the extra syntax in a text that some clients cannot parse, with the
 * first line that has it, counted from 1. Throws as {@linkcode parseJsonFile}
 * does.
 */
export function extraSyntaxIn(original: string): Map<ExtraSyntax, number> {
  const [bom, text] = splitBom(original);
  // An empty file is written from scratch.
  if (text.trim() === "") return new Map();
  return new Map<ExtraSyntax, number>([
    ...(bom === "" ? [] : [["bom", 1]] as const),
    ...findJsoncExtensions(text),
  ]);
}

/**
 * Returns the existing entry, if there is one. Throws if the file has another
 * structure.
 */
export function findJsonEntry(
  original: string,
  { serversKey, name }: EntryPath,
): unknown {
  const [, text] = splitBom(original);
  if (text.trim() === "") return undefined;
  const servers = findServers(
    parseRootObject(text, onlyMember(serversKey)),
    serversKey,
  );
  const member = servers && findMember(servers, name);
  return member && toJsonValue(member.value);
}

/**
 * The members that say how a server is reached. The rest of an entry, first of
 * all its `env`, is the user's.
 */
const JSON_LAUNCH_FIELDS =
  /^(command|args|type|url|serverUrl|httpUrl|headers)$/;

/**
 * Returns the text with this entry; other members of an existing entry are
 * kept. Returns the same text if the entry is already there. Throws if the file
 * has another structure.
 */
export function setJsonEntry(
  original: string,
  { serversKey, name, rejectedSyntax = [] }: EntryPath,
  launchFields: LaunchFields,
): string {
  const [bom, text] = splitBom(original);
  if (text.trim() === "") {
    const whole = formatJson(
      { [serversKey]: { [name]: launchFields } },
      "  ",
      "\n",
    );
    return `${rejectedSyntax.includes("bom") ? "" : bom}${whole}\n`;
  }
  const root = parseRootObject(text, onlyMember(serversKey));
  const layout = layoutOf(text, root, !rejectedSyntax.includes("comma"));
  const servers = findServers(root, serversKey);
  const list = findMember(root, serversKey);
  if (servers === undefined) {
    const value = { [name]: launchFields };
    return bom +
      (list === undefined
        ? appendMember(text, root, layout, serversKey, value)
        : replaceMember(text, root, layout, list, value));
  }
  const old = findMember(servers, name);
  if (old === undefined) {
    return bom + appendMember(text, servers, layout, name, launchFields);
  }
  if (old.value.kind !== "object") {
    return bom + replaceMember(text, servers, layout, old, launchFields);
  }
  const { start, end } = old.value;
  // Only the entry is parsed again: the rest may be large, and does not change.
  const indent = indentAt(text, old.start);
  const entry = updateJsonEntry(
    indent + text.slice(start, end),
    layout,
    launchFields,
  );
  return bom + text.slice(0, start) + entry.slice(indent.length) +
    text.slice(end);
}

/**
 * Replaces the launch fields in an entry's text, member by member; its other
 * members and its comments stay.
 */
function updateJsonEntry(
  original: string,
  layout: Layout,
  launchFields: LaunchFields,
): string {
  let text = flattenCommand(original, layout);
  for (const { name } of parseRootObject(text).members) {
    if (!JSON_LAUNCH_FIELDS.test(name) || Object.hasOwn(launchFields, name)) {
      continue;
    }
    const entry = parseRootObject(text);
    text = removeMember(text, entry, findMember(entry, name)!);
  }
  for (const [name, value] of Object.entries(launchFields)) {
    const entry = parseRootObject(text);
    const old = findMember(entry, name);
    if (old === undefined) {
      text = appendMember(text, entry, layout, name, value);
    } else text = replaceMember(text, entry, layout, old, value);
  }
  return text;
}

/**
 * Converts an entry in Zed's older form, where `command` is an object with the
 * members `path`, `args` and `env`: moves all members but the first two one
 * level up, because they are the user's.
 */
function flattenCommand(original: string, layout: Layout): string {
  let text = original;
  const command = findMember(parseRootObject(text), "command")?.value;
  if (command?.kind !== "object") return text;
  for (const { name, value, start } of command.members) {
    if (name === "path" || name === "args") continue;
    const entry = parseRootObject(text);
    const existing = findMember(entry, name);
    const inner = toJsonValue(value);
    if (existing === undefined && inner !== null) {
      const sourceText = {
        text: original.slice(value.start, value.end),
        indent: indentAt(original, start),
      };
      text = appendMember(text, entry, layout, name, inner, sourceText);
    }
    if (existing === undefined) continue;
    const outer = toJsonValue(existing.value);
    if (!isRecord(inner) || !isRecord(outer)) continue;
    text = replaceMember(text, entry, layout, existing, { ...inner, ...outer });
  }
  return text;
}

/**
 * Returns the text without this entry; the same text if the entry is not there.
 * Throws if the file has another structure.
 */
export function removeJsonEntry(
  original: string,
  { serversKey, name }: EntryPath,
): string {
  const [bom, text] = splitBom(original);
  if (text.trim() === "") return original;
  const servers = findServers(
    parseRootObject(text, onlyMember(serversKey)),
    serversKey,
  );
  const old = servers && findMember(servers, name);
  return old === undefined ? original : bom + removeMember(text, servers!, old);
}

/** How a file is formatted. */
interface Layout {
  readonly indentUnit: string;
  readonly lineBreak: string;
  readonly isSingleLine: boolean;
  /** True if the client accepts a trailing comma. */
  readonly allowsTrailingComma: boolean;
}

/** Selects only the member with the servers. */
function onlyMember(key: string): PathFilter {
  return ([first]) => first === key;
}

function parseRootObject(text: string, wanted?: PathFilter): JsoncObject {
  const root = parseJsonc(text, wanted);
  if (root.kind === "object") return root;
  throw new Error("it is not a JSON object");
}

/**
 * Returns the object with the servers; `undefined` for `null`, which clients
 * treat as missing.
 */
function findServers(root: JsoncObject, key: string): JsoncObject | undefined {
  const value = findMember(root, key)?.value;
  if (value === undefined || value.kind === "object") return value;
  if (value.kind === "scalar" && value.value === null) return undefined;
  throw new Error(`"${key}" in it is not an object`);
}

/**
 * Returns the member of that name. A duplicate is an error, because clients
 * differ in which one they use.
 */
function findMember(
  object: JsoncObject,
  name: string,
): JsoncMember | undefined {
  const found = object.members.filter((member) => member.name === name);
  if (found.length > 1) throw new Error(`"${name}" is there twice`);
  return found[0];
}

/** Detects a file's format; the indentation is that of its first member. */
function layoutOf(
  text: string,
  { members: [first] }: JsoncObject,
  allowsTrailingComma: boolean,
): Layout {
  const unit = first && indentAt(text, first.start);
  return {
    indentUnit: unit || "  ",
    lineBreak: lineBreakOf(text),
    isSingleLine: first !== undefined && !text.trim().includes("\n"),
    allowsTrailingComma,
  };
}

/** Returns the white space at the start of a line. */
function indentAt(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  return /^[ \t]*/.exec(text.slice(start, offset))![0];
}

/** True if an object has its members on one line. */
function isOnOneLine(
  text: string,
  { members, start, end }: JsoncObject,
  { isSingleLine }: Layout,
): boolean {
  return members.length > 0
    ? !text.slice(start, end).includes("\n")
    : isSingleLine;
}

function formatJson(
  value: unknown,
  indentUnit: string,
  lineBreak: string,
): string {
  return JSON.stringify(value, null, indentUnit).replaceAll("\n", lineBreak);
}

/** The source text of a value, and the indentation of its first line. */
interface SourceText {
  readonly text: string;
  readonly indent: string;
}

/**
 * Appends a member to an object; its value keeps its source text, if it has
 * one.
 */
function appendMember(
  text: string,
  object: JsoncObject,
  layout: Layout,
  name: string,
  value: unknown,
  source?: SourceText,
): string {
  const { indentUnit, lineBreak } = layout;
  const last = object.members.at(-1);
  const from = last?.end ?? object.start + 1;
  const close = object.end - 1;
  const isTrailing = findComma(text, from, close) !== undefined;
  const comma = last !== undefined && !isTrailing ? "," : "";
  // A comment after the last member stays with that member, and so does
  // trailing space in its line.
  const gap = text.slice(from, close);
  const commentEnd = gap.trimEnd().length;
  const rest = gap.slice(0, commentEnd) +
    (/^[ \t]+(?=\r?\n)/.exec(gap.slice(commentEnd))?.[0] ?? "");
  const head = text.slice(0, from) + comma + rest;
  let tail = text.slice(from + rest.length);
  const quoted = JSON.stringify(name);
  const end = isTrailing && layout.allowsTrailingComma ? "," : "";
  if (isOnOneLine(text, object, layout)) {
    const before = text.slice(0, last?.start ?? from);
    const blanks = before.slice(trimmedLength(before, " "));
    const compact = source?.text ?? JSON.stringify(value);
    return `${head}${blanks}${quoted}:${compact}${end}${tail}`;
  }
  const outer = lineBreak + indentAt(text, object.start);
  const inner = last === undefined
    ? outer + indentUnit
    : lineBreak + indentAt(text, last.start);
  if (last === undefined && !/^\s*\n/.test(tail)) {
    tail = outer + tail.trimStart();
  }
  const formatted = source === undefined
    ? formatJson(value, indentUnit, inner)
    : source.text.replaceAll(`\n${source.indent}`, inner.replace("\r", ""));
  const property = `${quoted}: ${formatted}`;
  return head + inner + property + end + tail;
}

/**
 * Replaces the value of a member; returns the same text if the value is equal.
 */
function replaceMember(
  text: string,
  object: JsoncObject,
  layout: Layout,
  member: JsoncMember,
  value: unknown,
): string {
  const { indentUnit, lineBreak } = layout;
  if (isEqualJson(toJsonValue(member.value), value)) return text;
  const next = isOnOneLine(text, object, layout)
    ? JSON.stringify(value)
    : formatJson(value, indentUnit, lineBreak + indentAt(text, member.start));
  return text.slice(0, member.value.start) + next + text.slice(member.end);
}

/** Removes a member from an object; comments around it stay. */
function removeMember(
  text: string,
  object: JsoncObject,
  member: JsoncMember,
): string {
  const { members } = object;
  const at = members.indexOf(member);
  const [previous, next] = [members[at - 1], members[at + 1]];
  const comma = findComma(text, member.end, next?.start ?? object.end - 1);
  let head = text.slice(0, member.start);
  let tail = comma === undefined
    ? text.slice(member.end)
    : textAfterComma(text, member.end, comma);
  if (comma === undefined && previous !== undefined) {
    const old = findComma(text, previous.end, member.start)!;
    head = head.slice(0, old) + head.slice(old + 1);
  }
  if (/\n[ \t]*$/.test(head) && /^[ \t]*\r?\n/.test(tail)) {
    // The member has its lines for itself.
    head = head.replace(/\r?\n[ \t]*$/, "");
    tail = tail.replace(/^[ \t]+/, "");
  } else if (
    previous !== undefined && /\n[ \t]*$/.test(head) &&
    /^[ \t\r]*\}/.test(tail) &&
    !endsInLineComment(text, previous.end, member.start)
  ) {
    // The member has its line for itself, up to the brace.
    head = head.replace(/\r?\n[ \t]*$/, "");
  } else if (
    comma === undefined || next === undefined && !/\n[ \t]*$/.test(head)
  ) {
    head = head.slice(0, trimmedLength(head, " \t"));
  } else {
    tail = tail.replace(/^[ \t]+/, "");
  }
  const isEmpty = /\{\s*$/.test(head) && /^\s*\}/.test(tail);
  return isEmpty ? head.trimEnd() + tail.trimStart() : head + tail;
}

/**
 * Returns the text after a member without its comma; comments before the comma
 * stay.
 */
function textAfterComma(text: string, from: number, comma: number): string {
  const beforeComma = text.slice(from, comma);
  const rest = text.slice(comma + 1);
  // A line comment needs its line break.
  return (/^[ \t]*\r?\n/.test(rest) ? beforeComma.trimEnd() : beforeComma) +
    rest;
}

/**
 * Finds the comma between two offsets with only space and comments between
 * them.
 */
function findComma(text: string, from: number, to: number): number | undefined {
  const parts = /\/\*[^]*?\*\/|\/\/[^\n]*|,/g;
  for (const { 0: part, index } of text.slice(from, to).matchAll(parts)) {
    if (part === ",") return from + index;
  }
  return undefined;
}

/** True if a line comment ends at the last line break between two offsets. */
function endsInLineComment(text: string, from: number, to: number): boolean {
  const end = text.lastIndexOf("\n", to - 1);
  const all = text.slice(from, to).matchAll(/\/\*[^]*?\*\/|\/\/[^\n]*/g);
  return all.some(({ 0: comment, index }) =>
    comment.startsWith("//") && from + index + comment.length === end
  );
}

/** True if two values are equal, regardless of the order of their members. */
function isEqualJson(a: unknown, b: unknown): boolean {
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
