/**
 * Bundles the program into one ESM file. Deno, Node and Bun run this file, and
 * Deno and Bun compile it into executables.
 *
 * @module
 */

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import metadata from "../../deno.json" with { type: "json" };

/**
 * The path of the project's folder. It is not a URL's `pathname`, which has
 * `%20` for a space and a slash before a Windows drive.
 */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The output folder of builds. */
export const DIST = `${ROOT}dist/`;
/** The program's version. */
export const { version: VERSION } = metadata;

/** The text in `main.ts` that a build replaces by the commit. */
const SOURCE_COMMIT_LITERAL = '"from source"';

/**
 * Runs a command until it ends, with inherited output. Throws if it fails.
 */
export async function runCommand(
  command: string,
  args: string[],
  options: Deno.CommandOptions = {},
): Promise<void> {
  const { code } = await new Deno.Command(command, { args, ...options })
    .spawn().status;
  if (code !== 0) throw new Error(`${command} ${args[0]} failed (${code})`);
}

/**
 * Returns the trimmed output of a command, run in the project's folder. Returns
 * `undefined` if the command fails.
 */
export async function outputOf(
  command: string,
  args: string[],
): Promise<string | undefined> {
  const options = { args, cwd: ROOT, stderr: "null" } as const;
  try {
    const { success, stdout } = await new Deno.Command(command, options)
      .output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Opens a file and locks it until it is closed. Waits while another process has
 * it locked. Creates the file and its folder if they do not exist.
 */
export async function openLocked(path: string): Promise<Deno.FsFile> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const file = await Deno.open(path, { create: true, write: true });
  await file.lock(true);
  return file;
}

/** Returns the built commit, and a note if the files differ from it. */
async function commitId(): Promise<string> {
  const hash = await outputOf("git", ["rev-parse", "--short=10", "HEAD"]);
  if (hash === undefined) return "no commit";
  const changes = await outputOf("git", ["status", "--porcelain"]);
  return changes === "" ? hash : `${hash}, changed`;
}

/**
 * Shortens the paths of packages in a bundle to `npm/NAME/VERSION/...`. The
 * full paths depend on the machine and its user.
 */
export function withoutCachePaths(bundle: string): string {
  return bundle.replace(
    /(^\/\/ |")[^"\n]*\/npm\/[^/"\n]+\/(?=[\w-]+\/\d[\d.]*\/)/gm,
    "$1npm/",
  );
}

/**
 * Writes the bundle of a main module, including the commit, to a path.
 *
 * @param main the main module, relative to the project's folder
 */
export async function writeBundle(
  path: string,
  main: string = "main.ts",
): Promise<void> {
  await runCommand(Deno.execPath(), [
    ...["bundle", "--quiet", "--output", path],
    `${ROOT}${main}`,
  ]);
  const bundle = withoutCachePaths(await Deno.readTextFile(path));
  const parts = bundle.split(SOURCE_COMMIT_LITERAL);
  // This fails if the text in `main.ts` was changed, but not `SOURCE_COMMIT_LITERAL`.
  if (parts.length !== 2) {
    throw new Error(
      `${SOURCE_COMMIT_LITERAL} must occur exactly once in the bundle`,
    );
  }
  await Deno.writeTextFile(path, parts.join(JSON.stringify(await commitId())));
}
