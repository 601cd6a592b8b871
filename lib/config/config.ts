/**
 * From flags, environment and a `.env` file to a configuration, or to every
 * problem at once.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { NoText } from "../text/utf8.ts";
import type { Provider } from "../requests/timeouts.ts";
import {
  duration,
  type Header,
  orOff,
  type Parse,
  SettingError,
} from "./parsers.ts";
import {
  isSecret,
  secretsOfHeader,
  secretsOfToken,
  secretsOfUrl,
  usersOfUrl,
} from "./secrets.ts";
import {
  type Setting,
  type SettingName,
  SETTINGS,
  type Values,
} from "./settings.ts";

/** What the program runs with. */
export interface Config extends Omit<Values, Raw> {
  /** How the daemon speaks. */
  readonly dialect: "mcp" | "exai";
  /** What is dialed. */
  readonly url: string;
  /** What may be shown of it. */
  readonly shownUrl: string;
  /** What the handshake sends, the token among them. */
  readonly headers: readonly Header[];
  /** The certificates (PEM) of authorities that are trusted beside the usual ones. */
  readonly authorities: readonly string[];
  /** How long the calls of a provider may take. */
  readonly providers: readonly Provider[];
  /** What an exai daemon gets in `hello`; empty for nothing. */
  readonly helloToken: string;
  /** What the daemon is told and nobody else may see, though it may quote it. */
  readonly secrets: readonly string[];
  /** The user of the URL, if it has one: it is taken out of what is said, but a text that holds it may be cached. */
  readonly users: readonly string[];
}

/** The rows that the configuration has in another form. */
export type Raw =
  | ("url" | "host" | "port" | "dialect" | "tokenFile" | "token" | "exaiToken")
  | ("headers" | "caFile" | "exaiPing" | "skipHealth" | "envFile")
  | ("glmTotal" | "kimiTotal" | "glmIdle" | "kimiIdle");

/** Where settings come from. */
export interface Sources {
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The named `.env` file. */
  readonly file?: Readonly<Record<string, string | undefined>>;
}

/** A configuration, or why there is none. */
export type Reading =
  | {
    readonly kind: "config";
    readonly config: Config;
    /** What was wrong but is not our user's mistake. */
    readonly warnings: readonly string[];
  }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** A setting's text and where it stood. */
export interface Given {
  /** As it was written. */
  readonly text: string;
  /** The flag, with its dashes, or the variable. */
  readonly name: string;
  /** Where it stood. */
  readonly from: Source;
}

/** A setting that somebody has made. */
export interface Made {
  /** The flag or variable. */
  readonly name: string;
  /** What may be shown of its value. */
  readonly shown: string;
  /** Where it stood. */
  readonly from: Source;
}

/** The sources, the strongest first. */
export type Source = "flag" | "env" | "file";
const SOURCES: readonly Source[] = ["flag", "env", "file"];

/** Node, Bun and `node:tls` check nothing where that variable is 0, and nothing else. */
const UNCHECKED =
  "NODE_TLS_REJECT_UNAUTHORIZED: it is 0, and with wss:// a certificate must " +
  "be checked; take it away, and let --ca-file name an authority of your own";
/** A certificate in a PEM file (RFC 7468 section 5). */
const CERTIFICATE =
  /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+\/=]+-----END CERTIFICATE-----/g;

const STREAM = /^([A-Z][A-Z0-9_]*?)_STREAM_(IDLE_)?TIMEOUT$/;
/** What cannot be a token: a path that begins as paths do, with names as people give them. */
const PATH = /^(~|\.{0,2}|[a-z]:)([/\\][^/\\]{1,64})+$/i;
/** Hosts that are this machine: a container's own host is one. */
const HERE =
  /^((.*\.)?localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]|host\.(docker|containers)\.internal)\.?$/;

/**
 * Reads the configuration.
 *
 * @param readFile gives a file's text; what it throws becomes a problem
 */
export function readConfig(
  sources: Sources,
  readFile: (path: string) => string,
): Reading {
  const problems: string[] = [];
  const warnings: string[] = [];
  const flags = parseArgs(sources.args, problems);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of rows()) {
    const given = find(setting, flags, sources);
    try {
      const text = given?.text ?? setting.default;
      if (text !== undefined) values[key] = setting.parse(text);
      if (given?.from === "flag") forbidSecrets(key, given.text);
    } catch (error) {
      const what = `${given?.name ?? key}: ${reasonOf(error)}`;
      if (setting.isShared && given?.from !== "flag") {
        const fallback = setting.default;
        if (fallback !== undefined) values[key] = setting.parse(fallback);
        warnings.push(`${what}; using ${fallback ?? "none"}`);
      } else {
        problems.push(what);
      }
    }
  }
  // Without a problem every row with a default has its value.
  const all = values as unknown as Values;
  const hasUrl = isUrlMeant((row) => find(row, flags, sources)?.from);
  const { dialect = hasUrl ? "mcp" : "exai", headers = [] } = all;
  const token = all.tokenFile === undefined
    // A token that was given for the exai daemon is nobody else's business.
    ? all.token ?? (dialect === "exai" ? all.exaiToken : undefined)
    : readToken(all.tokenFile, dialect, readFile, problems);
  const isAuthorized = headers.some(([name]) => /^authorization$/i.test(name));
  const isBearer = token !== undefined && dialect === "mcp";
  if (isBearer && isAuthorized) {
    problems.push(
      "ALWAYSUP_HEADERS: there is a token already, and it is sent as Authorization",
    );
  }
  const isSecure = hasUrl && /^wss:/.test(all.url?.href ?? "");
  if (isSecure && sources.env.NODE_TLS_REJECT_UNAUTHORIZED === "0") {
    problems.push(UNCHECKED);
  }
  const authorities = isSecure && all.caFile !== undefined
    ? readAuthorities(all.caFile, readFile, problems)
    : [];
  if (all.backoffBase > all.backoffCap) {
    problems.push("--backoff-base: it must not be above --backoff-cap");
  }
  if (problems.length > 0) return { kind: "problems", problems };
  const { url, host, port, tokenFile: _, token: __, ...rest } = all;
  const { exaiToken: ___, envFile: ____, caFile: _____, ...others } = rest;
  const { exaiPing, skipHealth, ...named } = others;
  const { glmTotal, glmIdle, kimiTotal, kimiIdle, ...kept } = named;
  const providers = [
    { name: "GLM", total: glmTotal, idle: glmIdle },
    { name: "KIMI", total: kimiTotal, idle: kimiIdle },
    ...foreignProviders(sources, warnings),
  ];
  const target = hasUrl ? url : SETTINGS.url.parse(`ws://${host}:${port}`);
  const authorization = isBearer ? `Bearer ${token}` : target.authorization;
  const isPingOff = exaiPing !== undefined && exaiPing <= 0 &&
    find(SETTINGS.pingInterval, flags, sources) === undefined;
  const hasHealthFile = dialect === "exai" && !skipHealth;
  const sent: readonly Header[] = authorization === undefined || isAuthorized
    ? headers
    : [...headers, ["Authorization", authorization]];
  const unencrypted = unencryptedIn(target.href, sent, token);
  if (unencrypted !== undefined) warnings.push(unencrypted);
  const config: Config = {
    ...kept,
    dialect,
    url: target.href,
    shownUrl: target.shown,
    headers: sent,
    authorities,
    providers,
    helloToken: token ?? "",
    secrets: [
      ...new Set([
        ...secretsOfUrl(target),
        // What a flag says can be seen anyway.
        ...find(SETTINGS.headers, flags, sources)?.from === "flag"
          ? sent.slice(headers.length).flatMap(secretsOfHeader)
          : sent.flatMap(secretsOfHeader),
        ...secretsOfToken(token ?? ""),
      ]),
    ],
    users: usersOfUrl(target),
    pingInterval: isPingOff ? Infinity : kept.pingInterval,
    healthFile: hasHealthFile ? kept.healthFile : undefined,
  };
  return { kind: "config", config, warnings };
}

/** What goes to another machine for all to read, in a sentence; `undefined` if nothing does. */
function unencryptedIn(
  href: string,
  sent: readonly Header[],
  token: string | undefined,
): string | undefined {
  const { protocol, hostname, searchParams } = new URL(href);
  const isTold = token !== undefined || sent.some(([name]) => isSecret(name)) ||
    [...searchParams.keys()].some(isSecret);
  if (protocol !== "ws:" || HERE.test(hostname) || !isTold) return undefined;
  return `a secret goes to ${hostname} without encryption (ws://): everybody ` +
    "on the way can read it; use wss://, or a tunnel";
}

/** Every setting that somebody has made, in the order of the table; of a secret only that it is there. */
export function made(sources: Sources): Made[] {
  const flags = parseArgs(sources.args, []);
  const rowsMade = rows().flatMap(([key, setting]) => {
    const given = find(setting, flags, sources);
    if (given === undefined) return [];
    const { name, from, text } = given;
    return [{ name, from, shown: shownOf(key, text) }];
  });
  const { env, file = {} } = sources;
  const foreign = Object.keys({ ...file, ...env })
    .filter((name) => STREAM.test(name) && !/^(GLM|KIMI)_/.test(name))
    .map((name): Made => {
      const from = env[name] ? "env" : "file";
      const text = env[name] || file[name] || "";
      return { name, from, shown: text && shownIf(orOff(duration), text) };
    });
  return [...rowsMade, ...foreign.filter(({ shown }) => shown !== "")];
}

/** A setting's text, if it is of the setting's form: another one may be a secret in the wrong place. */
function shownIf(parse: Parse<unknown>, text: string): string {
  try {
    parse(text);
    return text;
  } catch {
    return "(not understood)";
  }
}

/** What may be shown of a setting's text. Throws where that is not of the setting's form. */
export function shownOf(key: SettingName, text: string): string {
  switch (key) {
    case "url":
      return SETTINGS.url.parse(text).shown;
    case "token":
    case "exaiToken":
      return "(hidden)";
    case "tokenFile":
      // Some put the token itself there.
      return PATH.test(text) ? text : "(hidden)";
    case "headers":
      return SETTINGS.headers.parse(text).map(([name]) => name).join(", ");
    default:
      return shownIf(SETTINGS[key].parse, text);
  }
}

/** Any other `<NAME>_STREAM_TIMEOUT` and `<NAME>_STREAM_IDLE_TIMEOUT`; they may be other programs', so that a bad value is a warning. */
function foreignProviders(
  { env, file = {} }: Sources,
  warnings: string[],
): Provider[] {
  const found = new Map<string, { total: number; idle: number }>();
  const all = { ...file, ...env };
  for (const variable of Object.keys(all)) {
    const [, name, idle] = STREAM.exec(variable) ?? [];
    const text = env[variable] || file[variable];
    if (name === undefined || !text || /^(GLM|KIMI)$/.test(name)) continue;
    const limits = found.get(name) ?? { total: Infinity, idle: Infinity };
    try {
      const kind = idle === undefined ? "total" : "idle";
      limits[kind] = orOff(duration)(text);
      found.set(name, limits);
    } catch (error) {
      warnings.push(`${variable}: ${reasonOf(error)}; using none`);
    }
  }
  return [...found].map(([name, limits]) => ({ name, ...limits }));
}

/** Whether a URL was given, and not from a weaker source than the exai daemon's host or port. */
function isUrlMeant(
  sourceOf: (row: Setting<unknown>) => Source | undefined,
): boolean {
  const rank = (row: Setting<unknown>): number => {
    const source = sourceOf(row);
    return source === undefined ? SOURCES.length : SOURCES.indexOf(source);
  };
  const url = rank(SETTINGS.url);
  const pair = Math.min(rank(SETTINGS.host), rank(SETTINGS.port));
  return url < SOURCES.length && url <= pair;
}

/** The `.env` file that is named by the command line or the environment; `./.env` is never read by itself, for a cloned folder could redirect the token. */
export function envFileOf({ args, env }: Sources): Given | undefined {
  return find(SETTINGS.envFile, parseArgs(args, []), { args, env });
}

/** The command line's help, from the table. */
export function help(): string {
  const lines = rows().flatMap(([, setting]) => {
    const { flag, env, value, help } = setting;
    const fallback = setting.default === undefined
      ? ""
      : `; default ${setting.default}`;
    const name = flag === undefined ? "" : `--${flag} ${value}`;
    return [
      `  ${name.padEnd(27)} ${help}`,
      `${" ".repeat(30)}[${env.join(", ")}${fallback}]`,
    ];
  });
  return [
    "alwaysup holds the connection between an MCP client (stdio) and a daemon",
    "(WebSocket): the daemon may restart, the client does not notice.",
    "",
    "Usage: alwaysup [--url ws://HOST:PORT/] [FLAGS]",
    "       alwaysup doctor [--json] [--connect] [FLAGS]",
    "                                                 what works, and what does not",
    "       alwaysup status [--json] [--watch]        the proxies that run",
    "       alwaysup install CLIENT|--all [--write] [--name NAME] [FLAGS]",
    "                                                 how CLIENT is to start it",
    "       alwaysup uninstall CLIENT|--all [--write] [--name NAME]",
    "",
    "Without a URL it serves the exai daemon at EXAI_WS_HOST and EXAI_WS_PORT.",
    "",
    "A flag wins over the environment [in brackets], the environment over the",
    "--env-file, that over the default. 0 or off switches a limit off where there",
    "is one: give-up-after, ping-interval, queue-*, request-*, idle-*, max-message.",
    "",
    ...lines,
    "  --help                      this text",
    "  --version                   the version",
    "",
  ].join("\n");
}

/** The rows of the table with their keys. */
export function rows(): [SettingName, Setting<unknown>][] {
  return Object.entries(SETTINGS) as [SettingName, Setting<unknown>][];
}

function find(
  setting: Setting<unknown>,
  flags: ReadonlyMap<string, string>,
  { env, file = {} }: Sources,
): Given | undefined {
  const { flag } = setting;
  const text = flag === undefined ? undefined : flags.get(flag);
  if (text !== undefined) return { text, name: `--${flag}`, from: "flag" };
  for (const [from, source] of [["env", env], ["file", file]] as const) {
    for (const name of setting.env) {
      const text = source[name];
      // An empty variable is how many launchers say "not set".
      if (text) return { text, name, from };
    }
  }
  return undefined;
}

function parseArgs(
  args: readonly string[],
  problems: string[],
): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  // `deno task run -- --url X` passes the dashes on.
  for (let i = args[0] === "--" ? 1 : 0; i < args.length; i++) {
    const arg = args[i]!;
    const place = i + 1;
    const [, name, attached] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      problems.push(
        // Without its text, which may hold a secret.
        `argument ${place}: it is no flag, and a ` +
          "command comes first (see --help)",
      );
      continue;
    }
    const row = rows().find(([, { flag }]) => flag === name);
    const next = args[i + 1];
    const isValueNext = attached === undefined && next !== undefined &&
      !next.startsWith("--");
    if (isValueNext) i++;
    const value = attached ?? (isValueNext ? next : undefined);
    if (row === undefined) {
      problems.push(
        name === "token"
          ? "--token: a command line is visible to everybody on the machine; use --token-file or ALWAYSUP_TOKEN"
          : /^[a-z][a-z-]{0,30}$/.test(name)
          ? `--${name}: there is no such flag (see --help)`
          : `argument ${place}: there is no such flag (see --help)`,
      );
    } else if (value === undefined) {
      problems.push(`--${name}: a value must follow (${row[1].value})`);
    } else if (flags.has(name) && row[1].isRepeatable) {
      flags.set(name, `${flags.get(name)}\n${value}`);
    } else if (flags.has(name)) {
      problems.push(`--${name}: it is given twice`);
    } else {
      flags.set(name, value);
    }
  }
  return flags;
}

/** A command line is visible to everybody on the machine. */
function forbidSecrets(key: SettingName, text: string): void {
  if (key === "url") {
    const { username, password, search } = new URL(text);
    const names = [...new URLSearchParams(search).keys()];
    const showsSecret = username !== "" || password !== "" ||
      names.some(isSecret);
    if (!showsSecret) return;
    throw new SettingError(
      "it seems to hold a secret, and a command line is visible to everybody " +
        "on the machine; use ALWAYSUP_URL",
    );
  }
  if (key !== "headers") return;
  const secret = text.split("\n").map((line) => line.split(":")[0] ?? "")
    .find(isSecret);
  if (secret === undefined) return;
  throw new SettingError(
    `${secret} is a secret, and a command line is visible to everybody on ` +
      "the machine; use ALWAYSUP_HEADERS or --token-file",
  );
}

function readToken(
  path: string,
  dialect: Config["dialect"],
  readFile: (path: string) => string,
  problems: string[],
): string | undefined {
  try {
    const { parse } = dialect === "exai" ? SETTINGS.exaiToken : SETTINGS.token;
    return parse(readFile(path).trim());
  } catch (error) {
    // Some put the token itself there.
    const belongs = "the path of a file in which the token is";
    problems.push(`--token-file: ${fileProblem(error, belongs)}`);
    return undefined;
  }
}

/** The certificates in a file, and nothing else that it holds. */
function readAuthorities(
  path: string,
  readFile: (path: string) => string,
  problems: string[],
): readonly string[] {
  try {
    const found = readFile(path).match(CERTIFICATE);
    if (found !== null) return found;
    throw new SettingError(
      "there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)",
    );
  } catch (error) {
    const belongs = "the path of a file in which certificates are";
    problems.push(`--ca-file: ${fileProblem(error, belongs)}`);
    return [];
  }
}

/** What is wrong with a file that a setting names; what was given is not repeated, for it may be a secret. */
function fileProblem(error: unknown, belongs: string): string {
  const isTold = [SettingError, NoText].some((kind) => error instanceof kind);
  if (isTold) return messageOf(error);
  const { code } = error as { code?: unknown };
  const why = code === undefined ? "" : ` (${code})`;
  return `it cannot be read${why}: it must be ${belongs}`;
}

function reasonOf(error: unknown): string {
  if (error instanceof SettingError) return error.message;
  return `it cannot be read (${messageOf(error)})`;
}
