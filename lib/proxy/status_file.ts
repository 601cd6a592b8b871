/**
 * Writes the status file of a running proxy, and reads those of all proxies for
 * `alwaysup status`. The age of a file shows whether its proxy still runs.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { type Host } from "../runtime/host.ts";
import type { ProxyInfo } from "../telemetry/figures.ts";
import {
  type LiveStatus,
  parseStatus,
  type ProxyStatus,
  serializeStatus,
} from "./status_format.ts";
import {
  readTrusted,
  secureOwnFolder,
  stateFolder,
  UntrustedFileError,
  untrustedReason,
  writeAtomic,
} from "../runtime/own_files.ts";

/** The delay of the first write, in ms, because a client waits at the start. */
const INITIAL_DELAY_MS = 200;
/** The shortest time between two writes, in milliseconds. */
const MIN_WRITE_INTERVAL_MS = 1_000;
/** The longest time between two writes, in milliseconds. */
const REFRESH_INTERVAL_MS = 5_000;
/** The age from which a file's proxy counts as ended, in milliseconds. */
const STALE_STATUS_MS = 3 * REFRESH_INTERVAL_MS;
const MAX_STATUS_FILE_BYTES = 1024 * 1024;
/** The name of a proxy's file, or of the temporary file before its rename. */
const STATUS_FILE_NAME = /^\d+-[0-9a-z]+\.json(\.\d+-[0-9a-z]+\.tmp)?$/;

/** Returns the folder of the status files, if the user has a state folder. */
export function statusFolder(host: Host): string | undefined {
  const folder = stateFolder(host);
  return folder && `${folder}/running`;
}

/** This proxy's status file. */
export class StatusFile {
  readonly #host: Host;
  readonly #info: ProxyInfo;
  readonly #path: string;
  #writtenStatus = "";
  #hasFailed = false;
  /** When the file may be written again, and when it must be. */
  #earliestWriteAt: number;
  #refreshAt = -Infinity;
  #nextWriteAt: number;

  /** Creates the object; writes nothing yet. */
  constructor(host: Host, folder: string, info: ProxyInfo, now: number) {
    this.#host = host;
    this.#info = info;
    // Containers may share the folder and have processes with the same pid.
    this.#path = `${folder}/${info.pid}-${info.startedAt.toString(36)}.json`;
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
   * Writes the file if the state has changed, or before the file looks stale.
   *
   * @param wallClockOffsetMs how far the wall clock is ahead of `now`
   * @throws {UntrustedFileError} if another user may have written the file
   * @throws {Error} at the first of several failures in a row
   */
  update(status: LiveStatus, now: number, wallClockOffsetMs: number): void {
    const text = JSON.stringify(status);
    const isDue = text !== this.#writtenStatus || now >= this.#refreshAt;
    if (isDue) this.#refreshAt = now + REFRESH_INTERVAL_MS;
    this.#nextWriteAt = this.#refreshAt;
    if (!isDue) return;
    this.#earliestWriteAt = this.#refreshAt;
    try {
      secureStatusFolders(this.#host);
      writeAtomic(
        this.#host,
        this.#path,
        serializeStatus(
          this.#info,
          { ...status, writtenAt: now },
          wallClockOffsetMs,
        ),
      );
    } catch (error) {
      if (this.#hasFailed && !(error instanceof UntrustedFileError)) return;
      this.#hasFailed = true;
      throw error;
    }
    this.#hasFailed = false;
    this.#writtenStatus = text;
    this.#earliestWriteAt = now + MIN_WRITE_INTERVAL_MS;
  }

  /** Removes the file, because the proxy exits. */
  remove(): void {
    try {
      this.#host.remove(this.#path);
    } catch {
      // Readers ignore the file once it is stale.
    }
  }
}

/** The result of {@linkcode findRunningProxies}. */
export interface RunningProxies {
  /** Every running proxy, the oldest first. */
  readonly proxies: readonly ProxyStatus[];
  /** A message for each file or folder that cannot be used. */
  readonly problems: readonly string[];
  /** True if the folder could be read, or does not exist. */
  readonly isComplete: boolean;
}

/** Finds the running proxies; removes our files of ended proxies. */
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
    const isNotOwned = error instanceof UntrustedFileError;
    problems.push(isNotOwned ? why : `${folder} cannot be read (${why})`);
    return { proxies, problems, isComplete: false };
  }
  for (const name of names.filter((name) => STATUS_FILE_NAME.test(name))) {
    const path = `${folder}/${name}`;
    try {
      if (removeIfStale(host, path) || !name.endsWith(".json")) continue;
      const text = readTrusted(host, path, MAX_STATUS_FILE_BYTES)?.text;
      if (text === undefined) continue; // The proxy has just ended.
      const status = parseStatus(text);
      if (status !== undefined) proxies.push(status);
      else problems.push(`${path} is not a status file of this version`);
    } catch (error) {
      const why = errorMessageOf(error);
      problems.push(
        error instanceof UntrustedFileError
          ? `${path} is ignored: ${why}`
          : `${path} cannot be read (${why})`,
      );
    }
  }
  proxies.sort((a, b) => a.startedAt - b.startedAt);
  return { proxies, problems, isComplete: true };
}

/**
 * Removes a stale file of ours. Returns true if the file is stale or gone. If
 * the proxy of a stale file only slept, it writes the file again.
 */
function removeIfStale(host: Host, path: string): boolean {
  const info = host.lstat(path);
  if (info === undefined) return true;
  if (Date.now() - info.modifiedAt < STALE_STATUS_MS) return false;
  if (untrustedReason(host, path, info) === undefined) host.remove(path);
  return true;
}

function secureStatusFolders(host: Host): void {
  secureOwnFolder(host, stateFolder(host)!);
  secureOwnFolder(host, statusFolder(host)!);
}
