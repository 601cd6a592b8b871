/**
 * Parses a `.env` file exactly as python-dotenv does with `override=True`, with
 * one exception: a byte order mark at the start is ignored. Only the code of
 * python-dotenv specifies the format. The parser takes linear time.
 *
 * @module
 */

/** The values in a `.env` file, and the problems that were found. */
export interface EnvFileContent {
  /** The last value of each name; `undefined` for a name without `=`. */
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The line numbers, from 1, of statements that could not be parsed. */
  readonly unreadableLines: readonly number[];
  /** Each `${NAME}` without a value, and the line of its statement (from 1). */
  readonly unsetVariables: readonly {
    readonly line: number;
    readonly name: string;
  }[];
}

/** A statement. A comment and an unreadable statement have no name. */
interface EnvStatement {
  readonly isReadable: boolean;
  readonly name?: string | undefined;
  readonly value?: string | undefined;
  /** The offset of the next statement. */
  readonly end: number;
}

/**
 * The most characters that all `${NAME}` together may insert. Without a limit,
 * two of them in each line could double the text with every line.
 */
export const MAX_EXPANSION_CHARS = 2 ** 24;

/**
 * The white space of Python within a line. JavaScript's `\s` also has U+FEFF,
 * but not U+001C to U+001F and U+0085.
 */
const PYTHON_BLANK_CHARS = "\t\v\f\r\x1c-\x1f \x85\xa0\u1680\u2000-\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const PYTHON_WHITESPACE = new RegExp(`[${PYTHON_BLANK_CHARS}\n]`);
const NOT_BLANK = new RegExp(`[^${PYTHON_BLANK_CHARS}]`, "g");
const NOT_WHITESPACE = new RegExp(`[^${PYTHON_BLANK_CHARS}\n]`, "g");
const EXPORT_KEYWORD = new RegExp(`export[${PYTHON_BLANK_CHARS}]`, "y");
const NAME_END = new RegExp(`[=#${PYTHON_BLANK_CHARS}\n]`, "g");
/** The start of a comment after an unquoted value: `#` after white space. */
const UNQUOTED_COMMENT = new RegExp(`[${PYTHON_BLANK_CHARS}]#`);
const VARIABLE_END = /[:}]/g;

const DOUBLE_QUOTED_ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/**
 * Parses the text of a `.env` file.
 *
 * @param env the variables for each `${NAME}` that no earlier line has set
 * @throws {Error} if the expansions exceed {@linkcode MAX_EXPANSION_CHARS}
 */
export function parseEnvFile(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): EnvFileContent {
  // Python reads every line end as a line feed.
  const normalizedText = text.replace(/^\ufeff/, "").replaceAll(/\r\n?/g, "\n");
  const values = new Map<string, string | undefined>();
  const variables = new Map(Object.entries(env));
  const unreadableLines: number[] = [];
  const unsetVariables: { line: number; name: string }[] = [];
  let remainingChars = MAX_EXPANSION_CHARS;
  let line = 1;
  let start = 0;
  const expand = (variable: string, fallback: string | undefined): string => {
    // If an earlier line has only the name, `${NAME:-default}` inserts nothing.
    const inserted = values.has(variable)
      ? values.get(variable) ?? null
      : variables.get(variable);
    remainingChars -= inserted?.length ?? 0;
    if (remainingChars < 0) {
      throw new Error(
        "its ${...} variables insert more than 16,777,216 characters",
      );
    }
    const replacement = inserted === undefined ? fallback : inserted;
    if (typeof replacement === "string") return replacement;
    unsetVariables.push({ line, name: variable });
    return "";
  };
  while (start < normalizedText.length) {
    const statementStart = findFrom(NOT_WHITESPACE, normalizedText, start);
    if (statementStart === normalizedText.length) break;
    line += countLineFeeds(normalizedText, start, statementStart);
    const statement = parseStatementAt(normalizedText, statementStart);
    const { isReadable, name, value, end } = statement;
    if (!isReadable) unreadableLines.push(line);
    if (name !== undefined) {
      values.set(name, value && expandVariables(value, expand));
    }
    line += countLineFeeds(normalizedText, statementStart, end);
    start = end;
  }
  return {
    values: Object.fromEntries(values),
    unreadableLines,
    unsetVariables,
  };
}

function parseStatementAt(text: string, start: number): EnvStatement {
  EXPORT_KEYWORD.lastIndex = start;
  let at = EXPORT_KEYWORD.test(text)
    ? findFrom(NOT_BLANK, text, start + "export".length)
    : start;
  let name: string | undefined;
  if (text[at] === "'") {
    const end = text.indexOf("'", at + 1);
    if (end <= at + 1) return unreadableStatement(text, at);
    name = text.slice(at + 1, end);
    at = end + 1;
  } else if (text[at] !== "#") {
    const end = findFrom(NAME_END, text, at);
    if (end === at) return unreadableStatement(text, at);
    name = text.slice(at, end);
    at = end;
  }
  let value: string | undefined;
  at = findFrom(NOT_BLANK, text, at);
  if (text[at] === "=") {
    at = findFrom(NOT_BLANK, text, at + 1);
    const quote = text[at];
    if (quote === "'" || quote === '"') {
      const end = findClosingQuote(text, at + 1, quote);
      if (end < 0) return unreadableStatement(text, at);
      value = unescapeQuoted(text.slice(at + 1, end), quote);
      at = end + 1;
    } else {
      const end = findLineFeed(text, at);
      value = trimUnquoted(text.slice(at, end));
      at = end;
    }
  }
  const rest = findFrom(NOT_BLANK, text, at);
  const end = text[rest] === "#" ? findLineFeed(text, rest) : rest;
  if (end < text.length && text[end] !== "\n") {
    return unreadableStatement(text, at);
  }
  return { isReadable: true, end: Math.min(end + 1, text.length), name, value };
}

/** Returns an unreadable statement, which ends with the line of the error. */
function unreadableStatement(text: string, at: number): EnvStatement {
  const end = Math.min(findLineFeed(text, at) + 1, text.length);
  return { isReadable: false, end };
}

/** Returns the offset of the next character of a class, or the text's end. */
function findFrom(charClass: RegExp, text: string, from: number): number {
  charClass.lastIndex = from;
  return charClass.exec(text)?.index ?? text.length;
}

function findLineFeed(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

function countLineFeeds(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = from; i < to; i++) if (text[i] === "\n") count++;
  return count;
}

/** Finds the first quote without `\` before it, else the last; -1 for none. */
function findClosingQuote(text: string, from: number, quote: string): number {
  let last = -1;
  let i = text.indexOf(quote, from);
  while (i >= 0) {
    if (text[i - 1] !== "\\") return i;
    last = i;
    i = text.indexOf(quote, i + 1);
  }
  return last;
}

function unescapeQuoted(text: string, quote: "'" | '"'): string {
  return quote === "'" ? text.replaceAll(/\\([\\'])/g, "$1") : text.replaceAll(
    /\\([\\'"abfnrtv])/g,
    (_, escaped: string) => DOUBLE_QUOTED_ESCAPES[escaped] ?? escaped,
  );
}

function trimUnquoted(text: string): string {
  let end = text.search(UNQUOTED_COMMENT);
  if (end < 0) end = text.length;
  while (end > 0 && PYTHON_WHITESPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** Expands each `${NAME}`. An inserted value is not expanded again. */
function expandVariables(
  text: string,
  expand: (name: string, fallback: string | undefined) => string,
): string {
  let result = "";
  let copiedTo = 0;
  let start = text.indexOf("${");
  while (start >= 0) {
    const stop = findFrom(VARIABLE_END, text, start + 2);
    const hasDefault = text.startsWith(":-", stop);
    const end = hasDefault ? text.indexOf("}", stop) : stop;
    // If this `${` has no closing brace, no later one has one either.
    if (end < 0 || end === text.length) break;
    if (text[end] === "}") {
      const fallback = hasDefault ? text.slice(stop + 2, end) : undefined;
      result += text.slice(copiedTo, start) +
        expand(text.slice(start + 2, stop), fallback);
      copiedTo = end + 1;
    }
    start = text.indexOf("${", end + 1);
  }
  return result + text.slice(copiedTo);
}
