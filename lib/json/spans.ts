/**
 * Finds and replaces parts of JSON texts. This folder works on the text rather
 * than on parsed values, so that large numbers, the order of members and
 * repeated names are kept.
 *
 * The functions expect valid JSON, unless their comment says otherwise. A path
 * is a list of member names; an empty one means the whole value. Of members
 * with the same name, the last one counts. Offsets are in UTF-16 units.
 *
 * @module
 */

/** The position of a value in a text: the offsets from `start` to `end`. */
export interface Span {
  /** The offset of the first character. */
  readonly start: number;
  /** The offset after the last character. */
  readonly end: number;
}

/** Returns the position of the value at a path; `undefined` if none. */
export function findValue(
  text: string,
  path: readonly string[],
): Span | undefined {
  const start = skipChars(text, 0);
  let found: Span | undefined;
  for (const name of path) {
    const at = found?.start ?? start;
    if (text[at] !== "{") return undefined;
    found = readChildren(text, at).children
      .findLast((it) => it.name === name)?.value;
    if (found === undefined) return undefined;
  }
  return found ?? { start, end: findClosedValueEnd(text, start)! };
}

/** Replaces the value at a path by the JSON text `value`, if it exists. */
export function replaceValue(
  text: string,
  path: readonly string[],
  value: string,
): string {
  const span = findValue(text, path);
  if (span === undefined) return text;
  return text.slice(0, span.start) + value + text.slice(span.end);
}

/** Adds a first member to the object at a path, if there is an object. */
export function prependMember(
  text: string,
  path: readonly string[],
  name: string,
  value: string,
): string {
  const span = findValue(text, path);
  if (span === undefined || text[span.start] !== "{") return text;
  const first = skipChars(text, span.start + 1);
  const comma = text[first] === "}" ? "" : ",";
  return text.slice(0, span.start + 1) + JSON.stringify(name) + ":" + value +
    comma + text.slice(first);
}

/** Returns the JSON texts of an array's elements, in order. */
export function elementTextsOf(text: string): string[] {
  return memberSpansOf(text)
    .map(({ value: { start, end } }) => text.slice(start, end));
}

/** The position of a member of an object. */
export interface MemberSpan {
  /** The name, without its quotes and escapes. */
  readonly name: string;
  /** The offset of the name's opening quote. */
  readonly start: number;
  /** The offset after the name's closing quote. */
  readonly nameEnd: number;
  /** The position of the value. */
  readonly value: Span;
}

/** Returns all members of an object, or elements of an array, in order. */
export function memberSpansOf(text: string): MemberSpan[] {
  return readChildren(text, skipChars(text, 0)).children;
}

/** Removes all members with these names; the rest of the text is kept. */
export function removeMembers(text: string, names: readonly string[]): string {
  const all = memberSpansOf(text);
  const removed = new Set(names);
  let result = text.slice(0, all[0]?.start);
  let isFirst = true;
  for (const [i, { name, start, value }] of all.entries()) {
    if (removed.has(name)) continue;
    result += text.slice(isFirst ? start : all[i - 1]!.value.end, value.end);
    isFirst = false;
  }
  return result + text.slice(all.at(-1)?.value.end ?? text.length);
}

/** Replaces each string value with the result of `change`; names are kept. */
export function mapStrings(
  text: string,
  change: (value: string) => string,
): string {
  let result = "";
  let from = 0;
  let at = text.indexOf('"');
  while (at !== -1) {
    const end = findStringEnd(text, at);
    if (text[skipChars(text, end)] !== ":") {
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

/**
 * Reads the members of the object, or the elements of the array, that begins at
 * `start`. Elements have an empty name. `end` is the offset after the closing
 * bracket. If the text is broken, `children` holds the part before the break,
 * and `end` is `undefined`. Scalars are not validated.
 */
function readChildren(
  text: string,
  start: number,
): { readonly children: MemberSpan[]; readonly end: number | undefined } {
  const children: MemberSpan[] = [];
  const isObject = text[start] === "{";
  const close = isObject ? "}" : "]";
  let at = start;
  do {
    at = skipChars(text, at + 1);
    if (children.length === 0 && text[at] === close) break;
    const first = at;
    let nameEnd = at;
    let name: unknown = "";
    if (isObject) {
      nameEnd = text[at] === '"' ? findStringEnd(text, at) : at;
      name = tryParseJson(text.slice(at, nameEnd));
      at = skipChars(text, nameEnd);
      if (text[at] !== ":") return { children, end: undefined };
      at = skipChars(text, at + 1);
    }
    if (typeof name !== "string") return { children, end: undefined };
    const end = findClosedValueEnd(text, at);
    const value = { start: at, end: end ?? text.length };
    children.push({ name, start: first, nameEnd, value });
    at = skipChars(text, value.end);
  } while (text[at] === ",");
  return { children, end: text[at] === close ? at + 1 : undefined };
}

/**
 * Returns the members of an invalid object up to the point where it breaks:
 * their names and the JSON texts of their values. The last value is `undefined`
 * if it is incomplete or invalid. The result is empty if the text does not
 * begin with an object, or begins with a complete one.
 */
export function recoverLeadingMembers(
  text: string,
): Map<string, string | undefined> {
  const found = new Map<string, string | undefined>();
  const start = skipChars(text, 0);
  if (text[start] !== "{") return found;
  const { children, end } = readChildren(text, start);
  for (const { name, value } of children) {
    const valueText = text.slice(value.start, value.end);
    // A number at the end of the text may be cut off.
    const isComplete = skipChars(text, value.end) < text.length &&
      tryParseJson(valueText) !== undefined;
    found.set(name, isComplete ? valueText : undefined);
    if (!isComplete) return found;
  }
  return end === undefined ? found : new Map();
}

/** Parses a JSON text; returns `undefined` if it is invalid. */
export function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the next offset, from `at` on, of a character not in `chars`. */
export function skipChars(
  text: string,
  at: number,
  chars = " \t\n\r",
): number {
  while (at < text.length && chars.includes(text[at]!)) at++;
  return at;
}

/** Returns the end of the value at `start`; `undefined` if it is not closed. */
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
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = findStringEnd(text, at) - 1;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) return at + 1;
  }
  return undefined;
}

/** Returns the line number of an offset; lines are counted from 1. */
export function lineNumberOf(text: string, offset: number): number {
  let line = 1;
  for (let at = -1;; line++) {
    at = text.indexOf("\n", at + 1);
    if (at === -1 || at >= offset) return line;
  }
}

/** Returns the end of the string at `start`, or of the text if not closed. */
function findStringEnd(text: string, start: number): number {
  return findClosedStringEnd(text, start) ?? text.length;
}

function findClosedStringEnd(text: string, start: number): number | undefined {
  for (let at = start;;) {
    at = text.indexOf('"', at + 1);
    if (at === -1) return undefined;
    if (!isEscaped(text, at)) return at + 1;
  }
}

/** Returns true if an odd number of backslashes is before an offset. */
export function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === "\\") slashes++;
  return slashes % 2 === 1;
}
