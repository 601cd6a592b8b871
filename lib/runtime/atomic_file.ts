/**
 * Small files that several processes may write, and that are read and written
 * whole.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import type { FileInfo, Host } from "./host.ts";
import { NotOwnedError, notOwnedReason } from "./ownership.ts";

/**
 * How often a rename is retried on Windows, and the pause before each retry, in
 * milliseconds: one second in all.
 */
const WINDOWS_RENAME_RETRIES = 50;
const WINDOWS_RENAME_RETRY_MS = 20;
/** How often a file that was replaced during the read is read again. */
const MAX_READ_ATTEMPTS = 16;
/**
 * The age at which a lock counts as abandoned, in milliseconds. A lock is held
 * only for a moment.
 */
export const STALE_LOCK_MS = 3_000;

/** A file's text and its age. */
export interface FileText {
  /** The text. */
  readonly text: string;
  /** The file's age, in milliseconds. */
  readonly ageMs: number;
}

/**
 * Reads a file of the user's; returns `undefined` if there is none. Throws if
 * it is not a regular file, is larger than `maxBytes`, or cannot be read.
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
 * Reads a file of ours; returns `undefined` if there is none. Throws as
 * {@linkcode readTextUpTo} does, and {@linkcode NotOwnedError} if somebody else
 * may have written it.
 *
 * @param getUserId returns the user who must own the file
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
    // Another process has just replaced the file.
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
 * Replaces a file of ours atomically. Only the user can read the new file. The
 * folder is created if it is missing. After a power cut, the file has either
 * the old text or the new one. Throws if it cannot write; the old file is then
 * unchanged.
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

/**
 * Like {@linkcode writeAtomic}, but without `fsync`: after a power cut, the
 * file may be empty.
 */
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
 * Renames a file; replaces a file that already has the new name. Windows does
 * not replace a file that a program holds open, and virus scanners and editors
 * do that for a moment, so the rename is retried there. Throws if it cannot.
 *
 * @param beforeAttempt called before each attempt, to check what has changed
 * meanwhile; if it throws, there are no more attempts
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
    await new Promise<void>((resolve) =>
      host.setTimer(WINDOWS_RENAME_RETRY_MS, resolve)
    );
  }
}

/**
 * How many writes in a row may fail on Windows, where other programs may hold a
 * file open for a moment.
 */
const MAX_WRITE_FAILURES = 10;

/**
 * True if a write error will not go away by itself. `failures` is the number of
 * failures in a row.
 */
export function isPermanentWriteError(
  host: Host,
  error: unknown,
  failures: number,
): boolean {
  return host.os !== "windows" || error instanceof NotOwnedError ||
    failures >= MAX_WRITE_FAILURES;
}

/**
 * Does what {@linkcode writeAtomic} does, except the replacement. Throws if it
 * cannot.
 */
export function checkWritable(host: Host, path: string): void {
  assertRegularFile(host, path);
  host.remove(writeTempFile(host, path, "", 0o600));
}

/** Writes a text to a new file beside another one and returns the new path. */
export function writeTempFile(
  host: Host,
  path: string,
  text: string,
  mode: number,
): string {
  const folder = parentFolderOf(path);
  if (folder !== "") host.makeFolder(folder);
  // Another process may do the same now; in another container it may even have
  // the same pid. Each process writes a file of its own, and the last rename
  // wins.
  const suffix = Math.floor(Math.random() * 2 ** 32).toString(36);
  const tempPath = `${path}.${host.pid}-${suffix}.tmp`;
  if (host.createFile(tempPath, text, mode)) return tempPath;
  throw new Error(`${tempPath} is there already`);
}

/**
 * Takes a lock: an empty file that only one process can create. Throws if it
 * cannot, and {@linkcode NotOwnedError} if the file at the path is not a lock
 * of ours.
 *
 * @param getUserId returns the user who must own the lock
 * @returns `false` if another process has the lock
 */
export function acquireLock(
  host: Host,
  path: string,
  getUserId: () => number | undefined,
): boolean {
  if (host.createFile(path, "", 0o600)) return true;
  const info = host.lstat(path);
  // The lock has just been removed; the next attempt may succeed.
  if (info === undefined) return false;
  if (info.size > 0 || notOwnedReason(info, getUserId) !== undefined) {
    throw new NotOwnedError(path, `${path} is no lock of ours: remove it`);
  }
  // The absolute value, because the clock may have been set back.
  if (Math.abs(Date.now() - info.modifiedAt) < STALE_LOCK_MS) return false;
  // The owner was killed. If two processes see that at the same moment, both
  // may get the lock, and one of them may lose its update.
  host.remove(path);
  return host.createFile(path, "", 0o600);
}

/** Only a regular file may be replaced, not a symlink, a device or a folder. */
function assertRegularFile(host: Host, path: string): void {
  const info = host.lstat(path);
  if (info !== undefined && !info.isFile) {
    throw new Error(`${path} is no regular file`);
  }
}
