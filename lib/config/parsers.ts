/**
 * Parses the texts of settings: durations, sizes, URLs, headers, and others.
 *
 * @module
 */

import type { HttpAddress } from "../runtime/http_server.ts";

/** Parses the text of a setting. Throws a {@linkcode SettingError}. */
export type SettingParser<T> = (text: string) => T;

/**
 * The error for an invalid setting. Its message completes "NAME: ...". It never
 * shows the value, because that may be a secret.
 */
export class SettingError extends Error {}

/** A daemon's WebSocket URL. */
export interface DaemonUrl {
  /** The URL as it was configured, with its secrets. */
  readonly href: string;
  /** The URL without user and password, and with `?***` for a query. */
  readonly redacted: string;
  /** The `Authorization` for user and password; `undefined` without them. */
  readonly authorization: string | undefined;
}

/** The name and the value of an HTTP header. */
export type Header = readonly [name: string, value: string];

const DAY_MS = 86_400_000;

/** Parses `250ms`, `45s`, `5m`, `1h` or bare seconds; returns milliseconds. */
export function parseDuration(text: string): number {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const ms = Number(digits) * units[(unit ?? "s") as keyof typeof units];
  if (!(ms >= 1 && ms <= 30 * DAY_MS)) {
    throw new SettingError(
      "it is not a duration from 1ms to 720h " +
        "(write 250ms, 45s, 5m or a number of seconds)",
    );
  }
  return ms;
}

/** Returns a parser for an integer from 1 to `max`; errors call it `what`. */
export function wholeNumber(what: string, max: number): SettingParser<number> {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
    throw new SettingError(`it is not a ${what} from 1 to ${max}`);
  };
}

/** Parses `32MiB`, `512KiB` or bare bytes, 1 KiB to 1 GiB; returns bytes. */
export function parseSize(text: string): number {
  const units = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  const [, digits, unit] = /^(\d+) ?(B|KiB|MiB|GiB)?$/.exec(text) ?? [];
  const bytes = Number(digits) * units[(unit ?? "B") as keyof typeof units];
  if (!(bytes >= 1024 && bytes <= 1024 ** 3)) {
    throw new SettingError(
      "it is not a size from 1KiB to 1GiB " +
        "(write 32MiB, 512KiB or a number of bytes)",
    );
  }
  return bytes;
}

/** Returns a parser that also accepts `off` and `0`, and returns `Infinity`. */
export function allowOff(parse: SettingParser<number>): SettingParser<number> {
  return (text) => text === "off" || text === "0" ? Infinity : parse(text);
}

/** Returns a parser for one of the choices, in upper or lower case. */
export function oneOf<const T extends string>(
  ...choices: readonly T[]
): SettingParser<T> {
  return (text) => {
    const choice = choices.find((choice) => choice === text.toLowerCase());
    if (choice !== undefined) return choice;
    throw new SettingError(
      `it is not ${choices.length > 1 ? "one of " : ""}${choices.join(", ")}`,
    );
  };
}

/** Parses a WebSocket URL (RFC 6455 section 3). No error repeats the URL. */
export function parseWebSocketUrl(text: string): DaemonUrl {
  if (!URL.canParse(text)) {
    throw new SettingError("it is not a URL (write ws://HOST:PORT/)");
  }
  const url = new URL(text);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new SettingError(
      "a WebSocket URL begins with ws:// or wss://" +
        (/^https?:$/.test(url.protocol) ? `, not ${url.protocol}//` : ""),
    );
  }
  if (url.hash !== "") {
    throw new SettingError(
      "a WebSocket URL has no fragment (RFC 6455 section 3)",
    );
  }
  const redacted = new URL(url);
  redacted.username = "";
  redacted.password = "";
  // The query names are hidden, too: one without a value may be a secret.
  if (redacted.search !== "") redacted.search = "?***";
  return {
    href: url.href,
    redacted: redacted.href,
    authorization: basicAuthorizationOf(url),
  };
}

/** Returns Basic credentials (RFC 7617). Node's WebSocket does not send any. */
function basicAuthorizationOf({ username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  let text: string;
  try {
    text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    throw new SettingError(
      "its user or password is not percent-encoded (RFC 3986 section 2.1)",
    );
  }
  const bytes = new TextEncoder().encode(text);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

const HANDSHAKE_HEADER = /^(host|connection|upgrade|sec-websocket-.*)$/i;
/**
 * Headers that change the framing of the handshake, or that apply to one hop
 * (RFC 9110 section 7.6.1, RFC 9112 section 6).
 */
const FRAMING_HEADER =
  /^(transfer-encoding|content-length|te|trailer|keep-alive|proxy-connection|expect|http2-settings)$/i;

const HTTP_HEADER = /^([!#$%&'*+.^`|~\w-]+):\s*((?:[\x21-\x7e][\x20-\x7e]*)?)$/;

/** Parses headers, one in each line (RFC 9110 section 5), each name once. */
export function parseHeaders(text: string): readonly Header[] {
  const names = new Set<string>();
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line, i) => {
    const [, name, value] = HTTP_HEADER.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new SettingError(
        `header ${i + 1} is not of the form "Name: value" (RFC 9110 section 5)`,
      );
    }
    if (names.has(name.toLowerCase())) {
      throw new SettingError(`header ${name} is given twice`);
    }
    if (HANDSHAKE_HEADER.test(name)) {
      throw new SettingError(
        `header ${name} belongs to the WebSocket handshake itself (RFC 6455 section 4.1)`,
      );
    }
    if (FRAMING_HEADER.test(name)) {
      throw new SettingError(
        `header ${name} describes a body or one hop, and the handshake is ` +
          "a GET without a body (RFC 6455 section 4.1): remove it",
      );
    }
    names.add(name.toLowerCase());
    return [name, value];
  });
}

function textMatching(form: RegExp, problem: string): SettingParser<string> {
  return (text) => {
    if (form.test(text)) return text;
    throw new SettingError(problem);
  };
}

/** Parses a token that an HTTP header can carry (RFC 6750 section 2.1). */
export const parseToken: SettingParser<string> = textMatching(
  /^[\x21-\x7e]+$/,
  "it must be one word of visible ASCII characters (RFC 6750 section 2.1)",
);

/** Parses a host for a URL. A wildcard address becomes the loopback address. */
export function parseHost(text: string): string {
  if (text === "0.0.0.0") return "127.0.0.1";
  const withoutBrackets = text.replace(/^\[(.*)\]$/, "$1");
  if (withoutBrackets === "::") return "[::1]";
  const urlHost = withoutBrackets.includes(":")
    ? `[${withoutBrackets}]`
    : withoutBrackets;
  if (
    !/^[\w.:-]+$/.test(withoutBrackets) || !URL.canParse(`ws://${urlHost}/`)
  ) {
    throw new SettingError(
      "it is not a host name or address (for a URL, use ALWAYSUP_URL)",
    );
  }
  return urlHost;
}

/** Where metrics go: nowhere, only to the status file, or also to HTTP. */
export type MetricsSetting = "off" | "on" | HttpAddress;

/** Parses `off`, `on`, `HOST:PORT` or `[IPV6]:PORT`. */
export function parseMetrics(text: string): MetricsSetting {
  if (text === "off" || text === "on") return text;
  const [, ipv6, name = "", digits] =
    /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = ipv6 ?? name;
  const isHost = URL.canParse(
    `http://${ipv6 === undefined ? host : `[${host}]`}/`,
  );
  if (!(port <= 65_535) || !isHost) {
    throw new SettingError(
      "it is not off, on, or an address such as 127.0.0.1:9464",
    );
  }
  return { host, port };
}

/** Parses a finite number, which may be negative. */
export function parseFiniteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new SettingError("it is not a number");
  }
  return value;
}

/** Parses a duration or `0`; returns milliseconds. */
export function parseDurationOrZero(text: string): number {
  return /^0+(\.0*)?$/.test(text) ? 0 : parseDuration(text);
}

/**
 * Parses a session id by the rule of newer exai daemons. Each connection
 * appends characters of its own to it.
 */
export const parseSessionId: SettingParser<string> = textMatching(
  /^[\w-]{3,48}$/,
  "it must be 3 to 48 characters of A-Z, a-z, 0-9, _ and -",
);

/** Accepts every text except an empty one, as exai daemons do. */
export const parseNonEmpty: SettingParser<string> = textMatching(
  /./s,
  "it is empty",
);

/** Returns true for `1`, `true`, `yes` and `on`; false for any other text. */
export function parseBoolean(text: string): boolean {
  return /^(1|true|yes|on)$/i.test(text.trim());
}

/** Parses a name of at most 100 characters, which may be empty. */
export const parseShortName: SettingParser<string> = textMatching(
  // deno-lint-ignore no-control-regex
  /^[^\x00-\x1f]{0,100}$/,
  "it must be at most 100 printable characters",
);

/** A certificate in a PEM file (RFC 7468 section 5). */
const PEM_CERTIFICATE =
  /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+\/=]+-----END CERTIFICATE-----/g;

/** Returns the certificates in a file's text; ignores everything else. */
export function parseCertificates(text: string): readonly string[] {
  const found = text.match(PEM_CERTIFICATE);
  if (found !== null) return found;
  throw new SettingError(
    "it contains no certificate (PEM, -----BEGIN CERTIFICATE-----)",
  );
}

/** Returns the kind of a `--cache` text: on, off (or 0), or a file path. */
export function cacheModeOf(setting: string): "on" | "off" | "path" {
  if (/^on$/i.test(setting)) return "on";
  return /^(off|0)$/i.test(setting) ? "off" : "path";
}

/** Parses a path; it may be relative. */
export function parsePath(text: string): string {
  if (text === "") throw new SettingError("it is empty");
  if (text.includes("\0")) throw new SettingError("it is not a path");
  return text;
}
