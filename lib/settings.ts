/**
 * The table of settings: where each may come from, what it may be, and what it
 * is when nobody says.
 *
 * @module
 */

/** Reads a setting's text. Throws a {@linkcode SettingError} that completes the sentence "NAME: ...". */
export type Parse<T> = (text: string) => T;

/** A value breaks a rule; the message says which, and never shows a value that may be a secret. */
export class SettingError extends Error {}

/** One row of the table. */
export interface Setting<T> {
  /** The flag without its dashes; `undefined` where a command line would show a secret. */
  readonly flag?: string;
  /** The names in the environment; the first that is set counts. */
  readonly env: readonly string[];
  /** The value as a user would write it; `undefined` where there is none. */
  readonly default?: string;
  /** What a value looks like, for `--help`. */
  readonly value: string;
  /** One phrase for `--help`. */
  readonly help: string;
  /** Other programs use the variable too, so that a bad value is not our user's mistake. */
  readonly isShared?: true;
  /** The flag may be given more than once; the texts are joined by line breaks. */
  readonly isRepeatable?: true;
  /** Reads the text. */
  readonly parse: Parse<T>;
}

/** A daemon's address. */
export interface Address {
  /** What is dialed. */
  readonly href: string;
  /** What may be shown: without user, password and query values. */
  readonly shown: string;
}

/** A header as it is sent. */
export type Header = readonly [name: string, value: string];

const DAY_MS = 86_400_000;

/** A duration in milliseconds: `250ms`, `45s`, `5m`, `1h` or bare seconds, up to 30 days. */
function duration(text: string): number {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const ms = Number(digits) * units[(unit ?? "s") as keyof typeof units];
  if (!(ms >= 1 && ms <= 30 * DAY_MS)) {
    throw new SettingError(
      `${quote(text)} is not a duration from 1ms to 720h ` +
        "(write 250ms, 45s, 5m or bare seconds)",
    );
  }
  return ms;
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 1_000_000) {
    throw new SettingError(
      `${quote(text)} is not a whole number from 1 to 1000000`,
    );
  }
  return value;
}

/** A size in bytes: `32MiB`, `512KiB` or bare bytes, up to 1 GiB. */
function size(text: string): number {
  const units = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
  const [, digits, unit] = /^(\d+) ?(B|KiB|MiB|GiB)?$/.exec(text) ?? [];
  const bytes = Number(digits) * units[(unit ?? "B") as keyof typeof units];
  if (!(bytes >= 1024 && bytes <= 1024 ** 3)) {
    throw new SettingError(
      `${quote(text)} is not a size from 1KiB to 1GiB ` +
        "(write 32MiB, 512KiB or bare bytes)",
    );
  }
  return bytes;
}

/** The same, or no limit. */
function orOff(parse: Parse<number>): Parse<number> {
  return (text) => text === "off" || text === "0" ? Infinity : parse(text);
}

function oneOf<const T extends string>(...choices: readonly T[]): Parse<T> {
  return (text) => {
    const choice = choices.find((choice) => choice === text.toLowerCase());
    if (choice !== undefined) return choice;
    throw new SettingError(
      `${quote(text)} is not ${choices.length > 1 ? "one of " : ""}${
        choices.join(", ")
      }`,
    );
  };
}

/** A WebSocket address. The text may hold a secret, so no error repeats it. */
function address(text: string): Address {
  const url = URL.parse(text);
  if (url === null) {
    throw new SettingError("it is not a URL (write ws://HOST:PORT/)");
  }
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new SettingError(
      `a WebSocket URL begins with ws:// or wss://, not ${url.protocol}//`,
    );
  }
  if (url.hash !== "") {
    throw new SettingError(
      "a WebSocket URL has no fragment (RFC 6455 section 3)",
    );
  }
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  // Touching the parameters costs the start half a millisecond.
  if (shown.search !== "") {
    for (const name of new Set(shown.searchParams.keys())) {
      shown.searchParams.set(name, "***");
    }
  }
  return { href: url.href, shown: shown.href };
}

function headers(text: string): readonly Header[] {
  const names = new Set<string>();
  return text.split("\n").map((line) => line.trim()).filter((line) => line)
    .map((line, i) => {
      const [, name, value] = /^([!#$%&'*+.^`|~\w-]+):\s*([\x20-\x7e]*)$/
        .exec(line) ?? [];
      if (name === undefined || value === undefined) {
        throw new SettingError(
          `header ${
            i + 1
          } is not of the form "Name: value" (RFC 9110 section 5)`,
        );
      }
      if (names.has(name.toLowerCase())) {
        throw new SettingError(`header ${name} is given twice`);
      }
      if (/^(host|connection|upgrade|sec-websocket-.*)$/i.test(name)) {
        throw new SettingError(
          `header ${name} belongs to the WebSocket handshake itself (RFC 6455 section 4.1)`,
        );
      }
      names.add(name.toLowerCase());
      return [name, value];
    });
}

function visible(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new SettingError(
      "it must be one word of visible ASCII characters (RFC 6750 section 2.1)",
    );
  }
  return text;
}

function path(text: string): string {
  if (text.includes("\0")) throw new SettingError("it is not a path");
  return text;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}

/** A row that keeps its own type, so that a default tells the compiler that there is always a value. */
function row<const S extends Setting<unknown>>(setting: S): S {
  return setting;
}

/** The table; its order is that of `--help`. */
export const SETTINGS = {
  url: row({
    flag: "url",
    env: ["ALWAYSUP_URL"],
    default: "ws://127.0.0.1:8079",
    value: "URL",
    help: "the daemon's WebSocket",
    parse: address,
  }),
  dialect: row({
    flag: "dialect",
    env: ["ALWAYSUP_DIALECT"],
    default: "mcp",
    value: "NAME",
    help: "how the daemon speaks: mcp",
    parse: oneOf("mcp"),
  }),
  tokenFile: row({
    flag: "token-file",
    env: ["ALWAYSUP_TOKEN_FILE"],
    value: "PATH",
    help: "file whose content is sent as bearer token",
    parse: path,
  }),
  token: row({
    env: ["ALWAYSUP_TOKEN"],
    value: "TOKEN",
    help: "the token itself, where there is no file",
    parse: visible,
  }),
  headers: row({
    flag: "header",
    env: ["ALWAYSUP_HEADERS"],
    value: "'NAME: VALUE'",
    help: "header of the handshake; one a line in the environment, where " +
      "secret ones belong",
    isRepeatable: true,
    parse: headers,
  }),
  backoffBase: row({
    flag: "backoff-base",
    env: ["ALWAYSUP_BACKOFF_BASE"],
    default: "250ms",
    value: "TIME",
    help: "pause after the first failed dial; doubles up to the cap",
    parse: duration,
  }),
  backoffCap: row({
    flag: "backoff-cap",
    env: ["ALWAYSUP_BACKOFF_CAP"],
    default: "30s",
    value: "TIME",
    help: "longest pause between dials",
    parse: duration,
  }),
  giveUpAfter: row({
    flag: "give-up-after",
    env: ["ALWAYSUP_GIVE_UP_AFTER"],
    default: "off",
    value: "TIME",
    help: "exit with 1 after so long without a daemon",
    parse: orOff(duration),
  }),
  handshakeTimeout: row({
    flag: "handshake-timeout",
    env: ["ALWAYSUP_HANDSHAKE_TIMEOUT"],
    default: "15s",
    value: "TIME",
    help: "for the WebSocket to open, and then for the daemon's first answer",
    parse: duration,
  }),
  pingInterval: row({
    flag: "ping-interval",
    env: ["ALWAYSUP_PING_INTERVAL"],
    default: "5s",
    value: "TIME",
    help: "silence after which an idle connection is probed",
    parse: orOff(duration),
  }),
  pingTimeout: row({
    flag: "ping-timeout",
    env: ["ALWAYSUP_PING_TIMEOUT"],
    default: "5s",
    value: "TIME",
    help: "for the answer to a probe",
    parse: duration,
  }),
  queueTimeout: row({
    flag: "queue-timeout",
    env: ["ALWAYSUP_QUEUE_TIMEOUT"],
    default: "45s",
    value: "TIME",
    help: "how long a request waits for a daemon that is away",
    parse: orOff(duration),
  }),
  queueLimit: row({
    flag: "queue-limit",
    env: ["ALWAYSUP_QUEUE_LIMIT"],
    default: "1000",
    value: "COUNT",
    help: "how many messages may wait (and at most 64 MiB of them)",
    parse: orOff(whole),
  }),
  requestTimeout: row({
    flag: "request-timeout",
    env: ["ALWAYSUP_REQUEST_TIMEOUT"],
    default: "off",
    value: "TIME",
    help: "for the answer to a request, the time in the queue included",
    parse: orOff(duration),
  }),
  idleTimeout: row({
    flag: "idle-timeout",
    env: ["ALWAYSUP_IDLE_TIMEOUT"],
    default: "600s",
    value: "TIME",
    help: "for the answer to a written request, or progress on it",
    parse: orOff(duration),
  }),
  retry: row({
    flag: "retry",
    env: ["ALWAYSUP_RETRY"],
    default: "safe",
    value: "POLICY",
    help: "what is written again after the connection was lost: safe, always " +
      "or never",
    parse: oneOf("safe", "always", "never"),
  }),
  maxMessage: row({
    flag: "max-message",
    env: ["ALWAYSUP_MAX_MESSAGE"],
    default: "32MiB",
    value: "SIZE",
    help: "largest message, either way",
    parse: orOff(size),
  }),
  logLevel: row({
    flag: "log-level",
    env: ["LOG_LEVEL"],
    default: "info",
    value: "LEVEL",
    help: "debug, info, warn or error, on stderr",
    isShared: true,
    parse: oneOf("debug", "info", "warn", "error"),
  }),
  logFormat: row({
    flag: "log-format",
    env: ["LOG_FORMAT"],
    default: "text",
    value: "FORMAT",
    help: "text or json",
    isShared: true,
    parse: oneOf("text", "json"),
  }),
  envFile: row({
    flag: "env-file",
    env: ["ENV_FILE"],
    value: "PATH",
    help: "file of NAME=value lines that stand in for the environment",
    parse: path,
  }),
} as const;

/** The name of a row. */
export type SettingName = keyof typeof SETTINGS;

/** The value of every row; `undefined` only where there is no default. */
export type Values = {
  readonly [Name in SettingName]:
    | ReturnType<typeof SETTINGS[Name]["parse"]>
    | (typeof SETTINGS[Name] extends { default: string } ? never : undefined);
};
