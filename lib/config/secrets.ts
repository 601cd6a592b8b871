/**
 * What the program was given to show to the daemon alone, and how it is taken
 * out of a text that others see: the daemon may quote it, in another spelling
 * or in parts.
 *
 * @module
 */

import { CONTROL_CHARS } from "../text/sanitize.ts";
import { tryParseJson } from "../json/spans.ts";
import type { DaemonUrl, Header } from "./parsers.ts";

/** A text without the secrets. */
export type Redactor = (text: string) => string;

/** Where nothing is secret, a text stays as it is. */
export const NO_REDACTION: Redactor = (text: string): string => text;

/** What stands in place of a secret. */
const REDACTION_MARK = "***";
/** What is shorter stands in many a sentence by chance, in UTF-16 units. */
const MIN_SECRET_CHARS = 4;
/** The same for the name of a user. */
const MIN_USER_CHARS = 3;
/** The names of what is secret by its name. */
const SECRET_NAME =
  /authori[sz]ation|auth(?!or)|cookie|token|key|secret|passw|passphrase|pwd|jwt|credential|bearer|signature|session|(^|[-_.])(sid|sig|pass)$/i;
/** The headers that are no secret whatever they say (RFC 9110, RFC 6454, MCP). */
const PUBLIC_HEADER =
  /^(accept(-.*)?|cache-control|from|mcp-protocol-version|origin|pragma|referer|user-agent)$/i;
/** Words, and numbers of a few digits: what is not secret by its name is not secret for them, either. */
const PLAIN_WORDS =
  /^(v?\d[\d.:-]{0,9}|([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15})([-_ ./+]([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15}))*)$/;
/** What stands where a text was cut off. */
const ELLIPSIS = "...";
/** How much is left of a text that was cut off, in UTF-16 units. */
const MAX_TRUNCATED_CHARS = 1_000;
/** A text with more is whole, or was put together of parts that are not. */
const MAX_TRUNCATION_SEARCH_CHARS = 8_192;
/** What is left of an encoded character that was cut off. */
const TRUNCATED_ESCAPE = /(?:%[0-9a-f]?|\\(?:u[0-9a-f]{0,3})?)$/i;
/** How long an expression may be, in UTF-16 units: V8 fails at some 20,000. */
const MAX_PATTERN_CHARS = 4_000;
/** A text with more is looked at as it is, and not decoded: that takes half a second for each MiB. */
const MAX_DECODED_CHARS = 1_048_576;
/** How often a text may have been encoded. */
const MAX_ENCODING_DEPTH = 3;

/** Whether a header or a parameter of this name holds a secret. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** Whether a value whose name says nothing may be a secret. */
function mayBeSecretValue(value: string): boolean {
  return value.length >= MIN_SECRET_CHARS &&
    !PLAIN_WORDS.test(decodeEscapes(value));
}

/** Secrets of a URL: its password, and the values of its query; a name without a value may be one, too. */
export function secretsOfUrl({ href, redacted }: DaemonUrl): string[] {
  if (href === redacted) return [];
  const { username, password, search } = new URL(href);
  const found = password === "" ? [] : [password];
  if (mayBeSecretValue(username)) found.push(username);
  for (const pair of search.slice(1).split("&")) {
    const [, name, value] = /^([^=]*)=?(.*)$/s.exec(pair)!;
    if (value === "" ? mayBeSecretValue(name!) : isSecretName(name!)) {
      found.push(value || name!);
    } else if (mayBeSecretValue(value!)) found.push(value!);
  }
  return found;
}

/** The user of a URL. Its name stands in many a text by chance: that alone keeps no text out of the cache. */
export function usersOfUrl({ href }: DaemonUrl): string[] {
  const { username } = new URL(href);
  return username.length < MIN_USER_CHARS ? [] : [username];
}

/** Secrets of a header: its value, and the parts of it. */
export function secretsOfHeader([name, value]: Header): string[] {
  if (PUBLIC_HEADER.test(name)) return [];
  const isValueSecret = isSecretName(name)
    ? value !== ""
    : mayBeSecretValue(value);
  return [...isValueSecret ? [value] : [], ...headerPartsOf(name, value)];
}

/** Secrets of a token: it, and its parts. */
export function secretsOfToken(token: string): string[] {
  return token === "" ? [] : [token, ...tokenPartsOf(token)];
}

/** What a value is made of: its scheme is no secret, and the names in it are none. */
function headerPartsOf(name: string, value: string): string[] {
  const words = value.split(/[\s;,]+/).filter((word) => word !== "");
  const hasScheme = /authorization$/i.test(name) && words.length > 1;
  const credentials = hasScheme ? words.slice(1) : words;
  const isBasic = hasScheme && /^basic$/i.test(words[0]!);
  const userAndPassword = isBasic
    ? decodeBase64(credentials[0]!)?.split(/:(.*)/s) ?? []
    : [];
  const [user = "", password = ""] = userAndPassword;
  return [
    ...hasScheme ? credentials : [],
    ...credentials.flatMap((word) => [word, word.slice(word.indexOf("=") + 1)])
      .map((word) => word.replace(/^"(.*)"$/, "$1"))
      .flatMap((word) => [word, ...tokenPartsOf(word)]).filter(
        mayBeSecretValue,
      ),
    ...[password, mayBeSecretValue(user) ? user : ""].filter((it) => it !== ""),
  ];
}

/** What may be a secret of its own in another one: of `id:word`, of JSON, of a JSON Web Token (RFC 7519). */
function tokenPartsOf(text: string): string[] {
  const parts = text.split(/[:|&={}[\]()"'<>,;\s]+/);
  const isJwt = /^[\w-]{8,}(\.[\w-]{8,}){1,4}$/.test(text);
  return [...parts, ...isJwt ? text.split(".") : []]
    .filter((it) => it !== text && mayBeSecretValue(it));
}

/** The text that Base64 stands for; `undefined` if it stands for none. */
function decodeBase64(text: string): string | undefined {
  try {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Makes the function that takes these secrets out of a text: as they are,
 * percent-encoded (RFC 3986), with JSON's escapes, in Base64 (RFC 4648), in
 * other case, and the beginning of one that was cut off by `...`.
 */
export function createRedactor(secrets: readonly string[]): Redactor {
  const encodings = [...new Set(secrets.flatMap(encodingsOf))]
    .filter((it) => it !== "")
    .toSorted((a, b) => b.length - a.length);
  if (encodings.length === 0) return NO_REDACTION;
  const long = encodings.filter((it) => it.length > MAX_PATTERN_CHARS);
  const patterns = patternsFor(encodings.slice(long.length));
  const lower = encodings.map((it) => it.toLowerCase());
  const redact = (text: string): string => {
    let redacted = text;
    for (const it of long) redacted = redacted.replaceAll(it, REDACTION_MARK);
    for (const it of patterns) redacted = redacted.replace(it, REDACTION_MARK);
    return text.length > MAX_TRUNCATION_SEARCH_CHARS
      ? redacted
      : redactTruncated(redacted, lower);
  };
  return (text) => redactEncoded(redact(text), redact);
}

/** Makes the function that takes out what a configuration keeps secret: all of it. */
export function createConfigRedactor(
  { secrets, urlUsers }: {
    readonly secrets: readonly string[];
    readonly urlUsers: readonly string[];
  },
): Redactor {
  return createRedactor([...secrets, ...urlUsers]);
}

/** A JSON value without the secrets in its texts; its names are its form, and stay. */
export function redactJsonValue(value: unknown, redact: Redactor): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    return value.map((it) => redactJsonValue(it, redact));
  }
  return Object.fromEntries(
    Object.entries(value).map((
      [name, it],
    ) => [name, redactJsonValue(it, redact)]),
  );
}

/** Expressions for all of these, in their order: one for all may be more than a runtime takes. */
function patternsFor(texts: readonly string[]): RegExp[] {
  const sources: string[] = [];
  for (const source of texts.map(secretPatternOf)) {
    const last = sources.at(-1);
    if (last !== undefined && last.length + source.length < MAX_PATTERN_CHARS) {
      sources[sources.length - 1] = `${last}|${source}`;
    } else sources.push(source);
  }
  return sources.map((source) => new RegExp(source, "gi"));
}

/** The text, or what it stands for if a secret is in that. */
function redactEncoded(text: string, redact: Redactor): string {
  if (text.length > MAX_DECODED_CHARS) return text;
  let result = text;
  let decodedText = text;
  for (let depth = 0; depth < MAX_ENCODING_DEPTH; depth++) {
    const next = decodeEscapes(decodedText);
    if (next === decodedText) break;
    decodedText = redact(next);
    // What stood there encoded may be a line end.
    if (decodedText !== next) result = decodedText.replace(CONTROL_CHARS, " ");
  }
  return result;
}

/** A text whose percent-encoded characters and escapes are what they stand for. */
function decodeEscapes(text: string): string {
  return text
    .replace(/(?:%[0-9a-f]{2})+/gi, (codes) => {
      const bytes = codes.slice(1).split("%").map((it) => parseInt(it, 16));
      return LENIENT_UTF_8.decode(Uint8Array.from(bytes));
    })
    .replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1")
    .replace(
      /\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])/g,
      (escape) => tryParseJson(`"${escape}"`) as string,
    );
}

const LENIENT_UTF_8 = new TextDecoder();

/** How a secret may be written, beside what {@linkcode decodeEscapes} undoes. */
function encodingsOf(secret: string): string[] {
  const plain = decodeEscapes(secret);
  const all = [secret, plain, decodeEscapes(plain.replaceAll("+", " "))];
  const codes = all.map(encodeBase64);
  return [
    ...all,
    ...all.map((it) => it.replaceAll(" ", "+")),
    ...all.map((it) => it.replace(CONTROL_CHARS, " ")),
    ...codes,
    ...codes.map((it) => it.replaceAll("+", "-").replaceAll("/", "_")),
  ];
}

/** A text in Base64 (RFC 4648 section 4), without what fills it up. */
function encodeBase64(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const chars = Array.from(bytes, (byte) => String.fromCharCode(byte));
  return btoa(chars.join("")).replace(/=+$/, "");
}

/** A short one counts only as a word. */
function secretPatternOf(text: string): string {
  const literal = text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.length < MIN_SECRET_CHARS ? `(?<!\\w)${literal}(?!\\w)` : literal;
}

/** A text that was cut may end within a secret. */
function redactTruncated(text: string, secrets: readonly string[]): string {
  let result = "";
  let from = 0;
  for (;;) {
    const ellipsisAt = text.indexOf(ELLIPSIS, from);
    if (ellipsisAt === -1) return result + text.slice(from);
    const words = text.slice(from, ellipsisAt);
    const [escapeRest = ""] = TRUNCATED_ESCAPE.exec(words.slice(-6)) ?? [];
    const end = words.slice(0, words.length - escapeRest.length);
    const length = secretPrefixLengthOf(end.toLowerCase(), secrets);
    result += length === 0 ? words : end.slice(0, -length) + REDACTION_MARK;
    from = ellipsisAt;
    while (text[from] === ".") from++;
    result += text.slice(ellipsisAt, from);
  }
}

/** How much of a secret's beginning a text ends with. */
function secretPrefixLengthOf(
  text: string,
  secrets: readonly string[],
): number {
  for (const secret of secrets) {
    const most = Math.min(secret.length - 1, text.length, MAX_TRUNCATED_CHARS);
    for (let length = most; length >= MIN_SECRET_CHARS; length--) {
      if (text.endsWith(secret.slice(0, length))) return length;
    }
  }
  return 0;
}
