/**
 * Defines the interface to a runtime: Deno, Node or Bun.
 *
 * This folder contains all code that depends on a runtime, and functions for
 * files and time limits. No other folder may name a runtime.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { delay } from "./timeout.ts";

/** The size of a terminal; a size that it does not tell is 0. */
export interface TerminalSize {
  /** The number of characters in a line. */
  readonly columns: number;
  /** The number of lines. */
  readonly rows: number;
}

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
  /** When the file was last written, in milliseconds since 1970. */
  readonly modifiedAt: number;
  /** The permission bits; `undefined` on Windows. */
  readonly mode: number | undefined;
  /** The owner's id; `undefined` on Windows. */
  readonly userId: number | undefined;
  /** The id of the owner's group; `undefined` on Windows. */
  readonly groupId: number | undefined;
  /** The number of hard links. */
  readonly linkCount: number;
  /** An id that no other existing file has; empty on Windows. */
  readonly id: string;
}

/** A connection error, as far as the runtime describes it. */
export interface SocketErrorInfo {
  /** The runtime's text; empty if it gives none. */
  readonly message: string;
  /** The runtime's code; empty if it gives none. */
  readonly errorCode: string;
  /** The HTTP status of the handshake's response, unless `message` has it. */
  readonly status?: number;
  /** True if TLS succeeded, and only the WebSocket handshake failed. */
  readonly hasTlsSucceeded?: true;
}

/** What a WebSocket offers to the server. */
export interface WebSocketOptions {
  /** The subprotocols (RFC 6455 section 1.9); none if empty. */
  readonly protocols: string[];
  /** The HTTP headers of the handshake, in addition to its own. */
  readonly headers: Record<string, string>;
}

/** The members of the standard WebSocket that the transport uses. */
export interface ClientSocket {
  /** 0 while connecting, 1 while open, then 2 and 3. */
  readonly readyState: number;
  /** The subprotocol that the server has chosen; empty for none. */
  readonly protocol: string;
  /** The bytes that were given to `send` and are not yet sent. */
  readonly bufferedAmount: number;
  /** Is called when the connection opens. */
  onopen: (() => void) | null;
  /** Is called with each message: a text, or the bytes of a binary frame. */
  onmessage: ((event: { readonly data: MessageData }) => void) | null;
  /** Is called with an error, which ends the connection. */
  onerror:
    | ((event: { readonly message?: string; readonly error?: unknown }) => void)
    | null;
  /** Is called at the end; the code is 1006 if there was no close frame. */
  onclose:
    | ((event: { readonly code: number; readonly reason: string }) => void)
    | null;
  /** Sends a text frame. */
  send(text: string): void;
  /** Begins the closing handshake, or abandons the dial. */
  close(code: number): void;
  /** Ends the connection without a closing handshake; not in Deno. */
  terminate?(): void;
}

/**
 * The data of a message. Node 22.0 gives null for a frame that should be
 * rejected.
 */
export type MessageData =
  | string
  | ArrayBuffer
  | Uint8Array<ArrayBuffer>
  | null;

/** A WebSocket that is connecting. */
export interface OpenedWebSocket {
  /** The WebSocket. */
  readonly socket: ClientSocket;
  /** Returns a dial error that the WebSocket itself does not report, if any. */
  readDialError(): SocketErrorInfo | undefined;
}

/** A runtime and its process. The messages of its errors are shown to users. */
export interface Host {
  /** The runtime's name and version, e.g. `deno 2.9.6`. */
  readonly runtime: string;
  /** The command-line arguments, without the program's name. */
  readonly args: readonly string[];
  /** The process id. */
  readonly pid: number;
  /** The operating system, e.g. `linux`, `darwin` or `windows`. */
  readonly os: string;
  /** Returns the command that starts this program again, from any folder. */
  launchCommand(): readonly string[];
  /** Returns all environment variables. */
  env(): Record<string, string>;
  /** Returns an environment variable; an empty one counts as not set. */
  getEnv(name: string): string | undefined;
  /**
   * Returns the names of the variables that can hold the HTTP proxy for a
   * protocol, `ws:` or `wss:`. The first one that is set counts.
   */
  proxyVariables(protocol: string): readonly string[];
  /** Adds certificate authorities (each one as PEM) that `wss://` trusts. */
  addCaCertificates(certificates: readonly string[]): Promise<void>;
  /** Opens a WebSocket. Throws if the runtime rejects the URL or a header. */
  openWebSocket(url: string, options: WebSocketOptions): OpenedWebSocket;
  /**
   * Returns the options that make `fetch` perform a WebSocket handshake, with
   * the same authorities and proxies as a WebSocket. Returns `undefined` if
   * `fetch` cannot do this.
   */
  handshakeFetchOptions(): Promise<Record<string, unknown> | undefined>;
  /** True if the stream is a terminal. */
  isTty(stream: "stdin" | "stdout" | "stderr"): boolean;
  /** Returns the size of the terminal on stdout; `undefined` if it is none. */
  terminalSize(): TerminalSize | undefined;

  /** Reads a file, with its byte order mark. Throws if it is not UTF-8. */
  readFile(path: string): string;
  /** Reads the file that `lstat` described; `undefined` if it was replaced. */
  readIfUnchanged(path: string, expected: FileInfo): string | undefined;
  /** Returns information about a file, if it exists. Follows symlinks. */
  stat(path: string): FileInfo | undefined;
  /** Like `stat`, but does not follow symlinks. */
  lstat(path: string): FileInfo | undefined;
  /**
   * Returns the id of the user who owns the files that this process creates in
   * the folder; `undefined` on Windows. Throws if the id cannot be found.
   */
  ownerOfNewFilesIn(folder: string): number | undefined;
  /** Returns the path without symlinks. */
  realPath(path: string): string;
  /** Returns the target of a symlink, which may be a relative path. */
  readLink(path: string): string;
  /** Returns the names in a folder; none if the folder does not exist. */
  listFolder(folder: string): string[];
  /** Creates a folder and its parents, if missing; only the user has access. */
  makeFolder(path: string): void;
  /** Creates a file. Returns `false` if the path exists, even as a symlink. */
  createFile(path: string, text: string, mode: number): boolean;
  /** Overwrites a file in place, which keeps its permission bits. */
  writeFile(path: string, text: string): void;
  /** Flushes a file to the disk, if the file system supports it. */
  fsync(path: string): Promise<void>;
  /** Sets the permission bits of a file or a folder. */
  chmod(path: string, mode: number): void;
  /** Renames a file, and replaces a file that already has the new name. */
  rename(from: string, to: string): void;
  /** Removes a file. Does nothing if the file does not exist. */
  remove(path: string): void;

  /**
   * Reads stdin to its end, and then resolves. An error counts as its end. If
   * the handler returns a promise, the next chunk is read once it has resolved.
   * A chunk is valid until then. Sockets, timers and signals are served between
   * two chunks.
   */
  readStdin(handleChunk: ChunkHandler): Promise<void>;
  /**
   * Writes some of the bytes and returns their number. Returns a promise if
   * that may take time; the bytes must not change until it has resolved.
   */
  writeStdout(bytes: Uint8Array): number | Promise<number>;
  /** Writes some of the bytes to stderr and resolves with their number. */
  writeStderr(bytes: Uint8Array): Promise<number>;
  /** Resolves after sockets, timers and signals have been served. */
  yieldToEvents(): Promise<void>;
  /** Calls back once after `ms` ms, and keeps the process alive until then. */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back each time that a signal asks the process to end. */
  onSignal(callback: () => void): void;
  /** Ends the process. */
  exit(code: number): never;
}

/** Handles a chunk of stdin. */
export type ChunkHandler = (chunk: Uint8Array) => void | Promise<void>;

/** Waits `ms` milliseconds with the host's timer. */
export function pause(host: Pick<Host, "setTimer">, ms: number): Promise<void> {
  return new Promise((resolve) => host.setTimer(ms, resolve));
}

/** The delay before an operation on a pipe is retried, in milliseconds. */
const PIPE_RETRY_MS = 5;

/** Retries while a pipe that our parent made non-blocking is not ready. */
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

/** Returns the error's code, e.g. `ENOENT`; an empty text if there is none. */
export function systemErrorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

/** Returns an error's details, with the names of its certificate, if any. */
export function dialErrorInfo(error: unknown): SocketErrorInfo {
  const { cert } = error as { cert?: { subjectaltname?: string } };
  const message = `${errorMessageOf(error)}\n${cert?.subjectaltname ?? ""}`
    .trim();
  return { message, errorCode: systemErrorCode(error) };
}

/**
 * Opens a WebSocket of the runtime itself. `extra` are options that only this
 * runtime has.
 */
export function openOwnWebSocket(
  url: string,
  options: WebSocketOptions,
  extra: Record<string, unknown> = {},
): ClientSocket {
  // An options object as the second argument works in all three runtimes.
  const socket = new WebSocket(url, { ...options, ...extra });
  socket.binaryType = "arraybuffer";
  return socket as ClientSocket;
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

/** True if the error means that the file system does not support `fsync`. */
export function isFsyncUnsupported(error: unknown): boolean {
  const code = systemErrorCode(error);
  return /^(EINVAL|ENOSYS|ENOTSUP|EOPNOTSUPP)$/.test(code);
}

/** True for the same file with the same mode and owner; on Windows, always. */
export function isSameFile(a: FileInfo, b: FileInfo): boolean {
  return a.id === b.id && a.mode === b.mode && a.userId === b.userId;
}

/** The loopback addresses, as the different runtimes expect them. */
const NO_PROXY_LOOPBACK = "localhost,127.0.0.0/8,127.0.0.1,::1,[::1]";

/** Returns `NO_PROXY` with the loopback addresses, if a proxy is configured. */
export function noProxyWithLoopback(
  { proxyVariables, getEnv }: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const names = [...proxyVariables("ws:"), ...proxyVariables("wss:")];
  if (!names.some(getEnv)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(getEnv);
  return [...lists, NO_PROXY_LOOPBACK].filter((list) => list).join(",");
}

/** Converts variable names to upper case on Windows, which ignores case. */
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
