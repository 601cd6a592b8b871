/**
 * The interface to a runtime. Only `lib/runtime/` may name a runtime.
 *
 * @module
 */

/** One of the process's standard streams. */
export type StandardStream = "stdin" | "stdout" | "stderr";

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
  /** The owner; `undefined` where the system has none. */
  readonly owner: FileOwner | undefined;
  /** The number of hard links. */
  readonly linkCount: number;
  /**
   * Identifies the file on this machine, among those that exist at one time.
   * Empty on Windows, where the runtimes do not agree on it.
   */
  readonly id: string;
}

/** The owner of a file. */
export interface FileOwner {
  /** The user id. */
  readonly userId: number;
  /** The group id. */
  readonly groupId: number;
}

/** What a runtime reports about a connection error. */
export interface SocketErrorInfo {
  /** The runtime's text; empty where it gave none. */
  readonly message: string;
  /** The runtime's code; empty where it gave none. */
  readonly errorCode: string;
  /**
   * The HTTP status of the response to the WebSocket handshake, where the
   * message does not contain it.
   */
  readonly status?: number;
  /**
   * Set if a TLS handshake succeeded, although the WebSocket handshake did not.
   */
  readonly hasTlsSucceeded?: true;
}

/** A request over a TLS connection. */
export interface TlsRequest {
  /** A host name, or an IP address without brackets. */
  readonly hostname: string;
  /** The TCP port. */
  readonly port: number;
  /**
   * What is written after the handshake; if it is empty, nothing is written or
   * read.
   */
  readonly payload: string;
  /** How many bytes are read at most, if no empty line comes before. */
  readonly maxBytes: number;
  /** Aborts the request. */
  readonly signal: AbortSignal;
}

/**
 * A runtime and its process. File operations are synchronous. An operation that
 * fails throws an error whose message a user can read.
 */
export interface Host {
  /** The runtime's name and version, e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The process id. */
  readonly pid: number;
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /**
   * Returns the command line that starts this program again, from any folder.
   */
  launchCommand(): readonly string[];
  /** Returns the environment. */
  env(): Record<string, string>;
  /** Returns an environment variable; an empty one counts as not set. */
  getEnv(name: string): string | undefined;
  /**
   * Returns the names of the variables that configure a proxy for URLs of a
   * protocol, where the runtime honors them. The first one that is set counts.
   */
  proxyVariables(protocol: string): readonly string[];
  /**
   * Makes `wss://` trust more certificate authorities (each one as PEM), in
   * addition to the runtime's own. Rejects with a message that a user can read.
   */
  addCaCertificates(certificates: readonly string[]): Promise<void>;
  /**
   * Returns the options that a WebSocket needs besides subprotocols and
   * headers.
   */
  webSocketOptions(url: string): Record<string, unknown>;
  /**
   * Starts to watch dial errors that the runtime reports outside the WebSocket.
   * Returns a function that gives the last error since then.
   */
  watchDialErrors(): () => SocketErrorInfo | undefined;
  /**
   * Sends a request over TLS, only to a server with a valid certificate.
   * Resolves with the head of the response (Latin 1), or with the error.
   */
  requestOverTls(request: TlsRequest): Promise<string | SocketErrorInfo>;
  /** True if the stream is a terminal. */
  isTty(stream: StandardStream): boolean;

  /**
   * Reads a file, with its byte order mark if it has one. Throws if it is not
   * UTF-8.
   */
  readFile(path: string): string;
  /**
   * Reads the file that {@linkcode Host.lstat} described; `undefined` if the
   * path is now another file, or none.
   */
  readIfSame(path: string, expected: FileInfo): string | undefined;
  /**
   * Returns information about the file; follows symlinks. `undefined` if there
   * is none.
   */
  stat(path: string): FileInfo | undefined;
  /** Like {@linkcode Host.stat}, but does not follow symlinks. */
  lstat(path: string): FileInfo | undefined;
  /**
   * Returns the user who owns what this process creates in a folder;
   * `undefined` where the system has none.
   */
  userIdIn(folder: string): number | undefined;
  /** Resolves symlinks. */
  realPath(path: string): string;
  /** Returns the target of a symlink, as the symlink has it. */
  readLink(path: string): string;
  /**
   * Returns the names in a folder; an empty list if the folder does not exist.
   */
  listFolder(folder: string): string[];
  /** Creates a folder and its parents; only the user can access them. */
  makeFolder(path: string): void;
  /**
   * Creates a file with these permission bits; returns `false` if the path
   * exists, even as a symlink.
   */
  createFile(path: string, text: string, mode: number): boolean;
  /**
   * Overwrites a file in place and sets these permission bits; without `mode`,
   * the file keeps its own.
   */
  writeFile(path: string, text: string, mode?: number): void;
  /**
   * Resolves when the file is on the disk; at once where the file system has no
   * `fsync`.
   */
  fsync(path: string): Promise<void>;
  /** Sets the permission bits of a file or a folder. */
  chmod(path: string, mode: number): void;
  /** Renames a file; replaces a file that already has the new name. */
  rename(from: string, to: string): void;
  /** Removes a file; does nothing if it does not exist. */
  remove(path: string): void;
  /**
   * Creates a file that must not exist yet, and holds its advisory lock until
   * the process ends. Returns `false` where the runtime has no locks.
   */
  createLockedFile(path: string): boolean;
  /**
   * True if a process holds the file's advisory lock; `undefined` where the
   * runtime cannot tell.
   */
  isLocked(path: string): boolean | undefined;

  /**
   * The chunks of stdin. Each one is valid until the next is requested; before
   * each one, sockets, timers and signals are served. Never throws.
   */
  stdin(): AsyncIterable<Uint8Array>;
  /**
   * Writes some of the bytes to stdout and resolves with their number; rejects
   * if stdout is broken.
   */
  writeStdout(bytes: Uint8Array): Promise<number>;
  /** Like {@linkcode Host.writeStdout}, for stderr. */
  writeStderr(bytes: Uint8Array): Promise<number>;
  /** Resolves after sockets, timers and signals have been served. */
  yieldToEvents(): Promise<void>;
  /**
   * Calls back once, after `ms` milliseconds; keeps the process alive until
   * then.
   */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back when a signal asks the process to end. */
  onSignal(callback: () => void): void;
  /** Ends the process. */
  exit(code: number): never;
}

/** The delay before a retry on a pipe that would block, in milliseconds. */
export const PIPE_RETRY_MS = 5;

/** True if the error code means that the file system has no `fsync`. */
export function isFsyncUnsupported(code: unknown): boolean {
  return /^(EINVAL|ENOSYS|ENOTSUP|EOPNOTSUPP)$/.test(String(code));
}

/** True if it is the same file, with the same mode and owner. */
export function isSameFile(a: FileInfo, b: FileInfo): boolean {
  return a.id === b.id && a.mode === b.mode &&
    a.owner?.userId === b.owner?.userId;
}

/** This machine, in the forms of `NO_PROXY` that the runtimes understand. */
const NO_PROXY_LOOPBACK = "localhost,127.0.0.0/8,127.0.0.1,::1,[::1]";

/**
 * Returns the value of `NO_PROXY` with which no daemon on this machine is
 * dialed through a proxy; `undefined` where no proxy is configured.
 */
export function noProxyWithLoopback(
  { proxyVariables, getEnv }: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const names = [...proxyVariables("ws:"), ...proxyVariables("wss:")];
  if (!names.some(getEnv)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(getEnv);
  return [...lists, NO_PROXY_LOOPBACK].filter((list) => list).join(",");
}

/**
 * Returns the environment with the names that the settings have: on Windows,
 * names are not case-sensitive.
 */
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
