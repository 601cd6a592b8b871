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

/** The configuration: the values of the settings, and what follows from them. */
export interface Config extends Omit<SettingValues, "url"> {
  /** The dialect of the daemon. */
  readonly dialect: "mcp" | "exai";
  /** The address to dial. */
  readonly url: string;
  /** The address without secrets. */
  readonly redactedUrl: string;
  /** The headers of the handshake, including the token. */
  readonly headers: readonly Header[];
  /** Certificates (PEM) of further trusted authorities. */
  readonly caCertificates: readonly string[];
  /** The providers and the timeouts of their calls. */
  readonly providers: readonly Provider[];
  /** The token for `hello` of an exai daemon; empty for none. */
  readonly helloToken: string;
  /** What only the daemon may see; it may quote it in its messages. */
  readonly secrets: readonly string[];
  /** The user of the URL: redacted, but a text with it may be cached. */
  readonly urlUsers: readonly string[];
}

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

/** The sources, highest precedence first. */
export type SettingSource = "flag" | "env" | "file";
/** A setting with its key, which need not be in the table. */
type SettingRow = [key: string, setting: Omit<Setting, "value" | "help">];
type FindSetting = (
  setting: Pick<Setting, "flag" | "env">,
) => GivenSetting | undefined;

/** Node, Bun and `node:tls` check no certificates if this variable is 0. */
const TLS_CHECKS_DISABLED =
  "NODE_TLS_REJECT_UNAUTHORIZED: it is 0, and with wss:// a certificate must " +
  "be checked; take it away, and let --ca-file name an authority of your own";
/** A timeout of the calls that belong to one provider. */
const PROVIDER_TIMEOUT = /^([A-Z][A-Z0-9_]*?)_STREAM_(IDLE_)?TIMEOUT$/;
/** A path that cannot be a token: a usual beginning, and no long names. */
const PATH_FORM = /^(~|\.{0,2}|[a-z]:)([/\\][^/\\]{1,64})+$/i;
/** Host names of this machine, also those that containers use for it. */
const LOCAL_HOST =
  /^((.*\.)?localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]|host\.(docker|containers)\.internal)\.?$/;

/** Reads the configuration; what `readFile` throws becomes a problem. */
export function readConfig(
  sources: SettingSources,
  readFile: (path: string) => string,
): ConfigResult {
  const problems: string[] = [];
  const warnings: string[] = [];
  const find = createFinder(sources, problems);
  const rows = listRows(sources);
  const values = parseRows(rows, find, problems, warnings);
  // Without a problem every setting with a default has its value.
  const settings = values as unknown as SettingValues;
  const usesUrl = isUrlExplicit(find);
  const { dialect = usesUrl ? "mcp" : "exai", tokenFile, caFile } = settings;
  const parseFile = <T>(
    flag: string,
    path: string,
    content: string,
    parse: (text: string) => T,
  ): T | undefined => {
    try {
      return parse(readFile(path));
    } catch (error) {
      problems.push(`${flag}: ${describeFileProblem(error, content)}`);
      return undefined;
    }
  };
  // A token for the exai daemon must not go to another daemon.
  const exaiToken = dialect === "exai" ? settings.exaiToken : undefined;
  const token = tokenFile === undefined
    ? settings.token ?? exaiToken
    : parseFile("--token-file", tokenFile, "the token is", (text) => {
      const key = dialect === "exai" ? "exaiToken" : "token";
      return SETTINGS[key].parse(text.trim());
    });
  const sendsBearer = token !== undefined && dialect === "mcp";
  if (sendsBearer && hasAuthorization(settings.headers)) {
    problems.push(
      "ALWAYSUP_HEADERS: there is a token already, and it is sent as Authorization",
    );
  }
  const usesTls = usesUrl && /^wss:/.test(settings.url?.href ?? "");
  if (usesTls && sources.env.NODE_TLS_REJECT_UNAUTHORIZED === "0") {
    problems.push(TLS_CHECKS_DISABLED);
  }
  const caCertificates = usesTls && caFile !== undefined
    ? parseFile("--ca-file", caFile, "certificates are", parseCertificates)
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
  warnings.push(...warnOfUnencryptedSecret(config, token));
  return { kind: "config", config, warnings };
}

/** Parses each setting; without a valid text it has no value. */
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
  // A flag is visible to everybody anyway.
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

/** Whether one of the headers is `Authorization`. */
export function hasAuthorization(headers: readonly Header[] = []): boolean {
  return headers.some(([name]) => /^authorization$/i.test(name));
}

/** The table, and a row for each timeout of another provider. */
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

function warnOfUnencryptedSecret(
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
    `a secret goes to ${hostname} without encryption (ws://): everybody on ` +
    "the way can read it; use wss://, or a tunnel",
  ];
}

/** Returns every explicit setting, in the order of the table. */
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

/** Redacts a setting's text. Throws if some settings' texts are invalid. */
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
      // Some users put the token itself there.
      return PATH_FORM.test(text) ? text : "(hidden)";
    case "headers":
      return SETTINGS.headers.parse(text).map(([name]) => name).join(", ");
  }
  try {
    parse(text);
    return text;
  } catch {
    // It may be a secret in the wrong place.
    return "(not understood)";
  }
}

/** Whether the URL's source is not weaker than the exai host's or port's. */
function isUrlExplicit(find: FindSetting): boolean {
  const [url, ...others] = [SETTINGS.url, SETTINGS.host, SETTINGS.port]
    .map((row) => find(row)?.from);
  const strongest = (["flag", "env", "file"] as const)
    .find((source) => source === url || others.includes(source));
  return url !== undefined && url === strongest;
}

/** Never reads `./.env` by itself: a cloned folder could redirect the token. */
export function envFileSettingOf(
  { args, env }: SettingSources,
): GivenSetting | undefined {
  return createFinder({ args, env })(SETTINGS.envFile);
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
export function listSettings(): [SettingKey, Setting][] {
  return Object.entries(SETTINGS) as [SettingKey, Setting][];
}

/** `problems` gets what is wrong with the command line. */
function createFinder(
  { args, env, file = {} }: SettingSources,
  problems: string[] = [],
): FindSetting {
  const flags = parseFlags(args, problems);
  return ({ flag, env: names }) => {
    const text = flag === undefined ? undefined : flags.get(flag);
    if (text !== undefined) return { text, name: `--${flag}`, from: "flag" };
    for (const [from, source] of [["env", env], ["file", file]] as const) {
      for (const name of names) {
        const text = source[name];
        // Many launchers set an empty variable for "not set".
        if (text) return { text, name, from };
      }
    }
    return undefined;
  };
}

function parseFlags(
  args: readonly string[],
  problems: string[],
): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  // `deno task run -- --url X` passes the dashes on.
  for (let i = args[0] === "--" ? 1 : 0; i < args.length; i++) {
    // The messages omit what is no flag, because it may contain a secret.
    const argument = `argument ${i + 1}`;
    const [, name, attached] = /^--([^=]+)(?:=(.*))?$/s.exec(args[i]!) ?? [];
    if (name === undefined) {
      problems.push(
        `${argument}: it is no flag, and a command comes first (see --help)`,
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
      problems.push(`${shown}: there is no such flag (see --help)`);
    } else if (value === undefined) {
      problems.push(`--${name}: a value must follow (${setting.value})`);
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

/** A command line is visible to everybody on the machine. */
function rejectSecretFlag(key: string, text: string): void {
  if (key === "url") {
    const { username, password, searchParams } = new URL(text);
    const showsSecret = username !== "" || password !== "" ||
      [...searchParams.keys()].some(isSecretName);
    if (!showsSecret) return;
    throw new SettingError(
      "it seems to hold a secret, and a command line is visible to everybody " +
        "on the machine; use ALWAYSUP_URL",
    );
  }
  if (key !== "headers") return;
  const names = text.split("\n").map((line) => line.split(":")[0]!);
  const secret = names.find(isSecretName);
  if (secret === undefined) return;
  throw new SettingError(
    `${secret} is a secret, and a command line is visible to everybody on ` +
      "the machine; use ALWAYSUP_HEADERS or --token-file",
  );
}

/** Its path is not repeated: some users put the secret itself there. */
function describeFileProblem(error: unknown, content: string): string {
  if (error instanceof SettingError || error instanceof NotUtf8Error) {
    return error.message;
  }
  const { code } = error as { code?: unknown };
  const why = code === undefined ? "" : ` (${code})`;
  return `it cannot be read${why}: it must be the path of a file in which ${content}`;
}
