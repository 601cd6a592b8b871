/**
 * The interface to a runtime. Only `lib/runtime/` may name a runtime.
 *
 * @module
 */

import { delay } from "./timeout.ts";

/** Information about a file. */
export interface FileInfo {
  /** True for a regular file. */
  readonly isFile: boolean;
  /** True for a folder. */
  readonly isFolder: boolean;
  /** True for a symbolic link, or for the Windows equivalent. */
  readonly isSymlink: boolean;
  /** The size, in bytes. */
  readonly size: number;
  /** When it was last written, in milliseconds since 1970. */
  readonly modifiedAt: number;
  /** The permission bits; `undefined` where the system has none. */
  readonly mode: number | undefined;
  /** The owner's id; `undefined` where the system has none. */
  readonly userId: number | undefined;
  /** The id of the owner's group; `undefined` where the system has none. */
  readonly groupId: number | undefined;
  /** The number of hard links. */
  readonly linkCount: number;
  /** Identifies the file among those that exist now; empty on Windows. */
  readonly id: string;
}

/** What a runtime reports about a connection error. */
export interface SocketErrorInfo {
  /** The runtime's text; empty where it gave none. */
  readonly message: string;
  /** The runtime's code; empty where it gave none. */
  readonly errorCode: string;
  /** The HTTP status of a handshake's response, if `message` lacks it. */
  readonly status?: number;
  /** Set if only the WebSocket handshake failed, after that of TLS. */
  readonly hasTlsSucceeded?: true;
}

/** A runtime and its process. Errors have messages that users can read. */
export interface Host {
  /** The runtime's name and version, e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The process id. */
  readonly pid: number;
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** Returns the command that starts this program again, from any folder. */
  launchCommand(): readonly string[];
  /** Returns the environment. */
  env(): Record<string, string>;
  /** Returns an environment variable; an empty one counts as not set. */
  getEnv(name: string): string | undefined;
  /** Returns the variables with a proxy for such URLs; the first one counts. */
  proxyVariables(protocol: string): readonly string[];
  /** Makes `wss://` trust more certificate authorities (each one as PEM). */
  addCaCertificates(certificates: readonly string[]): Promise<void>;
  /** Returns what a WebSocket needs besides subprotocols and headers. */
  webSocketOptions(url: string): Record<string, unknown>;
  /**
   * Starts to watch dial errors that a WebSocket does not report; the function
   * returns the last one since then.
   */
  watchDialErrors(): () => SocketErrorInfo | undefined;
  /**
   * Returns the options with which `fetch` makes a WebSocket's handshake, with
   * the same authorities and proxies as a WebSocket; `undefined` where it
   * cannot.
   */
  handshakeFetchOptions(): Promise<Record<string, unknown> | undefined>;
  /** True if the stream is a terminal. */
  isTty(stream: "stdin" | "stdout" | "stderr"): boolean;

  /** Reads a file, with its byte order mark. Throws if it is not UTF-8. */
  readFile(path: string): string;
  /** Reads the file that `lstat` described; `undefined` if another is there. */
  readIfSame(path: string, expected: FileInfo): string | undefined;
  /** Returns information about a file, if it exists; follows symlinks. */
  stat(path: string): FileInfo | undefined;
  /** Like `stat`, but does not follow symlinks. */
  lstat(path: string): FileInfo | undefined;
  /** Returns who owns what this process makes there; not on Windows. */
  userIdIn(folder: string): number | undefined;
  /** Resolves symlinks. */
  realPath(path: string): string;
  /** Returns the target of a symlink, as the symlink has it. */
  readLink(path: string): string;
  /** Returns the names in a folder; none if the folder does not exist. */
  listFolder(folder: string): string[];
  /** Creates a folder and its parents; only the user can access them. */
  makeFolder(path: string): void;
  /** Creates a file; `false` if the path exists, even as a symlink. */
  createFile(path: string, text: string, mode: number): boolean;
  /** Overwrites a file in place; it keeps its permission bits. */
  writeFile(path: string, text: string): void;
  /** Resolves when the file is on the disk, if the file system can tell. */
  fsync(path: string): Promise<void>;
  /** Sets the permission bits of a file or a folder. */
  chmod(path: string, mode: number): void;
  /** Renames a file; replaces a file that already has the new name. */
  rename(from: string, to: string): void;
  /** Removes a file; does nothing if it does not exist. */
  remove(path: string): void;

  /**
   * The chunks of stdin. Each one is valid until the next is requested; before
   * each one, sockets, timers and signals are served. Never throws.
   */
  stdin(): AsyncIterable<Uint8Array>;
  /** Writes some of the bytes and resolves with their number, or rejects. */
  writeStdout(bytes: Uint8Array): Promise<number>;
  /** Like `writeStdout`, for stderr. */
  writeStderr(bytes: Uint8Array): Promise<number>;
  /** Resolves after sockets, timers and signals have been served. */
  yieldToEvents(): Promise<void>;
  /** Calls back once, and keeps the process alive until then. */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back when a signal asks the process to end. */
  onSignal(callback: () => void): void;
  /** Ends the process. */
  exit(code: number): never;
}

/** Waits `ms` milliseconds by the host's timer. */
export function pause(host: Pick<Host, "setTimer">, ms: number): Promise<void> {
  return new Promise((resolve) => host.setTimer(ms, resolve));
}

/** The delay before a retry on a pipe that would block, in milliseconds. */
const PIPE_RETRY_MS = 5;

/** Repeats a call on a pipe that would block: our parent made it so. */
export async function retryWouldBlock<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (systemErrorCode(error) !== "EAGAIN") throw error;
      await delay(PIPE_RETRY_MS);
    }
  }
}

/** Returns the system's code of an error, e.g. `ENOENT`; empty if it has none. */
export function systemErrorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

/** Returns the result of `run`; `undefined` if the file does not exist. */
export function ignoreNotFound<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** True if the error means that the file system has no `fsync`. */
export function isFsyncUnsupported(error: unknown): boolean {
  const code = systemErrorCode(error);
  return /^(EINVAL|ENOSYS|ENOTSUP|EOPNOTSUPP)$/.test(code);
}

/** True if it is the same file, with the same mode and owner. */
export function isSameFile(a: FileInfo, b: FileInfo): boolean {
  return a.id === b.id && a.mode === b.mode && a.userId === b.userId;
}

/** This machine, in the forms of `NO_PROXY` that the runtimes understand. */
const NO_PROXY_LOOPBACK = "localhost,127.0.0.0/8,127.0.0.1,::1,[::1]";

/** Returns a `NO_PROXY` with this machine, if a proxy is configured. */
export function noProxyWithLoopback(
  { proxyVariables, getEnv }: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const names = [...proxyVariables("ws:"), ...proxyVariables("wss:")];
  if (!names.some(getEnv)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(getEnv);
  return [...lists, NO_PROXY_LOOPBACK].filter((list) => list).join(",");
}

/** Gives variables the settings' names: on Windows, case does not matter. */
export function normalizeEnv(
  os: string,
  env: Record<string, string>,
): Record<string, string> {
  if (os !== "windows") return env;
  const entries = Object.entries(env);
  return Object.fromEntries(
    entries.map(([name, value]) => [name.toUpperCase(), value]),
  );
}
