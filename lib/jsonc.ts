/**
 * JSON as people write it into settings, with comments and with commas at the
 * end, read with the place of every value.
 *
 * A library would be on the way of the proxy: Deno gets every package of the
 * project before the first start, even for an import that is never reached.
 *
 * @module
 */

import { type Span, stringEnd } from "./json_text.ts";

/** A value, and where it stands. */
export type Value = ObjectValue | ArrayValue | Scalar;

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

/**
 * Reads a text. Throws if it is not of that form.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * assertEquals(plain(parse('{ "a": [1.0,], } // b')), { a: [1] });
 * ```
 */
export function parse(text: string): Value {
  return new Reader(text).whole();
}

/** What `JSON.parse` would give. */
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
  }
}

/** How deep values may lie in each other. */
const DEPTH = 500;

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Value {
    const value = this.#value();
    this.#skip();
    if (this.#at < this.#text.length) this.#fail();
    return value;
  }

  #value(): Value {
    if (this.#depth > DEPTH) throw new Error("it is nested too deeply");
    this.#skip();
    const start = this.#at;
    switch (this.#text[start]) {
      case "{": {
        const members = this.#list("}", () => this.#member());
        return { kind: "object", start, end: this.#at, members };
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

  #member(): Member {
    const start = this.#at;
    const name = this.#scalar();
    this.#skip();
    if (typeof name !== "string" || !this.#take(":")) this.#fail();
    const value = this.#value();
    return { start, end: value.end, name, value };
  }

  #list<T>(close: string, read: () => T): T[] {
    const items: T[] = [];
    this.#at++;
    this.#depth++;
    for (;;) {
      this.#skip();
      if (this.#take(close)) {
        this.#depth--;
        return items;
      }
      items.push(read());
      this.#skip();
      if (!this.#take(",") && this.#text[this.#at] !== close) this.#fail();
    }
  }

  #scalar(): unknown {
    const start = this.#at;
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
      const skipped = this.#match(/[ \t\r\n]+|\/\/[^\n]*|\/\*[^]*?\*\//y);
      if (skipped === "") return;
      this.#at += skipped.length;
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

  #fail(): never {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    throw new Error(`it is not JSON (line ${line})`);
  }
}
