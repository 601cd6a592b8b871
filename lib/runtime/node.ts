/**
 * The host for Node and Bun. It imports nothing at its top: there, an import of
 * `node:` in the one bundled file would cost the start under Deno.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { textOf } from "../text/utf8.ts";
import {
  type FileFacts,
  type Host,
  isSame,
  isUnsyncable,
  namesIn,
  noProxy,
  type TlsRequest,
  type Trouble,
} from "./host.ts";
import { isAddress } from "./address.ts";

/** How long to wait where a pipe cannot be waited for. */
const RETRY_MS = 5;

/** The numbers of files may be larger than a double holds. */
const BIG = { bigint: true } as const;

/** The oldest Node with a WebSocket. */
const OLDEST = 22;

/** The host of a program that Node or Bun runs; under a Node that is too old, it says so and ends the process. */
export async function nodeHost(): Promise<Host> {
  const process = (globalThis as unknown as {
    process: typeof import("node:process");
  }).process;
  // Node has `process.getBuiltinModule` only since 22.3.
  const fs = await import("node:fs");
  const { bun, node } = process.versions as Record<string, string | undefined>;
  if (bun === undefined && parseInt(node!) < OLDEST) {
    const why = `Node ${node} is too old, it must be ${OLDEST} or newer`;
    fs.writeSync(2, `alwaysup: ${why}\n`);
    process.exit(1);
  }
  const variable = (name: string): string | undefined =>
    process.env[name] || undefined;

  /** Bun's WebSocket obeys none, Node's only where that is wanted. */
  function proxies(protocol: string): string[] {
    if (bun !== undefined || variable("NODE_USE_ENV_PROXY") !== "1") return [];
    const name = protocol === "wss:" ? "https_proxy" : "http_proxy";
    return [name, name.toUpperCase()];
  }

  const exempt = noProxy({ proxies, variable });
  // The small one is looked at first.
  if (exempt !== undefined) process.env.no_proxy = exempt;

  const isStreaming = bun === undefined && process.platform !== "win32";
  // Who writes hears of it, and nobody else needs to.
  if (isStreaming) {
    for (const name of ["stdout", "stderr"] as const) {
      process[name].on("error", () => {});
    }
  }

  /** What `run` gives, or `otherwise` where there is no such file. */
  function found<T>(run: () => T, otherwise: T): T {
    try {
      return run();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return otherwise;
      throw error;
    }
  }

  const isWindows = process.platform === "win32";
  const os = isWindows ? "windows" : process.platform;

  function factsOf(stats: import("node:fs").BigIntStats): FileFacts {
    return {
      isFile: stats.isFile(),
      isFolder: stats.isDirectory(),
      isLink: stats.isSymbolicLink(),
      size: Number(stats.size),
      modifiedAt: Number(stats.mtimeMs),
      mode: isWindows ? undefined : Number(stats.mode) & 0o7777,
      owner: isWindows
        ? undefined
        : { user: Number(stats.uid), group: Number(stats.gid) },
      names: Number(stats.nlink),
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

  function readSame(path: string, facts: FileFacts): string | undefined {
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
    const read = (file: number): string | undefined =>
      isSame(factsOf(fs.fstatSync(file, BIG)), facts)
        ? fs.readFileSync(file, "utf8")
        : undefined;
    try {
      return withFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, read);
    } catch (error) {
      if (/^(ENOENT|ELOOP)$/.test(String(codeOf(error)))) return undefined;
      throw error;
    }
  }

  function makeFile(path: string, text: string, mode: number): boolean {
    let isMade = false;
    try {
      withFile(path, "wx", (file) => {
        isMade = true;
        fs.writeFileSync(file, text);
        // The mask of the process has taken some away.
        if (!isWindows) fs.fchmodSync(file, mode);
      }, mode);
      return true;
    } catch (error) {
      if (isMade) fs.rmSync(path, { force: true });
      if (codeOf(error) === "EEXIST") return false;
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
          if (error && !isUnsyncable(error.code)) reject(error);
          else resolve();
        })
      );
    } finally {
      fs.closeSync(file);
    }
  }

  let ca: string[] | undefined;
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
    const tls = await import("node:tls") as unknown as Authorities;
    if (bun !== undefined) {
      ca = [...tls.getCACertificates("default"), ...certificates];
      // Bun obeys these variables, but does not count what they name among the default ones.
      const isNamed = ["SSL_CERT_FILE", "SSL_CERT_DIR"].some(variable);
      if (isNamed) ca.push(...tls.getCACertificates("system"));
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
    return { tls: { rejectUnauthorized: true, ...(ca && { ca }) } };
  }

  const watchDials = bun === undefined
    ? await watchUndici()
    : () => () => undefined;

  async function askOverTls(
    { host, port, text, limit, signal }: TlsRequest,
  ): Promise<string | Trouble> {
    const { connect } = await import("node:tls");
    const { promise, resolve } = Promise.withResolvers<string | Trouble>();
    let answer = "";
    let isSecure = false;
    const socket = connect({
      ...{ host, port, ALPNProtocols: ["http/1.1"], rejectUnauthorized: true },
      // An address is no server name (RFC 6066 section 3).
      ...(!isAddress(host) && { servername: host }),
      ...(ca && { ca }),
    });
    signal.addEventListener("abort", () => socket.destroy());
    socket.on("secureConnect", () => {
      isSecure = true;
      if (text === "") resolve("");
      else socket.write(text);
    });
    socket.on("data", (chunk: Uint8Array) => {
      answer += new TextDecoder("latin1").decode(chunk);
      const isEnough = answer.includes("\r\n\r\n") || answer.length > limit;
      if (isEnough) resolve(answer);
    });
    socket.on("error", (error) => resolve(troubleOf(error)));
    // Behind "end", "error", and an end of ours.
    socket.on("close", () => {
      resolve(isSecure ? answer : { text: "", error: "ECONNRESET" });
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
  function push(
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
  async function write(file: number, bytes: Uint8Array): Promise<number> {
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
        if (codeOf(error) !== "EAGAIN") throw error;
        await new Promise((go) => setTimeout(go, RETRY_MS));
      }
    }
  }

  return {
    runtime: bun === undefined ? `node ${node}` : `bun ${bun}`,
    args: process.argv.slice(2),
    pid: process.pid,
    os,
    program,
    env: () => namesIn(os, { ...process.env as Record<string, string> }),
    variable,
    proxies,
    ...{ trustAuthorities, socketOptions, watchDials, askOverTls },
    isTerminal: (stream) => process[stream].isTTY === true,
    readFile: (path) => textOf(fs.readFileSync(path)),
    readSame,
    stat: (path) => found(() => factsOf(fs.statSync(path, BIG)), undefined),
    lstat: (path) => found(() => factsOf(fs.lstatSync(path, BIG)), undefined),
    user: () => process.geteuid?.(),
    realPath: (path) => fs.realpathSync(path),
    readLink: (path) => fs.readlinkSync(path),
    list: (folder) => found(() => fs.readdirSync(folder), []),
    makeFolder: (path) => {
      fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    },
    writeFile: (path, text, mode) => {
      if (mode === undefined) return fs.writeFileSync(path, text);
      fs.writeFileSync(path, text, { mode });
      // The mask of the process has taken some away.
      fs.chmodSync(path, mode);
    },
    makeFile,
    sync,
    setMode: (path, mode) => fs.chmodSync(path, mode),
    rename: (from, to) => fs.renameSync(from, to),
    remove: (path) => fs.rmSync(path, { force: true }),
    // These runtimes have no locks.
    lock: () => false,
    isLocked: () => undefined,
    stdin: read,
    writeStdout: (bytes) =>
      isStreaming ? push("stdout", bytes) : write(1, bytes),
    writeStderr: (bytes) =>
      isStreaming ? push("stderr", bytes) : write(2, bytes),
    turn,
    wake: (ms, callback) => {
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

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

/** What newer Nodes, and Bun, have in `node:tls`. */
interface Authorities {
  getCACertificates(type: "default" | "system"): string[];
  setDefaultCACertificates?(certificates: string[]): void;
}

/** Node's WebSocket tells nothing of a dial that failed; the HTTP client below it tells everything. */
async function watchUndici(): Promise<Host["watchDials"]> {
  const { subscribe } = await import("node:diagnostics_channel");
  let count = 0;
  let last: Trouble | undefined;
  const note = (trouble: Trouble): void => {
    count++;
    last = trouble;
  };
  for (const name of ["undici:client:connectError", "undici:request:error"]) {
    subscribe(name, (message) => {
      note(troubleOf((message as { error?: unknown }).error));
    });
  }
  subscribe("undici:request:headers", (message) => {
    const { response } = message as { response?: { statusCode?: number } };
    const status = response?.statusCode;
    // After that one, the WebSocket itself says what it did not like.
    if (status === undefined || status === 101) return;
    note({ text: "", error: "", status });
  });
  return () => {
    const known = count;
    return () => count > known ? last : undefined;
  };
}

/** What an error says, and the names in the certificate that it is about. */
function troubleOf(error: unknown): Trouble {
  const { cert } = error as { cert?: { subjectaltname?: string } };
  const text = `${messageOf(error)}\n${cert?.subjectaltname ?? ""}`.trim();
  return { text, error: String(codeOf(error) ?? "") };
}
