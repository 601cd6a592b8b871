/**
 * Reads and writes the program's own files. They are small, and several
 * processes may share them. A file is used only if no other user can have
 * written it.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import type { FileInfo, Host } from "./host.ts";

/** The most attempts to read a file that is replaced during each read. */
const MAX_READ_ATTEMPTS = 16;

/** Returns the folder for the program's files, if the environment names one. */
export function stateFolder(host: Host): string | undefined {
  const folder = userStateFolder(host);
  return folder && `${folder}/alwaysup`;
}

/** Returns the parent of the state folder: XDG's, or the system's usual one. */
function userStateFolder({ os, getEnv }: Host): string | undefined {
  const home = getEnv("HOME");
  switch (os) {
    case "windows": {
      // Some clients pass on only `USERPROFILE`.
      const profile = getEnv("USERPROFILE");
      return getEnv("LOCALAPPDATA") ??
        (profile && `${profile}\\AppData\\Local`);
    }
    case "darwin":
      return home && `${home}/Library/Application Support`;
    default: {
      const state = getEnv("XDG_STATE_HOME");
      // A relative path must be ignored (XDG Base Directory Specification).
      if (state?.startsWith("/")) return state;
      return home && `${home}/.local/state`;
    }
  }
}

/** Thrown if another user may have written a file. The message has advice. */
export class UntrustedFileError extends Error {
  /** The file or folder. */
  readonly path: string;

  /** Creates the error for a path. */
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Returns why another user may have written a file, or why it is not a regular
 * file; else `undefined`. On Windows, only the type of the file is checked.
 */
export function untrustedReason(
  host: Host,
  path: string,
  { isSymlink, isFile, userId, mode = 0 }: FileInfo,
): string | undefined {
  if (isSymlink) return "it is a link, and alwaysup does not follow links here";
  if (!isFile) return "it is not a regular file";
  const folder = parentFolderOf(path) || "./";
  if (userId !== undefined && userId !== host.ownerOfNewFilesIn(folder)) {
    return `it belongs to another user (${userId}), and alwaysup only uses ` +
      "files that belong to you";
  }
  if ((mode & 0o022) !== 0) {
    return `other users may write to it (mode ${mode.toString(8)}), and ` +
      "alwaysup only uses files that nobody else can write to";
  }
  return undefined;
}

/**
 * Removes other users' permissions from a folder of ours, if it exists. Its
 * parent folders are the user's concern, and are not checked.
 *
 * @throws {UntrustedFileError} if it is a symlink, not a folder, or another user's
 */
export function secureOwnFolder(host: Host, folder: string): void {
  const info = host.lstat(folder);
  if (info === undefined) return;
  const { isSymlink, isFolder, userId, mode = 0 } = info;
  const refuse = (what: string, advice: string): never => {
    const rule = "and must be a folder that belongs to you";
    throw new UntrustedFileError(
      folder,
      `${folder} ${what}, ${rule}: ${advice}`,
    );
  };
  if (isSymlink) refuse("is a link", "remove the link");
  if (!isFolder) refuse("is a file", "remove it");
  if (userId !== undefined && userId !== userIdOrThrow(host, folder)) {
    refuse(`belongs to another user (${userId})`, "remove it");
  }
  if ((mode & 0o077) !== 0) {
    try {
      host.chmod(folder, 0o700);
    } catch {
      // Each file in the folder is also checked by itself.
    }
  }
}

function userIdOrThrow(host: Host, folder: string): number | undefined {
  try {
    return host.ownerOfNewFilesIn(`${folder}/`);
  } catch (error) {
    const why = errorMessageOf(error);
    throw new UntrustedFileError(
      folder,
      `the owner of ${folder} cannot be checked (${why}): it must be a ` +
        "folder that belongs to you and that you can write to",
    );
  }
}

/**
 * Reads a file of ours; `undefined` if it does not exist.
 *
 * @throws {UntrustedFileError} if another user may have written the file
 * @throws {Error} if the file is too large, or is replaced again and again
 */
export function readTrusted(
  host: Host,
  path: string,
  maxBytes: number,
): { readonly text: string; readonly ageMs: number } | undefined {
  for (let i = 0; i < MAX_READ_ATTEMPTS; i++) {
    const info = host.lstat(path);
    if (info === undefined) return undefined;
    const why = untrustedReason(host, path, info);
    if (why !== undefined) {
      const advice = info.isSymlink || info.isFile ? "remove it" : "move it";
      throw new UntrustedFileError(path, `${why}: ${advice}`);
    }
    assertSize(info, maxBytes);
    const text = host.readIfUnchanged(path, info);
    const ageMs = Math.max(0, Date.now() - info.modifiedAt);
    if (text !== undefined) return { text, ageMs };
    // Another process has just replaced the file.
  }
  throw new Error("other programs replace it too often to read it");
}

/** Throws if a file is larger than `maxBytes`. */
export function assertSize({ size }: FileInfo, maxBytes: number): void {
  if (size > maxBytes) {
    throw new Error(`it has ${size} bytes, and the limit is ${maxBytes}`);
  }
}

/**
 * Replaces or creates a file that only the user can read. If this throws, the
 * old file is unchanged. After a power cut, the file may be empty.
 */
export function writeAtomic(host: Host, path: string, text: string): void {
  const tempPath = writeTempFile(host, path, text, 0o600);
  try {
    assertRegularFile(host, path);
    host.rename(tempPath, path);
  } catch (error) {
    host.remove(tempPath);
    throw error;
  }
}

/** Throws if `writeAtomic` would fail to write the file. */
export function checkWritable(host: Host, path: string): void {
  assertRegularFile(host, path);
  host.remove(writeTempFile(host, path, "", 0o600));
}

function assertRegularFile(host: Host, path: string): void {
  const info = host.lstat(path);
  if (info !== undefined && !info.isFile) {
    throw new Error(`${path} is not a regular file`);
  }
}

/** Creates the folder of a file, if it does not exist. */
export function makeParentFolder(host: Host, path: string): void {
  const folder = parentFolderOf(path);
  if (folder !== "") host.makeFolder(folder);
}

/** Writes a new temporary file next to `path`, and returns its path. */
export function writeTempFile(
  host: Host,
  path: string,
  text: string,
  mode: number,
): string {
  makeParentFolder(host, path);
  // Another process may write the same file now. In another container, that
  // process may even have the same pid. A random suffix keeps the temporary
  // files separate, and the last rename wins.
  const suffix = Math.floor(Math.random() * 2 ** 32).toString(36);
  const tempPath = `${path}.${host.pid}-${suffix}.tmp`;
  if (host.createFile(tempPath, text, mode)) return tempPath;
  throw new Error(`${tempPath} already exists`);
}
