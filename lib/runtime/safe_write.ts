/**
 * Changes a file of the user's so that neither a failure nor a power cut loses
 * data. Links to the file, its owner and its permissions stay.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { renameWithRetries, writeTempFile } from "./atomic_file.ts";
import { type FileInfo, type Host } from "./host.ts";

/** How many symlinks in a row are followed: as many as Linux follows. */
const MAX_SYMLINKS = 40;

/**
 * Writes a file that did not exist. A dangling symlink is kept; its target is
 * written. Throws if it cannot; no file exists then.
 */
export async function createSafely(
  host: Host,
  file: string,
  text: string,
  mode: number,
): Promise<void> {
  const path = resolveDanglingLinks(host, file);
  const tempPath = writeTempFile(host, path, text, mode);
  try {
    await host.fsync(tempPath);
    await renameWithRetries(host, tempPath, path, () => {
      if (host.lstat(path) === undefined) return;
      throw new Error("somebody else has just made it");
    });
  } finally {
    host.remove(tempPath);
  }
}

/** Follows symlinks to a target that does not exist, and returns that path. */
function resolveDanglingLinks(host: Host, file: string): string {
  let path = file;
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    if (host.lstat(path)?.isSymlink !== true) return path;
    const to = host.readLink(path);
    path = /^([a-z]:)?[/\\]/i.test(to) ? to : parentFolderOf(path) + to;
  }
  throw new Error("its links lead nowhere");
}

/**
 * Overwrites a file that may be a symlink; its owner stays. Throws if it
 * cannot, or if another program has changed the file meanwhile. The file is
 * then as it was, or the error says what to do.
 *
 * @param before the text that was read, and that must still be there
 * @param backupPath the path of a copy of that text, for the error
 */
export async function overwriteSafely(
  host: Host,
  file: string,
  before: string,
  after: string,
  backupPath: string,
): Promise<void> {
  if (
    await tryReplaceByRename(
      host,
      realPathOf(host, file, before),
      before,
      after,
    )
  ) return;
  assertContent(host, file, before);
  try {
    host.writeFile(file, after);
    await host.fsync(file);
  } catch (error) {
    try {
      // If the file is not writable at all, it has not changed.
      if (host.readFile(file) !== before) host.writeFile(file, before);
    } catch {
      const hint = `it is damaged now: put ${backupPath} in its place`;
      throw new Error(`${errorMessageOf(error)}; ${hint}`);
    }
    throw error;
  }
}

/**
 * Resolves symlinks. Bun finds no file while another program replaces it; the
 * error then says that the file has changed.
 */
function realPathOf(host: Host, file: string, before: string): string {
  try {
    return host.realPath(file);
  } catch (error) {
    assertContent(host, file, before);
    throw error;
  }
}

/**
 * Replaces a file by a rename, where that loses nothing. Throws if the new file
 * cannot be written, or if the old one has changed.
 *
 * @returns `false` where the file itself must be written, e.g. because the file
 * or its folder belongs to another user, or because the file is a mount point
 */
async function tryReplaceByRename(
  host: Host,
  path: string,
  before: string,
  after: string,
): Promise<boolean> {
  const current = host.lstat(path);
  if (current === undefined || current.linkCount > 1) return false;
  // The file is empty at first: its owner and mode are checked before it has
  // content.
  const tempPath = undefinedOnError(() =>
    writeTempFile(host, path, "", current.mode ?? 0o600)
  );
  if (tempPath === undefined) return false;
  try {
    if (!hasSameOwnerAndMode(host.lstat(tempPath), current)) return false;
    host.writeFile(tempPath, after);
    await host.fsync(tempPath);
    const info = assertContent(host, path, before);
    const assertSame = (): void => assertUnchanged(host.stat(path), info);
    return await renameWithRetries(host, tempPath, path, assertSame).then(
      () => true,
      () => false,
    );
  } finally {
    host.remove(tempPath);
  }
}

/** Returns the result of `run`; `undefined` if it throws. */
function undefinedOnError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

function hasSameOwnerAndMode(
  created: FileInfo | undefined,
  current: FileInfo,
): boolean {
  return created?.owner?.userId === current.owner?.userId &&
    created?.owner?.groupId === current.owner?.groupId &&
    created?.mode === current.mode;
}

/**
 * Returns the file's information. Throws if the text is not `before` any more,
 * or if the file changes during the read.
 */
function assertContent(
  host: Host,
  path: string,
  before: string,
): FileInfo | undefined {
  const info = host.stat(path);
  const isSame = host.readFile(path) === before;
  assertUnchanged(host.stat(path), isSame ? info : undefined);
  return info;
}

/** Throws if another program has changed the file since. */
function assertUnchanged(
  now: FileInfo | undefined,
  before: FileInfo | undefined,
): void {
  const isSame = now !== undefined && now.id === before?.id &&
    now.size === before.size && now.modifiedAt === before.modifiedAt;
  if (!isSame) {
    throw new Error(
      "another program has just changed it; that stays, so try again",
    );
  }
}

/**
 * The suffixes of a file's backups, after `.alwaysup`; the oldest backup first.
 */
const BACKUP_SUFFIXES = [".bak", ".2.bak", ".3.bak"];

/**
 * Writes a copy of a file's text beside the file; only the owner can read it.
 * There are three copies at most: the first, which is the file before this
 * program changed it, and the two newest. A text that has a copy gets no second
 * one. Throws if no copy can be written.
 *
 * @param mode the file's permission bits
 * @returns the path of the copy
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
    // Another process that makes a backup may have just renamed it.
    await renameWithRetries(host, newest, older).catch(() => {});
    await renameWithRetries(host, tempPath, newest);
    return newest;
  } finally {
    host.remove(tempPath);
  }
}

/**
 * True if the path is a regular file with one name that only its owner can
 * access.
 */
function isPrivate(host: Host, path: string): boolean {
  const info = host.lstat(path);
  return info?.isFile === true && info.linkCount === 1 &&
    ((info.mode ?? 0) & 0o077) === 0;
}
