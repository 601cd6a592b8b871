/**
 * A parser for TOML 1.0, with the additions of 1.1 (Codex reads both). It
 * records the offsets of every pair and header.
 *
 * @module
 */

import { lineNumberOf, type Span } from "../json/spans.ts";

/** A parsed text. */
export interface TomlDocument {
  /** The pairs above the first header, then each header's section, in order. */
  readonly sections: readonly TomlSection[];
  /** The resulting root table. */
  readonly root: TomlTable;
}

/**
 * A header and the pairs up to the next one; the span is that of the header.
 */
export interface TomlSection extends Span {
  /**
   * The table's path from the root; empty for the pairs above the first header.
   */
  readonly path: readonly string[];
  /** The pairs, in order. */
  readonly pairs: readonly TomlPair[];
}

/** A key with its value; the span covers both. */
export interface TomlPair extends Span {
  /** The parts between the dots. */
  readonly key: readonly TomlKeyPart[];
  /** The value. */
  readonly value: TomlValue;
}

/** A part of a key. */
export interface TomlKeyPart extends Span {
  /** The name, without quotes and escapes. */
  readonly name: string;
}

/** A value with its span. */
export type TomlValue = InlineTable | TomlArray | TomlScalar;

/** A table in braces. */
export interface InlineTable extends Span {
  /** The kind of value. */
  readonly kind: "inline";
  /** The pairs, in order. */
  readonly pairs: readonly TomlPair[];
  /** The resulting table. */
  readonly table: TomlTable;
}

/** An array in brackets. */
export interface TomlArray extends Span {
  /** The kind of value. */
  readonly kind: "array";
  /** The items, in order. */
  readonly items: readonly TomlValue[];
}

/**
 * Any other value. Dates are their source text, and so are integers that no
 * number can hold.
 */
export interface TomlScalar extends Span {
  /** The kind of value. */
  readonly kind: "scalar";
  /** The value itself. */
  readonly value: string | number | boolean;
}

/** A table, regardless of the syntax that defined it. */
export interface TomlTable {
  /** The kind of node. */
  readonly kind: "table";
  /**
   * What has defined it: its own header, the header of a table in it, or a
   * dotted key.
   */
  definedBy: "header" | "path" | "dots";
  /** The members; a list is an array of tables. */
  readonly members: Map<string, TomlNode>;
}

/** A member of a table. */
export type TomlNode = TomlTable | TomlTable[] | TomlValue;

/**
 * Parses a text. Throws if it is not TOML.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const { root } = parseToml("[a.b] # c\nd.e = [0x1F,]");
 * assertEquals(tomlToPlain(root), { a: { b: { d: { e: [31] } } } });
 * ```
 */
export function parseToml(text: string): TomlDocument {
  return new TomlParser(text).parse();
}

/** Converts a node to plain objects. */
export function tomlToPlain(node: TomlNode): unknown {
  if (Array.isArray(node)) return node.map(tomlToPlain);
  switch (node.kind) {
    case "table":
      return Object.fromEntries(
        [...node.members].map(([name, member]) => [name, tomlToPlain(member)]),
      );
    case "inline":
      return tomlToPlain(node.table);
    case "array":
      return node.items.map(tomlToPlain);
    case "scalar":
      return node.value;
  }
}

/** The limit for nested values; the parts of a key count, too. */
const MAX_TOML_DEPTH = 500;

/** A comment: any characters except control characters. */
const TOML_COMMENT = /#[\t -~\x80-\uffff]*/y;
const SPACES_AND_TABS = /[ \t]+/y;
const SPACE_OR_LINE_BREAK = /[ \t\n]+|\r\n/y;
const BARE_KEY = /[\w-]+/y;
const LITERAL_STRING = /'[\t -&(-~\x80-\uffff]*'/y;
/**
 * The characters of a string that are not escaped, on one line and on several.
 */
const BASIC_CHARS = /[\t !#-[\]-~\x80-\uffff]+/y;
const MULTILINE_BASIC_CHARS = /[\t\n !#-[\]-~\x80-\uffff]+|\r\n/y;
const MULTILINE_LITERAL_CHARS = /[\t\n -&(-~\x80-\uffff]+|\r\n/y;
/** A number, a date or a keyword; a date may have a time after a space. */
const UNQUOTED_VALUE = /[\w+-][\w+.:-]*(?: \d[\w+.:-]*)?/y;

const TOML_ESCAPES: ReadonlyMap<string, string> = new Map([
  ["b", "\b"],
  ["t", "\t"],
  ["n", "\n"],
  ["f", "\f"],
  ["r", "\r"],
  ["e", "\x1b"],
  ['"', '"'],
  ["\\", "\\"],
] as [string, string][]);

const UNICODE_ESCAPE = /x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}/y;

const INTEGER =
  /^(?:[+-]?(?:0|[1-9](?:_?\d)*)|0x[\da-fA-F](?:_?[\da-fA-F])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*)$/;
const FLOAT =
  /^[+-]?(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:[eE][+-]?\d(?:_?\d)*)?$/;
const KEYWORD_VALUES: ReadonlyMap<string, boolean | number> = new Map<
  string,
  boolean | number
>([
  ...[["true", true], ["false", false]] as const,
  ...[["inf", Infinity], ["+inf", Infinity], ["-inf", -Infinity]] as const,
  ...[["nan", NaN], ["+nan", NaN], ["-nan", NaN]] as const,
]);
const DATE = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](?=\d)|$)/;
const TIME = /^(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:[Zz]|[+-](\d\d):(\d\d))?$/;
const TIME_OFFSET = /(?:[Zz]|[+-]\d\d:\d\d)$/;

class TomlParser {
  readonly #text: string;
  #offset = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): TomlDocument {
    const root = newTable("header");
    const sections: TomlSection[] = [];
    let table = root;
    let path: readonly string[] = [];
    let headerSpan: Span = { start: 0, end: 0 };
    for (;;) {
      const pairs: TomlPair[] = [];
      sections.push({ ...headerSpan, path, pairs });
      this.#depth = path.length;
      for (;;) {
        this.#skipSpace();
        const next = this.#text[this.#offset];
        if (next === undefined) return { sections, root };
        if (next === "[") break;
        const pair = this.#parsePair(table);
        pairs.push(pair);
        this.#expectLineEnd();
      }
      const start = this.#offset;
      const isArray = this.#text.startsWith("[[", start);
      const bracket = isArray ? "]]" : "]";
      this.#offset += bracket.length;
      path = this.#parseKey().map(({ name }) => name);
      if (!this.#text.startsWith(bracket, this.#offset)) this.#fail();
      this.#offset += bracket.length;
      headerSpan = { start, end: this.#offset };
      table = openTable(root, path, isArray ? "array" : "table") ??
        this.#failDuplicate();
      this.#expectLineEnd();
    }
  }

  /** Parses a pair and puts it into a table. */
  #parsePair(table: TomlTable): TomlPair {
    const start = this.#offset;
    const key = this.#parseKey();
    if (!this.#takeChar("=")) this.#fail();
    this.#takeMatch(SPACES_AND_TABS);
    this.#depth += key.length;
    const value = this.#parseValue();
    this.#depth -= key.length;
    const { end } = value;
    if (tryInsert(table, key.map(({ name }) => name), value)) {
      return { start, end, key, value };
    }
    this.#offset = start;
    this.#failDuplicate();
  }

  /** Parses a key and the blanks around it. */
  #parseKey(): TomlKeyPart[] {
    const parts: TomlKeyPart[] = [];
    do {
      if (parts.length === MAX_TOML_DEPTH) this.#failTooDeep();
      this.#takeMatch(SPACES_AND_TABS);
      const start = this.#offset;
      const name = this.#parseNameOrString();
      parts.push({ start, end: this.#offset, name });
      this.#takeMatch(SPACES_AND_TABS);
    } while (this.#takeChar("."));
    return parts;
  }

  #parseNameOrString(): string {
    switch (this.#text[this.#offset]) {
      case '"':
        return this.#parseBasicString();
      case "'":
        return (this.#takeMatch(LITERAL_STRING) || this.#fail()).slice(1, -1);
      default:
        return this.#takeMatch(BARE_KEY) || this.#fail();
    }
  }

  #parseValue(): TomlValue {
    if (this.#depth > MAX_TOML_DEPTH) this.#failTooDeep();
    const start = this.#offset;
    switch (this.#text[start]) {
      case "{": {
        const table = newTable("dots");
        const pairs = this.#parseList("}", () => this.#parsePair(table));
        return { kind: "inline", start, end: this.#offset, pairs, table };
      }
      case "[": {
        const items = this.#parseList("]", () => this.#parseValue());
        return { kind: "array", start, end: this.#offset, items };
      }
      default: {
        const value = this.#parseScalar();
        return { kind: "scalar", start, end: this.#offset, value };
      }
    }
  }

  #parseList<T>(close: string, read: () => T): T[] {
    const items: T[] = [];
    this.#offset++;
    this.#depth++;
    for (;;) {
      this.#skipSpace();
      if (this.#takeChar(close)) {
        this.#depth--;
        return items;
      }
      items.push(read());
      this.#skipSpace();
      if (!this.#takeChar(",") && this.#text[this.#offset] !== close) {
        this.#fail();
      }
    }
  }

  #parseScalar(): string | number | boolean {
    const quote = this.#text[this.#offset];
    if (quote === '"' || quote === "'") {
      const isLong = this.#text.startsWith(quote.repeat(3), this.#offset);
      return isLong
        ? this.#parseMultilineString(quote)
        : this.#parseNameOrString();
    }
    const start = this.#offset;
    const word = this.#takeMatch(UNQUOTED_VALUE);
    const value = KEYWORD_VALUES.get(word) ?? parseTomlNumber(word) ??
      parseTomlDate(word);
    if (value !== undefined) return value;
    this.#offset = start;
    this.#fail();
  }

  /** Parses a string in double quotes. */
  #parseBasicString(): string {
    let value = "";
    this.#offset++;
    while (!this.#takeChar('"')) {
      value += this.#takeMatch(BASIC_CHARS) || this.#parseEscape();
    }
    return value;
  }

  /** Parses a string in triple quotes. */
  #parseMultilineString(quote: string): string {
    const [text, quotes] = quote === '"'
      ? [MULTILINE_BASIC_CHARS, /"{1,5}/y]
      : [MULTILINE_LITERAL_CHARS, /'{1,5}/y];
    let value = "";
    this.#offset += 3;
    this.#takeMatch(/\r?\n/y);
    for (;;) {
      const ended = this.#takeMatch(quotes);
      if (ended.length > 2) return value + ended.slice(3);
      const more = ended + this.#takeMatch(text);
      if (more !== "") value += more;
      else if (quote === "'") this.#fail();
      else if (this.#takeMatch(/\\[ \t]*\r?\n/y) === "") {
        value += this.#parseEscape();
      } else while (this.#takeMatch(SPACE_OR_LINE_BREAK) !== "");
    }
  }

  /** Parses an escape sequence. */
  #parseEscape(): string {
    if (!this.#takeChar("\\")) this.#fail();
    const simple = TOML_ESCAPES.get(this.#text[this.#offset] ?? "");
    if (simple !== undefined) {
      this.#offset++;
      return simple;
    }
    const digits = this.#takeMatch(UNICODE_ESCAPE);
    const code = parseInt(digits.slice(1), 16);
    const isOne = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    if (!isOne) this.#fail();
    return String.fromCodePoint(code);
  }

  /** Skips white space and comments. */
  #skipSpace(): void {
    while (
      this.#takeMatch(SPACE_OR_LINE_BREAK) !== "" ||
      this.#takeMatch(TOML_COMMENT) !== ""
    );
  }

  /** Fails if something else follows on the line. */
  #expectLineEnd(): void {
    this.#takeMatch(SPACES_AND_TABS);
    this.#takeMatch(TOML_COMMENT);
    if (this.#offset < this.#text.length && this.#takeMatch(/\r?\n/y) === "") {
      this.#fail();
    }
  }

  #takeChar(char: string): boolean {
    const isThere = this.#text[this.#offset] === char;
    if (isThere) this.#offset++;
    return isThere;
  }

  #takeMatch(pattern: RegExp): string {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#offset += found.length;
    return found;
  }

  #line(): number {
    return lineNumberOf(this.#text, this.#offset);
  }

  #fail(): never {
    throw new Error(`it is not TOML (line ${this.#line()})`);
  }

  #failDuplicate(): never {
    throw new Error(
      `it is not TOML (a name is there twice, line ${this.#line()})`,
    );
  }

  #failTooDeep(): never {
    throw new Error("it is nested too deeply");
  }
}

function newTable(definedBy: TomlTable["definedBy"]): TomlTable {
  return { kind: "table", definedBy, members: new Map() };
}

/**
 * Returns the table that a header opens; `undefined` if the header is not
 * allowed.
 */
function openTable(
  root: TomlTable,
  path: readonly string[],
  kind: "array" | "table",
): TomlTable | undefined {
  let table = root;
  for (const name of path.slice(0, -1)) {
    const member = table.members.get(name) ?? newTable("path");
    table.members.set(name, member);
    if (Array.isArray(member)) table = member.at(-1)!;
    else if (member.kind === "table") table = member;
    else return undefined;
  }
  const name = path.at(-1)!;
  const old = table.members.get(name);
  const next = newTable("header");
  if (old === undefined) {
    table.members.set(name, kind === "array" ? [next] : next);
    return next;
  }
  if (Array.isArray(old)) {
    if (kind === "table") return undefined;
    old.push(next);
    return next;
  }
  if (kind === "array" || old.kind !== "table" || old.definedBy !== "path") {
    return undefined;
  }
  old.definedBy = "header";
  return old;
}

/**
 * Puts a value into a table; returns `false` if that is not allowed. Dotted
 * keys must not add to a table that a header has defined.
 */
function tryInsert(
  table: TomlTable,
  key: readonly string[],
  value: TomlValue,
): boolean {
  for (const name of key.slice(0, -1)) {
    const member = table.members.get(name) ?? newTable("dots");
    table.members.set(name, member);
    if (Array.isArray(member) || member.kind !== "table") return false;
    if (member.definedBy !== "dots") return false;
    table = member;
  }
  const name = key.at(-1)!;
  if (table.members.has(name)) return false;
  table.members.set(name, value);
  return true;
}

function parseTomlNumber(word: string): number | string | undefined {
  const isInteger = INTEGER.test(word);
  if (!isInteger && !FLOAT.test(word)) return undefined;
  const value = Number(word.replaceAll("_", ""));
  return !isInteger || Number.isSafeInteger(value) ? value : word;
}

/** Returns the text of a date or a time, if it is one. */
function parseTomlDate(word: string): string | undefined {
  const [date, year, month, day] = DATE.exec(word) ?? [""];
  const isDay = date === "" || isInRange(month, 1, 12) &&
      isInRange(day, 1, daysInMonth(Number(year), Number(month)));
  const time = word.slice(date.length);
  // Only a date with a time has an offset, and only a date has no time.
  if (date === "" && TIME_OFFSET.test(time)) return undefined;
  if (time === "" && word !== "") return isDay ? word : undefined;
  const [, hour, minute, second = "0", ...offset] = TIME.exec(time) ?? [];
  const [hours = "0", minutes = "0"] = offset;
  const isTime = isInRange(hour, 0, 23) && isInRange(minute, 0, 59) &&
    isInRange(second, 0, 60) && isInRange(hours, 0, 23) &&
    isInRange(minutes, 0, 59);
  return isDay && isTime ? word : undefined;
}

function isInRange(
  digits: string | undefined,
  min: number,
  max: number,
): boolean {
  const value = Number(digits);
  return value >= min && value <= max;
}

function daysInMonth(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}
