/**
 * A parser for JSON with comments and trailing commas, as people write it in
 * settings files. It returns the position of every value.
 *
 * A library would slow down the proxy: Deno downloads every package of the
 * project before the first start, even for an import that is never reached.
 *
 * @module
 */

import { findStringEnd, lineNumberOf, type Span } from "./spans.ts";

/** A value and its position. */
export type JsoncValue = JsoncObject | JsoncArray | JsoncScalar | JsoncSkipped;

/** An object. */
export interface JsoncObject extends Span {
  /** Identifies the kind of value. */
  readonly kind: "object";
  /** The members in order; a name may occur twice. */
  readonly members: readonly JsoncMember[];
}

/** A member of an object, from its name to the end of its value. */
export interface JsoncMember extends Span {
  /** Its name. */
  readonly name: string;
  /** Its value. */
  readonly value: JsoncValue;
}

/** An array. */
export interface JsoncArray extends Span {
  /** Identifies the kind of value. */
  readonly kind: "array";
  /** The items in order. */
  readonly items: readonly JsoncValue[];
}

/** A string, a number, `true`, `false` or `null`. */
export interface JsoncScalar extends Span {
  /** Identifies the kind of value. */
  readonly kind: "scalar";
  /** The value itself. */
  readonly value: unknown;
}

/**
 * A value that was only validated: the unneeded parts of a large file take no
 * memory.
 */
export interface JsoncSkipped extends Span {
  /** Identifies the kind of value. */
  readonly kind: "skipped";
}

/**
 * Returns whether the value of a member is needed, by the names that lead to
 * it.
 */
export type PathFilter = (path: readonly string[]) => boolean;

/**
 * Parses a text, or only the members that are needed. Throws if the text is not
 * valid.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * assertEquals(toJsonValue(parseJsonc('{ "a": [1.0,], } // b')), { a: [1] });
 * ```
 */
export function parseJsonc(
  text: string,
  shouldRead: PathFilter = () => true,
): JsoncValue {
  return new JsoncParser(text, shouldRead).parseDocument();
}

/**
 * What JSON (RFC 8259) lacks: a comment, or a comma after the last member or
 * item.
 */
export type JsoncExtension = "comment" | "comma";

/**
 * Returns the extensions that a text uses, with the first line of each, counted
 * from 1. Throws as {@linkcode parseJsonc} does.
 */
export function findJsoncExtensions(
  text: string,
): ReadonlyMap<JsoncExtension, number> {
  const parser = new JsoncParser(text, () => false);
  parser.parseDocument();
  return parser.extensions;
}

/**
 * Returns the value as `JSON.parse` would; `undefined` for what was only
 * validated.
 */
export function toJsonValue(value: JsoncValue): unknown {
  switch (value.kind) {
    case "object":
      return Object.fromEntries(
        value.members.map(({ name, value }) => [name, toJsonValue(value)]),
      );
    case "array":
      return value.items.map(toJsonValue);
    case "scalar":
      return value.value;
    case "skipped":
      return undefined;
  }
}

/** A string without escapes. */
// deno-lint-ignore no-control-regex
const UNESCAPED_STRING = /"[^"\\\x00-\x1f]*"/y;
/** How deeply values may be nested. */
const MAX_JSONC_DEPTH = 500;

class JsoncParser {
  /** The extensions found, with the first line of each. */
  readonly extensions = new Map<JsoncExtension, number>();
  readonly #text: string;
  readonly #shouldRead: PathFilter;
  /** The names that lead to the current value, as far as it is needed. */
  readonly #path: string[] = [];
  #offset = 0;
  #depth = 0;

  constructor(text: string, shouldRead: PathFilter) {
    this.#text = text;
    this.#shouldRead = shouldRead;
  }

  parseDocument(): JsoncValue {
    const value = this.#parseValue(true);
    this.#skipTrivia();
    if (this.#offset < this.#text.length) this.#fail();
    return value;
  }

  #parseValue(isWanted: boolean): JsoncValue {
    if (this.#depth > MAX_JSONC_DEPTH) {
      throw new Error("it is nested too deeply");
    }
    this.#skipTrivia();
    const start = this.#offset;
    switch (this.#text[start]) {
      case "{": {
        const members = this.#parseList(
          "}",
          isWanted,
          () => this.#parseMember(isWanted),
        );
        if (!isWanted) break;
        return { kind: "object", start, end: this.#offset, members };
      }
      case "[": {
        const items = this.#parseList(
          "]",
          isWanted,
          () => this.#parseValue(isWanted),
        );
        if (!isWanted) break;
        return { kind: "array", start, end: this.#offset, items };
      }
      default: {
        const value = this.#parseScalar();
        return { kind: "scalar", start, end: this.#offset, value };
      }
    }
    return { kind: "skipped", start, end: this.#offset };
  }

  #parseMember(isWanted: boolean): JsoncMember {
    const start = this.#offset;
    const name = this.#parseScalar();
    this.#skipTrivia();
    if (typeof name !== "string" || !this.#consume(":")) this.#fail();
    if (!isWanted) {
      const value = this.#parseValue(false);
      return { start, end: value.end, name, value };
    }
    this.#path.push(name);
    const value = this.#parseValue(this.#shouldRead(this.#path));
    this.#path.pop();
    return { start, end: value.end, name, value };
  }

  /** Parses the items of a list; returns none if they are only validated. */
  #parseList<T>(close: string, isWanted: boolean, parseItem: () => T): T[] {
    const items: T[] = [];
    let commaAt: number | undefined;
    this.#offset++;
    this.#depth++;
    for (;;) {
      this.#skipTrivia();
      if (this.#consume(close)) {
        if (commaAt !== undefined) this.#recordExtension("comma", commaAt);
        this.#depth--;
        return items;
      }
      const item = parseItem();
      if (isWanted) items.push(item);
      this.#skipTrivia();
      commaAt = this.#offset;
      if (this.#consume(",")) continue;
      if (this.#text[this.#offset] !== close) this.#fail();
      commaAt = undefined;
    }
  }

  #parseScalar(): unknown {
    const start = this.#offset;
    UNESCAPED_STRING.lastIndex = start;
    if (UNESCAPED_STRING.test(this.#text)) {
      this.#offset = UNESCAPED_STRING.lastIndex;
      return this.#text.slice(start + 1, this.#offset - 1);
    }
    const end = this.#text[start] === '"'
      ? findStringEnd(this.#text, start)
      : start + this.#matchHere(/[\w.+-]*/y).length;
    try {
      const value = JSON.parse(this.#text.slice(start, end));
      this.#offset = end;
      return value;
    } catch {
      this.#fail();
    }
  }

  /** Skips white space and comments. */
  #skipTrivia(): void {
    for (;;) {
      while (isJsonWhitespace(this.#text.charCodeAt(this.#offset))) {
        this.#offset++;
      }
      if (this.#text[this.#offset] !== "/") return;
      const comment = this.#matchHere(/\/\/[^\r\n]*|\/\*[^]*?\*\//y);
      if (comment === "") return;
      this.#recordExtension("comment", this.#offset);
      this.#offset += comment.length;
    }
  }

  #consume(char: string): boolean {
    const isNext = this.#text[this.#offset] === char;
    if (isNext) this.#offset++;
    return isNext;
  }

  #matchHere(pattern: RegExp): string {
    pattern.lastIndex = this.#offset;
    return pattern.exec(this.#text)?.[0] ?? "";
  }

  #recordExtension(extension: JsoncExtension, offset: number): void {
    if (!this.extensions.has(extension)) {
      this.extensions.set(extension, lineNumberOf(this.#text, offset));
    }
  }

  #fail(): never {
    throw new Error(
      `it is not JSON (line ${lineNumberOf(this.#text, this.#offset)})`,
    );
  }
}

/** Whether a character is JSON white space (RFC 8259 section 2). */
function isJsonWhitespace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
