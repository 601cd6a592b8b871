/**
 * The file in which it is kept what the daemon said last.
 *
 * @module
 */

import type { Config } from "./config.ts";
import { readLimited, replace } from "./files.ts";
import { type Host, messageOf } from "./host.ts";
import { merged, NOTHING, type Remembered } from "./memory.ts";
import { fromText, MEMORY_LIMIT, type Owner, toText } from "./memory_text.ts";

/** For how many users of a daemon there is a file each. */
const USER_LIMIT = 8;

/** A memory that may be kept, and what was in it. */
export interface Kept {
  /** Where it is. */
  readonly path: string;
  /** What was in it. */
  readonly remembered: Remembered;
  /** Why nothing was, where that is worth a log line. */
  readonly trouble?: string;
  /** What is there is not ours, and the user has named it: it is left alone. */
  readonly isForeign?: true;
}

/** Reads the memory that a `--cache` setting names; `undefined` for none. */
export function readState(
  setting: string,
  owner: Owner,
  host: Host,
): Kept | undefined {
  if (/^(off|0)$/i.test(setting)) return undefined;
  const isNamed = !/^on$/i.test(setting);
  const path = isNamed ? setting : pathOf(owner, host);
  if (path === undefined) return undefined;
  const failed = (trouble: string): Kept => ({
    path,
    remembered: NOTHING,
    trouble,
    ...(isNamed && { isForeign: true }),
  });
  try {
    const found = readLimited(host, path, MEMORY_LIMIT);
    if (found === undefined) return { path, remembered: NOTHING };
    const remembered = fromText(found.text, owner, found.ageMs);
    return typeof remembered === "string"
      ? failed(remembered)
      : { path, remembered };
  } catch (error) {
    const why = messageOf(error);
    return failed(`it cannot be read (${why})`);
  }
}

/**
 * Keeps what was learned, with what other processes have kept meanwhile. Throws
 * if it cannot.
 */
export function writeState(
  setting: string,
  owner: Owner,
  learned: Remembered,
  host: Host,
): void {
  const kept = readState(setting, owner, host);
  if (kept === undefined || kept.isForeign) return;
  const text = toText(owner, merged(kept.remembered, learned));
  if (new TextEncoder().encode(text).length > MEMORY_LIMIT) {
    throw new Error("it would be too large");
  }
  const isNew = host.stat(kept.path) === undefined;
  replace(host, kept.path, text);
  if (isNew && kept.path === pathOf(owner, host)) thin(kept.path, host);
}

/** Whose memory a proxy with these settings uses. */
export function ownerOf(
  { url, shownUrl, dialect, headers, helloToken }: Pick<
    Config,
    "url" | "shownUrl" | "dialect" | "headers" | "helloToken"
  >,
): Owner {
  const user = trace(JSON.stringify([headers, helloToken]));
  return { daemon: shownUrl, key: trace(url), dialect, user };
}

/** Who shows the daemon another token at each start has a new file each time: the oldest go. */
function thin(path: string, host: Host): void {
  const end = path.lastIndexOf("/") + 1;
  const stem = path.slice(end, path.lastIndexOf("-") + 1);
  const files = host.list(path.slice(0, end))
    .filter((name) => name.startsWith(stem) && name.endsWith(".json"))
    .map((name) => path.slice(0, end) + name)
    .map((path) => ({ path, at: host.stat(path)?.modifiedAt ?? 0 }))
    .toSorted((a, b) => b.at - a.at);
  for (const { path } of files.slice(USER_LIMIT)) host.remove(path);
}

/** One file for each daemon, dialect and user, in the user's state folder; `undefined` where there is none. */
function pathOf(
  { daemon, key, dialect, user }: Owner,
  host: Host,
): string | undefined {
  const folder = stateFolder(host);
  if (folder === undefined) return undefined;
  const name = daemon.replace(/^wss?:\/\//, "").replace(/[^\w.-]+/g, "_");
  const place = hash(daemon, 0x811c9dc5) + hash(daemon, 0x01234567);
  const file = [dialect, name.slice(0, 60), place + key, user].join("-");
  return `${folder}/${file}.json`;
}

/** The folder in which the program keeps what it knows; `undefined` where the user has none. */
export function stateFolder(host: Host): string | undefined {
  const folder = folderOf(host);
  return folder && `${folder}/alwaysup`;
}

/** XDG on Linux, the usual places elsewhere. */
function folderOf({ os, variable }: Host): string | undefined {
  const home = variable("HOME");
  switch (os) {
    case "windows":
      return variable("LOCALAPPDATA");
    case "darwin":
      return home && `${home}/Library/Application Support`;
    default: {
      const state = variable("XDG_STATE_HOME");
      // A relative one is to be ignored (XDG Base Directory Specification).
      if (state?.startsWith("/")) return state;
      return home && `${home}/.local/state`;
    }
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string, seed: number): string {
  let value = seed;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** So much of a secret as tells it from another one, and no more: 16 bits do not lead back to it. */
function trace(secret: string): string {
  const value = Number.parseInt(hash(secret, 0x811c9dc5), 16);
  return ((value >>> 16) ^ (value & 0xffff)).toString(16).padStart(4, "0");
}
