/**
 * Reads the configuration from flags, environment and a `.env` file, or reports
 * all problems at once.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { NotUtf8Error } from "../text/utf8.ts";
import type { Provider } from "../requests/timeouts.ts";
import {
  allowOff,
  type Header,
  parseDuration,
  SettingError,
  type SettingParser,
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

/** The configuration of the program. */
export interface Config extends Omit<SettingValues, UnresolvedSettingKey> {
  /** The dialect of the daemon. */
  readonly dialect: "mcp" | "exai";
  /** The address to dial. */
  readonly url: string;
  /** The address without secrets. */
  readonly redactedUrl: string;
  /** The headers of the handshake, including the token. */
  readonly headers: readonly Header[];
  /**
   * Certificates (PEM) of authorities that are trusted in addition to the usual
   * ones.
   */
  readonly caCertificates: readonly string[];
  /** The providers and the timeouts of their calls. */
  readonly providers: readonly Provider[];
  /** The token for `hello` of an exai daemon; empty for none. */
  readonly helloToken: string;
  /** What only the daemon may see; it may quote it in its messages. */
  readonly secrets: readonly string[];
  /**
   * The user of the URL, if it has one: it is redacted from output, but a text
   * that contains it may be cached.
   */
  readonly urlUsers: readonly string[];
}

/** The settings that have another form in the configuration. */
export type UnresolvedSettingKey =
  | "url"
  | "host"
  | "port"
  | "dialect"
  | "tokenFile"
  | "token"
  | "exaiToken"
  | "headers"
  | "caFile"
  | "exaiPing"
  | "skipHealth"
  | "envFile"
  | "glmTotal"
  | "kimiTotal"
  | "glmIdle"
  | "kimiIdle";

/** The sources of settings. */
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
    /** What is wrong but may not be a mistake of this program's user. */
    readonly warnings: readonly string[];
  }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** The text of a setting and its source. */
export interface GivenSetting {
  /** The text as it was written. */
  readonly text: string;
  /** The flag, with its dashes, or the variable. */
  readonly name: string;
  /** Its source. */
  readonly from: SettingSource;
}

/** A setting that was set explicitly. */
export interface ExplicitSetting {
  /** The flag or variable. */
  readonly name: string;
  /** Its value without secrets. */
  readonly redactedValue: string;
  /** Its source. */
  readonly from: SettingSource;
}

/** The sources, highest precedence first. */
export type SettingSource = "flag" | "env" | "file";
const SOURCE_PRECEDENCE: readonly SettingSource[] = ["flag", "env", "file"];

/**
 * If this variable is 0, and only then, Node, Bun and `node:tls` do not check
 * certificates.
 */
const TLS_CHECKS_DISABLED =
  "NODE_TLS_REJECT_UNAUTHORIZED: it is 0, and with wss:// a certificate must " +
  "be checked; take it away, and let --ca-file name an authority of your own";
/** A certificate in a PEM file (RFC 7468 section 5). */
const PEM_CERTIFICATE =
  /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+\/=]+-----END CERTIFICATE-----/g;

const PROVIDER_TIMEOUT_VARIABLE = /^([A-Z][A-Z0-9_]*?)_STREAM_(IDLE_)?TIMEOUT$/;
/**
 * The form of a path that cannot be a token: a usual beginning, and names of
 * usual length.
 */
const PATH_FORM = /^(~|\.{0,2}|[a-z]:)([/\\][^/\\]{1,64})+$/i;
/**
 * Host names of this machine, including the names that containers use for it.
 */
const LOCAL_HOST =
  /^((.*\.)?localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]|host\.(docker|containers)\.internal)\.?$/;

/**
 * Reads the configuration.
 *
 * @param readFile returns a file's text; what it throws becomes a problem
 */
export function readConfig(
  sources: SettingSources,
  readFile: (path: string) => string,
): ConfigResult {
  const problems: string[] = [];
  const warnings: string[] = [];
  const flags = parseFlags(sources.args, problems);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of listSettings()) {
    const given = findSetting(setting, flags, sources);
    try {
      const text = given?.text ?? setting.default;
      if (text !== undefined) values[key] = setting.parse(text);
      if (given?.from === "flag") rejectSecretFlag(key, given.text);
    } catch (error) {
      const what = `${given?.name ?? key}: ${describeSettingProblem(error)}`;
      if (setting.isShared && given?.from !== "flag") {
        const fallback = setting.default;
        if (fallback !== undefined) values[key] = setting.parse(fallback);
        warnings.push(`${what}; using ${fallback ?? "none"}`);
      } else {
        problems.push(what);
      }
    }
  }
  // Without a problem every setting with a default has its value.
  const settings = values as unknown as SettingValues;
  const usesUrl = isUrlExplicit((row) =>
    findSetting(row, flags, sources)?.from
  );
  const { dialect = usesUrl ? "mcp" : "exai", headers = [] } = settings;
  const token = settings.tokenFile === undefined
    // A token for the exai daemon must not go to another daemon.
    ? settings.token ?? (dialect === "exai" ? settings.exaiToken : undefined)
    : readTokenFile(settings.tokenFile, dialect, readFile, problems);
  const hasAuthorizationHeader = headers.some(([name]) =>
    /^authorization$/i.test(name)
  );
  const usesBearerToken = token !== undefined && dialect === "mcp";
  if (usesBearerToken && hasAuthorizationHeader) {
    problems.push(
      "ALWAYSUP_HEADERS: there is a token already, and it is sent as Authorization",
    );
  }
  const usesTls = usesUrl && /^wss:/.test(settings.url?.href ?? "");
  if (usesTls && sources.env.NODE_TLS_REJECT_UNAUTHORIZED === "0") {
    problems.push(TLS_CHECKS_DISABLED);
  }
  const caCertificates = usesTls && settings.caFile !== undefined
    ? readCaFile(settings.caFile, readFile, problems)
    : [];
  if (settings.backoffBase > settings.backoffCap) {
    problems.push("--backoff-base: it must not be above --backoff-cap");
  }
  if (problems.length > 0) return { kind: "problems", problems };
  const {
    url,
    host,
    port,
    exaiPing,
    skipHealth,
    glmTotal,
    glmIdle,
    kimiTotal,
    kimiIdle,
    // What follows is not in the configuration.
    tokenFile: _tokenFile,
    token: _token,
    exaiToken: _exaiToken,
    envFile: _envFile,
    caFile: _caFile,
    ...unchanged
  } = settings;
  const providers = [
    { name: "GLM", total: glmTotal, idle: glmIdle },
    { name: "KIMI", total: kimiTotal, idle: kimiIdle },
    ...providersFromEnv(sources, warnings),
  ];
  const target = usesUrl ? url : SETTINGS.url.parse(`ws://${host}:${port}`);
  const authorization = usesBearerToken
    ? `Bearer ${token}`
    : target.authorization;
  const isPingOff = exaiPing !== undefined && exaiPing <= 0 &&
    findSetting(SETTINGS.pingInterval, flags, sources) === undefined;
  const hasHealthFile = dialect === "exai" && !skipHealth;
  const sentHeaders: readonly Header[] =
    authorization === undefined || hasAuthorizationHeader
      ? headers
      : [...headers, ["Authorization", authorization]];
  const unencryptedWarning = warnOfUnencryptedSecret(
    target.href,
    sentHeaders,
    token,
  );
  if (unencryptedWarning !== undefined) warnings.push(unencryptedWarning);
  const config: Config = {
    ...unchanged,
    dialect,
    url: target.href,
    redactedUrl: target.redacted,
    headers: sentHeaders,
    caCertificates,
    providers,
    helloToken: token ?? "",
    secrets: [
      ...new Set([
        ...secretsOfUrl(target),
        // A flag is visible to everybody anyway.
        ...findSetting(SETTINGS.headers, flags, sources)?.from === "flag"
          ? sentHeaders.slice(headers.length).flatMap(secretsOfHeader)
          : sentHeaders.flatMap(secretsOfHeader),
        ...secretsOfToken(token ?? ""),
      ]),
    ],
    urlUsers: usersOfUrl(target),
    pingInterval: isPingOff ? Infinity : unchanged.pingInterval,
    healthFile: hasHealthFile ? unchanged.healthFile : undefined,
  };
  return { kind: "config", config, warnings };
}

/**
 * Returns a warning if a secret is sent to another machine without encryption.
 */
function warnOfUnencryptedSecret(
  href: string,
  headers: readonly Header[],
  token: string | undefined,
): string | undefined {
  const { protocol, hostname, searchParams } = new URL(href);
  const sendsSecret = token !== undefined ||
    headers.some(([name]) => isSecretName(name)) ||
    [...searchParams.keys()].some(isSecretName);
  if (protocol !== "ws:" || LOCAL_HOST.test(hostname) || !sendsSecret) {
    return undefined;
  }
  return `a secret goes to ${hostname} without encryption (ws://): everybody ` +
    "on the way can read it; use wss://, or a tunnel";
}

/**
 * Returns every setting that was set explicitly, in the order of the table,
 * without secrets.
 */
export function explicitSettingsOf(sources: SettingSources): ExplicitSetting[] {
  const flags = parseFlags(sources.args, []);
  const tableSettings = listSettings().flatMap(([key, setting]) => {
    const given = findSetting(setting, flags, sources);
    if (given === undefined) return [];
    const { name, from, text } = given;
    return [{ name, from, redactedValue: redactSetting(key, text) }];
  });
  const { env, file = {} } = sources;
  const providerSettings = Object.keys({ ...file, ...env })
    .filter((name) =>
      PROVIDER_TIMEOUT_VARIABLE.test(name) && !/^(GLM|KIMI)_/.test(name)
    )
    .map((name): ExplicitSetting => {
      const from = env[name] ? "env" : "file";
      const text = env[name] || file[name] || "";
      return {
        name,
        from,
        redactedValue: text && redactUnlessValid(allowOff(parseDuration), text),
      };
    });
  return [
    ...tableSettings,
    ...providerSettings.filter(({ redactedValue }) => redactedValue !== ""),
  ];
}

/**
 * Returns the text of a setting if it is valid: an invalid one may be a secret
 * in the wrong place.
 */
function redactUnlessValid(
  parse: SettingParser<unknown>,
  text: string,
): string {
  try {
    parse(text);
    return text;
  } catch {
    return "(not understood)";
  }
}

/**
 * Returns the text of a setting without secrets. Throws if the text is invalid,
 * for some settings.
 */
export function redactSetting(key: SettingKey, text: string): string {
  switch (key) {
    case "url":
      return SETTINGS.url.parse(text).redacted;
    case "token":
    case "exaiToken":
      return "(hidden)";
    case "tokenFile":
      // Some users put the token itself there.
      return PATH_FORM.test(text) ? text : "(hidden)";
    case "headers":
      return SETTINGS.headers.parse(text).map(([name]) => name).join(", ");
    default:
      return redactUnlessValid(SETTINGS[key].parse, text);
  }
}

/**
 * Reads any other `<NAME>_STREAM_TIMEOUT` and `<NAME>_STREAM_IDLE_TIMEOUT`.
 * They may belong to other programs, so an invalid value is a warning.
 */
function providersFromEnv(
  { env, file = {} }: SettingSources,
  warnings: string[],
): Provider[] {
  const found = new Map<string, { total: number; idle: number }>();
  const all = { ...file, ...env };
  for (const variable of Object.keys(all)) {
    const [, name, idle] = PROVIDER_TIMEOUT_VARIABLE.exec(variable) ?? [];
    const text = env[variable] || file[variable];
    if (name === undefined || !text || /^(GLM|KIMI)$/.test(name)) continue;
    const limits = found.get(name) ?? { total: Infinity, idle: Infinity };
    try {
      const kind = idle === undefined ? "total" : "idle";
      limits[kind] = allowOff(parseDuration)(text);
      found.set(name, limits);
    } catch (error) {
      warnings.push(
        `${variable}: ${describeSettingProblem(error)}; using none`,
      );
    }
  }
  return [...found].map(([name, limits]) => ({ name, ...limits }));
}

/**
 * Whether a URL was set by a source that is not weaker than that of the exai
 * daemon's host or port.
 */
function isUrlExplicit(
  sourceOf: (setting: Setting<unknown>) => SettingSource | undefined,
): boolean {
  const rank = (setting: Setting<unknown>): number => {
    const source = sourceOf(setting);
    return source === undefined
      ? SOURCE_PRECEDENCE.length
      : SOURCE_PRECEDENCE.indexOf(source);
  };
  const urlRank = rank(SETTINGS.url);
  const hostOrPortRank = Math.min(rank(SETTINGS.host), rank(SETTINGS.port));
  return urlRank < SOURCE_PRECEDENCE.length && urlRank <= hostOrPortRank;
}

/**
 * Returns the `.env` file set by the command line or the environment. `./.env`
 * is never read by itself, because a cloned folder could redirect the token.
 */
export function envFileSettingOf(
  { args, env }: SettingSources,
): GivenSetting | undefined {
  return findSetting(SETTINGS.envFile, parseFlags(args, []), { args, env });
}

/** Formats the help text from the table. */
export function formatHelp(): string {
  const lines = listSettings().flatMap(([, setting]) => {
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

/** Lists the settings with their keys. */
export function listSettings(): [SettingKey, Setting<unknown>][] {
  return Object.entries(SETTINGS) as [SettingKey, Setting<unknown>][];
}

function findSetting(
  setting: Setting<unknown>,
  flags: ReadonlyMap<string, string>,
  { env, file = {} }: SettingSources,
): GivenSetting | undefined {
  const { flag } = setting;
  const text = flag === undefined ? undefined : flags.get(flag);
  if (text !== undefined) return { text, name: `--${flag}`, from: "flag" };
  for (const [from, source] of [["env", env], ["file", file]] as const) {
    for (const name of setting.env) {
      const text = source[name];
      // Many launchers set an empty variable for "not set".
      if (text) return { text, name, from };
    }
  }
  return undefined;
}

function parseFlags(
  args: readonly string[],
  problems: string[],
): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  // `deno task run -- --url X` passes the dashes on.
  for (let i = args[0] === "--" ? 1 : 0; i < args.length; i++) {
    const arg = args[i]!;
    const position = i + 1;
    const [, name, attached] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      problems.push(
        // The message omits the argument, which may contain a secret.
        `argument ${position}: it is no flag, and a ` +
          "command comes first (see --help)",
      );
      continue;
    }
    const row = listSettings().find(([, { flag }]) => flag === name);
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
          : `argument ${position}: there is no such flag (see --help)`,
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
function rejectSecretFlag(key: SettingKey, text: string): void {
  if (key === "url") {
    const { username, password, search } = new URL(text);
    const names = [...new URLSearchParams(search).keys()];
    const showsSecret = username !== "" || password !== "" ||
      names.some(isSecretName);
    if (!showsSecret) return;
    throw new SettingError(
      "it seems to hold a secret, and a command line is visible to everybody " +
        "on the machine; use ALWAYSUP_URL",
    );
  }
  if (key !== "headers") return;
  const secret = text.split("\n").map((line) => line.split(":")[0] ?? "")
    .find(isSecretName);
  if (secret === undefined) return;
  throw new SettingError(
    `${secret} is a secret, and a command line is visible to everybody on ` +
      "the machine; use ALWAYSUP_HEADERS or --token-file",
  );
}

function readTokenFile(
  path: string,
  dialect: Config["dialect"],
  readFile: (path: string) => string,
  problems: string[],
): string | undefined {
  try {
    const { parse } = dialect === "exai" ? SETTINGS.exaiToken : SETTINGS.token;
    return parse(readFile(path).trim());
  } catch (error) {
    // Some users put the token itself there; the message must not repeat it.
    const expected = "the path of a file in which the token is";
    problems.push(`--token-file: ${describeFileProblem(error, expected)}`);
    return undefined;
  }
}

/** Reads the certificates of a file and ignores everything else in it. */
function readCaFile(
  path: string,
  readFile: (path: string) => string,
  problems: string[],
): readonly string[] {
  try {
    const found = readFile(path).match(PEM_CERTIFICATE);
    if (found !== null) return found;
    throw new SettingError(
      "there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)",
    );
  } catch (error) {
    const expected = "the path of a file in which certificates are";
    problems.push(`--ca-file: ${describeFileProblem(error, expected)}`);
    return [];
  }
}

/**
 * Describes a problem with a configured file; its path is not repeated, because
 * it may be a secret.
 */
function describeFileProblem(error: unknown, expected: string): string {
  const isExplained = [SettingError, NotUtf8Error].some((kind) =>
    error instanceof kind
  );
  if (isExplained) return errorMessageOf(error);
  const { code } = error as { code?: unknown };
  const why = code === undefined ? "" : ` (${code})`;
  return `it cannot be read${why}: it must be ${expected}`;
}

function describeSettingProblem(error: unknown): string {
  if (error instanceof SettingError) return error.message;
  return `it cannot be read (${errorMessageOf(error)})`;
}
