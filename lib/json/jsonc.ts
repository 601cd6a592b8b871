/**
 * JSON as people write it into settings, with comments and with commas at the
 * end, read with the place of every value.
 *
 * A library would be on the way of the proxy: Deno gets every package of the
 * project before the first start, even for an import that is never reached.
 *
 * @module
 */

import { lineAt, type Span, stringEnd } from "./spans.ts";

/** A value, and where it stands. */
export type Value = ObjectValue | ArrayValue | Scalar | Unread;

/** An object. */
export interface ObjectValue extends Span {
  /** What it is. */
  readonly kind: "object";
  /** In their order; a name may come twice. */
  readonly members: readonly Member[];
}

/** A member of an object, from its name to the end of its value. */
export interface Member extends Span {
  /** Its name. */
  readonly name: string;
  /** Its value. */
  readonly value: Value;
}

/** An array. */
export interface ArrayValue extends Span {
  /** What it is. */
  readonly kind: "array";
  /** In their order. */
  readonly items: readonly Value[];
}

/** A text, a number, `true`, `false` or `null`. */
export interface Scalar extends Span {
  /** What it is. */
  readonly kind: "scalar";
  /** The value itself. */
  readonly value: unknown;
}

/** A value that was checked only: what a large file holds beside what is asked for takes no memory. */
export interface Unread extends Span {
  /** What it is. */
  readonly kind: "unread";
}

/** Whether the value of a member is asked for, by the names of the members that lead to it. */
export type Wanted = (path: readonly string[]) => boolean;

/**
 * Reads a text, or of its members those that are asked for. Throws if it is not
 * of that form.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * assertEquals(plain(parse('{ "a": [1.0,], } // b')), { a: [1] });
 * ```
 */
export function parse(text: string, wanted: Wanted = () => true): Value {
  return new Reader(text, wanted).whole();
}

/** What people write into JSON that JSON does not have (RFC 8259): a comment, and a comma behind the last member or item. */
export type Addition = "comment" | "comma";

/** What of that a text has, with the first line that has it, counted from 1. Throws as {@linkcode parse} does. */
export function additionsIn(text: string): ReadonlyMap<Addition, number> {
  const reader = new Reader(text, () => false);
  reader.whole();
  return reader.additions;
}

/** What `JSON.parse` would give; nothing for what was only checked. */
export function plain(value: Value): unknown {
  switch (value.kind) {
    case "object":
      return Object.fromEntries(
        value.members.map(({ name, value }) => [name, plain(value)]),
      );
    case "array":
      return value.items.map(plain);
    case "scalar":
      return value.value;
    case "unread":
      return undefined;
  }
}

/** A text that stands for itself: nothing in it is escaped. */
// deno-lint-ignore no-control-regex
const PLAIN = /"[^"\\\x00-\x1f]*"/y;
/** How deep values may lie in each other. */
const DEPTH = 500;

class Reader {
  /** What JSON does not have, and the first line that has it. */
  readonly additions = new Map<Addition, number>();
  readonly #text: string;
  readonly #wanted: Wanted;
  /** The names that lead to what is read now, as far as that is asked for. */
  readonly #path: string[] = [];
  #at = 0;
  #depth = 0;

  constructor(text: string, wanted: Wanted) {
    this.#text = text;
    this.#wanted = wanted;
  }

  whole(): Value {
    const value = this.#value(true);
    this.#skip();
    if (this.#at < this.#text.length) this.#fail();
    return value;
  }

  #value(isWanted: boolean): Value {
    if (this.#depth > DEPTH) throw new Error("it is nested too deeply");
    this.#skip();
    const start = this.#at;
    switch (this.#text[start]) {
      case "{": {
        const members = this.#list("}", isWanted, () => this.#member(isWanted));
        if (!isWanted) break;
        return { kind: "object", start, end: this.#at, members };
      }
      case "[": {
        const items = this.#list("]", isWanted, () => this.#value(isWanted));
        if (!isWanted) break;
        return { kind: "array", start, end: this.#at, items };
      }
      default: {
        const value = this.#scalar();
        return { kind: "scalar", start, end: this.#at, value };
      }
    }
    return { kind: "unread", start, end: this.#at };
  }

  #member(isWanted: boolean): Member {
    const start = this.#at;
    const name = this.#scalar();
    this.#skip();
    if (typeof name !== "string" || !this.#take(":")) this.#fail();
    if (!isWanted) {
      const value = this.#value(false);
      return { start, end: value.end, name, value };
    }
    this.#path.push(name);
    const value = this.#value(this.#wanted(this.#path));
    this.#path.pop();
    return { start, end: value.end, name, value };
  }

  /** The items of a list; none if they are only checked. */
  #list<T>(close: string, isWanted: boolean, read: () => T): T[] {
    const items: T[] = [];
    let comma: number | undefined;
    this.#at++;
    this.#depth++;
    for (;;) {
      this.#skip();
      if (this.#take(close)) {
        if (comma !== undefined) this.#note("comma", comma);
        this.#depth--;
        return items;
      }
      const item = read();
      if (isWanted) items.push(item);
      this.#skip();
      comma = this.#at;
      if (this.#take(",")) continue;
      if (this.#text[this.#at] !== close) this.#fail();
      comma = undefined;
    }
  }

  #scalar(): unknown {
    const start = this.#at;
    PLAIN.lastIndex = start;
    if (PLAIN.test(this.#text)) {
      this.#at = PLAIN.lastIndex;
      return this.#text.slice(start + 1, this.#at - 1);
    }
    const end = this.#text[start] === '"'
      ? stringEnd(this.#text, start)
      : start + this.#match(/[\w.+-]*/y).length;
    try {
      const value = JSON.parse(this.#text.slice(start, end));
      this.#at = end;
      return value;
    } catch {
      this.#fail();
    }
  }

  /** Goes to what is neither space nor comment. */
  #skip(): void {
    for (;;) {
      while (isBlank(this.#text.charCodeAt(this.#at))) this.#at++;
      if (this.#text[this.#at] !== "/") return;
      const comment = this.#match(/\/\/[^\r\n]*|\/\*[^]*?\*\//y);
      if (comment === "") return;
      this.#note("comment", this.#at);
      this.#at += comment.length;
    }
  }

  #take(char: string): boolean {
    const isThere = this.#text[this.#at] === char;
    if (isThere) this.#at++;
    return isThere;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? "";
  }

  #note(what: Addition, at: number): void {
    if (!this.additions.has(what)) {
      this.additions.set(what, lineAt(this.#text, at));
    }
  }

  #fail(): never {
    throw new Error(`it is not JSON (line ${lineAt(this.#text, this.#at)})`);
  }
}

/** Whether it is white space of JSON's (RFC 8259 section 2). */
function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
