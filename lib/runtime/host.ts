/**
 * What the program needs of a runtime; only `lib/runtime/` may name one.
 *
 * @module
 */

/** One of the process's streams. */
export type StandardStream = "stdin" | "stdout" | "stderr";

/** What is known of a file. */
export interface FileInfo {
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isFolder: boolean;
  /** Whether it is a symbolic link, or what Windows has for one. */
  readonly isSymlink: boolean;
  /** In bytes. */
  readonly size: number;
  /** When it was written last, in milliseconds since 1970. */
  readonly modifiedAt: number;
  /** The permission bits; `undefined` where the system has none. */
  readonly mode: number | undefined;
  /** The numbers of the user and the group that own it; `undefined` where the system has none. */
  readonly owner: FileOwner | undefined;
  /** How many names it has. */
  readonly linkCount: number;
  /** What no other file on this machine has at the same time; empty on Windows, where runtimes do not agree on it. */
  readonly id: string;
}

/** Who owns a file. */
export interface FileOwner {
  /** The user's number. */
  readonly userId: number;
  /** The group's number. */
  readonly groupId: number;
}

/** What a runtime says of a fault in a connection. */
export interface SocketErrorInfo {
  /** The runtime's text; empty where it gave none. */
  readonly message: string;
  /** The runtime's code; empty where it gave none. */
  readonly errorCode: string;
  /** The HTTP status of the answer to the WebSocket handshake, where it stands in no text. */
  readonly status?: number;
  /** A TLS handshake succeeded, although the WebSocket's did not. */
  readonly isSecure?: true;
}

/** What is asked over a TLS connection. */
export interface TlsRequest {
  /** A name, or an address without brackets. */
  readonly host: string;
  /** The TCP port. */
  readonly port: number;
  /** What is written when the handshake has succeeded; empty for nothing, and then nothing is read. */
  readonly payload: string;
  /** How much is read, in bytes, where no empty line ends it before. */
  readonly maxBytes: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** A runtime with a process around it; files are read and written while the caller waits, and what fails throws an error whose message a user can read. */
export interface Host {
  /** The runtime's name and version, e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** The command line without the program's name. */
  readonly args: readonly string[];
  /** The process's number. */
  readonly pid: number;
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** The command line that starts this program again, from any folder. */
  launchCommand(): readonly string[];
  /** The environment. */
  env(): Record<string, string>;
  /** A variable of the environment; empty counts as not set. */
  getEnv(name: string): string | undefined;
  /** The variables that name a proxy for URLs of a protocol, where the runtime obeys such; the first that is set counts. */
  proxyVariables(protocol: string): readonly string[];
  /** Has `wss://` trust further certificate authorities, each as PEM, beside those that the runtime knows. Rejects with what a user can read. */
  addCaCertificates(certificates: readonly string[]): Promise<void>;
  /** What a WebSocket is to be given beside subprotocols and headers. */
  webSocketOptions(url: string): Record<string, unknown>;
  /** Watches what the runtime says of its dials in another place than the WebSocket; what it gives tells the last of it since then. */
  watchDialErrors(): () => SocketErrorInfo | undefined;
  /** Asks something over TLS, of a server whose certificate is valid only, and gives the answer's head (in Latin 1), or what was wrong. */
  requestOverTls(request: TlsRequest): Promise<string | SocketErrorInfo>;
  /** Whether a person is at the other end. */
  isTty(stream: StandardStream): boolean;

  /** A file's text, with its byte order mark if it has one. Throws if it is not UTF-8. */
  readFile(path: string): string;
  /** The text of the file that {@linkcode Host.lstat} has described; `undefined` if another one has its name by now, or none. */
  readIfSame(path: string, expected: FileInfo): string | undefined;
  /** What is known of the file behind a path; `undefined` if there is none. */
  stat(path: string): FileInfo | undefined;
  /** The same of what has this very name, which may be a link. */
  lstat(path: string): FileInfo | undefined;
  /** The number of the user to whom belongs what this process makes in a folder; `undefined` where the system has none. */
  userIdIn(folder: string): number | undefined;
  /** The path without links. */
  realPath(path: string): string;
  /** Where a link leads, as it says itself. */
  readLink(path: string): string;
  /** The names in a folder; none if it is not there. */
  listFolder(folder: string): string[];
  /** Makes a folder and those around it, for the user's eyes only. */
  makeFolder(path: string): void;
  /** Makes a file with these permission bits, wherever nothing has its name, not even a link; `false` where something has. */
  createFile(path: string, text: string, mode: number): boolean;
  /** Writes a file in its place, and gives it these permission bits; without any, it keeps its own. */
  writeFile(path: string, text: string, mode?: number): void;
  /** Resolves when a file is on the disk; at once where its file system knows no such thing. */
  fsync(path: string): Promise<void>;
  /** Gives a file or a folder other permission bits. */
  chmod(path: string, mode: number): void;
  /** Gives a file another name; one that has it already is replaced. */
  rename(from: string, to: string): void;
  /** Removes a file; does nothing if it is not there. */
  remove(path: string): void;
  /** Makes a file, where nothing has its name, and holds its advisory lock until the process ends; `false` where the runtime has no locks. */
  createLocked(path: string): boolean;
  /** Whether a process holds the advisory lock of a file; `undefined` where the runtime cannot tell. */
  isLocked(path: string): boolean | undefined;

  /** The chunks of stdin; each is good until the next is asked for, and before each, sockets, timers and signals are served. Never throws. */
  stdin(): AsyncIterable<Uint8Array>;
  /** Writes some of the bytes to stdout and says how many; rejects when it is broken. */
  writeStdout(bytes: Uint8Array): Promise<number>;
  /** The same for stderr. */
  writeStderr(bytes: Uint8Array): Promise<number>;
  /** Resolves when sockets, timers and signals have been served. */
  yieldToEvents(): Promise<void>;
  /** Calls back once, after so many milliseconds; the process stays alive until then. */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back when the process is asked to end. */
  onSignal(callback: () => void): void;
  /** Ends the process. */
  exit(code: number): never;
}

/** How long to wait where a pipe cannot be waited for, in milliseconds. */
export const PIPE_RETRY_MS = 5;

/** Whether a file system says by this code that it cannot put a file on the disk, and need not. */
export function isFsyncUnsupported(code: unknown): boolean {
  return /^(EINVAL|ENOSYS|ENOTSUP|EOPNOTSUPP)$/.test(String(code));
}

/** Whether it is the same file, and still its owner's alone or everybody's. */
export function isSameFile(a: FileInfo, b: FileInfo): boolean {
  return a.id === b.id && a.mode === b.mode &&
    a.owner?.userId === b.owner?.userId;
}

/** This machine, as `NO_PROXY` names it for one runtime or the other. */
const NO_PROXY_LOOPBACK = "localhost,127.0.0.0/8,127.0.0.1,::1,[::1]";

/** What `NO_PROXY` must say, so that no daemon on this machine is looked for through a proxy; `undefined` where there is none. */
export function noProxyWithLoopback(
  { proxyVariables, getEnv }: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const names = [...proxyVariables("ws:"), ...proxyVariables("wss:")];
  if (!names.some(getEnv)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(getEnv);
  return [...lists, NO_PROXY_LOOPBACK].filter((list) => list).join(",");
}

/** An environment by the names that the settings have: Windows does not tell their case apart. */
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
