/**
 * Implements the host for Deno. It uses Deno's own stdin, stdout and signals,
 * because `node:process` takes 20 ms at the start, and `Deno.stdin.readable`
 * 4 ms.
 *
 * @module
 */

import { decodeUtf8 } from "../text/utf8.ts";
import {
  type ChunkHandler,
  type FileInfo,
  type Host,
  ignoreNotFound,
  isFsyncUnsupported,
  isSameFile,
  noProxyWithLoopback,
  normalizeEnv,
  type OpenedWebSocket,
  openOwnWebSocket,
  retryWouldBlock,
  type TerminalSize,
  type WebSocketOptions,
} from "./host.ts";

/** The most bytes per read of stdin: the capacity of a pipe. */
const READ_BUFFER_BYTES = 64 * 1024;

/** Returns the host for Deno. */
export function denoHost(): Host {
  const noProxy = noProxyWithLoopback({ proxyVariables, getEnv });
  if (noProxy !== undefined) Deno.env.set("NO_PROXY", noProxy);
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
      Promise.try(() => addCaCertificates(certificates)),
    openWebSocket,
    handshakeFetchOptions,
    isTty: (stream) => Deno[stream].isTerminal(),
    terminalSize,
    readFile: (path) => decodeUtf8(Deno.readFileSync(path)),
    readIfUnchanged,
    stat: (path) => ignoreNotFound(() => fileInfoOf(Deno.statSync(path))),
    lstat: (path) => ignoreNotFound(() => fileInfoOf(Deno.lstatSync(path))),
    ownerOfNewFilesIn,
    realPath: (path) => Deno.realPathSync(path),
    readLink: (path) => Deno.readLinkSync(path),
    listFolder: (folder) =>
      ignoreNotFound(() =>
        [...Deno.readDirSync(folder)].map((it) => it.name)
      ) ??
        [],
    makeFolder: (path) =>
      Deno.mkdirSync(path, { recursive: true, mode: 0o700 }),
    writeFile: (path, text) => Deno.writeTextFileSync(path, text),
    createFile,
    fsync,
    chmod: (path, mode) => Deno.chmodSync(path, mode),
    rename: (from, to) => Deno.renameSync(from, to),
    remove: (path) => ignoreNotFound(() => Deno.removeSync(path)),
    readStdin,
    writeStdout: (bytes) => retryWouldBlock(() => Deno.stdout.write(bytes)),
    writeStderr: (bytes) => retryWouldBlock(() => Deno.stderr.write(bytes)),
    yieldToEvents,
    // The first `setTimeout` would take 4 ms at the start.
    setTimer: (ms, callback) =>
      AbortSignal.timeout(ms).addEventListener("abort", callback),
    onSignal: (callback) => {
      const signals: Deno.Signal[] = Deno.build.os === "windows"
        ? ["SIGINT", "SIGBREAK"]
        : ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) Deno.addSignalListener(signal, callback);
    },
    exit: (code) => Deno.exit(code),
  };
}

function getEnv(name: string): string | undefined {
  return Deno.env.get(name) || undefined;
}

function terminalSize(): TerminalSize | undefined {
  // `Deno.consoleSize` would also measure a terminal on stdin or stderr.
  if (!Deno.stdout.isTerminal()) return undefined;
  try {
    return Deno.consoleSize();
  } catch {
    return { columns: 0, rows: 0 };
  }
}

/** The added authorities, and an HTTP client that also trusts them, if any. */
let caCerts: string[] = [];
let httpClient: Deno.HttpClient | undefined;
let http1Client: Deno.HttpClient | undefined;

function addCaCertificates(certificates: readonly string[]): void {
  for (const [i, certificate] of certificates.entries()) {
    try {
      Deno.createHttpClient({ caCerts: [certificate] }).close();
    } catch {
      throw new Error(`certificate ${i + 1} in it cannot be parsed`);
    }
  }
  caCerts = [...certificates];
  httpClient = Deno.createHttpClient({ caCerts });
}

function openWebSocket(
  url: string,
  options: WebSocketOptions,
): OpenedWebSocket {
  const extra = httpClient && { client: httpClient };
  const socket = openOwnWebSocket(url, options, extra);
  // Deno's WebSocket itself reports why a dial failed.
  return { socket, readDialError: () => undefined };
}

/** Returns a client without HTTP/2: a WebSocket handshake uses HTTP/1.1. */
function handshakeFetchOptions(): Promise<{ client: Deno.HttpClient }> {
  http1Client ??= Deno.createHttpClient({ caCerts, http2: false });
  return Promise.resolve({ client: http1Client });
}

/**
 * Returns a command that starts Deno through npx. The path of this Deno may not
 * last, because it is usually in npm's cache.
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

/** Returns the proxy variables of Deno's WebSocket, by precedence. */
function proxyVariables(protocol: string): string[] {
  const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
  return [name.toUpperCase(), name, "ALL_PROXY", "all_proxy"];
}

function fileInfoOf(info: Deno.FileInfo): FileInfo {
  const isWindows = Deno.build.os === "windows";
  const unlessWindows = <T>(value: T | null): T | undefined =>
    isWindows ? undefined : value ?? undefined;
  const { isFile, isDirectory, isSymlink, size, mode, dev, ino } = info;
  return {
    isFile,
    isFolder: isDirectory,
    isSymlink,
    size,
    modifiedAt: info.mtime?.getTime() ?? 0,
    mode: unlessWindows(mode && mode & 0o7777),
    userId: unlessWindows(info.uid),
    groupId: unlessWindows(info.gid),
    linkCount: info.nlink ?? 1,
    id: isWindows ? "" : `${dev}:${ino}`,
  };
}

/** Checks the file again once it is open, because Deno follows symlinks. */
function readIfUnchanged(path: string, expected: FileInfo): string | undefined {
  const file = ignoreNotFound(() => Deno.openSync(path));
  if (file === undefined) return undefined;
  try {
    const info = fileInfoOf(file.statSync());
    if (!isSameFile(info, expected)) return undefined;
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

const userIdByFolder = new Map<string, number>();

/**
 * Returns the owner of a file that this function creates and then removes. This
 * takes 40 microseconds. The file is created in the folder, or else in the
 * system's temporary folder. If both fail, returns the owner of the user's home
 * folder. `Deno.uid` and `/proc/self` would need another permission.
 */
function ownerOfNewFilesIn(folder: string): number | undefined {
  if (Deno.build.os === "windows") return undefined;
  const cached = userIdByFolder.get(folder);
  if (cached !== undefined) return cached;
  const userId = ownerOfNewFile({ dir: folder, suffix: ".tmp" }) ??
    ownerOfNewFile({}) ??
    ignoreNotFound(() => Deno.statSync(getEnv("HOME") ?? "").uid) ?? null;
  if (userId === null) throw new Error("no file can be created");
  userIdByFolder.set(folder, userId);
  return userId;
}

/** Returns the owner of a new file; `null` if creating the file fails. */
function ownerOfNewFile(options: Deno.MakeTempOptions): number | null {
  try {
    const path = Deno.makeTempFileSync(options);
    const { uid } = Deno.lstatSync(path);
    Deno.removeSync(path);
    return uid;
  } catch {
    return null;
  }
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
    // The umask may have removed permission bits.
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
  // On Windows, a flush needs write access.
  const write = Deno.build.os === "windows";
  const file = await Deno.open(path, { read: true, write });
  try {
    await file.sync();
  } catch (error) {
    if (!isFsyncUnsupported(error)) throw error;
  } finally {
    file.close();
  }
}

async function readStdin(handleChunk: ChunkHandler): Promise<void> {
  const buffer = new Uint8Array(READ_BUFFER_BYTES);
  const read = (): Promise<number | null> => Deno.stdin.read(buffer);
  for (;;) {
    const size = await retryWouldBlock(read).catch(() => null);
    if (size === null) return;
    const handled = handleChunk(buffer.subarray(0, size));
    if (handled !== undefined) await handled;
  }
}

/** Waits for a message: a timer takes 2 ms, importing `setImmediate` 20 ms. */
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
