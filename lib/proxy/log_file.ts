/**
 * Writes log lines to a file, which several proxies may share. A problem with
 * the file is a warning on stderr, and never ends the proxy.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import {
  type FileInfo,
  type Host,
  isFsyncUnsupported,
  systemErrorCode,
} from "../runtime/host.ts";
import {
  makeParentFolder,
  UntrustedFileError,
  untrustedReason,
} from "../runtime/own_files.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import type { SharedOutput } from "./logger.ts";
import type { appendToFile, Rotation } from "./file_sink.ts";

/** The help of `--log-file` names these figures. */
const ROTATION: Rotation = { maxBytes: 10 * 1024 * 1024, maxOldFiles: 4 };
/** Only the user may read the log. */
const LOG_FILE_MODE = 0o600;
/** The most characters that wait for the file. */
const MAX_WAITING_CHARS = 1024 * 1024;
/** How long the exit waits for the file, in milliseconds. */
const CLOSE_LOG_FILE_MS = 500;
/** The age from which a lock's process counts as ended, in milliseconds. */
const STALE_LOCK_MS = 10_000;
/** The kind of all problems of a full disk. */
const NO_SPACE = "no space";

async function loadAppendToFile(): Promise<typeof appendToFile> {
  return (await import("./file_sink.ts")).appendToFile;
}

/**
 * A log file. A line is written at once, and then flushed to the disk. Lines
 * that follow during the flush are written together after it.
 */
export class LogFile implements SharedOutput {
  /** The id of this process. */
  readonly pid: number;
  readonly #host: Host;
  readonly #path: string;
  readonly #lock: string;
  readonly #warn: (message: string) => void;
  readonly #rotation: Rotation;
  readonly #loaded: Promise<void>;
  /** Undefined until it is loaded. */
  #append: typeof appendToFile | undefined;
  #hasLoadFailed = false;
  #lines: string[] = [];
  #waitingChars = 0;
  /** The flushes that have begun. */
  readonly #flushes = new Set<Promise<void>>();
  /** The kinds of problems that were reported. */
  readonly #reported = new Set<string>();
  /** The size at which the next rotation is tried. */
  #rotateAtBytes: number;
  /** True if the end of the last line is missing in the file. */
  #isLineCut = false;

  /**
   * Begins to load what writes the file. The lines wait until then.
   *
   * @param warn is called once for each kind of problem
   */
  constructor(
    host: Host,
    path: string,
    warn: (message: string) => void,
    rotation: Rotation = ROTATION,
    loadAppend: () => Promise<typeof appendToFile> = loadAppendToFile,
  ) {
    this.pid = host.pid;
    this.#host = host;
    this.#path = path;
    this.#lock = `${path}.lock`;
    this.#warn = warn;
    this.#rotation = rotation;
    this.#rotateAtBytes = rotation.maxBytes;
    this.#loaded = this.#load(loadAppend);
  }

  async #load(loadAppend: () => Promise<typeof appendToFile>): Promise<void> {
    try {
      this.#append = await loadAppend();
    } catch (error) {
      this.#hasLoadFailed = true;
      const why = errorMessageOf(error);
      return this.#report(
        "load",
        `The log file ${this.#path} is not written: the package that writes ` +
          `it cannot be loaded (${why}). The log is only on stderr.`,
      );
    }
    this.#writeLines();
  }

  /** Writes a line, or keeps it while a flush runs. */
  readonly write = (line: string): void => {
    if (this.#hasLoadFailed) return;
    if (this.#waitingChars > MAX_WAITING_CHARS) {
      return this.#report(
        "slow",
        `The log file ${this.#path} lacks lines: the disk is too slow for ` +
          "all. Raise --log-level, or name a file on another disk.",
      );
    }
    this.#lines.push(line);
    this.#waitingChars += line.length;
    if (this.#flushes.size === 0) this.#writeLines();
  };

  /** Writes the lines that still wait, and waits some time for the disk. */
  async close(): Promise<void> {
    const close = async (): Promise<void> => {
      await this.#loaded;
      this.#writeLines();
      await Promise.all(this.#flushes);
    };
    await waitAtMost(CLOSE_LOG_FILE_MS, close());
  }

  #writeLines(): void {
    if (this.#append === undefined || this.#lines.length === 0) return;
    const text = `${this.#lines.join("\n")}\n`;
    this.#lines = [];
    this.#waitingChars = 0;
    try {
      this.#writeTextWithRetry(this.#append, text);
    } catch (error) {
      this.#reportError(error);
    }
  }

  /** Writes lines; once more if another program has just removed the folder. */
  #writeTextWithRetry(append: typeof appendToFile, lines: string): void {
    try {
      this.#writeText(append, lines);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
      this.#writeText(append, lines);
    }
  }

  /** Waits for a flush, and then writes the lines that came meanwhile. */
  #watchFlush(flushed: Promise<void>): void {
    const done: Promise<void> = flushed.catch((error) => {
      if (!isFsyncUnsupported(error)) this.#reportError(error);
    }).then(() => {
      this.#flushes.delete(done);
      if (this.#flushes.size === 0) this.#writeLines();
    });
    this.#flushes.add(done);
  }

  #writeText(append: typeof appendToFile, lines: string): void {
    const before = this.#prepareFile();
    const text = this.#isLineCut ? `\n${lines}` : lines;
    const bytes = new TextEncoder().encode(text).length;
    const isFull = before.size > 0 &&
      before.size + bytes > this.#rotateAtBytes;
    if (isFull && this.#tryRotate(append, lines, before.size)) return;
    try {
      this.#watchFlush(append(this.#path, text));
    } finally {
      this.#checkEnd(before, bytes);
    }
  }

  /**
   * Creates the file if it does not exist, and checks it. This happens before
   * each write, because other programs may remove or replace the file.
   */
  #prepareFile(): FileInfo {
    const [host, path] = [this.#host, this.#path];
    let info = host.lstat(path);
    if (info === undefined) {
      makeParentFolder(host, path);
      host.createFile(path, "", LOG_FILE_MODE);
      info = host.lstat(path);
    }
    if (info === undefined) throw new Error("another program removes it");
    let why = untrustedReason(host, path, info);
    if (why !== undefined) {
      // A process that rotates the file has not yet made the new one private.
      const isRotating = host.lstat(this.#lock) !== undefined;
      info = host.lstat(path) ?? info;
      const checked = isRotating ? { ...info, mode: undefined } : info;
      why = untrustedReason(host, path, checked);
    }
    if (why !== undefined) throw new UntrustedFileError(path, why);
    return info;
  }

  /** Rotates the file, and writes lines. Returns false if nothing is written. */
  #tryRotate(
    append: typeof appendToFile,
    lines: string,
    size: number,
  ): boolean {
    const { maxBytes } = this.#rotation;
    let isLocked = false;
    try {
      isLocked = this.#takeLock();
      // The process that has the lock rotates the file now.
      if (!isLocked) return false;
      this.#watchFlush(append(this.#path, lines, this.#rotation));
      this.#rotateAtBytes = maxBytes;
      this.#isLineCut = false;
      this.#makePrivate();
      return true;
    } catch (error) {
      const isRotated = (this.#host.lstat(this.#path)?.size ?? 0) < size;
      if (isRotated) throw error;
      // Each attempt may have renamed the older files, so the next one is late.
      this.#rotateAtBytes = size + maxBytes;
      this.#reportUnrotated(error);
      return false;
    } finally {
      if (isLocked) this.#host.remove(this.#lock);
    }
  }

  /**
   * Takes the lock, unless another process has it. Without the lock, two
   * processes that rotate at the same time could replace `PATH.1` twice.
   */
  #takeLock(): boolean {
    const lock = this.#lock;
    if (this.#host.createFile(lock, "", LOG_FILE_MODE)) return true;
    const info = this.#host.lstat(lock);
    if (info !== undefined) {
      const ageMs = Date.now() - info.modifiedAt;
      if (ageMs < STALE_LOCK_MS) return false;
      this.#host.remove(lock);
    }
    // If the lock has just been released, another process may take it now, too.
    return this.#host.createFile(lock, "", LOG_FILE_MODE);
  }

  /** Makes the file private, because the package creates it with the umask. */
  #makePrivate(): void {
    if (this.#host.os === "windows") return;
    try {
      this.#host.chmod(this.#path, LOG_FILE_MODE);
    } catch {
      // Some file systems have no permission bits.
    }
  }

  /** Checks whether all bytes are in the file: the package does not. */
  #checkEnd(before: FileInfo, bytes: number): void {
    const after = this.#host.lstat(this.#path);
    // If another process has just renamed the file, the end is in that one.
    if (after === undefined || after.id !== before.id) return;
    const isPart = after.size > before.size && after.size < before.size + bytes;
    if (isPart) this.#reportUnwritten(NO_SPACE, "the disk has no space left");
    if (after.size > before.size) this.#isLineCut = isPart;
  }

  #reportError(error: unknown): void {
    const why = errorMessageOf(error);
    const code = systemErrorCode(error) || why;
    // Deno gives no code for some of these.
    const isFull = this.#isLineCut || /^(ENOSPC|EFBIG|EDQUOT)$/.test(code);
    this.#reportUnwritten(isFull ? NO_SPACE : code, why);
  }

  #reportUnwritten(kind: string, why: string): void {
    this.#report(
      kind,
      `The log file ${this.#path} is not written: ${why}. Correct that, ` +
        "or name another file with --log-file (ALWAYSUP_LOG_FILE). Until " +
        "then, new lines are only on stderr.",
    );
  }

  #reportUnrotated(error: unknown): void {
    this.#report(
      "unrotated",
      `The log file ${this.#path} is full and cannot be renamed: ${
        errorMessageOf(error)
      }. It grows until you make its folder writable, and remove what has ` +
        "the name of an older log file and is none.",
    );
  }

  #report(kind: string, message: string): void {
    if (this.#reported.has(kind)) return;
    this.#reported.add(kind);
    this.#warn(message);
  }
}
