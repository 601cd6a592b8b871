/**
 * Decides which folders and files are owned: only those that nobody else can
 * have written.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { type FileInfo, type Host } from "./host.ts";

/**
 * Thrown for a path that is not owned. The message says the path, the rule, and
 * what to do.
 */
export class NotOwnedError extends Error {
  /** The file or folder. */
  readonly path: string;

  /** Creates the error for a path. */
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Returns why a file is not owned; `undefined` if it is. Windows has neither
 * owners nor permission bits that this program could read.
 *
 * @param getUserId returns the user who must own the file
 */
export function notOwnedReason(
  { isSymlink, isFile, owner, mode = 0 }: FileInfo,
  getUserId: () => number | undefined,
): string | undefined {
  if (isSymlink) return "it is a link, and none is followed here";
  if (!isFile) return "it is no regular file";
  if (owner !== undefined && owner.userId !== getUserId()) {
    return `it belongs to another user (${owner.userId}), and only what is ` +
      "yours is believed";
  }
  if ((mode & 0o022) !== 0) {
    return `others may write it (mode ${mode.toString(8)}), and only what ` +
      "nobody else can write is believed";
  }
  return undefined;
}

/**
 * Checks a folder of ours, if it exists, and removes the permissions of other
 * users. The folders around it are not checked: they are the user's.
 *
 * @param getUserId returns the user who must own the folder
 * @throws {NotOwnedError} if it is a symlink, not a folder, or another user's
 */
export function secureOwnFolder(
  host: Host,
  folder: string,
  getUserId: () => number | undefined,
): void {
  const info = host.lstat(folder);
  if (info === undefined) return;
  const { isSymlink, isFolder, owner, mode = 0 } = info;
  const rule = "and must be a folder of yours alone";
  if (isSymlink) {
    throw new NotOwnedError(
      folder,
      `${folder} is a link, ${rule}: remove the link`,
    );
  }
  if (!isFolder) {
    throw new NotOwnedError(folder, `${folder} is a file, ${rule}: remove it`);
  }
  if (
    owner !== undefined && owner.userId !== requireUserId(getUserId, folder)
  ) {
    const whose = `belongs to another user (${owner.userId})`;
    throw new NotOwnedError(folder, `${folder} ${whose}, ${rule}: remove it`);
  }
  if ((mode & 0o077) !== 0) {
    try {
      host.chmod(folder, 0o700);
    } catch {
      // Each file in it is checked by itself.
    }
  }
}

function requireUserId(
  getUserId: () => number | undefined,
  folder: string,
): number | undefined {
  try {
    return getUserId();
  } catch (error) {
    const why = errorMessageOf(error);
    throw new NotOwnedError(
      folder,
      `nobody can tell whether ${folder} is yours (${why}): it must be a ` +
        "folder of yours, in which you may write",
    );
  }
}
