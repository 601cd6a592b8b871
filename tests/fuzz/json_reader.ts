/**
 * Reads JSON strictly (RFC 8259), without `JSON.parse` for objects and arrays.
 * That one confuses member names with escapes (V8 in Deno 2.9.6). This reader
 * also keeps repeated names, exact texts, and what comes before a break.
 *
 * @module
 */

/** What {@linkcode JsonReader.readValue} returns for a text that is no JSON. */
export const NO_JSON: unique symbol = Symbol("no JSON");

/** A member of an object, or an element of an array, as it is written. */
export interface Member {
  /** The name without escapes; empty for an element. */
  readonly name: string;
  /** The name with its quotes and escapes; empty for an element. */
  readonly nameText: string;
  readonly value: unknown;
  /** The exact text of the value. */
  readonly valueText: string;
  /** The offset after the value. */
  readonly end: number;
}

const STRING =
  // deno-lint-ignore no-control-regex
  /"(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /[^,\]}\s]+/y;
const LITERAL =
  /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** Reads values from a text, one after another. */
export class JsonReader {
  /** The offset of the next character. */
  at: number;
  readonly #text: string;
  /**
   * After a break: the name of the outermost member whose value is broken;
   * `undefined` if the break is not in a value.
   */
  brokenName: string | undefined;
  /** True if a name in an object has an escape. */
  hasEscapedNames = false;

  constructor(text: string, at = 0) {
    this.#text = text;
    this.at = at;
  }

  /** Skips the white space of JSON. Returns the next character. */
  skipSpace(): string | undefined {
    for (;; this.at++) {
      const char = this.#text[this.at];
      if (char !== " " && char !== "\n" && char !== "\r" && char !== "\t") {
        return char;
      }
    }
  }

  /** Reads a value at the next offset. */
  readValue(): unknown {
    const first = this.#text[this.at];
    if (first === "{" || first === "[") {
      const members: Member[] = [];
      if (!this.readChildren(members)) return NO_JSON;
      return first === "{"
        ? toObject(members)
        : members.map(({ value }) => value);
    }
    const token = this.#match(first === '"' ? STRING : SCALAR);
    if (token === undefined) return NO_JSON;
    if (first === '"') {
      return token.includes("\\") ? JSON.parse(token) : token.slice(1, -1);
    }
    return LITERAL.test(token) ? JSON.parse(token) : NO_JSON;
  }

  /**
   * Reads the object or array at the next offset into `children`. Returns
   * whether it is complete and valid. If not, `children` has the valid part.
   */
  readChildren(children: Member[]): boolean {
    const isObject = this.#text[this.at] === "{";
    const close = isObject ? "}" : "]";
    this.at++;
    this.brokenName = undefined;
    if (this.skipSpace() === close) {
      this.at++;
      return true;
    }
    for (;;) {
      let name = "";
      let nameText = "";
      if (isObject) {
        const token = this.#match(STRING);
        if (token === undefined) return false;
        nameText = token;
        if (nameText.includes("\\")) this.hasEscapedNames = true;
        name = JSON.parse(nameText);
        if (this.skipSpace() !== ":") return false;
        this.at++;
        this.skipSpace();
      }
      const start = this.at;
      const value = this.readValue();
      if (value === NO_JSON) {
        this.brokenName = name;
        return false;
      }
      const valueText = this.#text.slice(start, this.at);
      children.push({ name, nameText, value, valueText, end: this.at });
      const next = this.skipSpace();
      if (next === close) {
        this.at++;
        return true;
      }
      this.brokenName = undefined;
      if (next !== ",") return false;
      this.at++;
      this.skipSpace();
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const token = pattern.exec(this.#text)?.[0];
    if (token !== undefined) this.at += token.length;
    return token;
  }
}

function toObject(members: readonly Member[]): object {
  const object: Record<string, unknown> = {};
  for (const { name, value } of members) {
    if (name === "__proto__") {
      const more = { writable: true, enumerable: true, configurable: true };
      Object.defineProperty(object, name, { value, ...more });
    } else object[name] = value;
  }
  return object;
}

/** A whole JSON text. */
export interface JsonText {
  readonly value: unknown;
  /** The members or elements; `undefined` if the value is a scalar. */
  readonly children: readonly Member[] | undefined;
  readonly hasEscapedNames: boolean;
}

/** Reads a text with one JSON value; `undefined` if it is something else. */
export function readJson(text: string): JsonText | undefined {
  const reader = new JsonReader(text);
  const first = reader.skipSpace();
  let value: unknown;
  let children: Member[] | undefined;
  if (first === "{" || first === "[") {
    children = [];
    if (!reader.readChildren(children)) return undefined;
    value = first === "{" ? toObject(children) : children.map((it) => it.value);
  } else {
    value = reader.readValue();
    if (value === NO_JSON) return undefined;
  }
  if (reader.skipSpace() !== undefined) return undefined;
  return { value, children, hasEscapedNames: reader.hasEscapedNames };
}

/** Returns true if two parsed values are the same; -0 is not 0. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (
    typeof a !== "object" || typeof b !== "object" || a === null ||
    b === null || Array.isArray(a) !== Array.isArray(b)
  ) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length &&
    names.every((name) =>
      Object.hasOwn(b, name) &&
      isSameValue(
        (a as Record<string, unknown>)[name],
        (b as Record<string, unknown>)[name],
      )
    );
}
