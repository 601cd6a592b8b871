/**
 * Where a value stands in a JSON text, so that one value can be replaced
 * without re-spelling the rest: large numbers, key order, repeated and unknown
 * keys survive.
 *
 * Every function expects a text that `JSON.parse` has accepted.
 *
 * @module
 */

/** The place of a value in a text: from `start` up to, not including, `end` (UTF-16 units). */
export interface Span {
  /** Where it begins. */
  readonly start: number;
  /** Where it has ended. */
  readonly end: number;
}

/**
 * Finds the value at a path of member names; of repeated names the last one
 * counts, as in `JSON.parse`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * assertEquals(locate('{"a":{"b":1.0}}', ["a", "b"]), { start: 10, end: 13 });
 * ```
 */
export function locate(
  text: string,
  path: readonly string[],
): Span | undefined {
  let at: Span = { start: skipSpace(text, 0), end: text.length };
  for (const name of path) {
    if (text[at.start] !== "{") return undefined;
    let found: Span | undefined;
    for (const [key, span] of children(text, at.start)) {
      if (JSON.parse(key) === name) found = span;
    }
    if (found === undefined) return undefined;
    at = found;
  }
  return { start: at.start, end: valueEnd(text, at.start) };
}

/** Replaces the value at a path by another JSON text; where there is none, the text stays as it is. */
export function replace(
  text: string,
  path: readonly string[],
  value: string,
): string {
  const span = locate(text, path);
  if (span === undefined) return text;
  return text.slice(0, span.start) + value + text.slice(span.end);
}

/** Adds a member in front of an object's others; where the path names no object, the text stays as it is. */
export function insert(
  text: string,
  path: readonly string[],
  name: string,
  value: string,
): string {
  const span = locate(text, path);
  if (span === undefined || text[span.start] !== "{") return text;
  const first = skipSpace(text, span.start + 1);
  const comma = text[first] === "}" ? "" : ",";
  return text.slice(0, span.start + 1) + JSON.stringify(name) + ":" + value +
    comma + text.slice(first);
}

/** The texts of an array's elements, in order. */
export function elements(text: string): string[] {
  const texts: string[] = [];
  for (const [, span] of children(text, skipSpace(text, 0))) {
    texts.push(text.slice(span.start, span.end));
  }
  return texts;
}

/** The members of the object, or the elements of the array (their key is `""`), that begins at `start`. */
function* children(text: string, start: number): Generator<[string, Span]> {
  const isObject = text[start] === "{";
  let at = skipSpace(text, start + 1);
  while (text[at] !== "}" && text[at] !== "]") {
    let key = "";
    if (isObject) {
      const keyEnd = valueEnd(text, at);
      key = text.slice(at, keyEnd);
      at = skipSpace(text, skipSpace(text, keyEnd) + 1); // the colon
    }
    const end = valueEnd(text, at);
    yield [key, { start: at, end }];
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
}

function skipSpace(text: string, at: number): number {
  while (/[ \t\n\r]/.test(text[at] ?? "")) at++;
  return at;
}

function valueEnd(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return stringEnd(text, start);
  if (first !== "{" && first !== "[") {
    const rest = /[,\]}\s]/g;
    rest.lastIndex = start;
    return rest.exec(text)?.index ?? text.length;
  }
  const next = /["[\]{}]/g;
  next.lastIndex = start;
  let depth = 0;
  for (;;) {
    const at = next.exec(text)?.index;
    if (at === undefined) return text.length;
    const char = text[at];
    if (char === '"') next.lastIndex = stringEnd(text, at);
    else depth += char === "{" || char === "[" ? 1 : -1;
    if (depth === 0) return at + 1;
  }
}

/** The end of the string that begins at `start`; that of the text if nothing ends it. */
export function stringEnd(text: string, start: number): number {
  const next = /["\\]/g;
  next.lastIndex = start + 1;
  for (;;) {
    const at = next.exec(text)?.index;
    if (at === undefined) return text.length;
    if (text[at] === '"') return at + 1;
    next.lastIndex = at + 2; // a backslash and what it escapes
  }
}
