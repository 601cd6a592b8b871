/**
 * Finds a pattern in TypeScript source by its tokens, so that it still matches
 * after renames and new formatting.
 *
 * White space, comments and trailing commas do not count. A single statement
 * after `if`, `else`, `for` and `while` is the same with braces and without
 * (the formatter adds them when a line gets too long). In a pattern,
 *
 * - `$word` matches any one name (`idle`, `#idle`) or string (`"idle"`),
 * - `$$words` matches the shortest run of tokens with balanced brackets, which
 *   may be empty,
 *
 * and a repeated wildcard matches the same text everywhere in the pattern.
 *
 * @module
 */

/** A token and its place in the text. */
export interface Token {
  /** The compared text: the token without what a formatter may change. */
  readonly value: string;
  readonly kind: "name" | "string" | "keyword" | "other";
  /** The offset of its first character in the text. */
  readonly start: number;
  /** The offset after it; the same as `start` for a brace that was added. */
  readonly end: number;
  /** Whether it opens or closes a bracket; parts of templates may do both. */
  readonly bracket: "open" | "close" | "both" | undefined;
}

/** A text to search. */
export interface TokenizedText {
  readonly text: string;
  readonly tokens: readonly Token[];
  /** The distinct values of the tokens. */
  readonly values: ReadonlySet<string>;
}

/** A place where a pattern matches. */
export interface PatternMatch {
  /** The offset of its first character in the text. */
  readonly start: number;
  /** The offset after it. */
  readonly end: number;
  /** The text that each wildcard of the pattern matches there. */
  readonly wildcards: ReadonlyMap<string, string>;
}

const SPACE = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y;
const NAME = /[#@]?[\p{L}_$][\p{L}\p{N}_$]*/uy;
const NUMBER =
  /0[xob][\da-f_]+n?|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d+)?n?/iy;
const STRING = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/y;
const REGEX = /\/(?:[^\\/[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** A piece of a template literal, up to an expression in it or to its end. */
const TEMPLATE = /[`}](?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)/y;
/** `>>` is two tokens, because it may close two lists of type parameters. */
const PUNCTUATION =
  /\.\.\.|=>|[=!]==?|\*\*=?|&&=?|\|\|=?|\?\?=?|\?\.|\+\+|--|<<=?|[-+*/%&|^<>]=|[^]/y;

/** The names that no `$word` matches. */
const KEYWORDS: ReadonlySet<string> = new Set(
  ("await break case catch class const continue default delete do else export " +
    "extends false finally for function if implements import in instanceof " +
    "interface let new null private return static super switch this throw " +
    "true try typeof undefined var void while yield Infinity NaN").split(" "),
);

/**
 * After these tokens, and after names, strings, numbers and templates, a slash
 * divides. Elsewhere it starts a regular expression.
 */
const VALUE_END = /^(?:[\])}]|this|super|true|false|null|undefined|Infinity)$/;

/** Splits source, or a pattern, into tokens. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  /** The open brackets. A backtick stands for an open template expression. */
  const open: string[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  while (at < text.length) {
    const space = take(SPACE);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const next = text[at]!;
    const isInTemplate = next === "}" && open.at(-1) === "`";
    const last = tokens.at(-1);
    const isAfterValue = last !== undefined &&
      (last.kind === "name" || last.kind === "string" ||
        /^[\d.]*\d/.test(last.value) || /`$/.test(last.value) ||
        VALUE_END.test(last.value));
    let kind: Token["kind"] = "other";
    let bracket: Token["bracket"];
    let found: string | undefined;
    if (next === "`" || isInTemplate) {
      found = take(TEMPLATE);
      const isOpen = found?.endsWith("${");
      bracket = isInTemplate
        ? isOpen ? "both" : "close"
        : isOpen
        ? "open"
        : undefined;
      if (isInTemplate && !isOpen) open.pop();
      if (!isInTemplate && isOpen) open.push("`");
    } else if ((found = take(NAME)) !== undefined) {
      // A member may have the name of a keyword.
      const isMember = last?.value === "." || last?.value === "?.";
      kind = KEYWORDS.has(found) && !isMember ? "keyword" : "name";
    } else if ((found = take(STRING)) !== undefined) {
      kind = "string";
    } else if ((found = take(NUMBER)) === undefined) {
      if (next === "/" && !isAfterValue) found = take(REGEX);
      found ??= take(PUNCTUATION);
      if (/^[([{]$/.test(found!)) {
        bracket = "open";
        open.push(found!);
      } else if (/^[)\]}]$/.test(found!)) {
        bracket = "close";
        open.pop();
      }
    }
    if (found === undefined) {
      throw new Error(`No token at ${at}: ${text.slice(at, at + 40)}`);
    }
    const value = kind === "other" && /^\d/.test(found)
      ? found.replaceAll("_", "")
      : found;
    tokens.push({ value, kind, start: at, end: at + found.length, bracket });
    at += found.length;
  }
  return withBraces(
    tokens.filter(({ value }, i) =>
      value !== "," || tokens[i + 1]?.bracket !== "close"
    ),
  );
}

/** Adds the braces that a single statement may have. */
function withBraces(tokens: readonly Token[]): Token[] {
  const opens = new Set<number>();
  const closes = new Map<number, number>();
  for (const [i, { kind, value }] of tokens.entries()) {
    if (kind !== "keyword") continue;
    const body = /^(?:if|for|while)$/.test(value)
      ? afterGroup(tokens, tokens[i + 1]?.value === "await" ? i + 2 : i + 1)
      : value === "else" && tokens[i + 1]?.value !== "if"
      ? i + 1
      : undefined;
    if (body === undefined || tokens[body] === undefined) continue;
    if (tokens[body].value === "{") continue;
    opens.add(body);
    const end = afterStatement(tokens, body);
    if (end !== undefined) closes.set(end, (closes.get(end) ?? 0) + 1);
  }
  const result: Token[] = [];
  const brace = (value: string, at: number): Token => ({
    ...{ value, kind: "other", start: at, end: at },
    bracket: value === "{" ? "open" : "close",
  });
  for (let i = 0; i <= tokens.length; i++) {
    for (let n = closes.get(i) ?? 0; n > 0; n--) {
      result.push(brace("}", tokens[i - 1]!.end));
    }
    const token = tokens[i];
    if (token === undefined) break;
    if (opens.has(i)) result.push(brace("{", token.start));
    result.push(token);
  }
  return result;
}

/**
 * Returns the index after a bracketed group, or `undefined` if no group starts
 * at `from`, or it does not end.
 */
function afterGroup(
  tokens: readonly Token[],
  from: number,
): number | undefined {
  if (tokens[from]?.bracket !== "open") return undefined;
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    const { bracket } = tokens[i]!;
    if (bracket === "open") depth++;
    if (bracket === "close" && --depth === 0) return i + 1;
  }
  return undefined;
}

/** Returns the index after a statement, or `undefined` if it does not end. */
function afterStatement(
  tokens: readonly Token[],
  from: number,
): number | undefined {
  const { value, kind } = tokens[from] ?? {};
  if (value === "{") return afterGroup(tokens, from);
  if (kind === "keyword" && /^(?:if|for|while|switch)$/.test(value!)) {
    const isAwait = tokens[from + 1]?.value === "await";
    const body = afterGroup(tokens, isAwait ? from + 2 : from + 1);
    const end = body && afterStatement(tokens, body);
    if (value !== "if" || end === undefined) return end;
    return tokens[end]?.value === "else"
      ? afterStatement(tokens, end + 1)
      : end;
  }
  for (let i = from; i < tokens.length;) {
    const { value, bracket } = tokens[i]!;
    if (value === ";") return i + 1;
    if (bracket === "close") return undefined;
    const next = bracket === "open" ? afterGroup(tokens, i) : i + 1;
    if (next === undefined) return undefined;
    i = next;
  }
  return undefined;
}

/**
 * Returns the tokens of a pattern.
 *
 * @throws if brackets or statements are incomplete
 */
export function compile(pattern: string): Token[] {
  const tokens = tokenize(pattern);
  let depth = 0;
  for (const { bracket } of tokens) {
    if (bracket === "open") depth++;
    if (bracket === "close" && --depth < 0) break;
  }
  if (tokens.length === 0 || depth !== 0) {
    throw new Error(`A pattern must have balanced brackets: ${pattern}`);
  }
  return tokens;
}

/** Prepares a text for `findAll`. */
export function tokenizeText(text: string): TokenizedText {
  const tokens = tokenize(text);
  return { text, tokens, values: new Set(tokens.map(({ value }) => value)) };
}

/** Returns each place in a text where a compiled pattern matches. */
export function findAll(
  pattern: readonly Token[],
  { text, tokens, values }: TokenizedText,
): PatternMatch[] {
  const isPossible = pattern.every(({ value }) =>
    value[0] === "$" || values.has(value)
  );
  if (!isPossible) return [];
  // The tokens before the first `$$words` are compared first, because that is
  // fast.
  const run = pattern.findIndex(({ value }) => value.startsWith("$$"));
  const fixed = [...pattern.slice(0, run < 0 ? undefined : run).entries()]
    .filter(([, { value }]) => value[0] !== "$");
  const matches: PatternMatch[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const hasValueAt = ([offset, { value }]: [number, Token]): boolean =>
      tokens[i + offset]?.value === value;
    if (!fixed.every(hasValueAt)) continue;
    const wildcards = new Map<string, string>();
    const end = matchFrom(pattern, 0, text, tokens, i, wildcards);
    if (end === undefined) continue;
    matches.push({
      start: tokens[i]!.start,
      end: tokens[end - 1]!.end,
      wildcards,
    });
  }
  return matches;
}

/**
 * Matches the rest of a pattern at an index of the tokens. Returns the index
 * after the match, or `undefined` if there is none. Fills `wildcards`.
 */
function matchFrom(
  pattern: readonly Token[],
  from: number,
  text: string,
  tokens: readonly Token[],
  at: number,
  wildcards: Map<string, string>,
): number | undefined {
  for (let p = from; p < pattern.length; p++) {
    const { value } = pattern[p]!;
    if (value.startsWith("$$")) {
      return matchRunFrom(pattern, p, text, tokens, at, wildcards);
    }
    const token = tokens[at++];
    if (token === undefined) return undefined;
    if (value[0] !== "$") {
      if (value !== token.value) return undefined;
      continue;
    }
    if (token.kind !== "name" && token.kind !== "string") return undefined;
    const known = wildcards.get(value);
    if (known !== undefined && known !== token.value) return undefined;
    wildcards.set(value, token.value);
  }
  return at;
}

/** Does the same for a rest that starts with a `$$words` wildcard. */
function matchRunFrom(
  pattern: readonly Token[],
  from: number,
  text: string,
  tokens: readonly Token[],
  at: number,
  wildcards: Map<string, string>,
): number | undefined {
  const word = pattern[from]!.value;
  const known = wildcards.get(word);
  const before = new Map(wildcards);
  for (let end = at; end <= tokens.length;) {
    const run = end === at
      ? ""
      : text.slice(tokens[at]!.start, tokens[end - 1]!.end);
    if (known === undefined || known === run) {
      wildcards.set(word, run);
      const result = matchFrom(pattern, from + 1, text, tokens, end, wildcards);
      if (result !== undefined) return result;
      wildcards.clear();
      for (const [name, value] of before) wildcards.set(name, value);
    }
    const next = tokens[end];
    if (next === undefined || next.bracket === "close") return undefined;
    if (next.bracket === "both") return undefined;
    const after = next.bracket === "open" ? afterGroup(tokens, end) : end + 1;
    if (after === undefined) return undefined;
    end = after;
  }
  return undefined;
}

/**
 * Returns the text with a match replaced. Fills in the wildcards of the
 * replacement.
 */
export function replaceMatch(
  text: string,
  { start, end, wildcards }: PatternMatch,
  replacement: string,
): string {
  const filled = replacement.replace(/\$\$?[a-z]\w*/gi, (word) => {
    const value = wildcards.get(word);
    if (value === undefined) throw new Error(`The pattern has no ${word}`);
    return value;
  });
  return text.slice(0, start) + filled + text.slice(end);
}
