/**
 * TOML, version 1.0 and what 1.1 allows beside it (Codex reads both), with the
 * place of every pair and header.
 *
 * @module
 */

import { lineAt, type Span } from "../json/spans.ts";

/** A whole text. */
export interface Document {
  /** The pairs above the first header, then what each header begins, in order. */
  readonly sections: readonly Section[];
  /** What it all comes to. */
  readonly root: Table;
}

/** A header, and the pairs up to the next one; the place is that of the header. */
export interface Section extends Span {
  /** Of which table it is, from the root; empty for what stands above the first header. */
  readonly path: readonly string[];
  /** In their order. */
  readonly pairs: readonly Pair[];
}

/** A name with its value, from the one's start to the other's end. */
export interface Pair extends Span {
  /** The parts between the dots. */
  readonly key: readonly KeyPart[];
  /** Its value. */
  readonly value: Value;
}

/** A part of a key. */
export interface KeyPart extends Span {
  /** What it says. */
  readonly name: string;
}

/** A value, and where it stands. */
export type Value = InlineTable | ArrayValue | Scalar;

/** A table in braces. */
export interface InlineTable extends Span {
  /** What it is. */
  readonly kind: "inline";
  /** In their order. */
  readonly pairs: readonly Pair[];
  /** What they come to. */
  readonly table: Table;
}

/** An array in brackets. */
export interface ArrayValue extends Span {
  /** What it is. */
  readonly kind: "array";
  /** In their order. */
  readonly items: readonly Value[];
}

/** Any other value; dates, and integers that no number holds, are their text. */
export interface Scalar extends Span {
  /** What it is. */
  readonly kind: "scalar";
  /** The value itself. */
  readonly value: string | number | boolean;
}

/** A table, wherever its members were said. */
export interface Table {
  /** What it is. */
  readonly kind: "table";
  /** What has made it: its own header, the header of a table in it, or a dotted key. */
  from: "header" | "path" | "dots";
  /** Its members; a list is an array of tables. */
  readonly members: Map<string, Node>;
}

/** A member of a table. */
export type Node = Table | Table[] | Value;

/**
 * Reads a text. Throws if it is not of that form.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const { root } = parse("[a.b] # c\nd.e = [0x1F,]");
 * assertEquals(plain(root), { a: { b: { d: { e: [31] } } } });
 * ```
 */
export function parse(text: string): Document {
  return new Reader(text).whole();
}

/** The value in plain objects. */
export function plain(node: Node): unknown {
  if (Array.isArray(node)) return node.map(plain);
  switch (node.kind) {
    case "table":
      return Object.fromEntries(
        [...node.members].map(([name, member]) => [name, plain(member)]),
      );
    case "inline":
      return plain(node.table);
    case "array":
      return node.items.map(plain);
    case "scalar":
      return node.value;
  }
}

/** How deep values may lie in each other; the parts of a key count. */
const DEPTH = 500;

/** What a comment may hold: all but control characters. */
const COMMENT = /#[\t -~\x80-\uffff]*/y;
const BLANKS = /[ \t]+/y;
const SPACES = /[ \t\n]+|\r\n/y;
const BARE = /[\w-]+/y;
const LITERAL = /'[\t -&(-~\x80-\uffff]*'/y;
/** What stands for itself between quotes, on one line and on several. */
const PLAIN = /[\t !#-[\]-~\x80-\uffff]+/y;
const PLAIN_LINES = /[\t\n !#-[\]-~\x80-\uffff]+|\r\n/y;
const LITERAL_LINES = /[\t\n -&(-~\x80-\uffff]+|\r\n/y;
/** A number, a date or a word; a date may have its time behind a space. */
const WORD = /[\w+-][\w+.:-]*(?: \d[\w+.:-]*)?/y;

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ...[["b", "\b"], ["t", "\t"], ["n", "\n"], ["f", "\f"], ["r", "\r"]],
  ...[["e", "\x1b"], ['"', '"'], ["\\", "\\"]],
] as [string, string][]);

const CODE = /x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}/y;

const INTEGER =
  /^(?:[+-]?(?:0|[1-9](?:_?\d)*)|0x[\da-fA-F](?:_?[\da-fA-F])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*)$/;
const FLOAT =
  /^[+-]?(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:[eE][+-]?\d(?:_?\d)*)?$/;
const WORDS: ReadonlyMap<string, boolean | number> = new Map<
  string,
  boolean | number
>([
  ...[["true", true], ["false", false]] as const,
  ...[["inf", Infinity], ["+inf", Infinity], ["-inf", -Infinity]] as const,
  ...[["nan", NaN], ["+nan", NaN], ["-nan", NaN]] as const,
]);
const DAY = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](?=\d)|$)/;
const TIME = /^(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(?:[Zz]|[+-](\d\d):(\d\d))?$/;
const OFFSET = /(?:[Zz]|[+-]\d\d:\d\d)$/;

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Document {
    const root = newTable("header");
    const sections: Section[] = [];
    let table = root;
    let path: readonly string[] = [];
    let place: Span = { start: 0, end: 0 };
    for (;;) {
      const pairs: Pair[] = [];
      sections.push({ ...place, path, pairs });
      this.#depth = path.length;
      for (;;) {
        this.#skip();
        const next = this.#text[this.#at];
        if (next === undefined) return { sections, root };
        if (next === "[") break;
        const pair = this.#pair(table);
        pairs.push(pair);
        this.#lineEnd();
      }
      const start = this.#at;
      const isArray = this.#text.startsWith("[[", start);
      const bracket = isArray ? "]]" : "]";
      this.#at += bracket.length;
      path = this.#key().map(({ name }) => name);
      if (!this.#text.startsWith(bracket, this.#at)) this.#fail();
      this.#at += bracket.length;
      place = { start, end: this.#at };
      table = opened(root, path, isArray ? "array" : "table") ?? this.#twice();
      this.#lineEnd();
    }
  }

  /** Reads a pair, and puts it into a table. */
  #pair(table: Table): Pair {
    const start = this.#at;
    const key = this.#key();
    if (!this.#takes("=")) this.#fail();
    this.#take(BLANKS);
    this.#depth += key.length;
    const value = this.#value();
    this.#depth -= key.length;
    const { end } = value;
    if (isPut(table, key.map(({ name }) => name), value)) {
      return { start, end, key, value };
    }
    this.#at = start;
    this.#twice();
  }

  /** Reads a key, and the blanks around it. */
  #key(): KeyPart[] {
    const parts: KeyPart[] = [];
    do {
      if (parts.length === DEPTH) this.#deep();
      this.#take(BLANKS);
      const start = this.#at;
      const name = this.#name();
      parts.push({ start, end: this.#at, name });
      this.#take(BLANKS);
    } while (this.#takes("."));
    return parts;
  }

  #name(): string {
    switch (this.#text[this.#at]) {
      case '"':
        return this.#basic();
      case "'":
        return (this.#take(LITERAL) || this.#fail()).slice(1, -1);
      default:
        return this.#take(BARE) || this.#fail();
    }
  }

  #value(): Value {
    if (this.#depth > DEPTH) this.#deep();
    const start = this.#at;
    switch (this.#text[start]) {
      case "{": {
        const table = newTable("dots");
        const pairs = this.#list("}", () => this.#pair(table));
        return { kind: "inline", start, end: this.#at, pairs, table };
      }
      case "[": {
        const items = this.#list("]", () => this.#value());
        return { kind: "array", start, end: this.#at, items };
      }
      default: {
        const value = this.#scalar();
        return { kind: "scalar", start, end: this.#at, value };
      }
    }
  }

  #list<T>(close: string, read: () => T): T[] {
    const items: T[] = [];
    this.#at++;
    this.#depth++;
    for (;;) {
      this.#skip();
      if (this.#takes(close)) {
        this.#depth--;
        return items;
      }
      items.push(read());
      this.#skip();
      if (!this.#takes(",") && this.#text[this.#at] !== close) this.#fail();
    }
  }

  #scalar(): string | number | boolean {
    const quote = this.#text[this.#at];
    if (quote === '"' || quote === "'") {
      const isLong = this.#text.startsWith(quote.repeat(3), this.#at);
      return isLong ? this.#long(quote) : this.#name();
    }
    const start = this.#at;
    const word = this.#take(WORD);
    const value = WORDS.get(word) ?? numberOf(word) ?? dateOf(word);
    if (value !== undefined) return value;
    this.#at = start;
    this.#fail();
  }

  /** Reads a string in double quotes. */
  #basic(): string {
    let value = "";
    this.#at++;
    while (!this.#takes('"')) value += this.#take(PLAIN) || this.#escaped();
    return value;
  }

  /** Reads a string in three quotes. */
  #long(quote: string): string {
    const [text, quotes] = quote === '"'
      ? [PLAIN_LINES, /"{1,5}/y]
      : [LITERAL_LINES, /'{1,5}/y];
    let value = "";
    this.#at += 3;
    this.#take(/\r?\n/y);
    for (;;) {
      const ended = this.#take(quotes);
      if (ended.length > 2) return value + ended.slice(3);
      const more = ended + this.#take(text);
      if (more !== "") value += more;
      else if (quote === "'") this.#fail();
      else if (this.#take(/\\[ \t]*\r?\n/y) === "") value += this.#escaped();
      else while (this.#take(SPACES) !== "");
    }
  }

  /** Reads a backslash, and what it stands for with what follows. */
  #escaped(): string {
    if (!this.#takes("\\")) this.#fail();
    const simple = ESCAPES.get(this.#text[this.#at] ?? "");
    if (simple !== undefined) {
      this.#at++;
      return simple;
    }
    const digits = this.#take(CODE);
    const code = parseInt(digits.slice(1), 16);
    const isOne = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    if (!isOne) this.#fail();
    return String.fromCodePoint(code);
  }

  /** Goes to what is neither space nor comment. */
  #skip(): void {
    while (this.#take(SPACES) !== "" || this.#take(COMMENT) !== "");
  }

  /** Nothing else may stand on a line. */
  #lineEnd(): void {
    this.#take(BLANKS);
    this.#take(COMMENT);
    if (this.#at < this.#text.length && this.#take(/\r?\n/y) === "") {
      this.#fail();
    }
  }

  #takes(char: string): boolean {
    const isThere = this.#text[this.#at] === char;
    if (isThere) this.#at++;
    return isThere;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #line(): number {
    return lineAt(this.#text, this.#at);
  }

  #fail(): never {
    throw new Error(`it is not TOML (line ${this.#line()})`);
  }

  #twice(): never {
    throw new Error(
      `it is not TOML (a name is there twice, line ${this.#line()})`,
    );
  }

  #deep(): never {
    throw new Error("it is nested too deeply");
  }
}

function newTable(from: Table["from"]): Table {
  return { kind: "table", from, members: new Map() };
}

/** The table that a header begins; `undefined` if it may not. */
function opened(
  root: Table,
  path: readonly string[],
  kind: "array" | "table",
): Table | undefined {
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
  if (kind === "array" || old.kind !== "table" || old.from !== "path") {
    return undefined;
  }
  old.from = "header";
  return old;
}

/** Puts a value into a table, if it may be there: dots lead through no table that a header has made. */
function isPut(table: Table, key: readonly string[], value: Value): boolean {
  for (const name of key.slice(0, -1)) {
    const member = table.members.get(name) ?? newTable("dots");
    table.members.set(name, member);
    if (Array.isArray(member) || member.kind !== "table") return false;
    if (member.from !== "dots") return false;
    table = member;
  }
  const name = key.at(-1)!;
  if (table.members.has(name)) return false;
  table.members.set(name, value);
  return true;
}

function numberOf(word: string): number | string | undefined {
  const isInteger = INTEGER.test(word);
  if (!isInteger && !FLOAT.test(word)) return undefined;
  const value = Number(word.replaceAll("_", ""));
  return !isInteger || Number.isSafeInteger(value) ? value : word;
}

/** The text of a date or a time, if it is one. */
function dateOf(word: string): string | undefined {
  const [start, year, month, day] = DAY.exec(word) ?? [""];
  const isDay = start === "" || isWithin(month, 1, 12) &&
      isWithin(day, 1, daysIn(Number(year), Number(month)));
  const time = word.slice(start.length);
  // Only a moment has an offset, and only a date has no time.
  if (start === "" && OFFSET.test(time)) return undefined;
  if (time === "" && word !== "") return isDay ? word : undefined;
  const [, hour, minute, second = "0", ...offset] = TIME.exec(time) ?? [];
  const [hours = "0", minutes = "0"] = offset;
  const isTime = isWithin(hour, 0, 23) && isWithin(minute, 0, 59) &&
    isWithin(second, 0, 60) && isWithin(hours, 0, 23) &&
    isWithin(minutes, 0, 59);
  return isDay && isTime ? word : undefined;
}

function isWithin(
  digits: string | undefined,
  least: number,
  most: number,
): boolean {
  const value = Number(digits);
  return value >= least && value <= most;
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}
