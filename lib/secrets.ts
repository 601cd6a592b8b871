/**
 * What the program was given to show to the daemon alone, and how it is taken
 * out of a text that others see: the daemon may quote it, in another spelling
 * or in parts.
 *
 * @module
 */

import { jsonIn } from "./json_text.ts";
import { UNTAMED } from "./output.ts";
import type { Address, Header } from "./parse.ts";

/** A text without the secrets. */
export type Hide = (text: string) => string;

/** What stands in place of a secret. */
const HIDDEN = "***";
/** What is shorter stands in many a sentence by chance, in UTF-16 units. */
const LENGTH = 4;
/** The names of what is secret by its name. */
const SECRET = /authorization|cookie|token|key|secret|password/i;
/** The headers that are no secret whatever they say (RFC 9110, RFC 6454). */
const PUBLIC =
  /^(accept(-.*)?|cache-control|from|origin|pragma|referer|user-agent)$/i;
/** What stands where a text was cut off. */
const CUT = "...";
/** How much is left of a text that was cut off, in UTF-16 units. */
const CUT_LIMIT = 1_000;
/** How often a text may have been encoded. */
const DEPTH = 3;

/** Whether a header or a parameter of this name holds a secret. */
export function isSecret(name: string): boolean {
  return SECRET.test(name);
}

/** Secrets of a URL: its user, its password, and the values of its query; a name without a value may be one, too. */
export function secretsOfUrl({ href, shown }: Address): string[] {
  if (href === shown) return [];
  const { username, password, search, searchParams } = new URL(href);
  const parts = [...searchParams].map(([name, value]) => value || name);
  const raw = search.slice(1).split("&")
    .map((pair) => pair.slice(pair.indexOf("=") + 1));
  return [
    ...[username, password].filter((it) => it !== ""),
    ...[...parts, ...raw].filter((it) => it.length >= LENGTH),
  ];
}

/** Secrets of a header: its value, and the parts of it. */
export function secretsOfHeader([name, value]: Header): string[] {
  if (PUBLIC.test(name) || value.length < LENGTH) return [];
  return [value, ...partsOf(name, value)];
}

/** Secrets of a token: it, and its parts if it is a JSON Web Token (RFC 7519). */
export function secretsOfToken(token: string): string[] {
  return token === "" ? [] : [token, ...jwtParts(token)];
}

/** What a value is made of: its scheme is no secret, and the names in it are none. */
function partsOf(name: string, value: string): string[] {
  const words = value.split(/[\s;,]+/).filter((word) => word !== "");
  const hasScheme = /authorization$/i.test(name) && words.length > 1;
  const parts = (hasScheme ? words.slice(1) : words).map((word) =>
    word.replace(/^[\w-]+=(?=.)/, "").replace(/^"(.*)"$/, "$1")
  );
  const isBasic = hasScheme && /^basic$/i.test(words[0]!);
  const said = isBasic ? plainOf(parts[0]!)?.split(/:(.*)/s) ?? [] : [];
  return [...parts, ...said, ...parts.flatMap(jwtParts)]
    .filter((it) => it.length >= LENGTH);
}

function jwtParts(text: string): string[] {
  return /^[\w-]{8,}(\.[\w-]{8,}){1,4}$/.test(text) ? text.split(".") : [];
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
  if (all.length === 0) return (text) => text;
  const pattern = new RegExp(all.map(patternOf).join("|"), "gi");
  const lower = all.map((it) => it.toLowerCase());
  const hide = (text: string): string =>
    withoutCut(text.replace(pattern, HIDDEN), lower);
  return (text) => hideEncoded(hide(text), hide);
}

/** A JSON value without the secrets in its texts and names. */
export function hideIn(value: unknown, hide: Hide): unknown {
  if (typeof value === "string") return hide(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((it) => hideIn(it, hide));
  return Object.fromEntries(
    Object.entries(value).map(([name, it]) => [hide(name), hideIn(it, hide)]),
  );
}

/** The text, or what it stands for if a secret is in that. */
function hideEncoded(text: string, hide: Hide): string {
  let result = text;
  let plain = text;
  for (let depth = 0; depth < DEPTH; depth++) {
    const next = decoded(plain);
    if (next === plain) break;
    plain = hide(next);
    if (plain !== next) result = plain;
  }
  return result;
}

/** A text whose percent-encoded characters and escapes are what they stand for. */
function decoded(text: string): string {
  return text
    .replace(/(?:%[0-9a-f]{2})+/gi, (codes) => {
      try {
        return decodeURIComponent(codes);
      } catch {
        return codes;
      }
    })
    .replace(
      /\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])/g,
      (escape) => jsonIn(`"${escape}"`) as string,
    );
}

/** How a secret may be written, beside what {@linkcode decoded} undoes. */
function spellings(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret);
  const base64 = btoa(
    Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""),
  ).replace(/=+$/, "");
  const tamed = secret.replace(UNTAMED, " ");
  const plain = decoded(secret);
  const all = [secret, tamed, plain, decoded(plain.replaceAll("+", " "))];
  return [
    ...all,
    ...all.map((it) => it.replaceAll(" ", "+")),
    ...[base64, base64.replaceAll("+", "-").replaceAll("/", "_")],
  ];
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
    const length = begun(words.toLowerCase(), secrets);
    result += length === 0 ? words : words.slice(0, -length) + HIDDEN;
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
