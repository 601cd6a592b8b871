/**
 * The settings in the entry of a client's server: the flags of this command
 * line, and of its environment only what clients pass on. What would be missing
 * or mean something else there is told.
 *
 * @module
 */

import type { Client } from "../clients/registry.ts";
import { type Config, made, rows, type Sources } from "../config/config.ts";
import type { Host } from "../runtime/host.ts";
import { dig, isRecord } from "../protocol/jsonrpc.ts";
import { path as parsePath } from "../config/parsers.ts";
import { isWhole, whole as pathFrom } from "../text/paths.ts";
import {
  type Setting,
  type SettingName,
  SETTINGS,
} from "../config/settings.ts";
import { readSettings } from "../config/load.ts";
import { connect } from "../transport/raw_handshake.ts";

/** The flag that makes variables unnecessary which have none of their own. */
const INSTEAD: Readonly<Record<string, string>> = {
  token: "token-file",
  exaiToken: "token-file",
  host: "url",
  port: "url",
};

/** What MCP's SDKs pass on of a client's environment to its servers; none of it is a setting. */
const PASSED_ON = {
  windows: [
    ...["APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH"],
    ...["PROCESSOR_ARCHITECTURE", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP"],
    ...["USERNAME", "USERPROFILE", "PROGRAMFILES"],
  ],
  others: ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"],
};

/** The settings that name the daemon's address. */
const PLACES: readonly Setting<unknown>[] = [
  ...[SETTINGS.url, SETTINGS.host, SETTINGS.port],
];

/** How long the default daemon may take to take a connection, in milliseconds: it is on this machine. */
const PROBE_MS = 2_000;

/** The part of this environment that a client passes on to its servers. */
export function passedOn({ os, variable }: Host): Record<string, string> {
  const names = os === "windows" ? PASSED_ON.windows : PASSED_ON.others;
  const found = names.flatMap((name): [string, string][] => {
    const text = variable(name);
    return text === undefined ? [] : [[name, text]];
  });
  return Object.fromEntries(found);
}

/** Whether a setting is a path that is another one in another folder. */
function isRelative(
  [key, { parse }]: [SettingName, Setting<unknown>],
  text: string,
  { os }: Host,
): boolean {
  const isPath = parse === parsePath && text !== "" &&
    !(key === "cache" && /^(on|off|0)$/i.test(text));
  return isPath && !isWhole(os, text);
}

/** The variables of the named `.env` file whose paths are other ones in another folder. */
export function relativeIn(sources: Sources, host: Host): string[] {
  return made(sources)
    .filter(({ name, shown, from }) => {
      const row = rows().find(([, { env }]) => env.includes(name));
      return from === "file" && row !== undefined && row[0] !== "envFile" &&
        isRelative(row, shown, host);
    })
    .map(({ name }) => name);
}

/** The flags with whole paths. */
export function absolute(
  flags: readonly string[],
  host: Host,
): readonly string[] {
  const whole = (flag: string | undefined, text: string): string => {
    const row = rows().find(([, row]) => row.flag === flag);
    if (row === undefined || !isRelative(row, text, host)) return text;
    return pathFrom(host.os, text, (folder) => host.realPath(folder));
  };
  return flags.map((arg, i) => {
    const [, flag, text] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (text !== undefined) return `--${flag}=${whole(flag, text)}`;
    if (arg.startsWith("--")) return arg;
    return whole(/^--([^=]+)$/.exec(flags[i - 1] ?? "")?.[1], arg);
  });
}

/** A sentence with the variables that are set here, and that a client's server will not see; `undefined` if there are none. */
export function unseenBy(
  client: Client,
  flags: readonly string[],
  host: Host,
): string | undefined {
  const isGiven = (flag: string | undefined): boolean =>
    flags.some((arg) => arg.split("=")[0] === `--${flag}`);
  if (isGiven("env-file")) return undefined;
  const names = rows()
    .filter(([name, { flag }]) => !isGiven(flag) && !isGiven(INSTEAD[name]))
    .flatMap(([, { env }]) => env)
    .filter((name) => /^(ALWAYSUP|EXAI)_/.test(name) && host.variable(name));
  if (names.length === 0) return undefined;
  return `${client.title} will not see ${names.join(", ")} of this ` +
    "environment: give flags instead, or a file of such lines with --env-file";
}

/**
 * Why the default address is not to be written into a file: no setting names
 * another one, and nothing listens there. `undefined` if one of the two is not
 * so.
 */
export async function nobodyAt(
  { url, shownUrl }: Config,
  sources: Sources,
): Promise<string | undefined> {
  if (isPlaceSaid(sources)) return undefined;
  const { hostname, port } = new URL(url);
  const reached = await connect(hostname, Number(port), PROBE_MS);
  if (typeof reached === "number") return undefined;
  return `nothing listens at ${shownUrl}, where the daemon is expected if ` +
    "nobody says another place: give --url ws://HOST:PORT/ (an EX-AI daemon's " +
    "EXAI_WS_HOST and EXAI_WS_PORT go into a file, by --env-file)";
}

/** Whether the environment in an entry, which stays, names the daemon's address, itself or by the `.env` file that it names. */
export async function namesPlace(entry: unknown, host: Host): Promise<boolean> {
  const found = [["env"], ["environment"], ["command", "env"]]
    .map((path) => dig(entry, ...path))
    .filter(isRecord);
  const isIn = (names: readonly string[]): boolean =>
    names.some((name) => found.some((env) => env[name]));
  if (isIn(PLACES.flatMap(({ env }) => env))) return true;
  const [file] = SETTINGS.envFile.env;
  const path = found.map((env) => env[file!]).find((it) => it !== undefined);
  if (typeof path !== "string") return false;
  const alone = { ...host, env: () => ({ [file!]: path }) };
  return isPlaceSaid((await readSettings(alone, [])).sources);
}

/** Whether a setting names the daemon's address. */
function isPlaceSaid(sources: Sources): boolean {
  const names = made(sources).map(({ name }) => name);
  return PLACES.some(({ flag, env }) =>
    [`--${flag}`, ...env].some((name) => names.includes(name))
  );
}
