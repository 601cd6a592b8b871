/**
 * Reads and writes the cache file, which contains the daemon's last results.
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
  readTrusted,
  secureOwnFolder,
  stateFolder,
  UntrustedFileError,
  untrustedReason,
  writeAtomic,
} from "../runtime/own_files.ts";

/** The delay of a write, in milliseconds: several results share one write. */
const SAVE_DELAY_MS = 50;
/** The longest delay between a write and its check, in milliseconds. */
const CHECK_DELAY_MS = 500;
/** The longest delay before a check while the proxy exits, in milliseconds. */
const CLOSE_CHECK_DELAY_MS = 50;
/**
 * The most attempts to write results. The same number of failures in a row
 * causes a warning.
 */
const MAX_WRITE_ATTEMPTS = 4;
/** The most cache files of one daemon; each set of credentials has its own. */
const MAX_FILES_PER_DAEMON = 8;
/** The age from which a temporary file counts as abandoned, in milliseconds. */
const ORPHANED_TEMP_FILE_MS = 3_600_000;

/** A cache file and its content. */
export interface CacheFile {
  /** The file's path. */
  readonly path: string;
  /** The results in the file; empty if there are none that can be used. */
  readonly results: CachedResults;
  /** Why the file is not used. Undefined if it was read or does not exist. */
  readonly problem?: string;
  /** True if the read failed; a later attempt may succeed. */
  readonly isUnreadable?: true;
  /** The file or folder that another user may have written, if any. */
  readonly untrustedPath?: string;
  /** True if an unusable file must be kept: not ours, or named by the user. */
  readonly mustBeKept?: true;
}

/**
 * Reads the cache file. Returns `undefined` if `--cache` is off, or if it is on
 * and there is no state folder.
 */
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
  const unusableFile = (
    problem: string,
    mustBeKept = isUserNamed,
  ): CacheFile => ({
    path,
    results: EMPTY_CACHED_RESULTS,
    problem,
    ...(mustBeKept && { mustBeKept }),
  });
  try {
    // The folder of a file that the user has named is not ours to check.
    if (!isUserNamed) secureOwnFolder(host, stateFolder(host)!);
    const file = readTrusted(host, path, MAX_CACHE_FILE_BYTES);
    if (file === undefined) return { path, results: EMPTY_CACHED_RESULTS };
    const results = parseCache(file.text, cacheKey, file.ageMs);
    return typeof results === "string"
      ? unusableFile(results)
      : { path, results };
  } catch (error) {
    const why = errorMessageOf(error);
    if (error instanceof UntrustedFileError) {
      return { ...unusableFile(why, true), untrustedPath: error.path };
    }
    const problem = `it cannot be read (${why})`;
    return { ...unusableFile(problem), isUnreadable: true };
  }
}

/**
 * Writes one proxy's results to its cache file. Processes that share the file
 * use no lock. Each process reads the file, merges its results into it, and
 * renames a new file over the old one. If two processes do so at the same
 * moment, the results of one are lost. Therefore each process reads the file
 * again a moment later, and repeats the write if its results are missing.
 */
export class CacheWriter {
  readonly #config: Config;
  readonly #host: Host;
  readonly #log: (entry: LogEffect) => void;
  /** The results that no check has found in the file yet, if any. */
  #unconfirmed: CachedResults | undefined;
  #hasWritten = false;
  #writesLeft = 0;
  #isSaveScheduled = false;
  /** The number of failed writes in a row. */
  #failures = 0;

  /** Creates a writer with nothing to write. */
  constructor(config: Config, host: Host, log: (entry: LogEffect) => void) {
    this.#config = config;
    this.#host = host;
    this.#log = log;
  }

  /** Writes results after a short delay, so that no client waits for a file. */
  save(results: CachedResults): void {
    this.#unconfirmed = results;
    this.#hasWritten = false;
    this.#writesLeft = MAX_WRITE_ATTEMPTS;
    if (this.#isSaveScheduled) return;
    this.#isSaveScheduled = true;
    this.#host.setTimer(SAVE_DELAY_MS, () => {
      this.#isSaveScheduled = false;
      this.#writeAndCheckLater();
    });
  }

  /** Writes the results, up to `MAX_WRITE_ATTEMPTS` times, until a check finds them. */
  async close(): Promise<void> {
    this.#writesLeft = MAX_WRITE_ATTEMPTS;
    while (this.#writeUnlessConfirmed()) {
      await pause(this.#host, withJitter(CLOSE_CHECK_DELAY_MS));
    }
  }

  #writeAndCheckLater(): void {
    if (!this.#writeUnlessConfirmed()) return;
    this.#host.setTimer(
      withJitter(CHECK_DELAY_MS),
      () => this.#writeAndCheckLater(),
    );
  }

  /** Writes the unconfirmed results. Returns true if a check must follow. */
  #writeUnlessConfirmed(): boolean {
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
      // A file that cannot be read at the moment may contain results of other
      // processes, so only the last attempt replaces it.
      const mustNotReplace = file.mustBeKept ||
        file.isUnreadable && this.#writesLeft > 0;
      if (mustNotReplace) throw new Error(file.problem);
      const merged = mergeCachedResults(file.results, results);
      this.#write(file.path, serializeCache(cacheKey, merged));
      // The lifetimes in `discover` and `oneConnectionDaemons` begin with each
      // write. A second write would extend them.
      const { initialize, lists } = results;
      this.#unconfirmed = { initialize, lists };
      this.#hasWritten = true;
      this.#failures = 0;
    } catch (error) {
      // On Windows, another program may hold the file open for a moment.
      if (++this.#failures === MAX_WRITE_ATTEMPTS) this.#warn(file.path, error);
    }
    return true;
  }

  #warn(path: string, error: unknown): void {
    const text = `The daemon's results cannot be saved to the cache ${path}: ` +
      `${errorMessageOf(error)} (--cache off disables the cache).`;
    this.#log(createLogEffect("warn", "cache", text));
  }

  #write(path: string, text: string): void {
    if (new TextEncoder().encode(text).length > MAX_CACHE_FILE_BYTES) {
      throw new Error("the file would be larger than 8 MiB");
    }
    writeAtomic(this.#host, path, text);
    try {
      this.#removeObsoleteFiles(path);
    } catch {
      // Obsolete files do no harm, so the failure is ignored.
    }
  }

  /**
   * Removes this daemon's cache files that are ours and no longer needed:
   *
   * - the oldest files over the limit: a client that has a new token at each
   *   start creates a new file each time
   * - temporary files of processes that were killed before the rename
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
      .filter((it) => !untrustedReason(this.#host, it.path, it.info))
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

/** Returns a random time from `ms / 2` to `ms`, against simultaneous writes. */
function withJitter(ms: number): number {
  return ms * (1 + Math.random()) / 2;
}

/** Returns the key of the cache file for a daemon and its credentials. */
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

/** Returns the 32-bit FNV-1a hash of a text, as 8 hexadecimal digits. */
function fnv1a(text: string, seed: number): string {
  let value = seed;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** Returns 16 bits of a hash. They distinguish secrets, but reveal none. */
function fingerprint(secret: string): string {
  const value = Number.parseInt(fnv1a(secret, 0x811c9dc5), 16);
  return ((value >>> 16) ^ (value & 0xffff)).toString(16).padStart(4, "0");
}
