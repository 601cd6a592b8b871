/**
 * The file in which it is kept what the daemon said last.
 *
 * @module
 */

import type { Host } from "./host.ts";
import {
  fromText,
  MEMORY_LIMIT,
  type Owner,
  type Remembered,
} from "./memory.ts";

/** A memory that may be kept, and what was in it. */
export interface Kept {
  /** Where it is. */
  readonly path: string;
  /** What was in it. */
  readonly remembered: Remembered;
  /** Why nothing was, where that is worth a log line. */
  readonly trouble?: string;
}

/** Reads the memory that a `--cache` setting names; `undefined` for none. */
export function readState(
  setting: string,
  owner: Owner,
  host: Host,
): Kept | undefined {
  if (/^(off|0)$/i.test(setting)) return undefined;
  const path = /^on$/i.test(setting) ? pathOf(owner, host) : setting;
  if (path === undefined) return undefined;
  const nothing = { path, remembered: { lists: {} } };
  let found: { text: string; ageMs: number } | undefined;
  try {
    found = host.readState(path, MEMORY_LIMIT);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...nothing, trouble: `it cannot be read (${why})` };
  }
  if (found === undefined) return nothing;
  const remembered = fromText(found.text, owner, found.ageMs);
  return typeof remembered === "string"
    ? { ...nothing, trouble: remembered }
    : { path, remembered };
}

/** One file for each daemon and dialect, in the user's state folder; `undefined` where there is none. */
function pathOf({ daemon, dialect }: Owner, host: Host): string | undefined {
  const folder = folderOf(host);
  if (folder === undefined) return undefined;
  const name = daemon.replace(/^wss?:\/\//, "").replace(/[^\w.-]+/g, "_");
  const file = `${dialect}-${name.slice(0, 60)}-${hash(daemon)}.json`;
  return `${folder}/alwaysup/${file}`;
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

/** Two names that look alike are told apart (FNV-1a, 32 bits). */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}
