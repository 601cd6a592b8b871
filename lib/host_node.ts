/**
 * The host for Node and Bun. It imports nothing at its top: there, an import of
 * `node:` in the one bundled file would cost the start under Deno.
 *
 * @module
 */

import { type FileFacts, type Host, noProxy } from "./host.ts";

/** How long to wait where a pipe cannot be waited for. */
const RETRY_MS = 5;

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

  function stat(path: string): FileFacts | undefined {
    return found(() => {
      const stats = fs.statSync(path);
      const isWindows = process.platform === "win32";
      return {
        isFile: stats.isFile(),
        size: stats.size,
        modifiedAt: stats.mtimeMs,
        mode: isWindows ? undefined : stats.mode & 0o7777,
      };
    }, undefined);
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
    os: process.platform === "win32" ? "windows" : process.platform,
    program,
    env: () => ({ ...process.env as Record<string, string> }),
    variable,
    proxies,
    isTerminal: (stream) => process[stream].isTTY === true,
    readFile: (path) => fs.readFileSync(path, "utf8"),
    stat,
    realPath: (path) => fs.realpathSync(path),
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
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
        process.on(signal, callback);
      }
    },
    exit: (code) => process.exit(code),
  };
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
