/**
 * Reads the configuration from the flags, the environment and a `.env` file, or
 * reports all problems at once.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { NotUtf8Error } from "../text/utf8.ts";
import type { Provider } from "../requests/timeouts.ts";
import {
  allowOff,
  type Header,
  parseCertificates,
  parseDuration,
  SettingError,
} from "./parsers.ts";
import {
  isSecretName,
  secretsOfHeader,
  secretsOfToken,
  secretsOfUrl,
  usersOfUrl,
} from "./secrets.ts";
import {
  type Setting,
  type SettingKey,
  SETTINGS,
  type SettingValues,
} from "./settings.ts";

/** The values of the settings, and values that follow from them. */
export interface Config extends Omit<SettingValues, "url"> {
  /** The protocol of the daemon. */
  readonly dialect: "mcp" | "exai";
  /** The address to connect to. */
  readonly url: string;
  /** The address without user, password and query. */
  readonly redactedUrl: string;
  /** The HTTP headers of the handshake, including `Authorization`. */
  readonly headers: readonly Header[];
  /** Certificates (PEM) of further authorities to trust. */
  readonly caCertificates: readonly string[];
  /** The time limits of calls, by provider. */
  readonly providers: readonly Provider[];
  /** The token in `hello` for an exai daemon; empty if there is none. */
  readonly helloToken: string;
  /** The texts that only the daemon may see. The daemon may quote them. */
  readonly secrets: readonly string[];
  /** The user of the URL, if any. Logs hide it; cached results may hold it. */
  readonly urlUsers: readonly string[];
}

/** The sources that settings are read from. */
export interface SettingSources {
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The configured `.env` file. */
  readonly file?: Readonly<Record<string, string | undefined>>;
}

/** A configuration, or the problems that prevent one. */
export type ConfigResult =
  | {
    readonly kind: "config";
    readonly config: Config;
    /** Problems that do not prevent a start. */
    readonly warnings: readonly string[];
  }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** Returns `; did you mean --FLAG?` for an unknown flag, or an empty text. */
export type SuggestFlag = (flag: string) => string;

/** The text of a setting and its source. */
export interface GivenSetting {
  /** The text as it was written. */
  readonly text: string;
  /** The flag, with its dashes, or the variable. */
  readonly name: string;
  /** The source of the text. */
  readonly from: SettingSource;
}

/** The sources, in order of precedence. */
export type SettingSource = "flag" | "env" | "file";
/**
 * A setting with its key. A provider that is not in the table gets a row for
 * each of its variables.
 */
type SettingRow = [
  key: string,
  setting: Omit<Setting, "group" | "value" | "help">,
];
type FindSetting = (
  setting: Pick<Setting, "flag" | "env">,
) => GivenSetting | undefined;

/**
 * The problem if NODE_TLS_REJECT_UNAUTHORIZED is 0: then Node, Bun and
 * `node:tls` check no certificates.
 */
const TLS_CHECKS_DISABLED =
  "NODE_TLS_REJECT_UNAUTHORIZED: it is 0, but the certificate of a wss:// " +
  "daemon must be checked; unset it, and name your own authority with --ca-file";
/** The name of a variable that limits the calls of one provider. */
const PROVIDER_TIMEOUT = /^([A-Z][A-Z0-9_]*?)_STREAM_(IDLE_)?TIMEOUT$/;
/**
 * A text that is a path and not a token: it begins as paths do, and each name
 * between its slashes is shorter than a token.
 */
const PATH_FORM = /^(~|\.{0,2}|[a-z]:)([/\\][^/\\]{1,64})+$/i;
/** Host names of this machine, including those for use in containers. */
const LOCAL_HOST =
  /^((.*\.)?localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]|host\.(docker|containers)\.internal)\.?$/;

/**
 * Reads the configuration.
 *
 * @param readFile returns a file's text; an error that it throws is a problem
 * @param suggestFlag completes the problem of an unknown flag
 */
export function readConfig(
  sources: SettingSources,
  readFile: (path: string) => string,
  suggestFlag: SuggestFlag = () => "",
): ConfigResult {
  const [problems, warnings]: [string[], string[]] = [[], []];
  const find = createFinder(sources, problems, suggestFlag);
  const rows = listRows(sources);
  const values = parseRows(rows, find, problems, warnings);
  // If there is no problem, every setting with a default has a value.
  const settings = values as unknown as SettingValues;
  const usesUrl = isUrlExplicit(find);
  const { dialect = usesUrl ? "mcp" : "exai", tokenFile, caFile } = settings;
  const parseFile = <T>(
    flag: string,
    path: string,
    expectedContent: string,
    parse: (text: string) => T,
  ): T | undefined => {
    try {
      return parse(readFile(path));
    } catch (error) {
      problems.push(`${flag}: ${describeFileProblem(error, expectedContent)}`);
      return undefined;
    }
  };
  // A token for an exai daemon must not be sent to another daemon.
  const exaiToken = dialect === "exai" ? settings.exaiToken : undefined;
  const token = tokenFile === undefined
    ? settings.token ?? exaiToken
    : parseFile("--token-file", tokenFile, "the token", (text) => {
      const key = dialect === "exai" ? "exaiToken" : "token";
      return SETTINGS[key].parse(text.trim());
    });
  const sendsBearer = token !== undefined && dialect === "mcp";
  if (sendsBearer && hasAuthorization(settings.headers)) {
    problems.push(
      "ALWAYSUP_HEADERS: it has Authorization, but the token is sent in that " +
        "header, too; remove one of the two",
    );
  }
  const usesTls = usesUrl && /^wss:/.test(settings.url?.href ?? "");
  if (usesTls && sources.env.NODE_TLS_REJECT_UNAUTHORIZED === "0") {
    problems.push(TLS_CHECKS_DISABLED);
  }
  const caCertificates = usesTls && caFile !== undefined
    ? parseFile("--ca-file", caFile, "certificates", parseCertificates)
    : [];
  if (settings.backoffBase > settings.backoffCap) {
    problems.push("--backoff-base: it must not be above --backoff-cap");
  }
  if (problems.length > 0) return { kind: "problems", problems };
  const config = {
    ...resolveConnection(settings, dialect, usesUrl, token, find),
    caCertificates: caCertificates ?? [],
    providers: collectProviders(rows, values),
  };
  warnings.push(...warningsAbout(config, token));
  return { kind: "config", config, warnings };
}

/**
 * Parses each setting. A setting with an invalid text has no value. Only an
 * invalid shared variable is replaced by the default, with a warning.
 */
function parseRows(
  rows: readonly SettingRow[],
  find: FindSetting,
  problems: string[],
  warnings: string[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, setting] of rows) {
    const given = find(setting);
    const fallback = setting.default;
    try {
      const text = given?.text ?? fallback;
      if (text !== undefined) values[key] = setting.parse(text);
      if (given?.from === "flag") rejectSecretFlag(key, given.text);
    } catch (error) {
      const what = `${given?.name ?? key}: ${errorMessageOf(error)}`;
      if (!setting.isShared || given?.from === "flag") {
        problems.push(what);
        continue;
      }
      if (fallback !== undefined) values[key] = setting.parse(fallback);
      warnings.push(`${what}; using ${fallback ?? "none"}`);
    }
  }
  return values;
}

function resolveConnection(
  settings: SettingValues,
  dialect: Config["dialect"],
  usesUrl: boolean,
  token: string | undefined,
  find: FindSetting,
): Omit<Config, "caCertificates" | "providers"> {
  const { headers = [], host, port, exaiPing = 1 } = settings;
  const target = usesUrl
    ? settings.url
    : SETTINGS.url.parse(`ws://${host}:${port}`);
  const authorization = token !== undefined && dialect === "mcp"
    ? `Bearer ${token}`
    : target.authorization;
  const ownHeaders: readonly Header[] =
    authorization === undefined || hasAuthorization(headers)
      ? []
      : [["Authorization", authorization]];
  // Everybody on the machine can see a flag.
  const areHeadersVisible = find(SETTINGS.headers)?.from === "flag";
  const secrets = [
    ...secretsOfUrl(target),
    ...areHeadersVisible ? [] : headers.flatMap(secretsOfHeader),
    ...ownHeaders.flatMap(secretsOfHeader),
    ...secretsOfToken(token ?? ""),
  ];
  const isPingOff = exaiPing <= 0 && find(SETTINGS.pingInterval) === undefined;
  const hasHealthFile = dialect === "exai" && !settings.skipHealth;
  return {
    ...settings,
    dialect,
    url: target.href,
    redactedUrl: target.redacted,
    headers: [...headers, ...ownHeaders],
    helloToken: token ?? "",
    secrets: [...new Set(secrets)],
    urlUsers: usersOfUrl(target),
    pingInterval: isPingOff ? Infinity : settings.pingInterval,
    healthFile: hasHealthFile ? settings.healthFile : undefined,
  };
}

/** Returns true if one of the headers is `Authorization`. */
export function hasAuthorization(headers: readonly Header[] = []): boolean {
  return headers.some(([name]) => /^authorization$/i.test(name));
}

/**
 * Returns the rows of the table, and a row for each variable that sets a time
 * limit of any other provider.
 */
function listRows({ env, file }: SettingSources): readonly SettingRow[] {
  const rows: SettingRow[] = listSettings();
  const known = rows.flatMap(([, { env }]) => env);
  for (const name of Object.keys({ ...file, ...env })) {
    if (!PROVIDER_TIMEOUT.test(name) || known.includes(name)) continue;
    const parse = allowOff(parseDuration);
    rows.push([name, { env: [name], isShared: true, parse }]);
  }
  return rows;
}

function collectProviders(
  rows: readonly SettingRow[],
  values: Readonly<Record<string, unknown>>,
): Provider[] {
  const found = new Map<string, Provider>();
  for (const [key, { env: [variable = ""] }] of rows) {
    const [, name, idle] = PROVIDER_TIMEOUT.exec(variable) ?? [];
    if (name === undefined || values[key] === undefined) continue;
    const limits = found.get(name) ?? { total: Infinity, idle: Infinity };
    const kind = idle === undefined ? "total" : "idle";
    found.set(name, { ...limits, name, [kind]: values[key] });
  }
  return [...found.values()];
}

/** Returns the warnings about settings that are valid. */
function warningsAbout(
  config: Config,
  token: string | undefined,
): readonly string[] {
  const warnings = unencryptedSecretWarnings(config, token);
  if (config.metrics !== "on" || config.status === "on") return warnings;
  return [
    ...warnings,
    "--metrics on: it has no effect with --status off, because `alwaysup " +
    "status --prometheus` reads the status file; remove --status off, or give " +
    "--metrics an address",
  ];
}

function unencryptedSecretWarnings(
  { url, headers }: Pick<Config, "url" | "headers">,
  token: string | undefined,
): string[] {
  const { protocol, hostname, searchParams } = new URL(url);
  const sendsSecret = token !== undefined ||
    headers.some(([name]) => isSecretName(name)) ||
    [...searchParams.keys()].some(isSecretName);
  if (protocol !== "ws:" || LOCAL_HOST.test(hostname) || !sendsSecret) {
    return [];
  }
  return [
    `a secret is sent to ${hostname} without encryption (ws://), and others ` +
    "on the network can read it; use wss:// or a tunnel",
  ];
}

/** Returns every setting that has a source, in the order of the table. */
export function explicitSettingsOf(
  sources: SettingSources,
): (Omit<GivenSetting, "text"> & { readonly redactedValue: string })[] {
  const find = createFinder(sources);
  return listRows(sources).flatMap(([key, setting]) => {
    const given = find(setting);
    if (given === undefined) return [];
    const { text, ...rest } = given;
    return [{ ...rest, redactedValue: redactText(key, setting, text) }];
  });
}

/**
 * Returns a setting's text without secrets.
 *
 * @throws SettingError if the text of a URL or of headers is invalid
 */
export function redactSetting(key: SettingKey, text: string): string {
  return redactText(key, SETTINGS[key], text);
}

function redactText(
  key: string,
  { parse }: Pick<Setting, "parse">,
  text: string,
): string {
  switch (key) {
    case "url":
      return SETTINGS.url.parse(text).redacted;
    case "token":
    case "exaiToken":
      return "(hidden)";
    case "tokenFile":
      // Some users put the token itself here.
      return PATH_FORM.test(text) ? text : "(hidden)";
    case "headers":
      return SETTINGS.headers.parse(text).map(([name]) => name).join(", ");
  }
  try {
    parse(text);
    return text;
  } catch {
    // The text may be a secret in the wrong place.
    return "(not understood)";
  }
}

/**
 * Returns true if the URL takes precedence over the exai daemon's host and
 * port: its source is at least as strong as theirs.
 */
function isUrlExplicit(find: FindSetting): boolean {
  const [url, ...others] = [SETTINGS.url, SETTINGS.host, SETTINGS.port]
    .map((row) => find(row)?.from);
  const strongest = (["flag", "env", "file"] as const)
    .find((source) => source === url || others.includes(source));
  return url !== undefined && url === strongest;
}

/**
 * Returns the setting that names the `.env` file. `./.env` is never read by
 * default: in a cloned repository, it could direct the token elsewhere.
 */
export function envFileSettingOf(
  { args, env }: SettingSources,
): GivenSetting | undefined {
  return createFinder({ args, env })(SETTINGS.envFile);
}

/** Lists the settings with their keys. */
export function listSettings(): [SettingKey, Setting][] {
  return Object.entries(SETTINGS) as [SettingKey, Setting][];
}

/** Lists the flags of the settings, with their dashes. */
export function listSettingFlags(): string[] {
  return listSettings().flatMap(([, { flag }]) =>
    flag === undefined ? [] : [`--${flag}`]
  );
}

/**
 * Returns a function that finds the text of a setting.
 *
 * @param problems gets the problems of the command line
 */
function createFinder(
  { args, env, file = {} }: SettingSources,
  problems: string[] = [],
  suggestFlag: SuggestFlag = () => "",
): FindSetting {
  const flags = parseFlags(args, problems, suggestFlag);
  return ({ flag, env: names }) => {
    const text = flag === undefined ? undefined : flags.get(flag);
    if (text !== undefined) return { text, name: `--${flag}`, from: "flag" };
    for (const [from, source] of [["env", env], ["file", file]] as const) {
      for (const name of names) {
        const text = source[name];
        // Many launchers set a variable to an empty text to unset it.
        if (text) return { text, name, from };
      }
    }
    return undefined;
  };
}

function parseFlags(
  args: readonly string[],
  problems: string[],
  suggestFlag: SuggestFlag,
): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  // `deno task run -- --url X` passes the first `--` to this program.
  for (let i = args[0] === "--" ? 1 : 0; i < args.length; i++) {
    // The messages do not repeat arguments, because one may be a secret.
    const argument = `argument ${i + 1}`;
    const [, name, attached] = /^--([^=]+)(?:=(.*))?$/s.exec(args[i]!) ?? [];
    if (name === undefined) {
      problems.push(
        `${argument}: it is not a flag, and a command comes before the flags (see --help)`,
      );
      continue;
    }
    const isValueNext = attached === undefined &&
      args[i + 1]?.startsWith("--") === false;
    const value = isValueNext ? args[++i] : attached;
    const setting = listSettings().map(([, row]) => row)
      .find(({ flag }) => flag === name);
    if (name === "token") {
      problems.push(
        "--token: a command line is visible to everybody on the machine; use --token-file or ALWAYSUP_TOKEN",
      );
    } else if (setting === undefined) {
      const shown = /^[a-z][a-z-]{0,30}$/.test(name) ? `--${name}` : argument;
      const hint = suggestFlag(`--${name}`);
      problems.push(`${shown}: there is no such flag${hint} (see --help)`);
    } else if (value === undefined) {
      problems.push(`--${name}: its value is missing (${setting.value})`);
    } else if (!flags.has(name)) {
      flags.set(name, value);
    } else if (setting.isRepeatable) {
      flags.set(name, `${flags.get(name)}\n${value}`);
    } else {
      problems.push(`--${name}: it is given twice`);
    }
  }
  return flags;
}

/** Throws if a flag shows a secret, because everybody can see a command line. */
function rejectSecretFlag(key: string, text: string): void {
  if (key === "url") {
    const { username, password, searchParams } = new URL(text);
    const showsSecret = username !== "" || password !== "" ||
      [...searchParams.keys()].some(isSecretName);
    if (!showsSecret) return;
    throw new SettingError(
      "it seems to contain a secret, and a command line is visible to everybody " +
        "on the machine; use ALWAYSUP_URL",
    );
  }
  if (key !== "headers") return;
  const names = text.split("\n").map((line) => line.split(":")[0]!);
  const secret = names.find(isSecretName);
  if (secret === undefined) return;
  throw new SettingError(
    `the header ${secret} is secret, and a command line is visible to ` +
      "everybody on the machine; use ALWAYSUP_HEADERS or --token-file",
  );
}

/**
 * Describes why a file cannot be used. The text does not repeat the path,
 * because some users put the secret itself there.
 */
function describeFileProblem(error: unknown, expectedContent: string): string {
  if (error instanceof SettingError || error instanceof NotUtf8Error) {
    return error.message;
  }
  const { code } = error as { code?: unknown };
  const why = code === undefined ? "" : ` (${code})`;
  return `it cannot be read${why}; it must be the path of a file with ${expectedContent}`;
}
