/**
 * The file in which it is kept what the daemon said last.
 *
 * @module
 */

import { readLimited, replace } from "./files.ts";
import { type Host, messageOf } from "./host.ts";
import { merged, NOTHING, type Remembered } from "./memory.ts";
import { fromText, MEMORY_LIMIT, type Owner, toText } from "./memory_text.ts";

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
  replace(host, kept.path, text);
}

/** What tells daemons apart whose URLs look the same without their secrets. */
export function keyOf(url: string): string {
  return hash(url, 0x811c9dc5) + hash(url, 0x01234567);
}

/** One file for each daemon and dialect, in the user's state folder; `undefined` where there is none. */
function pathOf(
  { daemon, key, dialect }: Owner,
  host: Host,
): string | undefined {
  const folder = stateFolder(host);
  if (folder === undefined) return undefined;
  const name = daemon.replace(/^wss?:\/\//, "").replace(/[^\w.-]+/g, "_");
  return `${folder}/${dialect}-${name.slice(0, 60)}-${key}.json`;
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
