/**
 * The host for Deno, on its own stdin, stdout and signals: `node:process` would
 * cost the start 20 ms, and `Deno.stdin.readable` 4 ms.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** How much is read at once, in bytes: as much as a pipe holds. */
const CHUNK = 64 * 1024;

/** How long to wait where a pipe cannot be waited for. */
const RETRY_MS = 5;

/** Deno. */
export const deno: Host = {
  runtime: `deno ${Deno.version.deno}`,
  args: Deno.args,
  env: () => Deno.env.toObject(),
  readFile: (path) => Deno.readTextFileSync(path),
  os: Deno.build.os,
  variable: (name) => Deno.env.get(name) || undefined,
  readState,
  writeState,
  stdin: read,
  writeStdout: (bytes) => whenReady(() => Deno.stdout.write(bytes)),
  writeStderr: (bytes) => whenReady(() => Deno.stderr.write(bytes)),
  onSignal: (callback) => {
    const isWindows = Deno.build.os === "windows";
    const signals: Deno.Signal[] = isWindows
      ? ["SIGINT", "SIGBREAK"]
      : ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of signals) Deno.addSignalListener(signal, callback);
  },
  exit: (code) => Deno.exit(code),
};

function readState(
  path: string,
  limit: number,
): { text: string; ageMs: number } | undefined {
  try {
    const { size, isFile, mtime } = Deno.statSync(path);
    if (!isFile) throw new Error("it is no file");
    if (size > limit) throw new Error(`it has ${size} bytes`);
    const ageMs = Math.max(0, Date.now() - (mtime?.getTime() ?? 0));
    return { text: Deno.readTextFileSync(path), ageMs };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The file behind a path, which must be a regular one if it is there: renaming over a device or a link would replace it. */
function regularFile(path: string): string {
  try {
    const { isFile, isSymlink } = Deno.lstatSync(path);
    if (isSymlink) return regularFile(Deno.realPathSync(path));
    if (!isFile) throw new Error("it is no regular file");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return path;
}

function writeState(named: string, text: string): void {
  const path = regularFile(named);
  const folder = path.replace(/[^/\\]*$/, "");
  if (folder !== "") Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Another proxy may do the same now: each writes its own file, the last one stays.
  const next = `${path}.${Deno.pid}.tmp`;
  try {
    Deno.writeTextFileSync(next, text, { mode: 0o600 });
    Deno.renameSync(next, path);
  } catch (error) {
    try {
      Deno.removeSync(next);
    } catch {
      // It was not even made.
    }
    throw error;
  }
}

async function* read(): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    // A stdin that cannot be read any more has ended.
    const size = await whenReady(() => Deno.stdin.read(buffer))
      .catch(() => null);
    if (size === null) return;
    yield buffer.subarray(0, size);
  }
}

/** A pipe that our parent has made non-blocking says "not now": that is no end. */
async function whenReady<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await new Promise((go) => setTimeout(go, RETRY_MS));
    }
  }
}
