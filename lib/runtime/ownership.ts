/**
 * Which folders and files are believed to be ours: only those that nobody else
 * can have written.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { type FileInfo, type Host } from "./host.ts";

/** Thrown where something is not believed; says what, by which rule, and what to do. */
export class NotOwnedError extends Error {
  /** The file or the folder. */
  readonly path: string;

  /** Says of a path why it is not believed. */
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Why a file that is to be ours is not believed; `undefined` if it is. Windows
 * has neither owners nor permission bits that a program like this could read.
 *
 * @param getUserId says whose files ours are
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
 * Looks at a folder of ours, if there is one, and takes it from everybody else.
 * The folders around it are the user's business.
 *
 * @param getUserId says whose files ours are
 * @throws Distrust if it is a link, no folder, or somebody else's
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
      // What lies in it is looked at one by one.
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
