/**
 * The file in which it is kept what the daemon said last.
 *
 * @module
 */

import { folderOf } from "../text/paths.ts";
import { messageOf } from "../text/error_message.ts";
import type { Config } from "../config/config.ts";
import { readOwn, replace, take } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import { merged, NOTHING, type Remembered } from "../cache/cache.ts";
import {
  fromText,
  isWritten,
  MEMORY_LIMIT,
  type Owner,
  toText,
} from "../cache/format.ts";
import { stateFolder } from "../runtime/state_dir.ts";
import { claim, Distrust } from "../runtime/ownership.ts";

/** For how many users of a daemon there is a file each. */
const USER_LIMIT = 8;
/** At which age a file that is yet to be renamed is nobody's, in milliseconds. */
const LEFT_MS = 3_600_000;
/** How the name of such a file ends. */
const UNFINISHED = /^([0-9a-f]{4}\.json)?\.\d+-[0-9a-z]+\.tmp$/;

/** A memory that may be kept, and what was in it. */
export interface Kept {
  /** Where it is. */
  readonly path: string;
  /** What was in it. */
  readonly remembered: Remembered;
  /** Why nothing was, where that is worth a log line. */
  readonly trouble?: string;
  /** The file or folder that is not believed to be ours. */
  readonly distrusted?: string;
  /** What is there is not ours, or the user has named it: it is left alone. */
  readonly isForeign?: true;
}

/** Reads the memory that a `--cache` setting names; `undefined` for none. */
export function readState(
  setting: string,
  owner: Owner,
  host: Host,
): Kept | undefined {
  const place = placeOf(setting, owner, host);
  return place && readAt(place, owner, host);
}

function readAt(place: Place, owner: Owner, host: Host): Kept {
  const { path, isNamed } = place;
  const failed = (trouble: string, isForeign = isNamed): Kept => ({
    path,
    remembered: NOTHING,
    trouble,
    ...(isForeign && { isForeign }),
  });
  try {
    const user = userOf(place, host);
    // The folder of a file that the user has named is the user's business.
    if (!isNamed) claim(host, stateFolder(host)!, user);
    const found = readOwn(host, path, MEMORY_LIMIT, user);
    if (found === undefined) return { path, remembered: NOTHING };
    const remembered = fromText(found.text, owner, found.ageMs);
    return typeof remembered === "string"
      ? failed(remembered)
      : { path, remembered };
  } catch (error) {
    const why = messageOf(error);
    if (error instanceof Distrust) {
      return { ...failed(why, true), distrusted: error.path };
    }
    return failed(`it cannot be read (${why})`);
  }
}

/**
 * Keeps what was learned, with what other processes have kept meanwhile. Throws
 * if it cannot.
 *
 * @param turn whether it waits for its turn; what another process keeps at the same moment may be lost if it does not
 * @returns `taken` where another process is at it
 */
export async function writeState(
  setting: string,
  owner: Owner,
  learned: Remembered,
  host: Host,
  turn: "waits" | "last" = "waits",
): Promise<"kept" | "taken"> {
  const place = placeOf(setting, owner, host);
  if (place === undefined) return "kept";
  const { path, isNamed } = place;
  const folder = folderOf(path);
  const user = userOf(place, host);
  if (!isNamed) claim(host, stateFolder(host)!, user);
  if (folder !== "") host.makeFolder(folder);
  // Who reads while another writes would take its news away.
  const isTaken = take(host, lockOf(path), user);
  if (!isTaken && turn === "waits") return "taken";
  try {
    const { isForeign, trouble, remembered } = readAt(place, owner, host);
    if (isForeign) throw new Error(trouble);
    const text = toText(owner, merged(remembered, learned));
    if (new TextEncoder().encode(text).length > MEMORY_LIMIT) {
      throw new Error("it would be too large");
    }
    const isNew = host.lstat(path) === undefined;
    await replace(host, path, text);
    try {
      tidy(place, isNew, host, user);
    } catch {
      // What is there too much takes nothing from anybody.
    }
  } finally {
    if (isTaken) letGo(host, lockOf(path));
  }
  return "kept";
}

/** Removes a lock. Where it cannot be removed, its age says that it has no owner. */
function letGo(host: Host, lock: string): void {
  try {
    host.remove(lock);
  } catch {
    // What was kept is kept.
  }
}

/** The lock under which a file is read and written. */
export function lockOf(path: string): string {
  return `${path}.lock`;
}

interface Place {
  readonly path: string;
  readonly isNamed: boolean;
}

/** Where the memory of a setting is; `undefined` where there is to be none. */
function placeOf(
  setting: string,
  owner: Owner,
  host: Host,
): Place | undefined {
  if (/^(off|0)$/i.test(setting)) return undefined;
  const isNamed = !/^on$/i.test(setting);
  const path = isNamed ? setting : pathOf(owner, host);
  return path === undefined ? undefined : { path, isNamed };
}

/** Says whose files ours are, to who must know. */
function userOf({ path }: Place, host: Host): () => number | undefined {
  return () => host.user(folderOf(path) || ".");
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

/** Removes what nobody needs beside a file that was just written. Only what we have written goes. */
function tidy(
  { path, isNamed }: Place,
  isNew: boolean,
  host: Host,
  user: () => number | undefined,
): void {
  const folder = folderOf(path);
  const end = isNamed ? path.length : path.lastIndexOf("-") + 1;
  const stem = path.slice(folder.length, end);
  const files = host.list(folder === "" ? "." : folder)
    .filter((name) => name.startsWith(stem))
    .map((name) => ({ path: folder + name, rest: name.slice(stem.length) }));
  const at = ({ path }: { path: string }): number =>
    host.lstat(path)?.modifiedAt ?? 0;
  // What was never renamed: its process was killed.
  const left = files.filter((file) =>
    UNFINISHED.test(file.rest) && Date.now() - at(file) > LEFT_MS
  );
  // Who shows the daemon another token at each start has a new file each time.
  const old = isNamed || !isNew ? [] : files
    .filter(({ rest }) => /^[0-9a-f]{4}\.json$/.test(rest))
    .map((file) => ({ ...file, at: at(file) }))
    .toSorted((a, b) => b.at - a.at)
    .slice(USER_LIMIT);
  for (const { path } of [...old, ...left]) {
    try {
      const text = readOwn(host, path, MEMORY_LIMIT, user)?.text ?? "";
      if (isWritten(text)) host.remove(path);
    } catch {
      // It is not ours, or has just gone.
    }
  }
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
