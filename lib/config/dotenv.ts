/**
 * Parses a `.env` file exactly as python-dotenv does with `override=True`,
 * except that a byte order mark at the start is not part of the first name. The
 * format is specified only by that code.
 *
 * The parser takes linear time: it scans nothing twice.
 *
 * @module
 */

/** The contents of a `.env` file. */
export interface EnvFileContent {
  /**
   * The values by name, the last of each; `undefined` for a name without `=`.
   */
  readonly values: Readonly<Record<string, string | undefined>>;
  /**
   * The lines, counted from 1, at which statements begin that could not be
   * parsed and are skipped.
   */
  readonly unreadableLines: readonly number[];
  /** Each `${NAME}` that has no value and is replaced by nothing. */
  readonly unsetVariables: readonly UnsetVariable[];
}

/** A `${NAME}` without a value. */
export interface UnsetVariable {
  /** The line, counted from 1, of the statement that contains it. */
  readonly line: number;
  /** The text between the braces. */
  readonly name: string;
}

/**
 * A statement: a name with or without a value, a comment, nothing, or what
 * cannot be parsed.
 */
interface EnvStatement {
  /** Where the next statement begins. */
  readonly end: number;
  readonly kind: "parsed" | "unreadable";
  readonly name?: string;
  readonly value?: string;
}

/**
 * How many characters all expansions of `${NAME}` may insert: two of them per
 * line would double the text with each line.
 */
export const MAX_EXPANSION_CHARS = 2 ** 24;

/**
 * What Python treats as white space within a line. JavaScript's \s has U+FEFF
 * instead of U+001C to U+001F and U+0085.
 */
const PYTHON_BLANK_CHARS = "\t\v\f\r\x1c-\x1f \x85\xa0\u1680\u2000-\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const PYTHON_WHITESPACE = new RegExp(`[${PYTHON_BLANK_CHARS}\n]`);
const NOT_BLANK = new RegExp(`[^${PYTHON_BLANK_CHARS}]`, "g");
const NOT_WHITESPACE = new RegExp(`[^${PYTHON_BLANK_CHARS}\n]`, "g");
const EXPORT_KEYWORD = new RegExp(`export[${PYTHON_BLANK_CHARS}]`, "y");
const NAME_END = new RegExp(`[=#${PYTHON_BLANK_CHARS}\n]`, "g");
/**
 * A comment after an unquoted value: `#` without white space before it is an
 * ordinary character.
 */
const UNQUOTED_COMMENT = new RegExp(`[${PYTHON_BLANK_CHARS}]#`);
/** The end of a name in `${NAME}` and `${NAME:-default}`. */
const VARIABLE_END = /[:}]/g;

/** The escapes in double quotes that mean another character. */
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
 * Parses the text of a `.env` file. Throws if the expansions of `${NAME}` are
 * too large.
 *
 * @param env the environment, for each `${NAME}` that no earlier line has set
 */
export function parseEnvFile(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): EnvFileContent {
  // Python normalizes all line ends.
  const normalizedText = text.replace(/^\ufeff/, "").replaceAll(/\r\n?/g, "\n");
  const values = new Map<string, string | undefined>();
  const unreadableLines: number[] = [];
  const unsetVariables: UnsetVariable[] = [];
  let remainingChars = MAX_EXPANSION_CHARS;
  let line = 1;
  let start = 0;
  while (start < normalizedText.length) {
    const begin = findFrom(NOT_WHITESPACE, normalizedText, start);
    if (begin === normalizedText.length) break;
    line += countLineFeeds(normalizedText, start, begin);
    const { end, kind, name, value } = parseStatementAt(normalizedText, begin);
    if (kind === "unreadable") unreadableLines.push(line);
    if (name !== undefined) {
      const expanded = value === undefined
        ? undefined
        : expandVariables(value, (variable) => {
          const inserted = values.has(variable)
            ? values.get(variable) ?? null
            : envVariableOf(env, variable);
          remainingChars -= inserted?.length ?? 0;
          if (remainingChars >= 0) return inserted;
          throw new Error("its ${NAME} put in more than 16 MiB");
        });
      for (const variable of expanded?.unset ?? []) {
        unsetVariables.push({ line, name: variable });
      }
      values.set(name, expanded?.text);
    }
    line += countLineFeeds(normalizedText, begin, end);
    start = end;
  }
  return {
    values: Object.fromEntries(values),
    unreadableLines,
    unsetVariables,
  };
}

function envVariableOf(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined;
}

/** Parses the statement at an offset, which is not white space. */
function parseStatementAt(text: string, start: number): EnvStatement {
  EXPORT_KEYWORD.lastIndex = start;
  let at = EXPORT_KEYWORD.test(text)
    ? findFrom(NOT_BLANK, text, start + "export".length)
    : start;
  let name: string | undefined;
  if (text[at] === "'") {
    const end = text.indexOf("'", at + 1);
    if (end <= at + 1) return skipLine(text, at);
    name = text.slice(at + 1, end);
    at = end + 1;
  } else if (text[at] !== "#") {
    const end = findFrom(NAME_END, text, at);
    if (end === at) return skipLine(text, at);
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
      if (end < 0) return skipLine(text, at);
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
  if (end < text.length && text[end] !== "\n") return skipLine(text, at);
  return {
    end: Math.min(end + 1, text.length),
    kind: "parsed",
    ...(name !== undefined && { name }),
    ...(value !== undefined && { value }),
  };
}

/** Skips an invalid statement, to the end of the line in which the error is. */
function skipLine(text: string, at: number): EnvStatement {
  return {
    end: Math.min(findLineFeed(text, at) + 1, text.length),
    kind: "unreadable",
  };
}

/**
 * The offset of the first character of a class at or after `from`; the end of
 * the text if there is none.
 */
function findFrom(charClass: RegExp, text: string, from: number): number {
  charClass.lastIndex = from;
  return charClass.exec(text)?.index ?? text.length;
}

function findLineFeed(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

/** Counts the line feeds between two offsets. */
function countLineFeeds(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = from; i < to; i++) if (text[i] === "\n") count++;
  return count;
}

/**
 * The offset of the quote that closes a value: the first one not after a
 * backslash, else the last one; -1 if there is none.
 */
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

/** Removes the comment and the trailing white space of an unquoted value. */
function trimUnquoted(text: string): string {
  let end = text.search(UNQUOTED_COMMENT);
  if (end < 0) end = text.length;
  while (end > 0 && PYTHON_WHITESPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/**
 * Expands `${NAME}` and `${NAME:-default}`; inserted values and defaults are
 * not expanded again.
 *
 * @param valueOf returns `undefined` if a name is not set, and `null` if it is
 * set without a value, which overrides a default, too
 */
function expandVariables(
  text: string,
  valueOf: (name: string) => string | null | undefined,
): { readonly text: string; readonly unset: readonly string[] } {
  const unset: string[] = [];
  let result = "";
  let copiedTo = 0;
  let start = text.indexOf("${");
  while (start >= 0) {
    const stop = findFrom(VARIABLE_END, text, start + 2);
    const hasDefault = text.startsWith(":-", stop);
    const end = hasDefault ? text.indexOf("}", stop) : stop;
    // Without a closing brace here, no later one is closed either.
    if (end < 0 || end === text.length) break;
    if (text[end] === "}") {
      const name = text.slice(start + 2, stop);
      const value = valueOf(name);
      const replacement = value === undefined && hasDefault
        ? text.slice(stop + 2, end)
        : value;
      if (typeof replacement !== "string") unset.push(name);
      result += text.slice(copiedTo, start) + (replacement ?? "");
      copiedTo = end + 1;
    }
    start = text.indexOf("${", end + 1);
  }
  return { text: result + text.slice(copiedTo), unset };
}
