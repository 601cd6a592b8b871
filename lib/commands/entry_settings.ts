/**
 * Checks the settings of the entry that `install` writes. A server gets the
 * flags of the entry, and only the variables that clients pass to servers.
 *
 * @module
 */

import type { Client } from "../clients/registry.ts";
import {
  type Config,
  envFileSettingOf,
  explicitSettingsOf,
  listSettings,
  type SettingSources,
} from "../config/config.ts";
import type { Host } from "../runtime/host.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";
import { cacheModeOf, parsePath } from "../config/parsers.ts";
import { isAbsolutePath, toAbsolutePath } from "../text/paths.ts";
import { SETTINGS } from "../config/settings.ts";
import { loadConfig } from "../config/load.ts";
import { tryConnect } from "../transport/reachability.ts";

/** By the key of a setting that has no flag: the flag to use instead. */
const REPLACING_FLAG: Readonly<Record<string, string>> = {
  token: "token-file",
  exaiToken: "token-file",
  host: "url",
  port: "url",
};

/** The variables that MCP's SDKs pass to servers. None of them is a setting. */
const WINDOWS_VARIABLES =
  "APPDATA HOMEDRIVE HOMEPATH LOCALAPPDATA PATH PROCESSOR_ARCHITECTURE " +
  "SYSTEMDRIVE SYSTEMROOT TEMP USERNAME USERPROFILE PROGRAMFILES";
const OTHER_VARIABLES = "HOME LOGNAME PATH SHELL TERM USER";

/** The flags and variables that name the daemon's address. */
const ADDRESS_NAMES: readonly string[] = [
  `--${SETTINGS.url.flag}`,
  ...[SETTINGS.url, SETTINGS.host, SETTINGS.port].flatMap(({ env }) => env),
];

/** Short, because the default daemon is on this machine. */
const CONNECT_TIMEOUT_MS = 2_000;

/** Returns the part of this environment that a client passes to its servers. */
export function inheritedEnv({ os, getEnv }: Host): Record<string, string> {
  const names = os === "windows" ? WINDOWS_VARIABLES : OTHER_VARIABLES;
  const found = names.split(" ").map((name) => [name, getEnv(name)]);
  return Object.fromEntries(found.filter(([, text]) => text !== undefined));
}

/** Returns true if a setting, named by flag or variable, is a relative path. */
function isRelativePath(name: string, text: string, { os }: Host): boolean {
  const row = listSettings().find(([, { flag, env }]) =>
    `--${flag}` === name || env.includes(name)
  );
  return row?.[1].parse === parsePath && text !== "" &&
    !isAbsolutePath(os, text) &&
    !(row[0] === "cache" && cacheModeOf(text) !== "path");
}

/** Returns the flags with absolute paths. */
export function withAbsolutePaths(
  flags: readonly string[],
  host: Host,
): readonly string[] {
  const toAbsolute = (flag: string, text: string): string =>
    isRelativePath(flag, text, host)
      ? toAbsolutePath(host.os, text, (folder) => host.realPath(folder))
      : text;
  return flags.map((arg, i) => {
    const [, flag, text] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    if (flag !== undefined) return `${flag}=${toAbsolute(flag, text!)}`;
    return arg.startsWith("--") ? arg : toAbsolute(flags[i - 1] ?? "", arg);
  });
}

/**
 * Returns warnings about variables that do not reach a client's server, and
 * about relative paths in the `.env` file.
 */
export function settingsWarnings(
  { title }: Client,
  flags: readonly string[],
  sources: SettingSources,
  host: Host,
): string[] {
  const warnings: string[] = [];
  const isGiven = (flag: string | undefined): boolean =>
    flags.some((arg) => arg.split("=")[0] === `--${flag}`);
  const unseen = (isGiven("env-file") ? [] : listSettings())
    .filter(([name, it]) => !isGiven(it.flag) && !isGiven(REPLACING_FLAG[name]))
    .flatMap(([, { env }]) => env)
    .filter((name) => /^(ALWAYSUP|EXAI)_/.test(name) && host.getEnv(name));
  if (unseen.length > 0) {
    warnings.push(
      `${title} does not pass ${
        unseen.join(", ")
      } to its servers: use flags, ` +
        "or a file of NAME=value lines with --env-file",
    );
  }
  const relative = explicitSettingsOf(sources)
    .filter(({ name, redactedValue, from }) =>
      from === "file" && name !== SETTINGS.envFile.env[0] &&
      isRelativePath(name, redactedValue, host)
    )
    .map(({ name }) => name);
  if (relative.length > 0) {
    warnings.push(
      `${envFileSettingOf(sources)?.text}: use an absolute path for ` +
        `${relative.join(", ")}, because ${title} may start its servers in ` +
        "any folder",
    );
  }
  return warnings;
}

/**
 * Returns the reason why the default address must not be written into a file:
 * no setting names an address, at least one entry names none either, and
 * nothing listens at the default address. Returns `undefined` if the address
 * may be written.
 *
 * @param getEntries returns the entries as they are now, because an update
 * keeps their settings; `undefined` for an entry that does not exist yet
 */
export async function defaultAddressProblem(
  { url, redactedUrl }: Config,
  sources: SettingSources,
  host: Host,
  getEntries: () => readonly unknown[],
): Promise<string | undefined> {
  if (isAddressSet(sources)) return undefined;
  const { hostname, port } = new URL(url);
  const reached = await tryConnect(hostname, Number(port), CONNECT_TIMEOUT_MS);
  if (typeof reached === "number") return undefined;
  const entriesNameAddress = await Promise.all(
    getEntries().map((entry) => entryNamesAddress(entry, host)),
  );
  if (!entriesNameAddress.includes(false)) return undefined;
  return `nothing listens at the default address ${redactedUrl}: give ` +
    "--url ws://HOST:PORT/ (for an EX-AI daemon, write EXAI_WS_HOST and " +
    "EXAI_WS_PORT into a file, and use --env-file)";
}

/** Returns true if the `env` of an entry or its `.env` file sets an address. */
async function entryNamesAddress(entry: unknown, host: Host): Promise<boolean> {
  const envs = [["env"], ["environment"], ["command", "env"]]
    .map((path) => getNested(entry, ...path)).filter(isRecord);
  if (envs.some((env) => ADDRESS_NAMES.some((name) => env[name]))) return true;
  const file = SETTINGS.envFile.env[0]!;
  const path = envs.map((env) => env[file]).find((it) => it !== undefined);
  if (typeof path !== "string") return false;
  const isolatedHost = { ...host, env: () => ({ [file]: path }) };
  return isAddressSet((await loadConfig(isolatedHost, [])).sources);
}

function isAddressSet(sources: SettingSources): boolean {
  return explicitSettingsOf(sources)
    .some(({ name }) => ADDRESS_NAMES.includes(name));
}
