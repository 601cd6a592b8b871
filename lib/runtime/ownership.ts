/**
 * Which folders and files are believed to be ours: only those that nobody else
 * can have written.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { type FileFacts, type Host } from "./host.ts";

/** Thrown where something is not believed; says what, by which rule, and what to do. */
export class Distrust extends Error {
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
 * @param user says whose files ours are
 */
export function distrust(
  { isLink, isFile, owner, mode = 0 }: FileFacts,
  user: () => number | undefined,
): string | undefined {
  if (isLink) return "it is a link, and none is followed here";
  if (!isFile) return "it is no regular file";
  if (owner !== undefined && owner.user !== user()) {
    return `it belongs to another user (${owner.user}), and only what is ` +
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
 * @param user says whose files ours are
 * @throws Distrust if it is a link, no folder, or somebody else's
 */
export function claim(
  host: Host,
  folder: string,
  user: () => number | undefined,
): void {
  const facts = host.lstat(folder);
  if (facts === undefined) return;
  const { isLink, isFolder, owner, mode = 0 } = facts;
  const rule = "and must be a folder of yours alone";
  if (isLink) {
    throw new Distrust(folder, `${folder} is a link, ${rule}: remove the link`);
  }
  if (!isFolder) {
    throw new Distrust(folder, `${folder} is a file, ${rule}: remove it`);
  }
  if (owner !== undefined && owner.user !== known(user, folder)) {
    const whose = `belongs to another user (${owner.user})`;
    throw new Distrust(folder, `${folder} ${whose}, ${rule}: remove it`);
  }
  if ((mode & 0o077) !== 0) {
    try {
      host.setMode(folder, 0o700);
    } catch {
      // What lies in it is looked at one by one.
    }
  }
}

function known(
  user: () => number | undefined,
  folder: string,
): number | undefined {
  try {
    return user();
  } catch (error) {
    const why = messageOf(error);
    throw new Distrust(
      folder,
      `nobody can tell whether ${folder} is yours (${why}): it must be a ` +
        "folder of yours, in which you may write",
    );
  }
}
