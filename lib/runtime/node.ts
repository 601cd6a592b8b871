/**
 * Implements the host for Node and Bun. It imports `node:` modules dynamically,
 * because static imports in the bundle would slow down the start under Deno.
 *
 * @module
 */

import { parentFolderOf } from "../text/paths.ts";
import { decodeUtf8 } from "../text/utf8.ts";
import {
  type ChunkHandler,
  dialErrorInfo,
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
  type SocketErrorInfo,
  systemErrorCode,
  type WebSocketOptions,
} from "./host.ts";
import { hasWsPackage, openWsSocket } from "./ws_socket.ts";

/** Requests bigints, because inode numbers can exceed 2^53. */
const BIGINT_STATS = { bigint: true } as const;

/** The oldest Node with a WebSocket. */
const MIN_NODE_VERSION = 22;

// `nodeHost` sets these variables for the functions below.
let process: typeof import("node:process");
let fs: typeof import("node:fs");
let isBun: boolean;
let isWindows: boolean;
/** For Node: a file descriptor of stdout whose writes never block, if any. */
let nonBlockingStdout: number | undefined;
/** Bun's own writer of stdout, if stdout is a pipe or a socket. */
let bunStdout: BunWriter | undefined;
/** All trusted authorities, if any were added; Bun needs them at each dial. */
let bunAuthorities: string[] | undefined;

/**
 * Returns the host for Node or Bun. If Node is too old, prints an error and
 * ends the process.
 */
export async function nodeHost(): Promise<Host> {
  process = (globalThis as unknown as { process: typeof process }).process;
  // `process.getBuiltinModule` exists only since Node 22.3.
  fs = await import("node:fs");
  const { bun, node } = process.versions as Record<string, string | undefined>;
  isBun = bun !== undefined;
  isWindows = process.platform === "win32";
  if (!isBun && parseInt(node!) < MIN_NODE_VERSION) {
    const why =
      `Node ${node} is too old: use Node ${MIN_NODE_VERSION} or newer`;
    fs.writeSync(2, `alwaysup: ${why}\n`);
    process.exit(1);
  }
  const noProxy = noProxyWithLoopback(SHARED_HOST_MEMBERS);
  // Node prefers the lower-case variable.
  if (noProxy !== undefined) process.env.no_proxy = noProxy;
  // Bun's WebSocket never uses a proxy, so its `fetch` must not either.
  if (isBun) process.env.no_proxy = "*";
  if (isBun) bunStdout = openBunStdout();
  else nonBlockingStdout = openNonBlockingStdout();
  if (usesOutputStreams()) {
    // `write` reports the error. Without a listener, the event would also end
    // the process.
    process.stdout.on("error", () => {});
    process.stderr.on("error", () => {});
  }
  const os = isWindows ? "windows" : process.platform;
  return {
    ...SHARED_HOST_MEMBERS,
    runtime: isBun ? `bun ${bun}` : `node ${node}`,
    args: process.argv.slice(2),
    pid: process.pid,
    os,
    env: () => normalizeEnv(os, { ...process.env as Record<string, string> }),
    openWebSocket: isBun
      ? openBunWebSocket
      : await nodeWebSocketOpener(noProxy !== undefined),
  };
}

const SHARED_HOST_MEMBERS: Omit<
  Host,
  "runtime" | "args" | "pid" | "os" | "env" | "openWebSocket"
> = {
  launchCommand: () => {
    const main = process.argv[1]!;
    // In an executable compiled by Bun, the main module has a virtual path.
    if (/^(\/\$bunfs|[A-Z]:[/\\]~BUN)[/\\]/.test(main)) {
      return [process.execPath];
    }
    const file = fs.realpathSync(main);
    const isPackage = /[/\\]node_modules[/\\]/.test(file);
    return isPackage ? ["npx", "-y", "alwaysup"] : [process.execPath, file];
  },
  getEnv: (name) => process.env[name] || undefined,
  // Bun's WebSocket never uses a proxy; Node's does only with this variable or
  // flag.
  proxyVariables: (protocol) => {
    const { NODE_USE_ENV_PROXY, NODE_OPTIONS = "" } = process.env;
    const flags = [NODE_OPTIONS, ...process.execArgv].join(" ");
    const isUsed = !isBun &&
      (NODE_USE_ENV_PROXY === "1" || flags.includes("--use-env-proxy"));
    const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
    return isUsed ? [name, name.toUpperCase()] : [];
  },
  addCaCertificates: async (certificates) => {
    const { X509Certificate } = await import("node:crypto");
    for (const [i, certificate] of certificates.entries()) {
      try {
        new X509Certificate(certificate);
      } catch {
        throw new Error(`certificate ${i + 1} in it cannot be parsed`);
      }
    }
    const tls = await import("node:tls") as unknown as CaCertificatesApi;
    if (isBun) {
      bunAuthorities = [...tls.getCACertificates("default"), ...certificates];
      // Bun trusts the certificates in these variables, but they are part of
      // "system", not of "default".
      const isNamed = ["SSL_CERT_FILE", "SSL_CERT_DIR"].some(
        SHARED_HOST_MEMBERS.getEnv,
      );
      if (isNamed) bunAuthorities.push(...tls.getCACertificates("system"));
      return;
    }
    if (tls.setDefaultCACertificates === undefined) {
      throw new Error(
        `Node ${process.versions.node} cannot use it; use Node 22.19, 24.5 or ` +
          "newer, or set NODE_EXTRA_CA_CERTS to this path",
      );
    }
    tls.setDefaultCACertificates([
      ...tls.getCACertificates("default"),
      ...certificates,
    ]);
  },
  handshakeFetchOptions: async () => {
    // Node's `fetch` cannot make the handshake. Node does not need it, because
    // `readDialError` reports why a dial failed.
    if (!isBun) return undefined;
    // Without this function, Bun's error lacks the certificate's names.
    const { checkServerIdentity } = await import("node:tls");
    return { tls: { ...bunTlsOptions(), checkServerIdentity } };
  },
  isTty,
  terminalSize: () => {
    if (!isTty("stdout")) return undefined;
    const { columns = 0, rows = 0 } = process.stdout;
    return { columns, rows };
  },

  readFile: (path) => decodeUtf8(fs.readFileSync(path)),
  readIfUnchanged: (path, expected) => {
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
    let file: number;
    try {
      file = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if (/^(ENOENT|ELOOP)$/.test(systemErrorCode(error))) return undefined;
      throw error;
    }
    try {
      const info = infoOfStats(fs.fstatSync(file, BIGINT_STATS));
      if (!isSameFile(info, expected)) return undefined;
      return fs.readFileSync(file, "utf8");
    } finally {
      fs.closeSync(file);
    }
  },
  stat: (path) =>
    ignoreNotFound(() => infoOfStats(fs.statSync(path, BIGINT_STATS))),
  lstat: (path) =>
    ignoreNotFound(() => infoOfStats(fs.lstatSync(path, BIGINT_STATS))),
  ownerOfNewFilesIn: () => process.geteuid?.(),
  realPath: (path) => fs.realpathSync(path),
  readLink: (path) => fs.readlinkSync(path),
  listFolder: (folder) => ignoreNotFound(() => fs.readdirSync(folder)) ?? [],
  makeFolder,
  createFile: (path, text, mode) => {
    let file: number;
    try {
      file = fs.openSync(path, "wx", mode);
    } catch (error) {
      if (systemErrorCode(error) === "EEXIST") return false;
      throw error;
    }
    try {
      fs.writeFileSync(file, text);
      // The umask may have removed permission bits.
      if (!isWindows) fs.fchmodSync(file, mode);
      return true;
    } catch (error) {
      fs.rmSync(path, { force: true });
      throw error;
    } finally {
      fs.closeSync(file);
    }
  },
  writeFile: (path, text) => fs.writeFileSync(path, text),
  fsync: async (path) => {
    // On Windows, a flush needs write access.
    const file = await fs.promises.open(path, isWindows ? "r+" : "r");
    try {
      await file.sync();
    } catch (error) {
      if (!isFsyncUnsupported(error)) throw error;
    } finally {
      await file.close();
    }
  },
  chmod: (path, mode) => fs.chmodSync(path, mode),
  rename: (from, to) => fs.renameSync(from, to),
  remove: (path) => fs.rmSync(path, { force: true }),

  readStdin: readStdinStream,
  writeStdout,
  writeStderr: (bytes) => write("stderr", bytes),
  yieldToEvents: () => new Promise((resolve) => setImmediate(resolve)),
  setTimer: (ms, callback) => void setTimeout(callback, ms),
  onSignal: (callback) => {
    const signals = ["SIGINT", "SIGHUP", isWindows ? "SIGBREAK" : "SIGTERM"];
    for (const signal of signals) process.on(signal, callback);
  },
  exit: (code) => process.exit(code),
};

function infoOfStats(stats: import("node:fs").BigIntStats): FileInfo {
  return {
    isFile: stats.isFile(),
    isFolder: stats.isDirectory(),
    isSymlink: stats.isSymbolicLink(),
    size: Number(stats.size),
    modifiedAt: Number(stats.mtimeMs),
    mode: isWindows ? undefined : Number(stats.mode) & 0o7777,
    userId: isWindows ? undefined : Number(stats.uid),
    groupId: isWindows ? undefined : Number(stats.gid),
    linkCount: Number(stats.nlink),
    id: isWindows ? "" : `${stats.dev}:${stats.ino}`,
  };
}

/**
 * True if stdout and stderr are written as streams. A direct write to a full
 * pipe blocks a thread, which keeps Node from exiting. But on Windows and under
 * Bun, a stream with a full pipe blocks the whole program.
 */
function usesOutputStreams(): boolean {
  return !isBun && !isWindows;
}

function isTty(stream: "stdin" | "stdout" | "stderr"): boolean {
  // Bun needs some milliseconds to create the stream, so this looks at the file
  // first.
  const fd = { stdin: 0, stdout: 1, stderr: 2 }[stream];
  const mayBeTty = !isBun || isWindows || fs.fstatSync(fd).isCharacterDevice();
  return mayBeTty && process[stream].isTTY === true;
}

/** The members of Bun that this file uses. */
interface BunGlobal {
  readonly Bun: {
    readonly stdin: { stream(): AsyncIterable<Uint8Array> };
    readonly stdout: { writer(): BunWriter };
  };
}

/** Reads stdin with Bun's own stream, which starts sooner than Node's. */
async function readBunStdin(handleChunk: ChunkHandler): Promise<void> {
  const { Bun } = globalThis as unknown as BunGlobal;
  try {
    for await (const chunk of Bun.stdin.stream()) {
      const handled = handleChunk(chunk);
      if (handled !== undefined) await handled;
      // Otherwise, if stdin never ends or pauses, the stream yields chunks
      // without a turn of the event loop.
      await SHARED_HOST_MEMBERS.yieldToEvents();
    }
  } catch {
    // An error on stdin counts as its end.
  }
}

function readStdinStream(handleChunk: ChunkHandler): Promise<void> {
  if (isBun && !isWindows) return readBunStdin(handleChunk);
  const { stdin } = process;
  return new Promise((resolve) => {
    stdin.on("data", (chunk: Uint8Array) => {
      const handled = handleChunk(chunk);
      if (handled === undefined) return;
      stdin.pause();
      void handled.then(() => stdin.resume());
    });
    // `end` does not follow if the stream is destroyed.
    for (const event of ["end", "error", "close"]) stdin.on(event, resolve);
  });
}

/**
 * Creates missing folders one by one. With `recursive`, Node never returns if a
 * folder exists, but a new one in it is "not found", as in `/proc` or in a
 * folder that was deleted.
 */
function makeFolder(path: string): void {
  const folder = path.replace(/[/\\]+$/, "");
  if (folder === "" || fs.existsSync(folder)) return;
  makeFolder(parentFolderOf(folder));
  try {
    fs.mkdirSync(folder, 0o700);
  } catch (error) {
    // Another process has just created it.
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}

function writeStdout(bytes: Uint8Array): number | Promise<number> {
  if (nonBlockingStdout !== undefined) {
    try {
      return fs.writeSync(nonBlockingStdout, bytes);
    } catch (error) {
      if (systemErrorCode(error) !== "EAGAIN") throw error;
    }
  }
  if (bunStdout !== undefined) {
    void bunStdout.write(bytes);
    const flushed = bunStdout.flush();
    return flushed instanceof Promise
      ? flushed.then(() => bytes.length)
      : bytes.length;
  }
  const written = write("stdout", bytes);
  if (!usesOutputStreams()) return written;
  // The stream tries to write at once.
  const { writableLength, errored } = process.stdout;
  return writableLength === 0 && errored === null ? bytes.length : written;
}

/**
 * Opens the pipe of stdout a second time, so that a direct write never blocks.
 * It takes less time than Node's stream. Returns `undefined` if stdout is not a
 * pipe, or the system cannot do this.
 */
function openNonBlockingStdout(): number | undefined {
  if (process.platform !== "linux" || !fs.fstatSync(1).isFIFO()) {
    return undefined;
  }
  try {
    const { O_WRONLY, O_NONBLOCK } = fs.constants;
    return fs.openSync("/proc/self/fd/1", O_WRONLY | O_NONBLOCK);
  } catch {
    // `/proc` is not mounted, or the pipe belongs to another user.
    return undefined;
  }
}

/** Bun's writer for a pipe or a socket, which never blocks the program. */
interface BunWriter {
  /** Takes the bytes. */
  write(bytes: Uint8Array): number | Promise<number>;
  /** Writes what it can at once; returns a promise if that was not all. */
  flush(): number | Promise<number>;
}

function openBunStdout(): BunWriter | undefined {
  const stats = fs.fstatSync(1);
  if (isWindows || !stats.isFIFO() && !stats.isSocket()) return undefined;
  return (globalThis as unknown as BunGlobal).Bun.stdout.writer();
}

function write(name: "stdout" | "stderr", bytes: Uint8Array): Promise<number> {
  if (usesOutputStreams()) {
    return new Promise((resolve, reject) =>
      process[name].write(bytes, (error) => {
        if (error) reject(error);
        else resolve(bytes.length);
      })
    );
  }
  return retryWouldBlock(() =>
    new Promise((resolve, reject) =>
      fs.write(name === "stdout" ? 1 : 2, bytes, (error, size) => {
        if (error) reject(error);
        else resolve(size);
      })
    )
  );
}

/** The functions of `node:tls` that Bun and newer versions of Node have. */
interface CaCertificatesApi {
  getCACertificates(type: "default" | "system"): string[];
  setDefaultCACertificates?(certificates: string[]): void;
}

function openBunWebSocket(
  url: string,
  options: WebSocketOptions,
): OpenedWebSocket {
  const extra = url.startsWith("wss:") ? { tls: bunTlsOptions() } : {};
  const socket = openOwnWebSocket(url, options, extra);
  return { socket, readDialError: () => undefined };
}

/**
 * Returns what opens WebSockets under Node: the package `ws`, or else Node's
 * own WebSocket, because only that one supports HTTP proxies.
 */
async function nodeWebSocketOpener(
  mayUseProxy: boolean,
): Promise<Host["openWebSocket"]> {
  if (hasWsPackage() && !mayUseProxy) return openWsSocket;
  const watchDialErrors = await watchUndiciErrors();
  return (url, options) => {
    const readDialError = watchDialErrors();
    return { socket: openOwnWebSocket(url, options), readDialError };
  };
}

/**
 * Watches the events of undici, on which Node's WebSocket is built. Only undici
 * reports why a dial failed. Returns a function that begins to watch a dial,
 * and returns a function that returns the latest error since then, if any.
 */
async function watchUndiciErrors(): Promise<
  () => () => SocketErrorInfo | undefined
> {
  const { subscribe } = await import("node:diagnostics_channel");
  let last: SocketErrorInfo | undefined;
  for (const name of ["undici:client:connectError", "undici:request:error"]) {
    subscribe(name, (message) => {
      last = dialErrorInfo((message as { error?: unknown }).error);
    });
  }
  subscribe("undici:request:headers", (message) => {
    const { response } = message as { response?: { statusCode?: number } };
    const status = response?.statusCode;
    // After status 101, the WebSocket itself reports errors.
    if (status === undefined || status === 101) return;
    last = { message: "", errorCode: "", status };
  });
  return () => {
    const before = last;
    return () => last === before ? undefined : last;
  };
}

/** Returns options that check certificates, whatever the environment says. */
function bunTlsOptions(): Record<string, unknown> {
  const ca = bunAuthorities && { ca: bunAuthorities };
  return { rejectUnauthorized: true, ...ca };
}
