/**
 * What the program was given to show to the daemon alone, and how it is taken
 * out of a text that others see: the daemon may quote it, in another spelling
 * or in parts.
 *
 * @module
 */

import { UNTAMED } from "../text/sanitize.ts";
import { jsonIn } from "../json/spans.ts";
import type { Address, Header } from "./parsers.ts";

/** A text without the secrets. */
export type Hide = (text: string) => string;

/** Where nothing is secret, a text stays as it is. */
export const UNCHANGED: Hide = (text: string): string => text;

/** What stands in place of a secret. */
const HIDDEN = "***";
/** What is shorter stands in many a sentence by chance, in UTF-16 units. */
const LENGTH = 4;
/** The same for the name of a user. */
const USER_LENGTH = 3;
/** The names of what is secret by its name. */
const SECRET =
  /authori[sz]ation|auth(?!or)|cookie|token|key|secret|passw|passphrase|pwd|jwt|credential|bearer|signature|session|(^|[-_.])(sid|sig|pass)$/i;
/** The headers that are no secret whatever they say (RFC 9110, RFC 6454, MCP). */
const PUBLIC =
  /^(accept(-.*)?|cache-control|from|mcp-protocol-version|origin|pragma|referer|user-agent)$/i;
/** Words, and numbers of a few digits: what is not secret by its name is not secret for them, either. */
const PLAIN =
  /^(v?\d[\d.:-]{0,9}|([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15})([-_ ./+]([a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,15}))*)$/;
/** What stands where a text was cut off. */
const CUT = "...";
/** How much is left of a text that was cut off, in UTF-16 units. */
const CUT_LIMIT = 1_000;
/** A text with more is whole, or was put together of parts that are not. */
const WHOLE_LIMIT = 8_192;
/** What is left of an encoded character that was cut off. */
const CUT_CHARACTER = /(?:%[0-9a-f]?|\\(?:u[0-9a-f]{0,3})?)$/i;
/** How long an expression may be, in UTF-16 units: V8 fails at some 20,000. */
const PATTERN_LIMIT = 4_000;
/** A text with more is looked at as it is, and not decoded: that takes half a second for each MiB. */
const ENCODED_LIMIT = 1_048_576;
/** How often a text may have been encoded. */
const DEPTH = 3;

/** Whether a header or a parameter of this name holds a secret. */
export function isSecret(name: string): boolean {
  return SECRET.test(name);
}

/** Whether a value whose name says nothing may be a secret. */
function mayBeSecret(value: string): boolean {
  return value.length >= LENGTH && !PLAIN.test(decoded(value));
}

/** Secrets of a URL: its password, and the values of its query; a name without a value may be one, too. */
export function secretsOfUrl({ href, shown }: Address): string[] {
  if (href === shown) return [];
  const { username, password, search } = new URL(href);
  const found = password === "" ? [] : [password];
  if (mayBeSecret(username)) found.push(username);
  for (const pair of search.slice(1).split("&")) {
    const [, name, value] = /^([^=]*)=?(.*)$/s.exec(pair)!;
    if (value === "" ? mayBeSecret(name!) : isSecret(name!)) {
      found.push(value || name!);
    } else if (mayBeSecret(value!)) found.push(value!);
  }
  return found;
}

/** The user of a URL. Its name stands in many a text by chance: that alone keeps no text out of the cache. */
export function usersOfUrl({ href }: Address): string[] {
  const { username } = new URL(href);
  return username.length < USER_LENGTH ? [] : [username];
}

/** Secrets of a header: its value, and the parts of it. */
export function secretsOfHeader([name, value]: Header): string[] {
  if (PUBLIC.test(name)) return [];
  const isWhole = isSecret(name) ? value !== "" : mayBeSecret(value);
  return [...isWhole ? [value] : [], ...partsOf(name, value)];
}

/** Secrets of a token: it, and its parts. */
export function secretsOfToken(token: string): string[] {
  return token === "" ? [] : [token, ...pieces(token)];
}

/** What a value is made of: its scheme is no secret, and the names in it are none. */
function partsOf(name: string, value: string): string[] {
  const words = value.split(/[\s;,]+/).filter((word) => word !== "");
  const hasScheme = /authorization$/i.test(name) && words.length > 1;
  const own = hasScheme ? words.slice(1) : words;
  const isBasic = hasScheme && /^basic$/i.test(words[0]!);
  const said = isBasic ? plainOf(own[0]!)?.split(/:(.*)/s) ?? [] : [];
  const [user = "", password = ""] = said;
  return [
    ...hasScheme ? own : [],
    ...own.flatMap((word) => [word, word.slice(word.indexOf("=") + 1)])
      .map((word) => word.replace(/^"(.*)"$/, "$1"))
      .flatMap((word) => [word, ...pieces(word)]).filter(mayBeSecret),
    ...[password, mayBeSecret(user) ? user : ""].filter((it) => it !== ""),
  ];
}

/** What may be a secret of its own in another one: of `id:word`, of JSON, of a JSON Web Token (RFC 7519). */
function pieces(text: string): string[] {
  const parts = text.split(/[:|&={}[\]()"'<>,;\s]+/);
  const isJwt = /^[\w-]{8,}(\.[\w-]{8,}){1,4}$/.test(text);
  return [...parts, ...isJwt ? text.split(".") : []]
    .filter((it) => it !== text && mayBeSecret(it));
}

/** The text that Base64 stands for; `undefined` if it stands for none. */
function plainOf(text: string): string | undefined {
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
export function hider(secrets: readonly string[]): Hide {
  const all = [...new Set(secrets.flatMap(spellings))]
    .filter((it) => it !== "")
    .toSorted((a, b) => b.length - a.length);
  if (all.length === 0) return UNCHANGED;
  const long = all.filter((it) => it.length > PATTERN_LIMIT);
  const patterns = patternsOf(all.slice(long.length));
  const lower = all.map((it) => it.toLowerCase());
  const hide = (text: string): string => {
    let hidden = text;
    for (const it of long) hidden = hidden.replaceAll(it, HIDDEN);
    for (const it of patterns) hidden = hidden.replace(it, HIDDEN);
    return text.length > WHOLE_LIMIT ? hidden : withoutCut(hidden, lower);
  };
  return (text) => hideEncoded(hide(text), hide);
}

/** Makes the function that takes out what a configuration keeps secret: all of it. */
export function hiderOf(
  { secrets, users }: {
    readonly secrets: readonly string[];
    readonly users: readonly string[];
  },
): Hide {
  return hider([...secrets, ...users]);
}

/** A JSON value without the secrets in its texts; its names are its form, and stay. */
export function hideIn(value: unknown, hide: Hide): unknown {
  if (typeof value === "string") return hide(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((it) => hideIn(it, hide));
  return Object.fromEntries(
    Object.entries(value).map(([name, it]) => [name, hideIn(it, hide)]),
  );
}

/** Expressions for all of these, in their order: one for all may be more than a runtime takes. */
function patternsOf(texts: readonly string[]): RegExp[] {
  const sources: string[] = [];
  for (const source of texts.map(patternOf)) {
    const last = sources.at(-1);
    if (last !== undefined && last.length + source.length < PATTERN_LIMIT) {
      sources[sources.length - 1] = `${last}|${source}`;
    } else sources.push(source);
  }
  return sources.map((source) => new RegExp(source, "gi"));
}

/** The text, or what it stands for if a secret is in that. */
function hideEncoded(text: string, hide: Hide): string {
  if (text.length > ENCODED_LIMIT) return text;
  let result = text;
  let plain = text;
  for (let depth = 0; depth < DEPTH; depth++) {
    const next = decoded(plain);
    if (next === plain) break;
    plain = hide(next);
    // What stood there encoded may be a line end.
    if (plain !== next) result = plain.replace(UNTAMED, " ");
  }
  return result;
}

/** A text whose percent-encoded characters and escapes are what they stand for. */
function decoded(text: string): string {
  return text
    .replace(/(?:%[0-9a-f]{2})+/gi, (codes) => {
      const bytes = codes.slice(1).split("%").map((it) => parseInt(it, 16));
      return UTF_8.decode(Uint8Array.from(bytes));
    })
    .replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1")
    .replace(
      /\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])/g,
      (escape) => jsonIn(`"${escape}"`) as string,
    );
}

const UTF_8 = new TextDecoder();

/** How a secret may be written, beside what {@linkcode decoded} undoes. */
function spellings(secret: string): string[] {
  const plain = decoded(secret);
  const all = [secret, plain, decoded(plain.replaceAll("+", " "))];
  const codes = all.map(base64);
  return [
    ...all,
    ...all.map((it) => it.replaceAll(" ", "+")),
    ...all.map((it) => it.replace(UNTAMED, " ")),
    ...codes,
    ...codes.map((it) => it.replaceAll("+", "-").replaceAll("/", "_")),
  ];
}

/** A text in Base64 (RFC 4648 section 4), without what fills it up. */
function base64(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const chars = Array.from(bytes, (byte) => String.fromCharCode(byte));
  return btoa(chars.join("")).replace(/=+$/, "");
}

/** A short one counts only as a word. */
function patternOf(text: string): string {
  const literal = text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return text.length < LENGTH ? `(?<!\\w)${literal}(?!\\w)` : literal;
}

/** A text that was cut may end within a secret. */
function withoutCut(text: string, secrets: readonly string[]): string {
  let result = "";
  let from = 0;
  for (;;) {
    const cut = text.indexOf(CUT, from);
    if (cut === -1) return result + text.slice(from);
    const words = text.slice(from, cut);
    const [left = ""] = CUT_CHARACTER.exec(words.slice(-6)) ?? [];
    const end = words.slice(0, words.length - left.length);
    const length = begun(end.toLowerCase(), secrets);
    result += length === 0 ? words : end.slice(0, -length) + HIDDEN;
    from = cut;
    while (text[from] === ".") from++;
    result += text.slice(cut, from);
  }
}

/** How much of a secret's beginning a text ends with. */
function begun(text: string, secrets: readonly string[]): number {
  for (const secret of secrets) {
    const most = Math.min(secret.length - 1, text.length, CUT_LIMIT);
    for (let length = most; length >= LENGTH; length--) {
      if (text.endsWith(secret.slice(0, length))) return length;
    }
  }
  return 0;
}
