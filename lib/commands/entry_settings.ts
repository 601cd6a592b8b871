/**
 * The settings in the entry of a client's server: the flags of this command
 * line, and of this environment only what clients pass on. Warns about what
 * would be missing there or mean something else.
 *
 * @module
 */

import type { Client } from "../clients/registry.ts";
import {
  type Config,
  explicitSettingsOf,
  listSettings,
  type SettingSources,
} from "../config/config.ts";
import type { Host } from "../runtime/host.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";
import { parsePath } from "../config/parsers.ts";
import { isAbsolutePath, toAbsolutePath } from "../text/paths.ts";
import { type Setting, type SettingKey, SETTINGS } from "../config/settings.ts";
import { loadConfig } from "../config/load.ts";
import { tryConnect } from "../transport/raw_handshake.ts";

/** The flags that replace variables without a flag of their own. */
const REPLACING_FLAG: Readonly<Record<string, string>> = {
  token: "token-file",
  exaiToken: "token-file",
  host: "url",
  port: "url",
};

/**
 * The variables that MCP's SDKs pass from a client to its servers; none of them
 * is a setting.
 */
const INHERITED_VARIABLES = {
  windows: [
    "APPDATA",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATH",
    "PROCESSOR_ARCHITECTURE",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "USERNAME",
    "USERPROFILE",
    "PROGRAMFILES",
  ],
  others: ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"],
};

/** The settings that name the daemon's address. */
const ADDRESS_SETTINGS: readonly Setting<unknown>[] = [
  SETTINGS.url,
  SETTINGS.host,
  SETTINGS.port,
];

/**
 * How long a connection to the default daemon may take, in milliseconds: it is
 * on this machine.
 */
const CONNECT_TIMEOUT_MS = 2_000;

/**
 * Returns the part of this environment that a client passes on to its servers.
 */
export function inheritedEnv({ os, getEnv }: Host): Record<string, string> {
  const names = os === "windows"
    ? INHERITED_VARIABLES.windows
    : INHERITED_VARIABLES.others;
  const found = names.flatMap((name): [string, string][] => {
    const text = getEnv(name);
    return text === undefined ? [] : [[name, text]];
  });
  return Object.fromEntries(found);
}

/**
 * True if a setting is a relative path, which depends on the current folder.
 */
function isRelativePath(
  [key, { parse }]: [SettingKey, Setting<unknown>],
  text: string,
  { os }: Host,
): boolean {
  const isPath = parse === parsePath && text !== "" &&
    !(key === "cache" && /^(on|off|0)$/i.test(text));
  return isPath && !isAbsolutePath(os, text);
}

/** Returns the variables of the named `.env` file that have relative paths. */
export function relativePathVariables(
  sources: SettingSources,
  host: Host,
): string[] {
  return explicitSettingsOf(sources)
    .filter(({ name, redactedValue, from }) => {
      const row = listSettings().find(([, { env }]) => env.includes(name));
      return from === "file" && row !== undefined && row[0] !== "envFile" &&
        isRelativePath(row, redactedValue, host);
    })
    .map(({ name }) => name);
}

/** Returns the flags with absolute paths. */
export function withAbsolutePaths(
  flags: readonly string[],
  host: Host,
): readonly string[] {
  const toAbsolute = (flag: string | undefined, text: string): string => {
    const row = listSettings().find(([, row]) => row.flag === flag);
    if (row === undefined || !isRelativePath(row, text, host)) return text;
    return toAbsolutePath(host.os, text, (folder) => host.realPath(folder));
  };
  return flags.map((arg, i) => {
    const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (text !== undefined) return `--${flag}=${toAbsolute(flag, text)}`;
    if (arg.startsWith("--")) return arg;
    return toAbsolute(/^--([^=]+)$/.exec(flags[i - 1] ?? "")?.[1], arg);
  });
}

/**
 * Returns a sentence with the variables that are set here and that a client's
 * server will not see; `undefined` if there are none.
 */
export function ignoredVariablesWarning(
  client: Client,
  flags: readonly string[],
  host: Host,
): string | undefined {
  const isGiven = (flag: string | undefined): boolean =>
    flags.some((arg) => arg.split("=")[0] === `--${flag}`);
  if (isGiven("env-file")) return undefined;
  const names = listSettings()
    .filter(([name, { flag }]) =>
      !isGiven(flag) && !isGiven(REPLACING_FLAG[name])
    )
    .flatMap(([, { env }]) => env)
    .filter((name) => /^(ALWAYSUP|EXAI)_/.test(name) && host.getEnv(name));
  if (names.length === 0) return undefined;
  return `${client.title} will not see ${names.join(", ")} of this ` +
    "environment: give flags instead, or a file of such lines with --env-file";
}

/**
 * Returns why the default address must not be written into a file: no setting
 * names another address, and nothing listens at the default one. `undefined` if
 * one of the two does not hold.
 */
export async function defaultAddressProblem(
  { url, redactedUrl }: Config,
  sources: SettingSources,
): Promise<string | undefined> {
  if (isAddressSet(sources)) return undefined;
  const { hostname, port } = new URL(url);
  const reached = await tryConnect(hostname, Number(port), CONNECT_TIMEOUT_MS);
  if (typeof reached === "number") return undefined;
  return `nothing listens at ${redactedUrl}, where the daemon is expected if ` +
    "nobody says another place: give --url ws://HOST:PORT/ (an EX-AI daemon's " +
    "EXAI_WS_HOST and EXAI_WS_PORT go into a file, by --env-file)";
}

/**
 * True if the `env` of an entry, which stays, names the daemon's address,
 * either itself or through its `.env` file.
 */
export async function entryNamesAddress(
  entry: unknown,
  host: Host,
): Promise<boolean> {
  const envs = [["env"], ["environment"], ["command", "env"]]
    .map((path) => getNested(entry, ...path))
    .filter(isRecord);
  const isSetInEntry = (names: readonly string[]): boolean =>
    names.some((name) => envs.some((env) => env[name]));
  if (isSetInEntry(ADDRESS_SETTINGS.flatMap(({ env }) => env))) return true;
  const [file] = SETTINGS.envFile.env;
  const path = envs.map((env) => env[file!]).find((it) => it !== undefined);
  if (typeof path !== "string") return false;
  const isolatedHost = { ...host, env: () => ({ [file!]: path }) };
  return isAddressSet((await loadConfig(isolatedHost, [])).sources);
}

/** True if a setting names the daemon's address. */
function isAddressSet(sources: SettingSources): boolean {
  const names = explicitSettingsOf(sources).map(({ name }) => name);
  return ADDRESS_SETTINGS.some(({ flag, env }) =>
    [`--${flag}`, ...env].some((name) => names.includes(name))
  );
}
