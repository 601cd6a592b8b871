/**
 * Small files that may be written by several processes, and are seen whole.
 *
 * @module
 */

import { folderOf } from "../text/paths.ts";
import type { FileFacts, Host } from "./host.ts";
import { Distrust, distrust } from "./ownership.ts";

/** How often Windows is asked again to replace a file, and after which pause, in milliseconds: together a second. */
const RENAMES = 50;
const RENAME_MS = 20;
/** How often a file is looked at again that was replaced meanwhile. */
const TRIES = 16;
/** At which age a lock has no owner any more, in milliseconds: it is held for a moment. */
export const ABANDONED_MS = 3_000;

/** A file's text, and how many milliseconds old it is. */
export interface Text {
  /** Its text. */
  readonly text: string;
  /** How many milliseconds old it is. */
  readonly ageMs: number;
}

/**
 * A file of the user's; `undefined` if there is none. Throws if it is no file,
 * larger than so many bytes, or cannot be read.
 */
export function readLimited(
  host: Host,
  path: string,
  limit: number,
): Text | undefined {
  const facts = host.stat(path);
  if (facts === undefined) return undefined;
  if (!facts.isFile) throw new Error("it is no file");
  bound(facts, limit);
  return { text: host.readFile(path), ageMs: ageOf(facts) };
}

/**
 * A file of ours; `undefined` if there is none. Throws as {@linkcode readLimited}
 * does, and `Distrust` if somebody else may have written it.
 *
 * @param user says whose files ours are
 */
export function readOwn(
  host: Host,
  path: string,
  limit: number,
  user: () => number | undefined,
): Text | undefined {
  for (let i = 0; i < TRIES; i++) {
    const facts = host.lstat(path);
    if (facts === undefined) return undefined;
    const why = distrust(facts, user);
    if (why !== undefined) {
      const isRemovable = facts.isLink || facts.isFile;
      throw new Distrust(path, `${why}: ${isRemovable ? "remove" : "move"} it`);
    }
    bound(facts, limit);
    const text = host.readSame(path, facts);
    if (text !== undefined) return { text, ageMs: ageOf(facts) };
    // Another process has replaced it just now.
  }
  throw new Error("others replace it all the time");
}

function bound({ size }: FileFacts, limit: number): void {
  if (size > limit) {
    throw new Error(`it has ${size} bytes, and the limit is ${limit}`);
  }
}

function ageOf({ modifiedAt }: FileFacts): number {
  return Math.max(0, Date.now() - modifiedAt);
}

/**
 * Replaces a file of ours at once, for the user's eyes only; its folder is made.
 * A power cut leaves the old text or the new one. Throws if it cannot: what is
 * there is left as it was.
 */
export async function replace(
  host: Host,
  path: string,
  text: string,
): Promise<void> {
  const next = writeBeside(host, path, text, 0o600);
  try {
    await host.sync(next);
    mayReplace(host, path);
    await rename(host, next, path);
  } finally {
    host.remove(next);
  }
}

/** The same for a text that is worth nothing after a power cut, which may leave an empty file. */
export function replaceBriefly(host: Host, path: string, text: string): void {
  const next = writeBeside(host, path, text, 0o600);
  try {
    mayReplace(host, path);
    host.rename(next, path);
  } catch (error) {
    host.remove(next);
    throw error;
  }
}

/**
 * Gives a file another name; one that has it already is replaced. Windows
 * replaces none that a program holds open, as virus scanners and editors do for a
 * moment: they are waited for. Throws if it cannot.
 *
 * @param check is called before each try, for what has happened while it was waited; what it throws ends the waiting
 */
export async function rename(
  host: Host,
  from: string,
  to: string,
  check: () => void = () => {},
): Promise<void> {
  for (let left = host.os === "windows" ? RENAMES : 0;; left--) {
    check();
    try {
      return host.rename(from, to);
    } catch (error) {
      if (left <= 0) throw error;
    }
    await new Promise<void>((go) => host.wake(RENAME_MS, go));
  }
}

/** How often in a row a write may fail on Windows, where others may hold a file for a moment. */
const FAILURES = 10;

/** Whether a file cannot be written, and not for a moment only; `failures` is how often in a row it could not. */
export function isFinal(host: Host, error: unknown, failures: number): boolean {
  return host.os !== "windows" || error instanceof Distrust ||
    failures >= FAILURES;
}

/** Does what {@linkcode replace} does, but for the replacing. Throws if it cannot. */
export function rehearse(host: Host, path: string): void {
  mayReplace(host, path);
  host.remove(writeBeside(host, path, "", 0o600));
}

/** Writes a text into a new file beside another one, and says which. */
export function writeBeside(
  host: Host,
  path: string,
  text: string,
  mode: number,
): string {
  const folder = folderOf(path);
  if (folder !== "") host.makeFolder(folder);
  // Another process may do the same now, in another container even under the same number: each writes its own file, the last one stays.
  const chance = Math.floor(Math.random() * 2 ** 32).toString(36);
  const next = `${path}.${host.pid}-${chance}.tmp`;
  if (host.makeFile(next, text, mode)) return next;
  throw new Error(`${next} is there already`);
}

/**
 * Takes a lock: an empty file that only one process can make. Throws if it
 * cannot, and `Distrust` if what has its name is none.
 *
 * @param user says whose files ours are
 * @returns `false` if another process has it
 */
export function take(
  host: Host,
  path: string,
  user: () => number | undefined,
): boolean {
  if (host.makeFile(path, "", 0o600)) return true;
  const facts = host.lstat(path);
  // It has just gone; the next time may be ours.
  if (facts === undefined) return false;
  if (facts.size > 0 || distrust(facts, user) !== undefined) {
    throw new Distrust(path, `${path} is no lock of ours: remove it`);
  }
  // Its age counts, whatever the clock was set to meanwhile.
  if (Math.abs(Date.now() - facts.modifiedAt) < ABANDONED_MS) return false;
  // Its owner was killed. Of two who see that at the same moment both may have it now: one may lose its news.
  host.remove(path);
  return host.makeFile(path, "", 0o600);
}

/** A link stays one, and a device or a folder what it is. */
function mayReplace(host: Host, path: string): void {
  const facts = host.lstat(path);
  if (facts !== undefined && !facts.isFile) {
    throw new Error(`${path} is no regular file`);
  }
}
