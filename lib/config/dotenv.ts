/**
 * The names and values in the text of a `.env` file, exactly as python-dotenv
 * reads them from a file with `override=True`, but for a byte order mark at the
 * start, which is no part of the first name here. Its form is specified nowhere
 * but in its code.
 *
 * The time grows with the size of the text: nothing is looked at twice.
 *
 * @module
 */

/** What a text says. */
export interface EnvText {
  /** The values by name, the last of each; `undefined` where a name stands there without `=`. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The lines, counted from 1, at which something begins that could not be read and is left out. */
  readonly unread: readonly number[];
  /** The `${NAME}` for which nothing is put in, as nothing sets it. */
  readonly unset: readonly Unset[];
}

/** A `${NAME}` that nothing sets. */
export interface Unset {
  /** The line, counted from 1, at which the name begins whose value this is in. */
  readonly line: number;
  /** What stands in the braces. */
  readonly name: string;
}

/** What begins at a place: a name with or without a value, a comment, nothing, or what cannot be read. */
interface Statement {
  /** Where the next one begins. */
  readonly end: number;
  readonly kind: "read" | "unread";
  readonly name?: string;
  readonly value?: string;
}

/** How many characters may be put in for `${NAME}` in all: two in each line double a text with each line. */
export const PUT_IN_LIMIT = 2 ** 24;

/** What Python takes for white space within a line. JavaScript's \s has U+FEFF instead of U+001C to U+001F and U+0085. */
const BLANKS = "\t\v\f\r\x1c-\x1f \x85\xa0\u1680\u2000-\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const BLANK = new RegExp(`[${BLANKS}\n]`);
const NO_BLANK = new RegExp(`[^${BLANKS}]`, "g");
const NO_SPACE = new RegExp(`[^${BLANKS}\n]`, "g");
const EXPORT = new RegExp(`export[${BLANKS}]`, "y");
const NAME_END = new RegExp(`[=#${BLANKS}\n]`, "g");
/** A comment in a value without quotes: `#` alone is a character like others. */
const COMMENT = new RegExp(`[${BLANKS}]#`);
/** What may end a name in `${NAME}` and `${NAME:-default}`. */
const VARIABLE_END = /[:}]/g;

/** What stands after a backslash between double quotes, where that is another character. */
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
};

/**
 * Reads the text of a `.env` file. Throws if what is put in for `${NAME}` is
 * too large.
 *
 * @param env the environment, for a `${NAME}` that no line before has set
 */
export function parseEnvText(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): EnvText {
  // Python gives all ends of lines as one.
  const all = text.replace(/^\ufeff/, "").replaceAll(/\r\n?/g, "\n");
  const values = new Map<string, string | undefined>();
  const unread: number[] = [];
  const unset: Unset[] = [];
  let room = PUT_IN_LIMIT;
  let line = 1;
  let start = 0;
  while (start < all.length) {
    const begin = search(NO_SPACE, all, start);
    if (begin === all.length) break;
    line += linesIn(all, start, begin);
    const { end, kind, name, value } = statementAt(all, begin);
    if (kind === "unread") unread.push(line);
    if (name !== undefined) {
      const whole = value === undefined ? undefined : expand(value, (it) => {
        const text = values.has(it) ? values.get(it) ?? null : own(env, it);
        room -= text?.length ?? 0;
        if (room >= 0) return text;
        throw new Error("its ${NAME} put in more than 16 MiB");
      });
      for (const name of whole?.unset ?? []) unset.push({ line, name });
      values.set(name, whole?.text);
    }
    line += linesIn(all, begin, end);
    start = end;
  }
  return { values: Object.fromEntries(values), unread, unset };
}

function own(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined;
}

/** What begins at a place, which is no white space. */
function statementAt(text: string, start: number): Statement {
  EXPORT.lastIndex = start;
  let at = EXPORT.test(text)
    ? search(NO_BLANK, text, start + "export".length)
    : start;
  let name: string | undefined;
  if (text[at] === "'") {
    const end = text.indexOf("'", at + 1);
    if (end <= at + 1) return skipped(text, at);
    name = text.slice(at + 1, end);
    at = end + 1;
  } else if (text[at] !== "#") {
    const end = search(NAME_END, text, at);
    if (end === at) return skipped(text, at);
    name = text.slice(at, end);
    at = end;
  }
  let value: string | undefined;
  at = search(NO_BLANK, text, at);
  if (text[at] === "=") {
    at = search(NO_BLANK, text, at + 1);
    const quote = text[at];
    if (quote === "'" || quote === '"') {
      const end = closing(text, at + 1, quote);
      if (end < 0) return skipped(text, at);
      value = unescape(text.slice(at + 1, end), quote);
      at = end + 1;
    } else {
      const end = lineEnd(text, at);
      value = unquoted(text.slice(at, end));
      at = end;
    }
  }
  const rest = search(NO_BLANK, text, at);
  const end = text[rest] === "#" ? lineEnd(text, rest) : rest;
  if (end < text.length && text[end] !== "\n") return skipped(text, at);
  return {
    end: Math.min(end + 1, text.length),
    kind: "read",
    ...(name !== undefined && { name }),
    ...(value !== undefined && { value }),
  };
}

/** What cannot be read ends with the line in which that shows. */
function skipped(text: string, at: number): Statement {
  return { end: Math.min(lineEnd(text, at) + 1, text.length), kind: "unread" };
}

/** Where a character of a kind stands, at a place or after it; the end of the text where none does. */
function search(kind: RegExp, text: string, from: number): number {
  kind.lastIndex = from;
  return kind.exec(text)?.index ?? text.length;
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

/** How many lines end between two places. */
function linesIn(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = from; i < to; i++) if (text[i] === "\n") count++;
  return count;
}

/** Where the quote is that closes a value: the first after no backslash, or else the last; -1 where there is none. */
function closing(text: string, from: number, quote: string): number {
  let last = -1;
  let i = text.indexOf(quote, from);
  while (i >= 0) {
    if (text[i - 1] !== "\\") return i;
    last = i;
    i = text.indexOf(quote, i + 1);
  }
  return last;
}

function unescape(text: string, quote: "'" | '"'): string {
  return quote === "'" ? text.replaceAll(/\\([\\'])/g, "$1") : text.replaceAll(
    /\\([\\'"abfnrtv])/g,
    (_, escaped: string) => ESCAPES[escaped] ?? escaped,
  );
}

/** A value without quotes: without a comment, and without white space at its end. */
function unquoted(text: string): string {
  let end = text.search(COMMENT);
  if (end < 0) end = text.length;
  while (end > 0 && BLANK.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/**
 * Puts in what `${NAME}` and `${NAME:-default}` stand for; neither a name nor a
 * default is looked through for further ones.
 *
 * @param valueOf gives `undefined` where nothing sets a name, and `null` where
 *   one stands without a value, which takes the place of a default, too
 */
function expand(
  text: string,
  valueOf: (name: string) => string | null | undefined,
): { readonly text: string; readonly unset: readonly string[] } {
  const unset: string[] = [];
  let whole = "";
  let done = 0;
  let start = text.indexOf("${");
  while (start >= 0) {
    const stop = search(VARIABLE_END, text, start + 2);
    const hasDefault = text.startsWith(":-", stop);
    const end = hasDefault ? text.indexOf("}", stop) : stop;
    // Without a brace, no later one is closed either.
    if (end < 0 || end === text.length) break;
    if (text[end] === "}") {
      const name = text.slice(start + 2, stop);
      const value = valueOf(name);
      const put = value === undefined && hasDefault
        ? text.slice(stop + 2, end)
        : value;
      if (typeof put !== "string") unset.push(name);
      whole += text.slice(done, start) + (put ?? "");
      done = end + 1;
    }
    start = text.indexOf("${", end + 1);
  }
  return { text: whole + text.slice(done), unset };
}
