/**
 * Bundles the program into one ESM file. Deno, Node and Bun run this file, and
 * Deno and Bun compile it into executables.
 *
 * @module
 */

import { dirname } from "node:path";
import { getBuiltinModule } from "node:process";
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
    /(^\/\/ |")[^"\n]*\/npm\/[^/"\n]+\/(?=(?:@[\w-]+\/)?[\w-]+\/\d[\d.]*\/)/gm,
    "$1npm/",
  );
}

/**
 * The line of a bundle that says how it loads a module of Node at its first
 * use. `.ci/build/npm.ts` replaces it.
 */
export const LOAD_BUILTIN =
  "var __loadBuiltin = (name) => globalThis.process.getBuiltinModule(name);";

/**
 * Stands for a function or an object of a module of Node, and loads the module
 * when it is used.
 */
const LAZY_BUILTIN = `
var __lazyBuiltin = (name, member) => {
  const load = () =>
    member === undefined ? __loadBuiltin(name) : __loadBuiltin(name)[member];
  return new Proxy(function () {}, {
    get: (_, key) => load()[key],
    apply: (_, self, args) => Reflect.apply(load(), self, args),
  });
};
`;

/** A static import of a module of Node, as `deno bundle` writes it. */
const NODE_IMPORT = /^import ([^;"']+) from "(node:[\w/]+)";$/gm;
/** What remains if {@linkcode NODE_IMPORT} does not match an import. */
const UNKNOWN_NODE_IMPORT =
  /^[ \t]*(?:import|export)\b[^;()"'`]*["']node:[^"'\n]*["'].*$/m;
/** The import that `deno bundle` adds for CommonJS, i.e. for `ws`. */
const CREATE_REQUIRE =
  'import { createRequire as __deno_internal_createRequire } from "node:module";';

/**
 * Makes a bundle load the modules of Node when they are first used. Static
 * imports would cost 20 ms at each start under Deno. Of a module, the packages
 * may use functions, and objects with functions. Throws for anything else.
 */
export function withLazyNodeImports(bundle: string): string {
  const lazy: string[] = [];
  const rest = bundle.replaceAll(NODE_IMPORT, (line, names, module) => {
    if (line === CREATE_REQUIRE) return line;
    lazy.push(...lazyDeclarations(line, names, module));
    return "";
  });
  const [unknown] =
    UNKNOWN_NODE_IMPORT.exec(rest.replace(CREATE_REQUIRE, "")) ?? [];
  if (unknown !== undefined) throw new Error(unknownImport(unknown));
  if (lazy.length === 0) return bundle;
  return [LOAD_BUILTIN, LAZY_BUILTIN, ...lazy, rest].join("\n");
}

/** Returns the declarations that replace an import. */
function lazyDeclarations(
  line: string,
  names: string,
  module: string,
): string[] {
  const [, whole, list] = /^(?:([\w$]+)|\{([^{}]*)\})$/.exec(names) ?? [];
  const target = JSON.stringify(module);
  if (whole !== undefined) {
    return [`var ${whole} = __lazyBuiltin(${target});`];
  }
  return (list ?? "*").split(",").map((part) => {
    const [, member, local = member] =
      /^\s*([\w$]+)(?: as ([\w$]+))?\s*$/.exec(part) ?? [];
    const exported = getBuiltinModule(module) as Record<string, unknown>;
    // A constant, or a class with `new`, would need another form.
    if (member === undefined || typeof exported[member] !== "function") {
      throw new Error(unknownImport(line));
    }
    return `var ${local} = __lazyBuiltin(${target}, "${member}");`;
  });
}

function unknownImport(line: string): string {
  return `the bundle has an import that cannot be made lazy: ${line.trim()} ` +
    "(withLazyNodeImports in .ci/build/bundle.ts must learn its form)";
}

/** Replaces a part of a bundle. Throws unless it occurs exactly once. */
export function replaceOnce(
  text: string,
  old: string,
  replacement: string,
): string {
  const parts = text.split(old);
  if (parts.length !== 2) {
    throw new Error(`${old} must occur exactly once in the bundle`);
  }
  return parts.join(replacement);
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
  ], {
    // Selects the driver for Node of `@logtape/file`, which works in all three
    // runtimes. The one for Deno fails in the others when it is loaded.
    env: { DENO_CONDITIONS: "bun" },
  });
  const bundle = withLazyNodeImports(
    withoutCachePaths(await Deno.readTextFile(path)),
  );
  const commit = JSON.stringify(await commitId());
  // This fails if the text in `main.ts` was changed, but not `SOURCE_COMMIT_LITERAL`.
  const built = replaceOnce(bundle, SOURCE_COMMIT_LITERAL, commit);
  await Deno.writeTextFile(path, built);
}
