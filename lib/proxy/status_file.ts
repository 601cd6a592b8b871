/**
 * The status file: a running proxy writes it, and `alwaysup status` reads it.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { stateFolder } from "../runtime/state_folder.ts";
import {
  isPermanentWriteError,
  readOwned,
  writeAtomicWithoutSync,
} from "../runtime/atomic_file.ts";
import { type FileInfo, type Host } from "../runtime/host.ts";
import {
  isStatusText,
  MAX_STATUS_FILE_BYTES,
  parseStatus,
  type ProxyInfo,
  type ProxyStatus,
  REFRESH_INTERVAL_MS,
  serializeStatus,
  STALE_STATUS_MS,
} from "./status_format.ts";
import type { Snapshot } from "../session/snapshot.ts";
import {
  NotOwnedError,
  notOwnedReason,
  secureOwnFolder,
} from "../runtime/ownership.ts";

/**
 * How long after the start the file is written: the start itself must stay
 * fast, because the client waits.
 */
const INITIAL_DELAY_MS = 200;
/** The shortest time between two writes, in milliseconds. */
const MIN_WRITE_INTERVAL_MS = 1_000;
/**
 * The names of a proxy's files here: status file, lock file, temporary file.
 */
const STATUS_FILE_NAME = /^\d+-[0-9a-z]+\.json$/;
const LOCK_FILE_NAME = /^\d+-[0-9a-z]+\.lock$/;
const TEMP_FILE_NAME = /^\d+-[0-9a-z]+\.json\.\d+-[0-9a-z]+\.tmp$/;

/**
 * Returns the folder of the status files; `undefined` where the user has no
 * state folder.
 */
export function statusFolder(host: Host): string | undefined {
  const folder = stateFolder(host);
  return folder && `${folder}/running`;
}

/** This proxy's status file. */
export class StatusFile {
  readonly #host: Host;
  readonly #info: Omit<ProxyInfo, "sign">;
  readonly #folder: string;
  /** How many writes in a row have failed. */
  #failures = 0;
  #sign: ProxyInfo["sign"] | undefined;
  #written = "";
  /** When it may be written again, and when it must be. */
  #earliestWriteAt: number;
  #refreshAt = -Infinity;
  #nextWriteAt: number;

  /** Creates the object; writes nothing yet. */
  constructor(
    host: Host,
    folder: string,
    info: Omit<ProxyInfo, "sign">,
    now: number,
  ) {
    this.#host = host;
    this.#folder = folder;
    this.#info = info;
    this.#earliestWriteAt = this.#nextWriteAt = now + INITIAL_DELAY_MS;
  }

  /** When {@linkcode update} must be called next. */
  get nextWriteAt(): number {
    return this.#nextWriteAt;
  }

  /** Schedules an update, because the state may have changed. */
  markDirty(now: number): void {
    this.#nextWriteAt = Math.min(
      this.#nextWriteAt,
      Math.max(now, this.#earliestWriteAt),
    );
  }

  /**
   * Writes the file if the state has changed, or before its age makes it look
   * stale. Throws if it cannot.
   *
   * @param wallClockOffsetMs how far the wall clock is ahead of `now`, in
   * milliseconds
   */
  update(snapshot: Snapshot, now: number, wallClockOffsetMs: number): void {
    const text = JSON.stringify(snapshot);
    if (text !== this.#written || now >= this.#refreshAt) {
      this.#earliestWriteAt = this.#nextWriteAt = now + MIN_WRITE_INTERVAL_MS;
      if (!this.#tryWrite(snapshot, wallClockOffsetMs)) return;
      this.#written = text;
      this.#refreshAt = now + REFRESH_INTERVAL_MS;
    }
    this.#nextWriteAt = this.#refreshAt;
  }

  /**
   * Writes the file and returns whether it succeeded. Throws if the error is
   * permanent.
   */
  #tryWrite(snapshot: Snapshot, wallClockOffsetMs: number): boolean {
    try {
      this.#write(snapshot, wallClockOffsetMs);
      this.#failures = 0;
      return true;
    } catch (error) {
      if (isPermanentWriteError(this.#host, error, ++this.#failures)) {
        throw error;
      }
      return false;
    }
  }

  #write(snapshot: Snapshot, wallClockOffsetMs: number): void {
    // The lock must exist before anybody looks for it, and somebody may have
    // removed it.
    if (
      this.#sign === undefined ||
      this.#sign === "lock" &&
        this.#host.lstat(this.#path("lock")) === undefined
    ) {
      secureStatusFolders(this.#host);
      this.#host.makeFolder(this.#folder);
      this.#sign = this.#host.createLockedFile(this.#path("lock"))
        ? "lock"
        : "heartbeat";
    }
    const info = { ...this.#info, sign: this.#sign };
    const text = serializeStatus(info, snapshot, wallClockOffsetMs);
    writeAtomicWithoutSync(this.#host, this.#path("json"), text);
  }

  /** Removes the file. */
  remove(): void {
    if (this.#sign === undefined) return;
    try {
      for (const kind of ["json", "lock"] as const) {
        this.#host.remove(this.#path(kind));
      }
    } catch {
      // A reader sees that the proxy has ended.
    }
  }

  #path(kind: "json" | "lock"): string {
    // Containers may share the folder, and their processes may have the same
    // pids.
    const { pid, startedAt } = this.#info;
    return `${this.#folder}/${pid}-${startedAt.toString(36)}.${kind}`;
  }
}

/** The result of {@linkcode findRunningProxies}. */
export interface RunningProxies {
  /** Every running proxy, the oldest first. */
  readonly proxies: readonly ProxyStatus[];
  /** What cannot be read, and why. */
  readonly problems: readonly string[];
  /** True if the folder itself could be read. */
  readonly isComplete: boolean;
}

/**
 * Finds every running proxy, and removes the files of those that have ended. A
 * file whose name, owner or content is not ours stays.
 */
export function findRunningProxies(host: Host): RunningProxies {
  const proxies: ProxyStatus[] = [];
  const problems: string[] = [];
  const folder = statusFolder(host);
  if (folder === undefined) return { proxies, problems, isComplete: true };
  let names: readonly string[];
  try {
    secureStatusFolders(host);
    names = host.listFolder(folder);
  } catch (error) {
    const why = errorMessageOf(error);
    problems.push(
      error instanceof NotOwnedError
        ? why
        : `${folder} cannot be read (${why})`,
    );
    return { proxies, problems, isComplete: false };
  }
  for (const name of names) {
    const path = `${folder}/${name}`;
    try {
      if (STATUS_FILE_NAME.test(name)) {
        const status = readStatusFile(host, path);
        if (typeof status === "string") problems.push(`${path} ${status}`);
        else if (status !== undefined) proxies.push(status);
      } else if (isOrphaned(host, path, name, names)) host.remove(path);
    } catch (error) {
      problems.push(`${path} cannot be read (${errorMessageOf(error)})`);
    }
  }
  proxies.sort((a, b) => a.startedAt - b.startedAt);
  return { proxies, problems, isComplete: true };
}

/**
 * Returns the proxy of a file: `undefined` if it has ended, a text if that is
 * unknown.
 */
function readStatusFile(
  host: Host,
  path: string,
): ProxyStatus | string | undefined {
  let text: string | undefined;
  let status: ProxyStatus | undefined;
  let problem = "is not a status file of this version";
  try {
    text = readOwned(
      host,
      path,
      MAX_STATUS_FILE_BYTES,
      statusUserIdGetter(host),
    )?.text;
    if (text === undefined) return undefined; // it has just ended
    status = parseStatus(text);
  } catch (error) {
    const why = errorMessageOf(error);
    const isNotOwned = error instanceof NotOwnedError;
    problem = isNotOwned
      ? `is not believed: ${why}`
      : `cannot be read (${why})`;
  }
  const lockPath = path.replace(/json$/, "lock");
  const usesLock = status?.sign === "lock";
  const isLocked = usesLock ? isLockHeld(host, lockPath) : undefined;
  if (isLocked ?? statusFileAgeMs(host, path) < STALE_STATUS_MS) {
    return status ?? problem;
  }
  // Without the lock, nobody can tell that the proxy has ended: it may have
  // slept.
  if (usesLock && isLocked === undefined) return undefined;
  // A file that is not ours is not a proxy of ours; it stays.
  if (text === undefined || !isStatusText(text)) return undefined;
  host.remove(path);
  if (isOwnedAndEmpty(host, lockPath)) host.remove(lockPath);
  return undefined;
}

/** True if a file was left by a proxy that was killed during a write. */
function isOrphaned(
  host: Host,
  path: string,
  name: string,
  names: readonly string[],
): boolean {
  if (TEMP_FILE_NAME.test(name)) {
    const info = host.lstat(path);
    return info !== undefined && isOwned(host, info) &&
      Date.now() - info.modifiedAt > STALE_STATUS_MS;
  }
  return LOCK_FILE_NAME.test(name) &&
    !names.includes(name.replace(/lock$/, "json")) &&
    isLockHeld(host, path) === false && isOwnedAndEmpty(host, path);
}

/** True if a process holds the lock; `false` for a file that is not ours. */
function isLockHeld(host: Host, path: string): boolean | undefined {
  const info = host.lstat(path);
  const isLock = info === undefined || isOwned(host, info);
  return isLock ? host.isLocked(path) : false;
}

function isOwnedAndEmpty(host: Host, path: string): boolean {
  const info = host.lstat(path);
  return info?.size === 0 && isOwned(host, info);
}

function isOwned(host: Host, info: FileInfo): boolean {
  return notOwnedReason(info, statusUserIdGetter(host)) === undefined;
}

/**
 * Returns a file's age in milliseconds; `Infinity` if it has just been removed.
 */
function statusFileAgeMs(host: Host, path: string): number {
  return Date.now() - (host.lstat(path)?.modifiedAt ?? -Infinity);
}

/**
 * Removes other users' permissions from our two folders. Throws if they are not
 * ours.
 */
function secureStatusFolders(host: Host): void {
  const getUserId = statusUserIdGetter(host);
  secureOwnFolder(host, stateFolder(host)!, getUserId);
  secureOwnFolder(host, statusFolder(host)!, getUserId);
}

function statusUserIdGetter(host: Host): () => number | undefined {
  return () => host.userIdIn(stateFolder(host)!);
}
