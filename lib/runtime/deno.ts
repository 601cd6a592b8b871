/**
 * The host for Deno, with Deno's own stdin, stdout and signals: `node:process`
 * would cost 20 ms at start, and `Deno.stdin.readable` 4 ms.
 *
 * @module
 */

import { delay } from "./timeout.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { decodeUtf8 } from "../text/utf8.ts";
import {
  type FileInfo,
  type Host,
  isFsyncUnsupported,
  isSameFile,
  noProxyWithLoopback,
  normalizeEnv,
  PIPE_RETRY_MS,
  type SocketErrorInfo,
  type TlsRequest,
} from "./host.ts";

/** How many bytes are read at once: the capacity of a pipe. */
const READ_BUFFER_BYTES = 64 * 1024;

/** Returns the host for Deno. */
export function denoHost(): Host {
  const getEnv = (name: string): string | undefined =>
    Deno.env.get(name) || undefined;
  const noProxy = noProxyWithLoopback({ proxyVariables, getEnv });
  if (noProxy !== undefined) Deno.env.set("NO_PROXY", noProxy);
  let caCerts: string[] = [];
  let httpClient: Deno.HttpClient | undefined;
  return {
    runtime: `deno ${Deno.version.deno}`,
    args: Deno.args,
    pid: Deno.pid,
    os: Deno.build.os,
    launchCommand,
    env: () => normalizeEnv(Deno.build.os, Deno.env.toObject()),
    getEnv,
    proxyVariables,
    addCaCertificates: (certificates) =>
      Promise.try(() => {
        for (const [i, certificate] of certificates.entries()) {
          try {
            Deno.createHttpClient({ caCerts: [certificate] }).close();
          } catch {
            throw new Error(`certificate ${i + 1} in it cannot be parsed`);
          }
        }
        caCerts = [...certificates];
        httpClient = Deno.createHttpClient({ caCerts });
      }),
    webSocketOptions: () =>
      httpClient === undefined ? {} : { client: httpClient },
    // Deno's WebSocket reports the reason itself.
    watchDialErrors: () => () => undefined,
    requestOverTls: (request) => requestOverTls(request, caCerts),
    isTty: (stream) => Deno[stream].isTerminal(),
    readFile: (path) => decodeUtf8(Deno.readFileSync(path)),
    readIfSame,
    stat: (path) =>
      ignoreNotFound(() => fileInfoOf(Deno.statSync(path)), undefined),
    lstat: (path) =>
      ignoreNotFound(() => fileInfoOf(Deno.lstatSync(path)), undefined),
    userIdIn,
    realPath: (path) => Deno.realPathSync(path),
    readLink: (path) => Deno.readLinkSync(path),
    listFolder,
    makeFolder: (path) =>
      Deno.mkdirSync(path, { recursive: true, mode: 0o700 }),
    writeFile: (path, text, mode) =>
      Deno.writeTextFileSync(path, text, mode === undefined ? {} : { mode }),
    createFile,
    fsync,
    chmod: (path, mode) => Deno.chmodSync(path, mode),
    rename: (from, to) => Deno.renameSync(from, to),
    remove,
    createLockedFile: (path) => {
      const options = { write: true, createNew: true, mode: 0o600 };
      Deno.openSync(path, options).lockSync(true);
      return true;
    },
    isLocked,
    stdin: readStdin,
    writeStdout: (bytes) => retryWouldBlock(() => Deno.stdout.write(bytes)),
    writeStderr: (bytes) => retryWouldBlock(() => Deno.stderr.write(bytes)),
    yieldToEvents,
    // The first `setTimeout` costs 4 ms at start.
    setTimer: (ms, callback) =>
      AbortSignal.timeout(ms).addEventListener("abort", callback),
    onSignal: (callback) => {
      const isWindows = Deno.build.os === "windows";
      const signals: Deno.Signal[] = isWindows
        ? ["SIGINT", "SIGBREAK"]
        : ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) Deno.addSignalListener(signal, callback);
    },
    exit: (code) => Deno.exit(code),
  };
}

/**
 * The command must not depend on the path of this Deno: it is mostly in npm's
 * cache.
 */
function launchCommand(): string[] {
  if (Deno.build.standalone) return [Deno.execPath()];
  const { protocol, pathname, href } = new URL(Deno.mainModule);
  let main = protocol === "file:" ? decodeURIComponent(pathname) : href;
  if (protocol === "file:" && Deno.build.os === "windows") {
    main = main.slice(1).replaceAll("/", "\\");
  }
  const deno = `deno@${Deno.version.deno}`;
  return ["npx", "-y", deno, "run", "-NERW", main];
}

/** The variables that Deno's WebSocket uses. */
function proxyVariables(protocol: string): string[] {
  const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
  return [name.toUpperCase(), name, "ALL_PROXY", "all_proxy"];
}

/** Returns the result of `run`, or `fallback` if the file does not exist. */
function ignoreNotFound<T>(run: () => T, fallback: T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return fallback;
    throw error;
  }
}

function fileInfoOf(info: Deno.FileInfo): FileInfo {
  const { isFile, isDirectory, isSymlink, size, mtime } = info;
  const { mode, uid, gid } = info;
  const isWindows = Deno.build.os === "windows";
  return {
    isFile,
    isFolder: isDirectory,
    isSymlink,
    size,
    modifiedAt: mtime?.getTime() ?? 0,
    mode: isWindows || mode === null ? undefined : mode & 0o7777,
    owner: isWindows || uid === null || gid === null
      ? undefined
      : { userId: uid, groupId: gid },
    linkCount: info.nlink ?? 1,
    id: isWindows ? "" : `${info.dev}:${info.ino}`,
  };
}

/**
 * Opens a file to read it. Opened for reading only, a named pipe would block
 * Deno; opened for writing, too, it does not.
 */
function openWithoutBlocking(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw error;
    return Deno.openSync(path);
  }
}

/**
 * Deno cannot open a file without following symlinks, so the opened file is
 * compared with `expected`.
 */
function readIfSame(path: string, expected: FileInfo): string | undefined {
  const file = ignoreNotFound(() => openWithoutBlocking(path), undefined);
  if (file === undefined) return undefined;
  try {
    const info = file.statSync();
    if (!isSameFile(fileInfoOf(info), expected)) return undefined;
    const bytes = new Uint8Array(info.size);
    let size = 0;
    for (let count: number | null = 1; count && size < bytes.length;) {
      count = file.readSync(bytes.subarray(size));
      size += count ?? 0;
    }
    return new TextDecoder().decode(bytes.subarray(0, size));
  } finally {
    file.close();
  }
}

/** Cached user ids, by folder. */
const userIdByFolder = new Map<string, number>();

/**
 * `Deno.uid` needs one more permission, and so does `/proc/self`. So the user
 * is the owner of a file that this process creates, which takes 40 us: in the
 * folder or, if it cannot be created there, in the system's temporary folder.
 * Else it is the owner of the user's home.
 */
function userIdIn(folder: string): number | undefined {
  if (Deno.build.os === "windows") return undefined;
  const cached = userIdByFolder.get(folder);
  if (cached !== undefined) return cached;
  const userId = ownerOfNewFile(() => createTempFile(folder)) ??
    ownerOfNewFile(() => Deno.makeTempFileSync()) ??
    ignoreNotFound(() => Deno.statSync(Deno.env.get("HOME") ?? "").uid, null);
  if (userId === null) throw new Error("no file can be made");
  userIdByFolder.set(folder, userId);
  return userId;
}

/** Creates a file in a folder and returns its path. */
function createTempFile(folder: string): string {
  const suffix = Math.floor(Math.random() * 2 ** 32).toString(36);
  const path = `${folder}/${Deno.pid}-${suffix}.tmp`;
  const options = { write: true, createNew: true, mode: 0o600 };
  Deno.openSync(path, options).close();
  return path;
}

/** Returns the owner of a new file; `null` if it cannot be created. */
function ownerOfNewFile(make: () => string): number | null {
  let path: string;
  try {
    path = make();
  } catch {
    return null;
  }
  const { uid } = Deno.lstatSync(path);
  Deno.removeSync(path);
  return uid;
}

function createFile(path: string, text: string, mode: number): boolean {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { write: true, createNew: true, mode });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      at += file.writeSync(bytes.subarray(at));
    }
    // The process's umask may have removed some bits.
    const actualMode = fileInfoOf(file.statSync()).mode ?? mode;
    if (actualMode !== mode) Deno.chmodSync(path, mode);
    return true;
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  } finally {
    file.close();
  }
}

async function fsync(path: string): Promise<void> {
  // Windows needs write access for it.
  const write = Deno.build.os === "windows";
  const file = await Deno.open(path, { read: true, write });
  try {
    await file.sync();
  } catch (error) {
    if (!isFsyncUnsupported((error as { code?: unknown }).code)) throw error;
  } finally {
    file.close();
  }
}

function listFolder(folder: string): string[] {
  return ignoreNotFound(
    () => [...Deno.readDirSync(folder)].map((it) => it.name),
    [],
  );
}

function remove(path: string): void {
  ignoreNotFound(() => Deno.removeSync(path), undefined);
}

function isLocked(path: string): boolean {
  return ignoreNotFound(() => {
    const file = Deno.openSync(path, { write: true });
    // A shared lock: two processes that check at once must not see each other's
    // lock.
    const isFree = file.tryLockSync(false);
    file.close();
    return !isFree;
  }, false);
}

/**
 * Uses Deno's own TLS: `node:tls` reports less, obeys
 * NODE_TLS_REJECT_UNAUTHORIZED, and may not read the usual authorities.
 */
async function requestOverTls(
  { hostname, port, payload, maxBytes, signal }: TlsRequest,
  caCerts: string[],
): Promise<string | SocketErrorInfo> {
  const alpnProtocols = ["http/1.1"];
  const options = { hostname, port, caCerts, alpnProtocols };
  let connection: Deno.TlsConn | undefined;
  try {
    const opened = connection = await Deno.connectTls(options);
    // `Symbol.dispose` may be called twice; `using` is too new for Node 22.
    signal.addEventListener("abort", () => opened[Symbol.dispose]());
    if (signal.aborted) opened[Symbol.dispose]();
    await opened.handshake();
    await opened.write(new TextEncoder().encode(payload));
    let response = "";
    const buffer = new Uint8Array(READ_BUFFER_BYTES);
    while (payload !== "") {
      const size = await opened.read(buffer);
      if (size === null) break;
      response += new TextDecoder("latin1").decode(buffer.subarray(0, size));
      if (response.includes("\r\n\r\n") || response.length > maxBytes) break;
    }
    return response;
  } catch (error) {
    const message = errorMessageOf(error);
    // Deno has no error code for it. Here, it cannot come from an HTTP/2 dial.
    const isAlpnError = message.includes("NoApplicationProtocol");
    return { message, errorCode: isAlpnError ? "NO_APPLICATION_PROTOCOL" : "" };
  } finally {
    connection?.[Symbol.dispose]();
  }
}

async function* readStdin(): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(READ_BUFFER_BYTES);
  for (;;) {
    // An error of stdin counts as its end.
    const size = await retryWouldBlock(() => Deno.stdin.read(buffer))
      .catch(() => null);
    if (size === null) return;
    yield buffer.subarray(0, size);
  }
}

/**
 * Uses a message port: a timer takes 2 ms, and importing `setImmediate` 20 ms.
 */
function yieldToEvents(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/**
 * Repeats a call on a pipe that our parent made non-blocking: `WouldBlock` does
 * not mean that it is broken.
 */
async function retryWouldBlock<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await delay(PIPE_RETRY_MS);
    }
  }
}
