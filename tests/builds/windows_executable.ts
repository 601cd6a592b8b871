/**
 * Starts the Windows executable for tests: natively on Windows, and under Wine
 * on Linux.
 *
 * @module
 */

import { assertEquals } from "../helpers/assert.ts";
import { DIST, ROOT, runCommand } from "../../.ci/build/bundle.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import {
  ChildProcess,
  freePort,
  ProxyProcess,
  type Spawn,
  spawnNative,
} from "../helpers/process.ts";
import { Wine, winePath, WineProgram, wineSkipReason } from "./wine.ts";

const IS_WINDOWS = Deno.build.os === "windows";
const TARGET = "windows-x64";
const FILE = `${DIST}alwaysup-${TARGET}.exe`;

/**
 * If Windows programs cannot run here, returns why, and what to install if that
 * helps.
 */
export async function windowsSkipReason(): Promise<string | undefined> {
  if (IS_WINDOWS) return undefined;
  const { os, arch } = Deno.build;
  if (os === "linux" && arch === "x86_64") return await wineSkipReason();
  return `a Windows program can run only on Windows and on x64 Linux, not on ${os} ${arch}`;
}

/** The result of a program that has exited. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The environment of a proxy whose dials may be refused. Wine 8 loses a refusal
 * that comes before the program waits for it. Then only this timeout ends the
 * dial.
 */
export const REFUSED_DIAL_ENV: Readonly<Record<string, string>> = IS_WINDOWS
  ? {}
  : { ALWAYSUP_HANDSHAKE_TIMEOUT: "500ms" };

/** A proxy whose stdout must contain only JSON-RPC. */
class StrictProxy extends ProxyProcess {
  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    for (const { text } of this.stdout.lines) {
      assertEquals(JSON.parse(text).jsonrpc, "2.0", text.slice(0, 300));
    }
  }
}

/** A Windows machine, real or Wine, that can run the program. */
export class Windows implements AsyncDisposable {
  readonly #wine: Wine | undefined;

  private constructor(wine: Wine | undefined) {
    this.#wine = wine;
  }

  /** Compiles the program, and starts Wine if it is needed. */
  static async start(): Promise<Windows> {
    // Deno's executables do not run under Wine 8, because V8 reserves more
    // address space than Wine provides.
    const runtime = IS_WINDOWS ? [] : ["--runtime", "bun"];
    const compile = `${ROOT}.ci/build/compile.ts`;
    const make = (): Promise<void> =>
      runCommand(Deno.execPath(), [
        ...["run", "--quiet", "-A", compile, "--target", TARGET, ...runtime],
      ]);
    if (!IS_WINDOWS) return new Windows(await Wine.start(FILE, make));
    await make();
    return new Windows(undefined);
  }

  /** Returns the Windows path of a file of this machine. */
  toWindowsPath(hostPath: string): string {
    return IS_WINDOWS ? hostPath.replaceAll("/", "\\") : winePath(hostPath);
  }

  /** The path of the program on this machine, and its Windows path. */
  readonly hostPath = FILE;
  readonly windowsPath: string = this.toWindowsPath(FILE);

  readonly #spawn: Spawn = (...command) =>
    (this.#wine?.spawn ?? spawnNative)(...command);

  /** Starts a proxy whose client is the test. */
  proxy(
    args: string[],
    env: Record<string, string> = {},
    windowsPath: string = this.windowsPath,
  ): ProxyProcess {
    return new StrictProxy([], env, () => [windowsPath, args], this.#spawn);
  }

  /**
   * Stops reading a program's stdout. On Windows itself, this has no effect.
   */
  async pauseReading({ process }: ChildProcess): Promise<void> {
    if (process instanceof WineProgram) await process.pauseReading();
  }

  /** Resumes reading a program's stdout. */
  async resumeReading({ process }: ChildProcess): Promise<void> {
    if (process instanceof WineProgram) await process.resumeReading();
  }

  /** Starts a proxy. The result can also start and kill a daemon for it. */
  proxyAndDaemon(flags: string[] = []): ProxyAndDaemon {
    const port = freePort();
    const start = (args: string[], env: Record<string, string>): ProxyProcess =>
      this.proxy(args, env);
    return new ProxyAndDaemon(flags, REFUSED_DIAL_ENV, port, port, start);
  }

  /**
   * Runs a program until it exits. The default is the program under test, in
   * the project's folder.
   */
  async run(
    args: string[],
    env: Record<string, string> = {},
    at: { readonly windowsPath?: string; readonly folder?: string } = {},
  ): Promise<RunResult> {
    const { windowsPath = this.windowsPath, folder } = at;
    const spawn: Spawn = (command, args, env) =>
      this.#spawn(command, args, env, folder);
    await using child = new ChildProcess(windowsPath, args, env, spawn);
    const { code } = await child.closeStdin();
    const [stdout, stderr] = [child.stdout, child.stderr].map(({ lines }) =>
      lines.map(({ text }) => `${text}\n`).join("")
    );
    return { code, stdout: stdout!, stderr: stderr! };
  }

  /** Starts a script of `tests/builds/` in a Windows runtime. */
  script(
    hostPath: string,
    args: string[],
    env: Record<string, string> = {},
  ): ChildProcess {
    const toWindowsPath = this.toWindowsPath(`${ROOT}tests/builds/${hostPath}`);
    return IS_WINDOWS
      ? new ChildProcess(Deno.execPath(), [
        "run",
        "--quiet",
        "-A",
        toWindowsPath,
        ...args,
      ], env)
      : new ChildProcess(
        this.windowsPath,
        [toWindowsPath, ...args],
        { ...env, BUN_BE_BUN: "1" },
        this.#spawn,
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wine?.[Symbol.asyncDispose]();
  }
}

/** A user's home folder, whose name has spaces and an umlaut. */
export class UserFolder implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "J\u00fcrgen M " });
  readonly #windows: Windows;

  constructor(windows: Windows) {
    this.#windows = windows;
  }

  /** Returns a file's path on this machine, and its Windows path. */
  file(...names: string[]): { readonly path: string; readonly name: string } {
    const path = [this.folder, ...names].join("/");
    return { path, name: this.#windows.toWindowsPath(path) };
  }

  /** Writes a file. Returns its Windows path. */
  async write(text: string | Uint8Array, ...names: string[]): Promise<string> {
    const { path, name } = this.file(...names);
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (typeof text === "string") await Deno.writeTextFile(path, text);
    else await Deno.writeFile(path, text);
    return name;
  }

  /** Copies a program into a folder. Returns its Windows path. */
  async copyProgram(file: string, ...names: string[]): Promise<string> {
    const { path } = this.file(...names);
    await Deno.mkdir(path, { recursive: true });
    await Deno.copyFile(file, `${path}/alwaysup.exe`);
    return this.file(...names, "alwaysup.exe").name;
  }

  async read(...names: string[]): Promise<string> {
    return await Deno.readTextFile(this.file(...names).path);
  }

  /** Returns all files in a folder and below, relative to the home folder. */
  async fileNames(...names: string[]): Promise<string[]> {
    const found: string[] = [];
    const { path } = this.file(...names);
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory) found.push(...await this.fileNames(...names, name));
      else found.push([...names, name].join("/"));
    }
    return found.toSorted();
  }

  /** Waits until a file with a matching name is created in a folder. */
  async waitForFile(name: RegExp, ...names: string[]): Promise<void> {
    using watcher = Deno.watchFs(this.file(...names).path);
    for await (const { paths } of watcher) {
      if (paths.some((path) => name.test(path))) return;
    }
  }

  /** The environment of this user's programs. */
  get env(): Record<string, string> {
    return {
      USERPROFILE: this.file().name,
      APPDATA: this.file("AppData", "Roaming").name,
      LOCALAPPDATA: this.file("AppData", "Local").name,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
