/**
 * The host for Node and Bun. It has no imports of `node:` at its top: in the
 * one bundled file, they would slow down the start under Deno.
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
import { isIpAddress } from "./url.ts";

/** Inode numbers may be larger than a double can hold. */
const BIGINT_STATS = { bigint: true } as const;

/** The oldest Node with a WebSocket. */
const MIN_NODE_VERSION = 22;

/**
 * Returns the host for Node or Bun. Under a Node that is too old, it says so
 * and ends the process.
 */
export async function nodeHost(): Promise<Host> {
  const process = (globalThis as unknown as {
    process: typeof import("node:process");
  }).process;
  // Node has `process.getBuiltinModule` only since 22.3.
  const fs = await import("node:fs");
  const { bun, node } = process.versions as Record<string, string | undefined>;
  if (bun === undefined && parseInt(node!) < MIN_NODE_VERSION) {
    const why =
      `Node ${node} is too old, it must be ${MIN_NODE_VERSION} or newer`;
    fs.writeSync(2, `alwaysup: ${why}\n`);
    process.exit(1);
  }
  const getEnv = (name: string): string | undefined =>
    process.env[name] || undefined;

  /**
   * Bun's WebSocket uses no proxy; Node's does only with `NODE_USE_ENV_PROXY`.
   */
  function proxyVariables(protocol: string): string[] {
    if (bun !== undefined || getEnv("NODE_USE_ENV_PROXY") !== "1") return [];
    const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
    return [name, name.toUpperCase()];
  }

  const noProxy = noProxyWithLoopback({ proxyVariables, getEnv });
  // Node reads the lower-case variable first.
  if (noProxy !== undefined) process.env.no_proxy = noProxy;

  const usesStreams = bun === undefined && process.platform !== "win32";
  // The writer gets the error itself; without a listener, it would end the
  // process.
  if (usesStreams) {
    for (const name of ["stdout", "stderr"] as const) {
      process[name].on("error", () => {});
    }
  }

  /** Returns the result of `run`, or `fallback` if the file does not exist. */
  function ignoreNotFound<T>(run: () => T, fallback: T): T {
    try {
      return run();
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return fallback;
      throw error;
    }
  }

  const isWindows = process.platform === "win32";
  const os = isWindows ? "windows" : process.platform;

  function fileInfoOf(stats: import("node:fs").BigIntStats): FileInfo {
    return {
      isFile: stats.isFile(),
      isFolder: stats.isDirectory(),
      isSymlink: stats.isSymbolicLink(),
      size: Number(stats.size),
      modifiedAt: Number(stats.mtimeMs),
      mode: isWindows ? undefined : Number(stats.mode) & 0o7777,
      owner: isWindows
        ? undefined
        : { userId: Number(stats.uid), groupId: Number(stats.gid) },
      linkCount: Number(stats.nlink),
      id: isWindows ? "" : `${stats.dev}:${stats.ino}`,
    };
  }

  /** Opens a file, calls `run` with it, and closes it. */
  function withFile<T>(
    path: string,
    flags: number | string,
    run: (file: number) => T,
    mode?: number,
  ): T {
    const file = fs.openSync(path, flags, mode);
    try {
      return run(file);
    } finally {
      fs.closeSync(file);
    }
  }

  function readIfSame(path: string, expected: FileInfo): string | undefined {
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
    const read = (file: number): string | undefined =>
      isSameFile(fileInfoOf(fs.fstatSync(file, BIGINT_STATS)), expected)
        ? fs.readFileSync(file, "utf8")
        : undefined;
    try {
      return withFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, read);
    } catch (error) {
      if (/^(ENOENT|ELOOP)$/.test(String(systemErrorCode(error)))) {
        return undefined;
      }
      throw error;
    }
  }

  function createFile(path: string, text: string, mode: number): boolean {
    let isCreated = false;
    try {
      withFile(path, "wx", (file) => {
        isCreated = true;
        fs.writeFileSync(file, text);
        // The process's umask may have removed some bits.
        if (!isWindows) fs.fchmodSync(file, mode);
      }, mode);
      return true;
    } catch (error) {
      if (isCreated) fs.rmSync(path, { force: true });
      if (systemErrorCode(error) === "EEXIST") return false;
      throw error;
    }
  }

  /** `fsync` on a thread. */
  async function fsync(path: string): Promise<void> {
    // Windows needs write access for it.
    const file = fs.openSync(path, isWindows ? "r+" : "r");
    try {
      await new Promise<void>((resolve, reject) =>
        fs.fsync(file, (error) => {
          if (error && !isFsyncUnsupported(error.code)) reject(error);
          else resolve();
        })
      );
    } finally {
      fs.closeSync(file);
    }
  }

  let caCerts: string[] | undefined;
  async function addCaCertificates(
    certificates: readonly string[],
  ): Promise<void> {
    const { X509Certificate } = await import("node:crypto");
    for (const [i, certificate] of certificates.entries()) {
      try {
        new X509Certificate(certificate);
      } catch {
        throw new Error(`certificate ${i + 1} in it cannot be parsed`);
      }
    }
    const tls = await import("node:tls") as unknown as CaCertificatesApi;
    if (bun !== undefined) {
      caCerts = [...tls.getCACertificates("default"), ...certificates];
      // Bun uses these variables, but "default" does not include their
      // certificates.
      const isNamed = ["SSL_CERT_FILE", "SSL_CERT_DIR"].some(getEnv);
      if (isNamed) caCerts.push(...tls.getCACertificates("system"));
      return;
    }
    if (tls.setDefaultCACertificates === undefined) {
      throw new Error(
        `Node ${node} cannot read it, only 22.19, 24.5 and newer can; set ` +
          "NODE_EXTRA_CA_CERTS to this path instead",
      );
    }
    const all = [...tls.getCACertificates("default"), ...certificates];
    tls.setDefaultCACertificates(all);
  }

  function webSocketOptions(url: string): Record<string, unknown> {
    if (bun === undefined || !url.startsWith("wss:")) return {};
    // Without this, an environment variable could turn the check off.
    return {
      tls: { rejectUnauthorized: true, ...(caCerts && { ca: caCerts }) },
    };
  }

  const watchDialErrors = bun === undefined
    ? await watchUndiciErrors()
    : () => () => undefined;

  async function requestOverTls(
    { hostname, port, payload, maxBytes, signal }: TlsRequest,
  ): Promise<string | SocketErrorInfo> {
    const { connect } = await import("node:tls");
    const { promise, resolve } = Promise.withResolvers<
      string | SocketErrorInfo
    >();
    let response = "";
    let isSecure = false;
    const socket = connect({
      host: hostname,
      port,
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: true,
      // An IP address is not allowed as server name (RFC 6066 section 3).
      ...(!isIpAddress(hostname) && { servername: hostname }),
      ...(caCerts && { ca: caCerts }),
    });
    signal.addEventListener("abort", () => socket.destroy());
    socket.on("secureConnect", () => {
      isSecure = true;
      if (payload === "") resolve("");
      else socket.write(payload);
    });
    socket.on("data", (chunk: Uint8Array) => {
      response += new TextDecoder("latin1").decode(chunk);
      const isEnough = response.includes("\r\n\r\n") ||
        response.length > maxBytes;
      if (isEnough) resolve(response);
    });
    socket.on("error", (error) => resolve(tlsErrorInfo(error)));
    // Comes after "end", after "error", and after our own `destroy`.
    socket.on("close", () => {
      resolve(isSecure ? response : { message: "", errorCode: "ECONNRESET" });
    });
    const outcome = await promise;
    socket.destroy();
    return outcome;
  }

  function launchCommand(): string[] {
    const main = process.argv[1]!;
    // An executable compiled by Bun has a virtual file system.
    if (/^(\/\$bunfs|[A-Z]:[/\\]~BUN)[/\\]/.test(main)) {
      return [process.execPath];
    }
    const file = fs.realpathSync(main);
    const isPackage = /[/\\]node_modules[/\\]/.test(file);
    return isPackage ? ["npx", "-y", "alwaysup"] : [process.execPath, file];
  }

  function yieldToEvents(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of process.stdin) {
        yield chunk as Uint8Array;
        // While the client writes, the stream yields chunks without a turn of
        // the event loop.
        await yieldToEvents();
      }
    } catch {
      // An error of stdin counts as its end.
    }
  }

  /**
   * Uses the stream: a thread that is blocked in a write would keep Node from
   * exiting.
   */
  function writeByStream(
    name: "stdout" | "stderr",
    bytes: Uint8Array,
  ): Promise<number> {
    return new Promise((resolve, reject) =>
      process[name].write(bytes, (error) => {
        if (error) reject(error);
        else resolve(bytes.length);
      })
    );
  }

  /**
   * Writes on a thread. With a stream, a full pipe would block the whole
   * program (on Windows and under Bun).
   */
  async function writeByDescriptor(
    file: number,
    bytes: Uint8Array,
  ): Promise<number> {
    for (;;) {
      try {
        return await new Promise((resolve, reject) =>
          fs.write(file, bytes, (error, size) => {
            if (error) reject(error);
            else resolve(size);
          })
        );
      } catch (error) {
        // A pipe that our parent made non-blocking returns EAGAIN; it is not
        // broken.
        if (systemErrorCode(error) !== "EAGAIN") throw error;
        await delay(PIPE_RETRY_MS);
      }
    }
  }

  return {
    runtime: bun === undefined ? `node ${node}` : `bun ${bun}`,
    args: process.argv.slice(2),
    pid: process.pid,
    os,
    launchCommand,
    env: () => normalizeEnv(os, { ...process.env as Record<string, string> }),
    getEnv,
    proxyVariables,

    addCaCertificates,
    webSocketOptions,
    watchDialErrors,
    requestOverTls,
    isTty: (stream) => process[stream].isTTY === true,
    readFile: (path) => decodeUtf8(fs.readFileSync(path)),
    readIfSame,
    stat: (path) =>
      ignoreNotFound(
        () => fileInfoOf(fs.statSync(path, BIGINT_STATS)),
        undefined,
      ),
    lstat: (path) =>
      ignoreNotFound(
        () => fileInfoOf(fs.lstatSync(path, BIGINT_STATS)),
        undefined,
      ),
    userIdIn: () => process.geteuid?.(),
    realPath: (path) => fs.realpathSync(path),
    readLink: (path) => fs.readlinkSync(path),
    listFolder: (folder) => ignoreNotFound(() => fs.readdirSync(folder), []),
    makeFolder: (path) => {
      fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    },
    writeFile: (path, text, mode) => {
      if (mode === undefined) return fs.writeFileSync(path, text);
      fs.writeFileSync(path, text, { mode });
      // The process's umask may have removed some bits.
      fs.chmodSync(path, mode);
    },
    createFile,
    fsync,
    chmod: (path, mode) => fs.chmodSync(path, mode),
    rename: (from, to) => fs.renameSync(from, to),
    remove: (path) => fs.rmSync(path, { force: true }),
    // These runtimes have no locks.
    createLockedFile: () => false,
    isLocked: () => undefined,
    stdin: read,
    writeStdout: (bytes) =>
      usesStreams
        ? writeByStream("stdout", bytes)
        : writeByDescriptor(1, bytes),
    writeStderr: (bytes) =>
      usesStreams
        ? writeByStream("stderr", bytes)
        : writeByDescriptor(2, bytes),
    yieldToEvents,
    setTimer: (ms, callback) => {
      setTimeout(callback, ms);
    },
    onSignal: (callback) => {
      const signals = isWindows
        ? ["SIGINT", "SIGBREAK", "SIGHUP"]
        : ["SIGINT", "SIGTERM", "SIGHUP"];
      for (const signal of signals) process.on(signal, callback);
    },
    exit: (code) => process.exit(code),
  };
}

function systemErrorCode(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

/** Functions of `node:tls` in newer Nodes and in Bun. */
interface CaCertificatesApi {
  getCACertificates(type: "default" | "system"): string[];
  setDefaultCACertificates?(certificates: string[]): void;
}

/**
 * Node's WebSocket gives no reason for a failed dial; undici, the HTTP client
 * below it, does.
 */
async function watchUndiciErrors(): Promise<Host["watchDialErrors"]> {
  const { subscribe } = await import("node:diagnostics_channel");
  let count = 0;
  let last: SocketErrorInfo | undefined;
  const record = (error: SocketErrorInfo): void => {
    count++;
    last = error;
  };
  for (const name of ["undici:client:connectError", "undici:request:error"]) {
    subscribe(name, (message) => {
      record(tlsErrorInfo((message as { error?: unknown }).error));
    });
  }
  subscribe("undici:request:headers", (message) => {
    const { response } = message as { response?: { statusCode?: number } };
    const status = response?.statusCode;
    // After status 101, the WebSocket itself reports what is wrong.
    if (status === undefined || status === 101) return;
    record({ message: "", errorCode: "", status });
  });
  return () => {
    const countBefore = count;
    return () => count > countBefore ? last : undefined;
  };
}

/**
 * Returns an error's message and code, with the names in the certificate if the
 * error is about one.
 */
function tlsErrorInfo(error: unknown): SocketErrorInfo {
  const { cert } = error as { cert?: { subjectaltname?: string } };
  const message = `${errorMessageOf(error)}\n${cert?.subjectaltname ?? ""}`
    .trim();
  return { message, errorCode: String(systemErrorCode(error) ?? "") };
}
