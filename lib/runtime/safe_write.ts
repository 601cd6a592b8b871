/**
 * Reads and changes the user's files. Neither a failure nor a power cut loses
 * data. A file's links, owner and permissions are preserved.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { assertSize, writeTempFile } from "./own_files.ts";
import { type FileInfo, type Host, pause } from "./host.ts";

/**
 * How often a rename is retried on Windows, and the pause before each retry, in
 * milliseconds: one second in all.
 */
const WINDOWS_RENAME_RETRIES = 50;
const WINDOWS_RENAME_RETRY_MS = 20;
/** The longest chain of symlinks that is followed; Linux has the same limit. */
const MAX_SYMLINKS = 40;

/** Reads a user's file, which must be regular; `undefined` if it is missing. */
export function readUserFile(
  host: Host,
  path: string,
  maxBytes: number,
): string | undefined {
  const info = host.stat(path);
  if (info === undefined) return undefined;
  if (!info.isFile) throw new Error("it is not a regular file");
  assertSize(info, maxBytes);
  return host.readFile(path);
}

/**
 * Creates a file that only the user can read. Creates the target if the file is
 * a dangling symlink. If this throws, no file was created.
 */
export async function createSafely(
  host: Host,
  file: string,
  text: string,
): Promise<void> {
  const path = resolveDanglingLinks(host, file);
  const tempPath = writeTempFile(host, path, text, 0o600);
  try {
    await host.fsync(tempPath);
    await renameWithRetries(host, tempPath, path, () => {
      if (host.lstat(path) === undefined) return;
      throw new Error("another program has just created it");
    });
  } finally {
    host.remove(tempPath);
  }
}

/** Returns the path at the end of a chain of symlinks, which need not exist. */
function resolveDanglingLinks(host: Host, file: string): string {
  let path = file;
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    if (host.lstat(path)?.isSymlink !== true) return path;
    const to = host.readLink(path);
    path = /^([a-z]:)?[/\\]/i.test(to) ? to : parentFolderOf(path) + to;
  }
  throw new Error("its chain of symbolic links is too long (more than 40)");
}

/**
 * Overwrites a file, which may be a symlink, and preserves its owner. If this
 * throws, the file is unchanged, or another program has changed it, or the
 * error says how to restore it.
 *
 * @param before the text that the file must still contain
 * @param backupPath the path of a copy of that text, for the error's message
 */
export async function overwriteSafely(
  host: Host,
  file: string,
  before: string,
  after: string,
  backupPath: string,
): Promise<void> {
  let path: string;
  try {
    path = host.realPath(file);
  } catch (error) {
    // Bun fails here while another program replaces the file. `assertContent`
    // throws a clearer error.
    assertContent(host, file, before);
    throw error;
  }
  if (await tryReplaceByRename(host, path, before, after)) return;
  assertContent(host, file, before);
  try {
    host.writeFile(file, after);
    await host.fsync(file);
  } catch (error) {
    try {
      // A file that is not writable has not changed, and needs no repair.
      if (host.readFile(file) !== before) host.writeFile(file, before);
    } catch {
      const hint = `the file is damaged now: replace it with ${backupPath}`;
      throw new Error(`${errorMessageOf(error)}; ${hint}`);
    }
    throw error;
  }
}

/**
 * Renames a file. On Windows, retries for a second: Windows does not replace an
 * open file, and virus scanners and editors open files for a moment.
 *
 * @param beforeAttempt throws to prevent a further attempt
 */
async function renameWithRetries(
  host: Host,
  from: string,
  to: string,
  beforeAttempt: () => void = () => {},
): Promise<void> {
  let attemptsLeft = host.os === "windows" ? WINDOWS_RENAME_RETRIES : 0;
  for (;;) {
    beforeAttempt();
    try {
      return host.rename(from, to);
    } catch (error) {
      if (attemptsLeft-- <= 0) throw error;
    }
    await pause(host, WINDOWS_RENAME_RETRY_MS);
  }
}

/**
 * Replaces a file by a new one. Returns `false` if that is not possible, e.g.
 * because the file or its folder belongs to another user, or because the file
 * is a mount point. The file itself must then be written.
 */
async function tryReplaceByRename(
  host: Host,
  path: string,
  before: string,
  after: string,
): Promise<boolean> {
  const current = host.lstat(path);
  if (current === undefined || current.linkCount > 1) return false;
  // The new file gets its content only after its owner and mode were checked.
  const tempPath = undefinedOnError(() =>
    writeTempFile(host, path, "", current.mode ?? 0o600)
  );
  if (tempPath === undefined) return false;
  try {
    const { userId, groupId, mode } = host.lstat(tempPath) ?? current;
    const isSame = userId === current.userId && groupId === current.groupId &&
      mode === current.mode;
    if (!isSame) return false;
    host.writeFile(tempPath, after);
    await host.fsync(tempPath);
    const info = assertContent(host, path, before);
    const assertSame = (): void => assertUnchanged(host, path, info);
    return await renameWithRetries(host, tempPath, path, assertSame).then(
      () => true,
      () => false,
    );
  } finally {
    host.remove(tempPath);
  }
}

function undefinedOnError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

/** Throws if the text has changed, or if the file changes during the read. */
function assertContent(
  host: Host,
  path: string,
  before: string,
): FileInfo | undefined {
  const info = host.stat(path);
  const isSame = host.readFile(path) === before;
  assertUnchanged(host, path, isSame ? info : undefined);
  return info;
}

function assertUnchanged(
  host: Host,
  path: string,
  before: FileInfo | undefined,
): void {
  const now = host.stat(path);
  const isSame = now !== undefined && now.id === before?.id &&
    now.size === before.size && now.modifiedAt === before.modifiedAt;
  if (isSame) return;
  throw new Error(
    "another program has just changed it, and that change was kept: try again",
  );
}

/** The ends of the backups' names, after `.alwaysup`; the oldest one first. */
const BACKUP_SUFFIXES = [".bak", ".2.bak", ".3.bak"];

/**
 * Saves a copy of a file's text that only the owner can read, unless it exists.
 * Returns its path. At most three copies are kept: the first one, which is the
 * file before this program changed it, and the two newest ones.
 */
export async function backUp(
  host: Host,
  file: string,
  text: string,
  mode: number,
): Promise<string> {
  const paths = BACKUP_SUFFIXES.map((end) => `${file}.alwaysup${end}`);
  for (const path of paths) {
    const isBackedUp = host.createFile(path, text, mode & 0o600) ||
      isPrivate(host, path) &&
        undefinedOnError(() => host.readFile(path)) === text;
    if (!isBackedUp) continue;
    await host.fsync(path);
    return path;
  }
  const [, older, newest] = paths as [string, string, string];
  const tempPath = writeTempFile(host, newest, text, mode & 0o600);
  try {
    await host.fsync(tempPath);
    // A failure is ignored: another process may have just renamed this file.
    await renameWithRetries(host, newest, older).catch(() => {});
    await renameWithRetries(host, tempPath, newest);
    return newest;
  } finally {
    host.remove(tempPath);
  }
}

function isPrivate(host: Host, path: string): boolean {
  const info = host.lstat(path);
  return info?.isFile === true && info.linkCount === 1 &&
    ((info.mode ?? 0) & 0o077) === 0;
}
