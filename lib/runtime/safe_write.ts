/**
 * A file of the user's, changed so that neither a failure nor a power cut takes
 * anything from it: links to it, its owner and its rights stay.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { renameWithRetries, writeTempFile } from "./atomic_file.ts";
import { type FileInfo, type Host } from "./host.ts";

/** How many links may lead from one to the next: as many as Linux follows. */
const MAX_SYMLINKS = 40;

/** Writes a file that was not there; a link to nothing stays one. Throws if it cannot; none is there then. */
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

/** The path to which links lead that lead to nothing. */
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
 * Writes a file anew: it may be a link, and is to stay its owner's. Throws if it
 * cannot, or if another program has changed the file meanwhile; it is then as it
 * was, or the error says what to do.
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
      // Where it may not be written at all, nothing has happened to it.
      if (host.readFile(file) !== before) host.writeFile(file, before);
    } catch {
      const hint = `it is damaged now: put ${backupPath} in its place`;
      throw new Error(`${errorMessageOf(error)}; ${hint}`);
    }
    throw error;
  }
}

/** The path without links. Bun finds no file where one is just being replaced: that is said, then. */
function realPathOf(host: Host, file: string, before: string): string {
  try {
    return host.realPath(file);
  } catch (error) {
    assertContent(host, file, before);
    throw error;
  }
}

/**
 * Puts another file into the place of one, where nothing is lost by that.
 * Throws if that cannot be written, or if the first is not any more as it was.
 *
 * @returns `false` where the file itself must be written: its folder or itself is somebody else's, say, or it is mounted there
 */
async function tryReplaceByRename(
  host: Host,
  path: string,
  before: string,
  after: string,
): Promise<boolean> {
  const current = host.lstat(path);
  if (current === undefined || current.linkCount > 1) return false;
  // Empty at first: whose it is, and who may read it, is seen before anything stands in it.
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

/** What it gives; `undefined` if it fails. */
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

/** Gives what is known of a file. Throws if it is not any more as it was; a large one is not changed while it is read either. */
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

/** Throws if another program has changed a file since. */
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

/** The ends of the names of a file's copies, behind `.alwaysup`: the oldest copy first. */
const BACKUP_SUFFIXES = [".bak", ".2.bak", ".3.bak"];

/**
 * Keeps a copy of a file's text beside the file, which only its owner can read.
 * There are three at most: the first, which is the file as it was before this
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
    // Another process that keeps a text may have just done so.
    await renameWithRetries(host, newest, older).catch(() => {});
    await renameWithRetries(host, tempPath, newest);
    return newest;
  } finally {
    host.remove(tempPath);
  }
}

/** Whether a path is a file with no other name that nobody else can read or write. */
function isPrivate(host: Host, path: string): boolean {
  const info = host.lstat(path);
  return info?.isFile === true && info.linkCount === 1 &&
    ((info.mode ?? 0) & 0o077) === 0;
}
