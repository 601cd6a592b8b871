/**
 * Finds the secrets of the configuration, and redacts them in texts for users,
 * logs and files. Only the daemon may see a secret, but it may quote one in its
 * messages, also in another encoding or truncated.
 *
 * @module
 */

import { CONTROL_CHARS } from "../text/sanitize.ts";
import { mapStrings, tryParseJson } from "../json/spans.ts";
import type { DaemonUrl, Header } from "./parsers.ts";

/** Replaces the secrets in a text with `***`. */
export type Redactor = (text: string) => string;

/** The redactor if there are no secrets: it returns a text unchanged. */
export const NO_REDACTION: Redactor = (text: string): string => text;

const REDACTION_MARK = "***";
/** Shorter texts occur in many sentences by chance. */
const MIN_SECRET_CHARS = 4;
const MIN_USER_CHARS = 3;
const SECRET_NAME =
  /authori[sz]ation|auth(?!or)|cookie|token|key|secret|passw|passphrase|pwd|jwt|credential|bearer|signature|session|(^|[-_.])(sid|sig|pass)$/i;
/** The headers whose values are never secret (RFC 9110, RFC 6454, MCP). */
const PUBLIC_HEADER =
  /^(accept(-.*)?|cache-control|from|mcp-protocol-version|origin|pragma|referer|user-agent)$/i;
/**
 * Words and short numbers. Such a value counts as a secret only if the name of
 * its header or query parameter says so.
 */
const PLAIN_WORDS =
  /^(v?\d[\d.:-]{0,9}|([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15})([-_ ./+]([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15}))*)$/;
/** The dots at the place where a text was truncated. */
const ELLIPSIS = /(\.{3,})/;
/** Longer starts of a truncated secret are not found (UTF-16 units). */
const MAX_TRUNCATED_CHARS = 1_000;
/** The longest text that is searched for truncated secrets (UTF-16 units). */
const MAX_TRUNCATION_SEARCH_CHARS = 8_192;
/** The start of an encoded character that was truncated. */
const TRUNCATED_ESCAPE = /(?:%[0-9a-f]?|\\(?:u[0-9a-f]{0,3})?)$/i;
/** The longest pattern, in UTF-16 units; V8 fails at about 20,000. */
const MAX_PATTERN_CHARS = 4_000;
/** The longest text that is decoded: decoding takes half a second per MiB. */
const MAX_DECODED_CHARS = 1_048_576;
const MAX_ENCODING_DEPTH = 3;

/** Returns true if a header or query parameter of this name holds a secret. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name);
}

function mayBeSecretValue(value: string): boolean {
  return value.length >= MIN_SECRET_CHARS &&
    !PLAIN_WORDS.test(decodeEscapes(value));
}

/**
 * Returns the secrets of a URL: its password, and its user and each query
 * value if they may be secrets. A query name without a value counts as a value.
 */
export function secretsOfUrl({ href, redacted }: DaemonUrl): string[] {
  if (href === redacted) return [];
  const { username, password, search } = new URL(href);
  const found = password === "" ? [] : [password];
  if (mayBeSecretValue(username)) found.push(username);
  for (const pair of search.slice(1).split("&")) {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(pair)!;
    const secret = value || name;
    const isNamedSecret = value !== "" && isSecretName(name);
    if (isNamedSecret || mayBeSecretValue(secret)) found.push(secret);
  }
  return found;
}

/**
 * Returns a list with a URL's user. The list is empty if there is no user, or
 * only a very short one. Logs hide the user, but cached texts may contain it.
 */
export function usersOfUrl({ href }: DaemonUrl): string[] {
  const { username } = new URL(href);
  return username.length < MIN_USER_CHARS ? [] : [username];
}

/** Returns the secrets in a header value: its credentials and their parts. */
export function secretsOfHeader([name, value]: Header): string[] {
  if (PUBLIC_HEADER.test(name)) return [];
  const words = value.split(/[\s;,]+/).filter((word) => word !== "");
  const hasScheme = /authorization$/i.test(name) && words.length > 1;
  const credentials = hasScheme ? words.slice(1) : words;
  const isBasic = hasScheme && /^basic$/i.test(words[0]!);
  const basicText = isBasic ? decodeBase64(credentials[0]!) : undefined;
  const [user = "", password = ""] = basicText?.split(/:(.*)/s) ?? [];
  const parts = credentials
    .flatMap((word) => [word, word.slice(word.indexOf("=") + 1)])
    .map((word) => word.replace(/^"(.*)"$/, "$1"))
    .flatMap((word) => [word, ...tokenPartsOf(word)]);
  const secrets = [
    ...isSecretName(name) ? [value] : [],
    ...hasScheme ? credentials : [],
    password,
    ...[value, ...parts, user].filter(mayBeSecretValue),
  ];
  return secrets.filter((it) => it !== "");
}

/** Returns the secrets of a token: the token itself and its parts. */
export function secretsOfToken(token: string): string[] {
  return token === "" ? [] : [token, ...tokenPartsOf(token)];
}

/**
 * Returns the parts of a text that may be secrets: parts between separators,
 * as in `id:word` or JSON, and the parts of a JWT (RFC 7519).
 */
function tokenPartsOf(text: string): string[] {
  const parts = text.split(/[:|&={}[\]()"'<>,;\s]+/);
  const isJwt = /^[\w-]{8,}(\.[\w-]{8,}){1,4}$/.test(text);
  return [...parts, ...isJwt ? text.split(".") : []]
    .filter((it) => it !== text && mayBeSecretValue(it));
}

/** Decodes Base64 to UTF-8 text; `undefined` if either is invalid. */
function decodeBase64(text: string): string | undefined {
  try {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * Returns a function that redacts secrets. It finds each secret in plain text,
 * percent-encoded (RFC 3986), with JSON escapes, in Base64 (RFC 4648), and in
 * upper or lower case; also the start of a secret that `...` truncates.
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

/** Returns a function that redacts a configuration's secrets and URL user. */
export function createConfigRedactor(
  { secrets, urlUsers }: {
    readonly secrets: readonly string[];
    readonly urlUsers: readonly string[];
  },
): Redactor {
  return createRedactor([...secrets, ...urlUsers]);
}

/** Redacts the strings in a JSON value; member names stay. */
export function redactJsonValue(value: unknown, redact: Redactor): unknown {
  return JSON.parse(mapStrings(JSON.stringify(value), redact));
}

/** Returns several patterns, because one may be too large for a runtime. */
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

function redactEncoded(text: string, redact: Redactor): string {
  if (text.length > MAX_DECODED_CHARS) return text;
  let result = text;
  let decodedText = text;
  for (let depth = 0; depth < MAX_ENCODING_DEPTH; depth++) {
    const next = decodeEscapes(decodedText);
    if (next === decodedText) break;
    decodedText = redact(next);
    // A decoded text may contain line ends.
    if (decodedText !== next) result = decodedText.replace(CONTROL_CHARS, " ");
  }
  return result;
}

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

/**
 * Returns the forms of a secret to search for: with and without escapes, with
 * `+` for spaces, and in Base64. {@linkcode decodeEscapes} undoes other forms.
 */
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

/** Encodes a text in Base64 (RFC 4648 section 4), without padding. */
function encodeBase64(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const chars = Array.from(bytes, (byte) => String.fromCharCode(byte));
  return btoa(chars.join("")).replace(/=+$/, "");
}

/** Returns a secret's pattern; a short secret matches only as a whole word. */
function secretPatternOf(text: string): string {
  const literal = text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.length < MIN_SECRET_CHARS ? `(?<!\\w)${literal}(?!\\w)` : literal;
}

function redactTruncated(text: string, secrets: readonly string[]): string {
  const parts = text.split(ELLIPSIS);
  for (let i = 0; i < parts.length - 1; i += 2) {
    const words = parts[i]!;
    const [escapeStart = ""] = TRUNCATED_ESCAPE.exec(words.slice(-6)) ?? [];
    const end = words.slice(0, words.length - escapeStart.length);
    const length = secretPrefixLengthOf(end.toLowerCase(), secrets);
    if (length > 0) parts[i] = end.slice(0, -length) + REDACTION_MARK;
  }
  return parts.join("");
}

function secretPrefixLengthOf(
  text: string,
  secrets: readonly string[],
): number {
  for (const secret of secrets) {
    const maxLength = Math.min(
      secret.length - 1,
      text.length,
      MAX_TRUNCATED_CHARS,
    );
    for (let length = maxLength; length >= MIN_SECRET_CHARS; length--) {
      if (text.endsWith(secret.slice(0, length))) return length;
    }
  }
  return 0;
}
