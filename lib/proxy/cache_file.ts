/**
 * The cache file, with the daemon's last results.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import type { Config } from "../config/config.ts";
import { acquireLock, readOwned, writeAtomic } from "../runtime/atomic_file.ts";
import { type Host } from "../runtime/host.ts";
import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
  mergeCachedResults,
} from "../cache/cache.ts";
import {
  type CacheKey,
  isCacheFileText,
  MAX_CACHE_FILE_BYTES,
  parseCache,
  serializeCache,
} from "../cache/format.ts";
import { stateFolder } from "../runtime/state_folder.ts";
import { NotOwnedError, secureOwnFolder } from "../runtime/ownership.ts";

/** How many files a daemon may have: one for each user of it. */
const MAX_FILES_PER_DAEMON = 8;
/** The age at which a temporary file is abandoned, in milliseconds. */
const ORPHANED_TEMP_FILE_MS = 3_600_000;
/** How the name of a temporary file ends. */
const TEMP_FILE_REST = /^([0-9a-f]{4}\.json)?\.\d+-[0-9a-z]+\.tmp$/;

/** A cache file and its content. */
export interface CacheFile {
  /** The file's path. */
  readonly path: string;
  /** The results that were in it. */
  readonly results: CachedResults;
  /** Why nothing was read, if that is worth a log line. */
  readonly problem?: string;
  /** The file or folder that is not owned. */
  readonly notOwnedPath?: string;
  /**
   * Set if the file must not be written: it is not ours, or the user has named
   * it.
   */
  readonly isReadOnly?: true;
}

/** Reads the cache that a `--cache` setting names; `undefined` for none. */
export function readCacheFile(
  setting: string,
  cacheKey: CacheKey,
  host: Host,
): CacheFile | undefined {
  const location = cacheLocationOf(setting, cacheKey, host);
  return location && readCacheAt(location, cacheKey, host);
}

function readCacheAt(
  location: CacheLocation,
  cacheKey: CacheKey,
  host: Host,
): CacheFile {
  const { path, isUserNamed } = location;
  const unusable = (problem: string, isReadOnly = isUserNamed): CacheFile => ({
    path,
    results: EMPTY_CACHED_RESULTS,
    problem,
    ...(isReadOnly && { isReadOnly }),
  });
  try {
    const getUserId = cacheUserIdGetter(location, host);
    // The folder of a file that the user has named is not checked: it is the
    // user's.
    if (!isUserNamed) secureOwnFolder(host, stateFolder(host)!, getUserId);
    const file = readOwned(host, path, MAX_CACHE_FILE_BYTES, getUserId);
    if (file === undefined) return { path, results: EMPTY_CACHED_RESULTS };
    const results = parseCache(file.text, cacheKey, file.ageMs);
    return typeof results === "string" ? unusable(results) : { path, results };
  } catch (error) {
    const why = errorMessageOf(error);
    if (error instanceof NotOwnedError) {
      return { ...unusable(why, true), notOwnedPath: error.path };
    }
    return unusable(`it cannot be read (${why})`);
  }
}

/**
 * Writes new results, merged with what other processes have written meanwhile.
 * Throws if it cannot.
 *
 * @param lock `required`: writes only with the lock; `optional`: writes without
 * it, too, which may lose what another process writes at the same moment
 * @returns `locked` if another process has the lock
 */
export async function writeCacheFile(
  setting: string,
  cacheKey: CacheKey,
  newResults: CachedResults,
  host: Host,
  lock: "required" | "optional" = "required",
): Promise<"done" | "locked"> {
  const location = cacheLocationOf(setting, cacheKey, host);
  if (location === undefined) return "done";
  const { path, isUserNamed } = location;
  const folder = parentFolderOf(path);
  const getUserId = cacheUserIdGetter(location, host);
  if (!isUserNamed) secureOwnFolder(host, stateFolder(host)!, getUserId);
  if (folder !== "") host.makeFolder(folder);
  // Without the lock, a process that reads while another one writes would undo
  // its update.
  const hasLock = acquireLock(host, lockPathOf(path), getUserId);
  if (!hasLock && lock === "required") return "locked";
  try {
    const { isReadOnly, problem, results } = readCacheAt(
      location,
      cacheKey,
      host,
    );
    if (isReadOnly) throw new Error(problem);
    const text = serializeCache(
      cacheKey,
      mergeCachedResults(results, newResults),
    );
    if (new TextEncoder().encode(text).length > MAX_CACHE_FILE_BYTES) {
      throw new Error("it would be too large");
    }
    const isNew = host.lstat(path) === undefined;
    await writeAtomic(host, path, text);
    try {
      removeObsoleteFiles(location, isNew, host, getUserId);
    } catch {
      // Obsolete files do no harm.
    }
  } finally {
    if (hasLock) releaseLock(host, lockPathOf(path));
  }
  return "done";
}

/**
 * Removes a lock. One that cannot be removed counts as abandoned after a while.
 */
function releaseLock(host: Host, lock: string): void {
  try {
    host.remove(lock);
  } catch {
    // The results are written all the same.
  }
}

/** Returns the path of the lock for a file. */
export function lockPathOf(path: string): string {
  return `${path}.lock`;
}

interface CacheLocation {
  readonly path: string;
  readonly isUserNamed: boolean;
}

/** Returns the location of a setting's cache; `undefined` if there is none. */
function cacheLocationOf(
  setting: string,
  cacheKey: CacheKey,
  host: Host,
): CacheLocation | undefined {
  if (/^(off|0)$/i.test(setting)) return undefined;
  const isUserNamed = !/^on$/i.test(setting);
  const path = isUserNamed ? setting : cachePathOf(cacheKey, host);
  return path === undefined ? undefined : { path, isUserNamed };
}

/** Returns a function that gives the user who must own the file. */
function cacheUserIdGetter(
  { path }: CacheLocation,
  host: Host,
): () => number | undefined {
  return () => host.userIdIn(parentFolderOf(path) || ".");
}

/** Returns the key of the cache for these settings. */
export function cacheKeyOf(
  { url, redactedUrl, dialect, headers, helloToken }: Pick<
    Config,
    "url" | "redactedUrl" | "dialect" | "headers" | "helloToken"
  >,
): CacheKey {
  const credentialsHash = fingerprint(JSON.stringify([headers, helloToken]));
  return {
    daemon: redactedUrl,
    key: fingerprint(url),
    dialect,
    user: credentialsHash,
  };
}

/**
 * Removes obsolete files beside a file that was just written; only files that
 * we have written.
 */
function removeObsoleteFiles(
  { path, isUserNamed }: CacheLocation,
  isNew: boolean,
  host: Host,
  getUserId: () => number | undefined,
): void {
  const folder = parentFolderOf(path);
  const prefixEnd = isUserNamed ? path.length : path.lastIndexOf("-") + 1;
  const prefix = path.slice(folder.length, prefixEnd);
  const files = host.listFolder(folder === "" ? "." : folder)
    .filter((name) => name.startsWith(prefix))
    .map((name) => ({ path: folder + name, rest: name.slice(prefix.length) }));
  const modifiedAtOf = (file: { readonly path: string }): number =>
    host.lstat(file.path)?.modifiedAt ?? 0;
  // The process was killed before the rename.
  const orphaned = files.filter((file) =>
    TEMP_FILE_REST.test(file.rest) &&
    Date.now() - modifiedAtOf(file) > ORPHANED_TEMP_FILE_MS
  );
  // A client with a new token at each start has a new file each time.
  const surplus = isUserNamed || !isNew ? [] : files
    .filter(({ rest }) => /^[0-9a-f]{4}\.json$/.test(rest))
    .map((file) => ({ ...file, modifiedAt: modifiedAtOf(file) }))
    .toSorted((a, b) => b.modifiedAt - a.modifiedAt)
    .slice(MAX_FILES_PER_DAEMON);
  for (const file of [...surplus, ...orphaned]) {
    try {
      const text =
        readOwned(host, file.path, MAX_CACHE_FILE_BYTES, getUserId)?.text ?? "";
      if (isCacheFileText(text)) host.remove(file.path);
    } catch {
      // It is not ours, or has just been removed.
    }
  }
}

/**
 * Returns one path for each daemon, dialect and user, in the user's state
 * folder; `undefined` where there is none.
 */
function cachePathOf(
  { daemon, key, dialect, user }: CacheKey,
  host: Host,
): string | undefined {
  const folder = stateFolder(host);
  if (folder === undefined) return undefined;
  const name = daemon.replace(/^wss?:\/\//, "").replace(/[^\w.-]+/g, "_");
  const daemonHash = fnv1a(daemon, 0x811c9dc5) + fnv1a(daemon, 0x01234567);
  const file = [dialect, name.slice(0, 60), daemonHash + key, user].join("-");
  return `${folder}/${file}.json`;
}

/** FNV-1a, 32 bits. */
function fnv1a(text: string, seed: number): string {
  let value = seed;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}

/**
 * Returns a short hash that tells one secret from another: 16 bits do not
 * reveal it.
 */
function fingerprint(secret: string): string {
  const value = Number.parseInt(fnv1a(secret, 0x811c9dc5), 16);
  return ((value >>> 16) ^ (value & 0xffff)).toString(16).padStart(4, "0");
}
