/**
 * The host for Node and Bun. It imports nothing at its top: there, an import of
 * `node:` in the one bundled file would cost the start under Deno.
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

/** The numbers of files may be larger than a double holds. */
const BIGINT_STATS = { bigint: true } as const;

/** The oldest Node with a WebSocket. */
const MIN_NODE_VERSION = 22;

/** The host of a program that Node or Bun runs; under a Node that is too old, it says so and ends the process. */
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

  /** Bun's WebSocket obeys none, Node's only where that is wanted. */
  function proxies(protocol: string): string[] {
    if (bun !== undefined || getEnv("NODE_USE_ENV_PROXY") !== "1") return [];
    const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
    return [name, name.toUpperCase()];
  }

  const noProxy = noProxyWithLoopback({ proxyVariables: proxies, getEnv });
  // The small one is looked at first.
  if (noProxy !== undefined) process.env.no_proxy = noProxy;

  const usesStreams = bun === undefined && process.platform !== "win32";
  // Who writes hears of it, and nobody else needs to.
  if (usesStreams) {
    for (const name of ["stdout", "stderr"] as const) {
      process[name].on("error", () => {});
    }
  }

  /** What `run` gives, or `otherwise` where there is no such file. */
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

  /** Opens a file, runs with it, and closes it. */
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

  function readSame(path: string, expected: FileInfo): string | undefined {
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

  function makeFile(path: string, text: string, mode: number): boolean {
    let isCreated = false;
    try {
      withFile(path, "wx", (file) => {
        isCreated = true;
        fs.writeFileSync(file, text);
        // The mask of the process has taken some away.
        if (!isWindows) fs.fchmodSync(file, mode);
      }, mode);
      return true;
    } catch (error) {
      if (isCreated) fs.rmSync(path, { force: true });
      if (systemErrorCode(error) === "EEXIST") return false;
      throw error;
    }
  }

  /** On a thread. */
  async function sync(path: string): Promise<void> {
    // Windows wants to see the right to write.
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
  async function trustAuthorities(
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
      // Bun obeys these variables, but does not count what they name among the default ones.
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

  function socketOptions(url: string): Record<string, unknown> {
    if (bun === undefined || !url.startsWith("wss:")) return {};
    // Without it, an environment variable could switch the check off.
    return {
      tls: { rejectUnauthorized: true, ...(caCerts && { ca: caCerts }) },
    };
  }

  const watchDialErrors = bun === undefined
    ? await watchUndiciErrors()
    : () => () => undefined;

  async function askOverTls(
    { host, port, payload, maxBytes, signal }: TlsRequest,
  ): Promise<string | SocketErrorInfo> {
    const { connect } = await import("node:tls");
    const { promise, resolve } = Promise.withResolvers<
      string | SocketErrorInfo
    >();
    let answer = "";
    let isSecure = false;
    const socket = connect({
      ...{ host, port, ALPNProtocols: ["http/1.1"], rejectUnauthorized: true },
      // An address is no server name (RFC 6066 section 3).
      ...(!isIpAddress(host) && { servername: host }),
      ...(caCerts && { ca: caCerts }),
    });
    signal.addEventListener("abort", () => socket.destroy());
    socket.on("secureConnect", () => {
      isSecure = true;
      if (payload === "") resolve("");
      else socket.write(payload);
    });
    socket.on("data", (chunk: Uint8Array) => {
      answer += new TextDecoder("latin1").decode(chunk);
      const isEnough = answer.includes("\r\n\r\n") || answer.length > maxBytes;
      if (isEnough) resolve(answer);
    });
    socket.on("error", (error) => resolve(tlsErrorInfo(error)));
    // Behind "end", "error", and an end of ours.
    socket.on("close", () => {
      resolve(isSecure ? answer : { message: "", errorCode: "ECONNRESET" });
    });
    const outcome = await promise;
    socket.destroy();
    return outcome;
  }

  function program(): string[] {
    const main = process.argv[1]!;
    // What Bun has compiled lies in a file system of its own.
    if (/^(\/\$bunfs|[A-Z]:[/\\]~BUN)[/\\]/.test(main)) {
      return [process.execPath];
    }
    const file = fs.realpathSync(main);
    const isPackage = /[/\\]node_modules[/\\]/.test(file);
    return isPackage ? ["npx", "-y", "alwaysup"] : [process.execPath, file];
  }

  function turn(): Promise<void> {
    return new Promise((go) => setImmediate(go));
  }

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of process.stdin) {
        yield chunk as Uint8Array;
        // While the client writes, the stream has the next one without any turn.
        await turn();
      }
    } catch {
      // A stdin that cannot be read any more has ended.
    }
  }

  /** By the stream: a thread that is stuck in a write would keep Node from its end. */
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

  /** On a thread: elsewhere than with Node on POSIX, the stream would stop the whole program while a pipe is full. */
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
        // A pipe that our parent has made non-blocking says "not now": that is no end.
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
    launchCommand: program,
    env: () => normalizeEnv(os, { ...process.env as Record<string, string> }),
    getEnv,
    proxyVariables: proxies,
    ...{
      addCaCertificates: trustAuthorities,
      webSocketOptions: socketOptions,
      watchDialErrors,
      requestOverTls: askOverTls,
    },
    isTty: (stream) => process[stream].isTTY === true,
    readFile: (path) => decodeUtf8(fs.readFileSync(path)),
    readIfSame: readSame,
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
      // The mask of the process has taken some away.
      fs.chmodSync(path, mode);
    },
    createFile: makeFile,
    fsync: sync,
    chmod: (path, mode) => fs.chmodSync(path, mode),
    rename: (from, to) => fs.renameSync(from, to),
    remove: (path) => fs.rmSync(path, { force: true }),
    // These runtimes have no locks.
    createLocked: () => false,
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
    yieldToEvents: turn,
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

/** What newer Nodes, and Bun, have in `node:tls`. */
interface CaCertificatesApi {
  getCACertificates(type: "default" | "system"): string[];
  setDefaultCACertificates?(certificates: string[]): void;
}

/** Node's WebSocket tells nothing of a dial that failed; the HTTP client below it tells everything. */
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
    // After that one, the WebSocket itself says what it did not like.
    if (status === undefined || status === 101) return;
    record({ message: "", errorCode: "", status });
  });
  return () => {
    const countBefore = count;
    return () => count > countBefore ? last : undefined;
  };
}

/** What an error says, and the names in the certificate that it is about. */
function tlsErrorInfo(error: unknown): SocketErrorInfo {
  const { cert } = error as { cert?: { subjectaltname?: string } };
  const message = `${errorMessageOf(error)}\n${cert?.subjectaltname ?? ""}`
    .trim();
  return { message, errorCode: String(systemErrorCode(error) ?? "") };
}
