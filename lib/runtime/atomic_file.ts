/**
 * Small files that may be written by several processes, and are seen whole.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import type { FileInfo, Host } from "./host.ts";
import { NotOwnedError, notOwnedReason } from "./ownership.ts";

/** How often Windows is asked again to replace a file, and after which pause, in milliseconds: together a second. */
const WINDOWS_RENAME_RETRIES = 50;
const WINDOWS_RENAME_RETRY_MS = 20;
/** How often a file is looked at again that was replaced meanwhile. */
const MAX_READ_ATTEMPTS = 16;
/** At which age a lock has no owner any more, in milliseconds: it is held for a moment. */
export const STALE_LOCK_MS = 3_000;

/** A file's text, and how many milliseconds old it is. */
export interface FileText {
  /** Its text. */
  readonly text: string;
  /** How many milliseconds old it is. */
  readonly ageMs: number;
}

/**
 * A file of the user's; `undefined` if there is none. Throws if it is no file,
 * larger than so many bytes, or cannot be read.
 */
export function readTextUpTo(
  host: Host,
  path: string,
  maxBytes: number,
): FileText | undefined {
  const info = host.stat(path);
  if (info === undefined) return undefined;
  if (!info.isFile) throw new Error("it is no file");
  assertSize(info, maxBytes);
  return { text: host.readFile(path), ageMs: fileAgeMs(info) };
}

/**
 * A file of ours; `undefined` if there is none. Throws as {@linkcode readTextUpTo}
 * does, and `Distrust` if somebody else may have written it.
 *
 * @param getUserId says whose files ours are
 */
export function readOwned(
  host: Host,
  path: string,
  maxBytes: number,
  getUserId: () => number | undefined,
): FileText | undefined {
  for (let i = 0; i < MAX_READ_ATTEMPTS; i++) {
    const info = host.lstat(path);
    if (info === undefined) return undefined;
    const why = notOwnedReason(info, getUserId);
    if (why !== undefined) {
      const isRemovable = info.isSymlink || info.isFile;
      throw new NotOwnedError(
        path,
        `${why}: ${isRemovable ? "remove" : "move"} it`,
      );
    }
    assertSize(info, maxBytes);
    const text = host.readIfSame(path, info);
    if (text !== undefined) return { text, ageMs: fileAgeMs(info) };
    // Another process has replaced it just now.
  }
  throw new Error("others replace it all the time");
}

function assertSize({ size }: FileInfo, maxBytes: number): void {
  if (size > maxBytes) {
    throw new Error(`it has ${size} bytes, and the limit is ${maxBytes}`);
  }
}

function fileAgeMs({ modifiedAt }: FileInfo): number {
  return Math.max(0, Date.now() - modifiedAt);
}

/**
 * Replaces a file of ours at once, for the user's eyes only; its folder is made.
 * A power cut leaves the old text or the new one. Throws if it cannot: what is
 * there is left as it was.
 */
export async function writeAtomic(
  host: Host,
  path: string,
  text: string,
): Promise<void> {
  const tempPath = writeTempFile(host, path, text, 0o600);
  try {
    await host.fsync(tempPath);
    assertRegularFile(host, path);
    await renameWithRetries(host, tempPath, path);
  } finally {
    host.remove(tempPath);
  }
}

/** The same for a text that is worth nothing after a power cut, which may leave an empty file. */
export function writeAtomicWithoutSync(
  host: Host,
  path: string,
  text: string,
): void {
  const tempPath = writeTempFile(host, path, text, 0o600);
  try {
    assertRegularFile(host, path);
    host.rename(tempPath, path);
  } catch (error) {
    host.remove(tempPath);
    throw error;
  }
}

/**
 * Gives a file another name; one that has it already is replaced. Windows
 * replaces none that a program holds open, as virus scanners and editors do for a
 * moment: they are waited for. Throws if it cannot.
 *
 * @param beforeAttempt is called before each try, for what has happened while it was waited; what it throws ends the waiting
 */
export async function renameWithRetries(
  host: Host,
  from: string,
  to: string,
  beforeAttempt: () => void = () => {},
): Promise<void> {
  for (
    let attemptsLeft = host.os === "windows" ? WINDOWS_RENAME_RETRIES : 0;;
    attemptsLeft--
  ) {
    beforeAttempt();
    try {
      return host.rename(from, to);
    } catch (error) {
      if (attemptsLeft <= 0) throw error;
    }
    await new Promise<void>((go) => host.setTimer(WINDOWS_RENAME_RETRY_MS, go));
  }
}

/** How often in a row a write may fail on Windows, where others may hold a file for a moment. */
const MAX_WRITE_FAILURES = 10;

/** Whether a file cannot be written, and not for a moment only; `failures` is how often in a row it could not. */
export function isPermanentWriteError(
  host: Host,
  error: unknown,
  failures: number,
): boolean {
  return host.os !== "windows" || error instanceof NotOwnedError ||
    failures >= MAX_WRITE_FAILURES;
}

/** Does what {@linkcode writeAtomic} does, but for the replacing. Throws if it cannot. */
export function checkWritable(host: Host, path: string): void {
  assertRegularFile(host, path);
  host.remove(writeTempFile(host, path, "", 0o600));
}

/** Writes a text into a new file beside another one, and says which. */
export function writeTempFile(
  host: Host,
  path: string,
  text: string,
  mode: number,
): string {
  const folder = parentFolderOf(path);
  if (folder !== "") host.makeFolder(folder);
  // Another process may do the same now, in another container even under the same number: each writes its own file, the last one stays.
  const suffix = Math.floor(Math.random() * 2 ** 32).toString(36);
  const tempPath = `${path}.${host.pid}-${suffix}.tmp`;
  if (host.createFile(tempPath, text, mode)) return tempPath;
  throw new Error(`${tempPath} is there already`);
}

/**
 * Takes a lock: an empty file that only one process can make. Throws if it
 * cannot, and `Distrust` if what has its name is none.
 *
 * @param getUserId says whose files ours are
 * @returns `false` if another process has it
 */
export function acquireLock(
  host: Host,
  path: string,
  getUserId: () => number | undefined,
): boolean {
  if (host.createFile(path, "", 0o600)) return true;
  const info = host.lstat(path);
  // It has just gone; the next time may be ours.
  if (info === undefined) return false;
  if (info.size > 0 || notOwnedReason(info, getUserId) !== undefined) {
    throw new NotOwnedError(path, `${path} is no lock of ours: remove it`);
  }
  // Its age counts, whatever the clock was set to meanwhile.
  if (Math.abs(Date.now() - info.modifiedAt) < STALE_LOCK_MS) return false;
  // Its owner was killed. Of two who see that at the same moment both may have it now: one may lose its news.
  host.remove(path);
  return host.createFile(path, "", 0o600);
}

/** A link stays one, and a device or a folder what it is. */
function assertRegularFile(host: Host, path: string): void {
  const info = host.lstat(path);
  if (info !== undefined && !info.isFile) {
    throw new Error(`${path} is no regular file`);
  }
}
