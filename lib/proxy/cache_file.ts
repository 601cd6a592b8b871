/**
 * The cache file, with the daemon's last results.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { errorMessageOf } from "../text/error_message.ts";
import type { Config } from "../config/config.ts";
import { cacheModeOf } from "../config/parsers.ts";
import type { LogEffect } from "../events.ts";
import { type Host, pause } from "../runtime/host.ts";
import { createLogEffect } from "../session/session_log.ts";
import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
  hasAllResults,
  mergeCachedResults,
} from "../cache/cache.ts";
import {
  type CacheKey,
  MAX_CACHE_FILE_BYTES,
  parseCache,
  serializeCache,
} from "../cache/format.ts";
import {
  NotOwnedError,
  notOwnedReason,
  readOwned,
  secureOwnFolder,
  stateFolder,
  writeAtomic,
} from "../runtime/own_files.ts";

/** How long results wait for others to be written with them, in milliseconds. */
const SAVE_DELAY_MS = 50;
/** The longest time between a write and its check, in milliseconds. */
const CHECK_DELAY_MS = 500;
/** The same while the proxy exits. */
const CLOSE_CHECK_DELAY_MS = 50;
/** How often the same results are written at most. */
const MAX_WRITES = 4;
/** How many files a daemon may have: one for each user of it. */
const MAX_FILES_PER_DAEMON = 8;
/** The age at which a temporary file is abandoned, in milliseconds. */
const ORPHANED_TEMP_FILE_MS = 3_600_000;

/** A cache file and its content. */
export interface CacheFile {
  /** The file's path. */
  readonly path: string;
  /** The results that were in it. */
  readonly results: CachedResults;
  /** Why nothing was read, if that is worth a log line. */
  readonly problem?: string;
  /** Set if the file is there and a read failed, perhaps for a moment only. */
  readonly isUnreadable?: true;
  /** The file or folder that is not owned. */
  readonly notOwnedPath?: string;
  /** Set if it must not be written: not ours, or named by the user. */
  readonly isReadOnly?: true;
}

/** Reads the cache that a `--cache` setting names; `undefined` for none. */
export function readCacheFile(
  setting: string,
  cacheKey: CacheKey,
  host: Host,
): CacheFile | undefined {
  const mode = cacheModeOf(setting);
  if (mode === "off") return undefined;
  const isUserNamed = mode === "path";
  const path = isUserNamed ? setting : cachePathOf(cacheKey, host);
  if (path === undefined) return undefined;
  const unusable = (problem: string, isReadOnly = isUserNamed): CacheFile => ({
    path,
    results: EMPTY_CACHED_RESULTS,
    problem,
    ...(isReadOnly && { isReadOnly }),
  });
  try {
    // The folder of a file that the user has named is not checked: it is the
    // user's.
    if (!isUserNamed) secureOwnFolder(host, stateFolder(host)!);
    const file = readOwned(host, path, MAX_CACHE_FILE_BYTES);
    if (file === undefined) return { path, results: EMPTY_CACHED_RESULTS };
    const results = parseCache(file.text, cacheKey, file.ageMs);
    return typeof results === "string" ? unusable(results) : { path, results };
  } catch (error) {
    const why = errorMessageOf(error);
    if (error instanceof NotOwnedError) {
      return { ...unusable(why, true), notOwnedPath: error.path };
    }
    const problem = `it cannot be read (${why})`;
    return { ...unusable(problem), isUnreadable: true };
  }
}

/**
 * Writes one proxy's results to its cache file. Processes that share the file
 * use no lock: each reads the file, merges its results and renames the new file
 * over the old one. Of two that do so at the same moment, one loses its
 * results. Each process therefore reads the file again a moment later, and
 * writes again what is missing.
 */
export class CacheWriter {
  readonly #config: Config;
  readonly #host: Host;
  readonly #log: (entry: LogEffect) => void;
  /** The results that a check has not found in the file yet. */
  #unconfirmed: CachedResults | undefined;
  #hasWritten = false;
  #writesLeft = 0;
  #isSaveScheduled = false;
  /** How many writes in a row have failed. */
  #failures = 0;

  /** Creates a writer with nothing to write. */
  constructor(config: Config, host: Host, log: (entry: LogEffect) => void) {
    this.#config = config;
    this.#host = host;
    this.#log = log;
  }

  /** Writes results soon: the client must not wait for a file. */
  save(results: CachedResults): void {
    this.#unconfirmed = results;
    this.#hasWritten = false;
    this.#writesLeft = MAX_WRITES;
    if (this.#isSaveScheduled) return;
    this.#isSaveScheduled = true;
    this.#host.setTimer(SAVE_DELAY_MS, () => {
      this.#isSaveScheduled = false;
      this.#writeAndCheckLater();
    });
  }

  /** Writes what is not in the file yet, and waits until a check finds it. */
  async close(): Promise<void> {
    this.#writesLeft = MAX_WRITES;
    while (this.#writeUnlessFound()) {
      await pause(this.#host, withJitter(CLOSE_CHECK_DELAY_MS));
    }
  }

  #writeAndCheckLater(): void {
    if (!this.#writeUnlessFound()) return;
    this.#host.setTimer(
      withJitter(CHECK_DELAY_MS),
      () => this.#writeAndCheckLater(),
    );
  }

  /** Returns whether the file is to be checked again. */
  #writeUnlessFound(): boolean {
    const results = this.#unconfirmed;
    if (results === undefined) return false;
    const cacheKey = cacheKeyOf(this.#config);
    const file = readCacheFile(this.#config.cache, cacheKey, this.#host);
    const isFound = this.#hasWritten && file !== undefined &&
      hasAllResults(file.results, results);
    if (file === undefined || isFound || this.#writesLeft-- === 0) {
      this.#unconfirmed = undefined;
      return false;
    }
    try {
      // To replace what may become readable would lose the results of others.
      const mustNotReplace = file.isReadOnly ||
        file.isUnreadable && this.#writesLeft > 0;
      if (mustNotReplace) throw new Error(file.problem);
      const merged = mergeCachedResults(file.results, results);
      this.#write(file.path, serializeCache(cacheKey, merged));
      // The lifetimes of the others would begin again with each write.
      const { initialize, lists } = results;
      this.#unconfirmed = { initialize, lists };
      this.#hasWritten = true;
      this.#failures = 0;
    } catch (error) {
      // On Windows, another program may hold the file for a moment.
      if (++this.#failures === MAX_WRITES) this.#warn(file.path, error);
    }
    return true;
  }

  #warn(path: string, error: unknown): void {
    const text = `What the daemon says of itself is not kept in ${path}: ` +
      `${errorMessageOf(error)} (--cache off switches the cache off).`;
    this.#log(createLogEffect("warn", "cache", text));
  }

  #write(path: string, text: string): void {
    if (new TextEncoder().encode(text).length > MAX_CACHE_FILE_BYTES) {
      throw new Error("it would be too large");
    }
    writeAtomic(this.#host, path, text);
    try {
      this.#removeObsoleteFiles(path);
    } catch {
      // Obsolete files do no harm.
    }
  }

  /**
   * Removes what has the name of a cache file of this daemon, is ours, and is
   * of no use: the oldest files, because a client with a new token at each
   * start has a new file each time, and the temporary files of processes that
   * were killed before the rename.
   */
  #removeObsoleteFiles(path: string): void {
    const folder = parentFolderOf(path);
    const userSuffix = /[0-9a-f]{4}\.json/;
    const isUserNamed = cacheModeOf(this.#config.cache) === "path";
    const prefix = isUserNamed ? path : path.replace(userSuffix, "");
    const rest = new RegExp(
      `^${isUserNamed ? "" : userSuffix.source}(\\.\\d+-[0-9a-z]+\\.tmp)?$`,
    );
    const files = this.#host.listFolder(folder || ".")
      .map((name) => folder + name)
      .filter((it) =>
        it.startsWith(prefix) && rest.test(it.slice(prefix.length))
      )
      .map((it) => ({ path: it, info: this.#host.lstat(it)! }))
      .filter((it) => !notOwnedReason(this.#host, it.path, it.info))
      .toSorted((a, b) => b.info.modifiedAt - a.info.modifiedAt);
    let count = 0;
    for (const { path, info } of files) {
      const isObsolete = path.endsWith(".tmp")
        ? Date.now() - info.modifiedAt > ORPHANED_TEMP_FILE_MS
        : ++count > MAX_FILES_PER_DAEMON;
      if (isObsolete) this.#host.remove(path);
    }
  }
}

/** Half of the time to all of it, so that processes do not write together. */
function withJitter(ms: number): number {
  return ms * (1 + Math.random()) / 2;
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

/** Tells secrets apart: 16 bits do not reveal one. */
function fingerprint(secret: string): string {
  const value = Number.parseInt(fnv1a(secret, 0x811c9dc5), 16);
  return ((value >>> 16) ^ (value & 0xffff)).toString(16).padStart(4, "0");
}
