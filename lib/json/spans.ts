/**
 * Finds the positions of values in a JSON text, so that one value can be
 * replaced without rewriting the rest: large numbers, key order, repeated and
 * unknown keys are preserved.
 *
 * Functions expect a text that `JSON.parse` has accepted, unless they say
 * otherwise.
 *
 * @module
 */

/**
 * The position of a value in a text: from `start` up to, not including, `end`
 * (UTF-16 units).
 */
export interface Span {
  /** The offset of its first character. */
  readonly start: number;
  /** The offset after its last character. */
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
 * assertEquals(findValue('{"a":{"b":1.0}}', ["a", "b"]), { start: 10, end: 13 });
 * ```
 */
export function findValue(
  text: string,
  path: readonly string[],
): Span | undefined {
  let at: Span = { start: skipWhitespace(text, 0), end: text.length };
  for (const name of path) {
    if (text[at.start] !== "{") return undefined;
    let found: Span | undefined;
    for (const { keyText, value } of childrenOf(text, at.start)) {
      if (JSON.parse(keyText) === name) found = value;
    }
    if (found === undefined) return undefined;
    at = found;
  }
  return { start: at.start, end: findValueEnd(text, at.start) };
}

/**
 * Replaces the value at a path by another JSON text; without such a value the
 * text is returned unchanged.
 */
export function replaceValue(
  text: string,
  path: readonly string[],
  value: string,
): string {
  const span = findValue(text, path);
  if (span === undefined) return text;
  return text.slice(0, span.start) + value + text.slice(span.end);
}

/**
 * Adds a member before an object's others; if there is no object at the path,
 * the text is returned unchanged.
 */
export function prependMember(
  text: string,
  path: readonly string[],
  name: string,
  value: string,
): string {
  const span = findValue(text, path);
  if (span === undefined || text[span.start] !== "{") return text;
  const first = skipWhitespace(text, span.start + 1);
  const comma = text[first] === "}" ? "" : ",";
  return text.slice(0, span.start + 1) + JSON.stringify(name) + ":" + value +
    comma + text.slice(first);
}

/** Returns the texts of an array's elements, in order. */
export function elementTextsOf(text: string): string[] {
  const texts: string[] = [];
  for (const { value } of childrenOf(text, skipWhitespace(text, 0))) {
    texts.push(text.slice(value.start, value.end));
  }
  return texts;
}

/** A member of an object. */
export interface MemberSpan {
  /** Its name. */
  readonly name: string;
  /** The offset of its name. */
  readonly start: number;
  /** The offset after its name. */
  readonly nameEnd: number;
  /** The position of its value. */
  readonly value: Span;
}

/** Returns the members of an object in order, with repeated names. */
export function memberSpansOf(text: string): MemberSpan[] {
  const all: MemberSpan[] = [];
  for (
    const { keyText, start, value } of childrenOf(text, skipWhitespace(text, 0))
  ) {
    const name = JSON.parse(keyText) as string;
    all.push({ name, start, nameEnd: start + keyText.length, value });
  }
  return all;
}

/**
 * Removes members from an object; the text of all others is unchanged.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * assertEquals(removeMembers('{"a":1.0, "b":null}', ["b"]), '{"a":1.0}');
 * ```
 */
export function removeMembers(text: string, names: readonly string[]): string {
  const all = memberSpansOf(text);
  const removed = new Set(names);
  const isKept = ({ name }: MemberSpan): boolean => !removed.has(name);
  const lastKept = all.findLastIndex(isKept);
  let result = "";
  let from = 0;
  for (const [i, member] of all.entries()) {
    if (isKept(member)) continue;
    if (i < lastKept) {
      result += text.slice(from, member.start);
      from = all[i + 1]!.start;
    } else {
      // Remove the comma before it, because none follows.
      const before = all[lastKept]?.value.end ?? all[0]!.start;
      result += text.slice(from, before);
      from = all.at(-1)!.value.end;
      break;
    }
  }
  return result + text.slice(from);
}

/**
 * Replaces the string values of a JSON text; names and everything else are
 * unchanged.
 */
export function mapStrings(
  text: string,
  change: (value: string) => string,
): string {
  let result = "";
  let from = 0;
  let at = text.indexOf('"');
  while (at !== -1) {
    const end = findStringEnd(text, at);
    if (text[skipWhitespace(text, end)] !== ":") {
      const value = JSON.parse(text.slice(at, end)) as string;
      const changed = change(value);
      if (changed !== value) {
        result += text.slice(from, at) + JSON.stringify(changed);
        from = end;
      }
    }
    at = text.indexOf('"', end);
  }
  return result + text.slice(from);
}

/** One of the {@linkcode childrenOf}; the key is a JSON text. */
interface Child {
  readonly keyText: string;
  readonly start: number;
  readonly value: Span;
}

/**
 * Yields the members of the object, or the elements of the array (with empty
 * keys), that begins at `start`.
 */
function* childrenOf(text: string, start: number): Generator<Child> {
  const isObject = text[start] === "{";
  let at = skipWhitespace(text, start + 1);
  while (text[at] !== "}" && text[at] !== "]") {
    const first = at;
    let keyText = "";
    if (isObject) {
      const keyEnd = findValueEnd(text, at);
      keyText = text.slice(at, keyEnd);
      at = skipWhitespace(text, skipWhitespace(text, keyEnd) + 1); // the colon
    }
    const end = findValueEnd(text, at);
    yield { keyText, start: first, value: { start: at, end } };
    at = skipWhitespace(text, end);
    if (text[at] === ",") at = skipWhitespace(text, at + 1);
  }
}

/**
 * Recovers the complete members of a truncated or invalid object, before the
 * place where it breaks: their names and the texts of their values. The last
 * one may have only a name. An object that is complete and followed by other
 * text gives none.
 *
 * @param text what `JSON.parse` has not accepted
 */
export function recoverLeadingMembers(
  text: string,
): Map<string, string | undefined> {
  const found = new Map<string, string | undefined>();
  let at = skipWhitespace(text, 0);
  if (text[at] !== "{") return found;
  do {
    at = skipWhitespace(text, at + 1);
    if (text[at] !== '"') return found;
    const keyEnd = findStringEnd(text, at);
    const name = tryParseJson(text.slice(at, keyEnd));
    at = skipWhitespace(text, keyEnd);
    if (typeof name !== "string" || text[at] !== ":") return found;
    const start = skipWhitespace(text, at + 1);
    at = findValueEnd(text, start);
    const value = text.slice(start, at);
    at = skipWhitespace(text, at);
    // A number at the end of the text may be incomplete.
    const isComplete = at < text.length && tryParseJson(value) !== undefined;
    found.set(name, isComplete ? value : undefined);
    if (!isComplete) return found;
  } while (text[at] === ",");
  return text[at] === "}" ? new Map() : found;
}

/** Parses a JSON text; `undefined` if it is invalid. */
export function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function skipWhitespace(text: string, at: number): number {
  while (/[ \t\n\r]/.test(text[at] ?? "")) at++;
  return at;
}

/**
 * The end of the value that begins at `start`, if there is one; the end of the
 * text if the value is not closed.
 */
function findValueEnd(text: string, start: number): number {
  return findClosedValueEnd(text, start) ?? text.length;
}

/**
 * The end of the value that begins at `start`, if there is one; `undefined` if
 * a string, an object or an array is not closed.
 */
export function findClosedValueEnd(
  text: string,
  start: number,
): number | undefined {
  const first = text[start];
  if (first === '"') return findClosedStringEnd(text, start);
  if (first !== "{" && first !== "[") {
    const scalarEnd = /[,\]}\s]/g;
    scalarEnd.lastIndex = start;
    return scalarEnd.exec(text)?.index ?? text.length;
  }
  const quoteOrBracket = /["[\]{}]/g;
  quoteOrBracket.lastIndex = start;
  let depth = 0;
  for (;;) {
    const at = quoteOrBracket.exec(text)?.index;
    if (at === undefined) return undefined;
    const char = text[at];
    if (char === '"') quoteOrBracket.lastIndex = findStringEnd(text, at);
    else depth += char === "{" || char === "[" ? 1 : -1;
    if (depth === 0) return at + 1;
  }
}

/** The line number of an offset, counted from 1. */
export function lineNumberOf(text: string, offset: number): number {
  let line = 1;
  for (let at = -1;; line++) {
    at = text.indexOf("\n", at + 1);
    if (at === -1 || at >= offset) return line;
  }
}

/**
 * The end of the string that begins at `start`; the end of the text if it is
 * not closed.
 */
export function findStringEnd(text: string, start: number): number {
  return findClosedStringEnd(text, start) ?? text.length;
}

function findClosedStringEnd(text: string, start: number): number | undefined {
  for (let at = start;;) {
    at = text.indexOf('"', at + 1);
    if (at === -1) return undefined;
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes++;
    // An odd number of backslashes escapes the quote.
    if (slashes % 2 === 0) return at + 1;
  }
}
