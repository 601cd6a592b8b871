/**
 * Compiles the program into executables.
 *
 *     deno task compile [--target all|NAME] [--runtime deno|bun]
 *
 * Without a target, compiles `dist/alwaysup` for this machine. With `all`,
 * compiles a file for each target, and writes their checksums to
 * `dist/SHA256SUMS`.
 *
 * @module
 */

import { errorMessageOf } from "../../lib/text/error_message.ts";
import { DIST, ROOT, runCommand, writeBundle } from "./bundle.ts";
import { BUN_COMPILE_FLAGS, installBun } from "./install_packages.ts";
import { print } from "../../tests/helpers/print.ts";

/** A platform for which an executable is compiled. */
interface Target {
  readonly name: string;
  /** The compilers' names for the platform. */
  readonly deno: string;
  readonly bun: string;
  readonly file: string;
  /** Matches the first bytes of the executable, in hexadecimal. */
  readonly format: RegExp;
}

/** Every target of a release. */
const TARGETS: readonly Target[] = [
  {
    name: "linux-x64",
    deno: "x86_64-unknown-linux-gnu",
    bun: "bun-linux-x64",
    file: "alwaysup-linux-x64",
    format: /^7f454c460201(..){12}3e00/,
  },
  {
    name: "linux-arm64",
    deno: "aarch64-unknown-linux-gnu",
    bun: "bun-linux-arm64",
    file: "alwaysup-linux-arm64",
    format: /^7f454c460201(..){12}b700/,
  },
  {
    name: "macos-x64",
    deno: "x86_64-apple-darwin",
    bun: "bun-darwin-x64",
    file: "alwaysup-macos-x64",
    format: /^cffaedfe07000001/,
  },
  {
    name: "macos-arm64",
    deno: "aarch64-apple-darwin",
    bun: "bun-darwin-arm64",
    file: "alwaysup-macos-arm64",
    format: /^cffaedfe0c000001/,
  },
  {
    name: "windows-x64",
    deno: "x86_64-pc-windows-msvc",
    bun: "bun-windows-x64",
    file: "alwaysup-windows-x64.exe",
    format: /^4d5a(..)*504500006486/,
  },
];

/**
 * The time limit, in milliseconds, for Deno to compile one executable. The time
 * includes the download of its base: Deno without a program.
 */
const DENO_TIMEOUT_MS = 120_000;
/** The program's permissions. It never prompts for others. */
const PERMISSIONS = ["--no-prompt", "-N", "-E", "-R", "-W"];

type Runtime = "deno" | "bun";

/** Parses the command line. Throws if it is invalid. */
function parseArguments(args: readonly string[]): {
  readonly targets: readonly Target[];
  readonly runtime: Runtime | undefined;
} {
  const values = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) {
    const [flag, value] = [args[i]!, args[i + 1]];
    if (!/^--(target|runtime)$/.test(flag) || value === undefined) {
      throw new Error(`${flag}: use --target NAME or --runtime deno|bun`);
    }
    values.set(flag, value);
  }
  const runtime = values.get("--runtime");
  if (runtime !== undefined && runtime !== "deno" && runtime !== "bun") {
    throw new Error(`--runtime ${runtime}: must be deno or bun`);
  }
  const wanted = values.get("--target");
  if (wanted === undefined) return { targets: [hostTarget()], runtime };
  if (wanted === "all") return { targets: TARGETS, runtime };
  const target = TARGETS.find(({ name }) => name === wanted);
  if (target === undefined) {
    const names = TARGETS.map(({ name }) => name).join(", ");
    throw new Error(`--target ${wanted}: must be one of all, ${names}`);
  }
  return { targets: [target], runtime };
}

/** Returns this machine's target, with a file name without the platform. */
function hostTarget(): Target {
  const isWindows = Deno.build.os === "windows";
  const target = TARGETS.find(({ deno }) => deno === Deno.build.target);
  const file = isWindows ? "alwaysup.exe" : "alwaysup";
  if (target === undefined) {
    throw new Error(`There is no target for ${Deno.build.target}`);
  }
  return { ...target, file };
}

/** Compiles one target with Deno. Returns the reason if this fails. */
async function compileByDeno(
  source: string,
  { deno, file }: Target,
): Promise<string | undefined> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      ...["compile", "--quiet", "--no-check", "--no-config", ...PERMISSIONS],
      // Halves the peak of memory, and takes no time.
      "--v8-flags=--max-semi-space-size=4",
      ...["--target", deno, "--output", `${DIST}${file}`, source],
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(DENO_TIMEOUT_MS),
  });
  const { success, stderr } = await command.output();
  if (success) return undefined;
  const text = new TextDecoder().decode(stderr);
  const causes = [...text.matchAll(/^ +\d+: (.+)/gm)].map(([, why]) => why!);
  return causes.find((why) => why.includes("http")) ?? causes.at(0) ??
    `no answer within ${DENO_TIMEOUT_MS / 1000} s`;
}

/**
 * Compiles every target with Deno. Returns `false` after the first failure: all
 * executables of a release have the same runtime. Throws instead if `runtime`
 * is `deno`.
 */
async function compileAllByDeno(
  source: string,
  targets: readonly Target[],
  runtime: Runtime | undefined,
): Promise<boolean> {
  for (const target of targets) {
    const problem = await compileByDeno(source, target);
    if (problem === undefined) {
      await printBuilt(target, "deno");
    } else if (runtime === "deno") {
      throw new Error(problem);
    } else {
      print(`Deno cannot compile here (${problem}), so Bun compiles instead`);
      return false;
    }
  }
  return true;
}

/** Compiles one target with Bun, which gets its bases from the npm registry. */
async function compileByBun(
  source: string,
  target: Target,
): Promise<void> {
  const { bun, file } = target;
  await runCommand(await installBun(), [
    ...["build", source, `--target=${bun}`, `--outfile=${DIST}${file}`],
    ...BUN_COMPILE_FLAGS,
    // Collects garbage sooner, so the peak of memory is lower.
    "--compile-exec-argv=--smol",
  ], { stdout: "null" });
  await printBuilt(target, "bun");
}

/** Prints a line about a built file. Throws if the file has a wrong format. */
async function printBuilt(
  { file, format, name }: Target,
  runtime: Runtime,
): Promise<void> {
  using built = await Deno.open(`${DIST}${file}`);
  const { size } = await built.stat();
  const head = new Uint8Array(1024);
  await built.read(head);
  if (!format.test(head.toHex())) {
    throw new Error(`dist/${file} is not an executable for ${name}`);
  }
  print(`dist/${file}  ${(size / 1024 ** 2).toFixed(1)} MiB (${runtime})`);
}

/** Writes the checksums of files in the format of `sha256sum --check`. */
async function writeChecksums(files: readonly string[]): Promise<void> {
  const lines = await Promise.all(files.map(async (file) => {
    const bytes = await Deno.readFile(`${DIST}${file}`);
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return `${new Uint8Array(hash).toHex()}  ${file}\n`;
  }));
  await Deno.writeTextFile(`${DIST}SHA256SUMS`, lines.join(""));
}

async function main(): Promise<void> {
  const { targets, runtime } = parseArguments(Deno.args);
  await Deno.mkdir(DIST, { recursive: true });
  const source = `${DIST}alwaysup.js`;
  await writeBundle(source);
  if (runtime === "bun" || !await compileAllByDeno(source, targets, runtime)) {
    for (const target of targets) await compileByBun(source, target);
  }
  await Deno.remove(source);
  if (targets.length > 1) {
    await writeChecksums(targets.map(({ file }) => file));
    print("dist/SHA256SUMS");
  }
}

try {
  Deno.chdir(ROOT);
  await main();
} catch (error) {
  print(`compile: ${errorMessageOf(error)}`);
  Deno.exit(1);
}
