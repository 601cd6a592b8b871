/**
 * Runs Windows programs on Linux with Wine.
 *
 * A program has pipes only if a Windows program starts it. So one Windows
 * program, `wine/parent.ts`, starts all others, and forwards their pipes over
 * one TCP connection.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { DIST, openLocked, outputOf, ROOT } from "../../.ci/build/bundle.ts";
import { withWaitLimit } from "../helpers/time_limit.ts";
import { print } from "../helpers/print.ts";
import {
  OutputLines,
  type Spawn,
  type SpawnedProcess,
} from "../helpers/process.ts";

/** The first version of Wine with all functions that the program imports. */
const FIRST_COMPLETE_VERSION = 9;
const COMPILER = "x86_64-w64-mingw32-gcc";
/** Wine 8 sometimes does not find its own kernel32.dll on its first start. */
const PREFIX_ATTEMPTS = 3;
/**
 * The folder with Wine's simulated Windows machine. It is kept for the next
 * run.
 */
const PREFIX = `${DIST}wine`;
/** The file that a run locks while it uses that folder. */
const LOCK = `${PREFIX}.lock`;
/** Makes Wine report only fatal errors, and open no window. */
const ENV = {
  WINEDEBUG: "-all",
  // Makes file names UTF-8.
  LC_ALL: "C.UTF-8",
  WINEDLLOVERRIDES: "mscoree=;mshtml=;winemenubuilder.exe=d",
  DISPLAY: "",
  WAYLAND_DISPLAY: "",
} as const;

/** Returns the major version of Wine on `PATH`, e.g. 8, if there is one. */
async function versionOfWine(): Promise<number | undefined> {
  // The caller's Wine folder is not used here, and may be invalid.
  Deno.env.delete("WINEPREFIX");
  const text = await outputOf("wine", ["--version"]);
  const version = /\d+/.exec(text ?? "")?.[0];
  return version === undefined ? undefined : Number(version);
}

/** Returns the path under which Wine shows a file of this machine. */
export function winePath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/** A command of Wine that failed, and what it reported. */
class WineError extends Error {}

/** Runs a command of Wine until it exits. Throws {@link WineError} if it fails. */
async function runWine(
  prefix: string,
  command: string,
  ...args: string[]
): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args,
    env: { ...ENV, WINEPREFIX: prefix },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const text = new TextDecoder().decode(stderr).trim();
  throw new WineError(`${command} ${args.join(" ")} failed: ${text}`);
}

/** Creates Wine's folder. An interrupted attempt starts from the beginning. */
async function makePrefix(version: number): Promise<void> {
  const next = `${PREFIX}.new`;
  await Deno.remove(next, { recursive: true }).catch(() => {});
  await runWine(next, "wineboot", "--init");
  const system = `${next}/drive_c/windows/system32`;
  if (version < FIRST_COMPLETE_VERSION) {
    await runWine(next, COMPILER, ...[
      ...["-shared", "-o", `${system}/bcryptprimitives.dll`],
      ...[`${import.meta.dirname}/wine/bcryptprimitives.c`, "-ladvapi32"],
    ]);
  }
  const key = "HKCU\\Software\\Wine";
  const value = ["/v", "Version", "/d", "win10"];
  await runWine(next, "wine", "reg", "add", key, ...value);
  // The files are complete once Wine's server has exited.
  await runWine(next, "wineserver", "--wait");
  await Deno.rename(next, PREFIX);
}

/**
 * Creates Wine's folder unless it exists. Returns why, if Wine cannot: then
 * Wine is broken here, and nothing of this project has run yet.
 */
async function ensurePrefix(version: number): Promise<string | undefined> {
  if (await Deno.stat(PREFIX).then(() => true, () => false)) return undefined;
  print("Wine creates its folder dist/wine/ (only on the first run)");
  for (let attempt = 1;; attempt++) {
    try {
      await makePrefix(version);
      return undefined;
    } catch (error) {
      if (!(error instanceof WineError)) throw error;
      if (attempt === PREFIX_ATTEMPTS) return error.message;
      print(`Wine is tried again: ${error.message}`);
    }
  }
}

/** If Wine cannot be used, returns why, and what to install if that helps. */
export async function wineSkipReason(): Promise<string | undefined> {
  const version = await versionOfWine();
  if (version === undefined) {
    return "wine is not on PATH; install it (on Debian: wine and wine64)";
  }
  if (
    version < FIRST_COMPLETE_VERSION &&
    await outputOf(COMPILER, ["--version"]) === undefined
  ) {
    return `Wine ${version} lacks bcryptprimitives.dll, and there is no ${COMPILER} ` +
      "on PATH to make it; install Debian's gcc-mingw-w64-x86-64-win32, or a " +
      `Wine of version ${FIRST_COMPLETE_VERSION} or newer`;
  }
  using _lock = await openLocked(LOCK);
  const failure = await ensurePrefix(version);
  return failure && `Wine cannot create its folder: ${failure}`;
}

/**
 * Ends all programs in our Wine folder, including those of a run that was
 * killed.
 */
async function endWineServer(): Promise<void> {
  // This command fails if nothing runs.
  await runWine(PREFIX, "wineserver", "--kill").catch(() => {});
  await runWine(PREFIX, "wineserver", "--wait");
}

/** A running Wine with its Windows parent. */
export class Wine implements AsyncDisposable {
  readonly #lock: Deno.FsFile;
  readonly #parent: Deno.ChildProcess;
  readonly #output: OutputLines;
  readonly #connection: Deno.TcpConn;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #programs = new Map<number, WineProgram>();
  readonly #receiving: Promise<void>;
  #count = 0;

  private constructor(
    lock: Deno.FsFile,
    parent: Deno.ChildProcess,
    connection: Deno.TcpConn,
  ) {
    this.#lock = lock;
    this.#parent = parent;
    this.#output = new OutputLines(parent.stderr);
    this.#connection = connection;
    this.#writer = connection.writable.getWriter();
    this.#receiving = this.#receive();
  }

  /**
   * Starts Wine, after {@link wineSkipReason}. Waits while another run uses the
   * same folder.
   *
   * @param bun a Windows executable compiled by Bun: with `BUN_BE_BUN` set, it
   * behaves as Bun itself
   * @param make builds that executable, while no other run uses it
   */
  static async start(bun: string, make: () => Promise<void>): Promise<Wine> {
    const lock = await openLocked(LOCK);
    await endWineServer();
    await make();
    using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const script = `${import.meta.dirname}/wine/parent.ts`;
    const parent = new Deno.Command("wine", {
      args: [bun, winePath(script), `${listener.addr.port}`],
      env: { ...ENV, WINEPREFIX: PREFIX, BUN_BE_BUN: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const accepted = listener.accept().catch(() => undefined);
    const ended = parent.status.then(() => undefined);
    const connection = await withWaitLimit(
      Promise.race([accepted, ended]),
      "the Windows parent",
    );
    if (connection !== undefined) return new Wine(lock, parent, connection);
    const errorOutput = await new Response(parent.stderr).text();
    throw new Error(`The Windows parent ended: ${errorOutput}`);
  }

  /** Starts a Windows program with pipes. */
  readonly spawn: Spawn = (command, args, env, cwd = winePath(ROOT)) => {
    const id = ++this.#count;
    const program = new WineProgram((kind, bytes) =>
      this.#send(id, kind, bytes)
    );
    this.#programs.set(id, program);
    program.status.catch(() => {});
    const order = { command, args, env, cwd };
    void this.#send(
      id,
      "s",
      new TextEncoder().encode(JSON.stringify(order)),
    );
    return program;
  };

  async #send(id: number, kind: string, bytes: Uint8Array): Promise<void> {
    const frame = new Uint8Array(HEADER_BYTES + bytes.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, bytes.length);
    view.setUint32(4, id);
    view.setUint8(8, kind.charCodeAt(0));
    frame.set(bytes, HEADER_BYTES);
    await this.#writer.write(frame);
  }

  async #receive(): Promise<void> {
    const reader = this.#connection.readable.getReader({ mode: "byob" });
    const exactly = async (size: number): Promise<Uint8Array | undefined> => {
      const { value } = await reader.read(new Uint8Array(size), { min: size });
      return value?.length === size ? value : undefined;
    };
    try {
      for (;;) {
        const head = await exactly(HEADER_BYTES);
        if (head === undefined) break;
        const view = new DataView(head.buffer);
        const size = view.getUint32(0);
        const bytes = size === 0 ? new Uint8Array() : await exactly(size);
        if (bytes === undefined) break;
        const kind = String.fromCharCode(view.getUint8(8));
        this.#programs.get(view.getUint32(4))?.handleFrame(kind, bytes);
      }
    } catch (error) {
      print(`wine: ${errorMessageOf(error)}`);
    }
    const why = new Error(`The Windows parent ended:\n${this.#output.dump()}`);
    for (const program of this.#programs.values()) program.fail(why);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The parent then ends the running programs, and exits.
    await this.#connection.closeWrite().catch(() => {});
    // The parent's exit also closes the connection.
    await this.#receiving;
    await withWaitLimit(this.#parent.status, "the Windows parent to end");
    await this.#output.done;
    await endWineServer();
    this.#lock.close();
  }
}

/** The length of a frame's header, in bytes. */
const HEADER_BYTES = 9;

/**
 * A program under Wine. The kinds of frames:
 *
 * - to it: `s` start, `k` kill, `i` stdin, `I` end of stdin, `h` stop reading
 *   stdout, `r` resume reading it
 * - from it: `s` process id, `f` why it did not start, `x` exit code, `o`
 *   stdout, `O` its end, `e` stderr, `E` its end
 */
export class WineProgram implements SpawnedProcess {
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly status: Promise<{ readonly code: number }>;
  /** The Windows process id; 0 until it is known. */
  pid = 0;
  readonly #send: (kind: string, bytes: Uint8Array) => Promise<void>;
  readonly #ended = Promise.withResolvers<{ readonly code: number }>();
  readonly #outputs: Record<string, ReadableStreamDefaultController> = {};

  constructor(send: (kind: string, bytes: Uint8Array) => Promise<void>) {
    this.#send = send;
    this.stdin = new WritableStream({
      write: (bytes) => send("i", bytes),
      close: () => this.#sendEmpty("I"),
    });
    const read = (kind: string): ReadableStream<Uint8Array> =>
      new ReadableStream({
        start: (controller) => {
          this.#outputs[kind] = controller;
        },
      });
    this.stdout = read("o");
    this.stderr = read("e");
    this.status = this.#ended.promise;
  }

  #sendEmpty(kind: string): Promise<void> {
    return this.#send(kind, new Uint8Array());
  }

  /** Kills the process. Windows has no signals, so the argument is ignored. */
  kill(_signal: Deno.Signal): void {
    void this.#sendEmpty("k");
  }

  /** Stops reading the program's stdout. */
  async pauseReading(): Promise<void> {
    await this.#sendEmpty("h");
  }

  /** Resumes reading the program's stdout. */
  async resumeReading(): Promise<void> {
    await this.#sendEmpty("r");
  }

  /** Handles a frame from the parent. */
  handleFrame(kind: string, bytes: Uint8Array): void {
    const text = (): string => new TextDecoder().decode(bytes);
    switch (kind) {
      case "o":
      case "e":
        return this.#outputs[kind]!.enqueue(bytes);
      case "O":
      case "E":
        return this.#outputs[kind.toLowerCase()]!.close();
      case "s":
        this.pid = Number(text());
        return;
      case "x":
        return this.#ended.resolve({ code: Number(text()) });
      case "f":
        return this.fail(new Error(`The program cannot be started: ${text()}`));
    }
  }

  /** Ends the outputs and the status with an error. */
  fail(why: Error): void {
    this.#ended.reject(why);
    for (const output of Object.values(this.#outputs)) {
      try {
        output.error(why);
      } catch {
        // The output had already ended.
      }
    }
  }
}
