/**
 * Edits the JSON text of a client's file: adds, replaces or removes the entry
 * of one server. The text may have comments and trailing commas (JSONC). The
 * edits keep them, and also line breaks and indentation.
 *
 * If the file has other servers, adding an entry and removing it again restores
 * the text, except for a trailing comma that the client cannot parse.
 *
 * @module
 */

import {
  type JSONVisitor,
  parse,
  type ParseError,
  printParseErrorCode,
  visit,
} from "npm:/jsonc-parser@3.3.1";
import type {
  Client,
  EntryFormat,
  ExtraSyntax,
  LaunchFields,
} from "./registry.ts";
import { lineNumberOf } from "../json/spans.ts";
import { isRecord } from "../protocol/jsonrpc.ts";

/** Returns the functions that read and edit a client's JSON file. */
export function jsonFormatOf(client: Client): EntryFormat {
  const { serversKey } = client;
  return {
    parse: parseJsonc,
    setEntry: (text, name, launchFields) => {
      const added = { [name]: launchFields };
      if (text.trim() === "") {
        return `${JSON.stringify({ [serversKey]: added }, null, 2)}\n`;
      }
      const file = new ObjectText(text, client);
      const servers = openServers(file, serversKey);
      if (servers === undefined) {
        file.set(serversKey, added);
        return file.text;
      }
      const entry = servers.open(name);
      if (entry === undefined) servers.set(name, launchFields);
      else updateJsonEntry(entry, launchFields);
      const inner = entry
        ? servers.textWithMember(name, entry.text)
        : servers.text;
      return file.textWithMember(serversKey, inner);
    },
    removeEntry: (text, name) => {
      const file = new ObjectText(text, client);
      const servers = openServers(file, serversKey);
      servers?.remove(name);
      return servers ? file.textWithMember(serversKey, servers.text) : text;
    },
  };
}

function parseJsonc(text: string): unknown {
  const errors: ParseError[] = [];
  const value = withOverflowError(() =>
    parse(text, errors, { allowTrailingComma: true })
  );
  const [error] = errors;
  if (error === undefined) return value;
  throw new Error(`it is not JSON (line ${lineNumberOf(text, error.offset)})`);
}

/** Runs a recursive parser; turns a stack overflow into a clear error. */
function withOverflowError<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Error("it is nested too deeply");
  }
}

/**
 * Returns the comments and trailing commas of a valid JSONC text in order, each
 * with its offset (UTF-16 units). JSON (RFC 8259) has neither.
 */
export function findJsoncExtensions(text: string): [ExtraSyntax, number][] {
  const errors: ParseError[] = [];
  parse(text, errors, { disallowComments: true });
  return errors.map(({ error, offset }) =>
    printParseErrorCode(error) === "InvalidCommentToken"
      ? ["comment", offset]
      : ["comma", text.lastIndexOf(",", offset)]
  );
}

/** Opens the servers' object; `undefined` if it is missing or `null`. */
function openServers(file: ObjectText, key: string): ObjectText | undefined {
  const servers = file.open(key);
  if (servers === undefined && (file.valueOf(key) ?? null) !== null) {
    throw new Error(`"${key}" in it is not an object`);
  }
  return servers;
}

/** The members that an update may change. Others, e.g. `env`, stay. */
const JSON_LAUNCH_FIELDS =
  /^(command|args|type|url|serverUrl|httpUrl|headers)$/;

/** Replaces the launch fields of an entry; other members and comments stay. */
function updateJsonEntry(entry: ObjectText, launchFields: LaunchFields): void {
  flattenCommand(entry);
  for (const { name } of entry.offsets.members) {
    if (JSON_LAUNCH_FIELDS.test(name) && !Object.hasOwn(launchFields, name)) {
      entry.remove(name);
    }
  }
  for (const [name, value] of Object.entries(launchFields)) {
    entry.set(name, value);
  }
}

/**
 * Converts an entry of an older Zed, in which `command` is an object with the
 * members `path`, `args` and `env`. Moves `env`, and any other member except
 * `path` and `args`, one level up, because the user wrote it. An update then
 * replaces `command`.
 */
function flattenCommand(entry: ObjectText): void {
  const command = entry.open("command");
  if (command === undefined) return;
  const { text, offsets } = command;
  for (const { name, start, valueStart, end } of offsets.members) {
    if (name === "path" || name === "args") continue;
    const [inner, outer] = [command.valueOf(name), entry.valueOf(name)];
    if (outer === undefined && inner !== null) {
      const source = text.slice(valueStart, end)
        .replaceAll(`\n${indentAt(text, start)}`, "\n");
      entry.set(name, inner, source);
    } else if (isRecord(outer) && isRecord(inner)) {
      entry.set(name, { ...inner, ...outer });
    }
  }
}

/** The offsets of an object: of its `{`, and after its `}` (UTF-16 units). */
interface ObjectOffsets {
  readonly start: number;
  readonly end: number;
  /** The members in the order of the text; a name may occur twice. */
  readonly members: readonly MemberOffsets[];
}

/** The offsets of a member: its name, its value, its end, its comma. */
interface MemberOffsets {
  readonly name: string;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
  readonly comma?: number;
}

/** Finds the object in a text. Throws if the text is not one JSONC object. */
function readObject(text: string): ObjectOffsets {
  const members: MemberOffsets[] = [];
  let start = -1;
  let end = -1;
  let depth = 0;
  const setInLast = (offsets: Partial<MemberOffsets>): void => {
    if (depth === 1) Object.assign(members.at(-1) ?? {}, offsets);
  };
  const onValueBegin = (valueStart: number): void => {
    setInLast({ valueStart });
    depth++;
  };
  const onValueEnd = (offset: number, length: number): void => {
    depth--;
    end = offset + length;
    setInLast({ end });
  };
  const visitor: JSONVisitor = {
    onObjectBegin: (offset) => {
      if (depth === 0) start = offset;
      onValueBegin(offset);
    },
    onObjectProperty: (name, start) => {
      if (depth === 1) members.push({ name, start, valueStart: start, end: 0 });
    },
    onObjectEnd: onValueEnd,
    onArrayBegin: onValueBegin,
    onArrayEnd: onValueEnd,
    onLiteralValue: (_value, offset, length) => {
      onValueBegin(offset);
      onValueEnd(offset, length);
    },
    onSeparator: (char, offset) => {
      if (char === ",") setInLast({ comma: offset });
    },
    onError: (_code, _offset, _length, line) => {
      throw new Error(`it is not JSON (line ${line + 1})`);
    },
  };
  withOverflowError(() => visit(text, visitor, { allowTrailingComma: true }));
  if (start >= 0) return { start, end, members };
  throw new Error("it is not a JSON object");
}

function indentAt(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  return /^[ \t]*/.exec(text.slice(start, offset))![0];
}

/** The text of one object. Each edit changes one member and keeps the rest. */
class ObjectText {
  text: string;
  offsets: ObjectOffsets;
  readonly #client: Client;
  // The format of the whole file, also for an object that was opened in it. The
  // indentation is that of the file's first member.
  readonly indentUnit: string;
  readonly lineBreak: string;
  readonly isSingleLine: boolean;

  constructor(text: string, client: Client, file?: ObjectText) {
    this.text = text;
    this.offsets = readObject(text);
    const [first] = this.offsets.members;
    this.#client = client;
    this.indentUnit = file?.indentUnit ??
      (first && indentAt(text, first.start) || "  ");
    this.lineBreak = file?.lineBreak ??
      (text.includes("\r\n") ? "\r\n" : "\n");
    this.isSingleLine = file?.isSingleLine ??
      (first !== undefined && !text.trim().includes("\n"));
  }

  #change(text: string): void {
    this.text = text;
    this.offsets = readObject(text);
  }

  /** Finds a member. Throws if there are two: clients use one or the other. */
  #find(name: string): MemberOffsets | undefined {
    const found = this.offsets.members.filter((it) => it.name === name);
    if (found.length > 1) throw new Error(`"${name}" occurs twice`);
    return found[0];
  }

  valueOf(name: string): unknown {
    const member = this.#find(name);
    return member &&
      parseJsonc(this.text.slice(member.valueStart, member.end));
  }

  /** Returns a copy of a member's value; `undefined` if it is not an object. */
  open(name: string): ObjectText | undefined {
    const member = this.#find(name);
    if (member === undefined || this.text[member.valueStart] !== "{") {
      return undefined;
    }
    const text = indentAt(this.text, member.start) +
      this.text.slice(member.valueStart, member.end);
    return new ObjectText(text, this.#client, this);
  }

  /** Returns the object's text with another value for an existing member. */
  textWithMember(name: string, value: string): string {
    const { valueStart, end } = this.#find(name)!;
    return this.text.slice(0, valueStart) + value.trimStart() +
      this.text.slice(end);
  }

  /**
   * Appends a member, or replaces its value unless it is equal.
   *
   * @param source the JSON text of the value, if its format must stay
   */
  set(name: string, value: unknown, source?: string): void {
    const compact = JSON.stringify(value);
    if (JSON.stringify(this.valueOf(name)) === compact) return;
    const { text, offsets: { start, end, members } } = this;
    const old = this.#find(name);
    const sibling = old ?? members.at(-1);
    const isOnOneLine = sibling === undefined
      ? this.isSingleLine
      : !text.slice(start, end).includes("\n");
    const lineBreakAndIndent = this.lineBreak +
      (sibling === undefined
        ? indentAt(text, start) + this.indentUnit
        : indentAt(text, sibling.start));
    const formatted = isOnOneLine
      ? source ?? compact
      : (source ?? JSON.stringify(value, null, this.indentUnit))
        .replaceAll(/\r?\n/g, lineBreakAndIndent);
    const quoted = JSON.stringify(name);
    if (old !== undefined) {
      this.#change(this.textWithMember(name, formatted));
    } else if (isOnOneLine) {
      const before = text.slice(0, sibling?.start ?? start + 1);
      const blanks = /(?<! ) *$/.exec(before)![0];
      this.#append(`${blanks}${quoted}:${formatted}`);
    } else this.#append(`${lineBreakAndIndent}${quoted}: ${formatted}`);
  }

  #append(member: string): void {
    const { text, offsets: { start, end, members } } = this;
    const last = members.at(-1);
    const hasTrailingComma = last?.comma !== undefined;
    const comma =
      hasTrailingComma && !this.#client.rejectedSyntax?.includes("comma")
        ? ","
        : "";
    const from = last?.end ?? start + 1;
    // A comment after the last member belongs to that member, so the new one
    // goes after the comment, and after white space at the end of its line.
    const gap = text.slice(from, end - 1);
    const commentEnd = gap.trimEnd().length;
    const rest = gap.slice(0, commentEnd) +
      (/^[ \t]+(?=\r?\n)/.exec(gap.slice(commentEnd))?.[0] ?? "");
    const head = text.slice(0, from) +
      (last === undefined || hasTrailingComma ? "" : ",") + rest;
    let tail = text.slice(from + rest.length);
    if (
      last === undefined && member.startsWith(this.lineBreak) &&
      !/^\s*\n/.test(tail)
    ) tail = this.lineBreak + indentAt(text, start) + tail.trimStart();
    this.#change(head + member + comma + tail);
  }

  /** Removes a member if it exists; comments around it stay. */
  remove(name: string): void {
    const member = this.#find(name);
    if (member === undefined) return;
    const { text, offsets: { members } } = this;
    const at = members.indexOf(member);
    const [previous, next] = [members[at - 1], members[at + 1]];
    const { start, end, comma } = member;
    let head = text.slice(0, start);
    let tail = text.slice(end);
    if (comma !== undefined) {
      const rest = text.slice(comma + 1);
      const beforeComma = text.slice(end, comma);
      // Keeps a line break that may end a line comment.
      tail = (/^[ \t]*\r?\n/.test(rest) ? beforeComma.trimEnd() : beforeComma) +
        rest;
    } else if (previous?.comma !== undefined) {
      head = head.slice(0, previous.comma) + head.slice(previous.comma + 1);
    }
    const startsLine = /\n[ \t]*$/.test(head);
    const isBeforeBrace = previous !== undefined && /^[ \t\r]*\}/.test(tail) &&
      !endsInLineComment(text.slice(previous.end, start));
    if (startsLine && (isBeforeBrace || /^[ \t]*\r?\n/.test(tail))) {
      // Nothing else is on the member's lines.
      head = head.replace(/\r?\n[ \t]*$/, "");
      if (!isBeforeBrace) tail = tail.replace(/^[ \t]+/, "");
    } else if (comma === undefined || next === undefined && !startsLine) {
      head = head.replace(/(?<![ \t])[ \t]+$/, "");
    } else {
      tail = tail.replace(/^[ \t]+/, "");
    }
    const isEmpty = /\{\s*$/.test(head) && /^\s*\}/.test(tail);
    this.#change(isEmpty ? head.trimEnd() + tail.trimStart() : head + tail);
  }
}

/** True if the last line break of a text ends a line comment. */
function endsInLineComment(gap: string): boolean {
  const comments = [...gap.matchAll(/\/\*[^]*?\*\/|\/\/[^\n]*/g)];
  const last = comments.findLast(([comment]) => comment.startsWith("//"));
  return last !== undefined &&
    last.index + last[0].length === gap.lastIndexOf("\n");
}
