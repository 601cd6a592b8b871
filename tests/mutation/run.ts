/**
 * Checks that the tests find bugs. Each mutant is a deliberate bug in a copy of
 * the source. With it, the unit tests or the simulations must fail.
 *
 *     deno task mutants [PART OF A NAME]
 *
 * @module
 */

import { fitMutants, type MutatedFile, type SourceFile } from "./fit.ts";
import { ROOT } from "../../.ci/build/bundle.ts";
import { print } from "../helpers/print.ts";
import { MUTANTS } from "./mutants.ts";

const SIMULATIONS = "tests/simulation/simulation_test.ts";
/**
 * The unit tests that take a second or more. They run last, because most
 * mutants are found without them.
 */
const SLOW_TESTS = [
  "tests/unit/clients/json_edit_test.ts",
  "tests/unit/clients/toml_edit_test.ts",
  "tests/unit/commands/doctor/rewording_test.ts",
  "tests/unit/commands/install_test.ts",
  "tests/unit/protocol/message_fuzz_test.ts",
  "tests/unit/session/reconnect_test.ts",
  "tests/simulation/liveness_outcomes_test.ts",
];
/** The unit tests, the slow ones last, with all the files that each imports. */
const TEST_FILES = findTests();
/**
 * A module in each copy of the source, which imports the unit tests to run.
 * With separate modules, Deno would take twice as long.
 */
const COMBINED_TESTS = "tests/unit_tests.ts";
/**
 * The number of simulations of each kind: MCP daemon, exai daemon, recovery,
 * pairs, and liveness. The test suite runs more. If a mutant needs more, write
 * a unit test that finds it.
 */
const SIMULATION_COUNTS = ["600", "200", "200", "200", "300"];
/**
 * How long a command may take, in milliseconds. Some mutants make the tests
 * hang. They count as found.
 */
const COMMAND_TIMEOUT_MS = 120_000;

/** The type error for a parameter that is not used. A mutant may cause it. */
const UNUSED_PARAMETER_ERROR = "TS6133";

/**
 * Returns the paths of the files in a folder of the repository and in its
 * subfolders, without installed packages.
 */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(ROOT + folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.name === "node_modules") return [];
    return entry.isDirectory ? filesIn(path) : [path];
  }).sort();
}

/**
 * Makes a folder with a copy of the source and the tests, in which a worker
 * tries one mutant after another. Returns its path.
 */
function makeCopy(): string {
  const folder = Deno.makeTempDirSync({ prefix: "mutants-" });
  const files = [...filesIn(".ci"), ...filesIn("lib"), ...filesIn("tests")];
  for (const path of [...files, "deno.json"]) {
    const to = `${folder}/${path}`;
    Deno.mkdirSync(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    Deno.copyFileSync(ROOT + path, to);
  }
  return folder;
}

function findTests(): { path: string; reached: ReadonlySet<string> }[] {
  const quick = filesIn("tests/unit")
    .filter((path) => path.endsWith("_test.ts") && !SLOW_TESTS.includes(path));
  return [...quick, ...SLOW_TESTS].map((path) => ({
    path,
    reached: importsOf(path),
  }));
}

/**
 * Returns the files that a file imports, directly or not, and the file itself.
 */
function importsOf(path: string, known: Set<string> = new Set()): Set<string> {
  if (known.has(path)) return known;
  known.add(path);
  const imports = /(?:from|import)\s*\(?\s*"(\.[^"]+\.ts)"/g;
  const text = Deno.readTextFileSync(ROOT + path);
  for (const [, name] of text.matchAll(imports)) {
    importsOf(new URL(name!, `file:///${path}`).pathname.slice(1), known);
  }
  return known;
}

function removeAll(folders: readonly string[]): void {
  for (const folder of folders) Deno.removeSync(folder, { recursive: true });
}

/** Runs a Deno command in a copy. */
async function runDeno(
  folder: string,
  args: readonly string[],
): Promise<{ success: boolean; errorOutput: string }> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: folder,
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
    stdout: "null",
    stderr: "piped",
  }).output();
  return { success, errorOutput: new TextDecoder().decode(stderr) };
}

/** Returns the type errors in mutants: such a mutant would prove nothing. */
async function typeErrors(
  folder: string,
  mutants: readonly MutatedFile[],
): Promise<string | undefined> {
  const paths = mutants.map(({ file: { path } }, i) =>
    `${folder}/${path.replace(/\.ts$/, `.mutant${i}.ts`)}`
  );
  for (const [i, path] of paths.entries()) {
    Deno.writeTextFileSync(path, mutants[i]!.file.text);
  }
  const { success, errorOutput } = await runDeno(folder, [
    ...["check", "--config", "tests/deno.json", "--frozen"],
    ...paths,
  ]);
  for (const path of paths) Deno.removeSync(path);
  const codes = [...errorOutput.matchAll(/^(TS\d+) \[ERROR\]/gm)];
  const isHarmless = codes.length > 0 &&
    codes.every(([, code]) => code === UNUSED_PARAMETER_ERROR);
  return success || isHarmless ? undefined : errorOutput;
}

/**
 * Returns which tests fail in a copy: the unit tests, the simulations or none.
 * With a path, runs only unit tests that import that file, those of its own
 * folder first. The results of other unit tests cannot change.
 */
async function findFailingTests(
  folder: string,
  file?: string,
): Promise<"unit tests" | "simulations" | undefined> {
  const paths = TEST_FILES
    .filter(({ reached }) => file === undefined || reached.has(file))
    .map(({ path }) => path);
  const mirror = file?.replace(/^lib\//, "tests/unit/").replace(/[^/]*$/, "");
  const isNear = (path: string): boolean =>
    mirror !== undefined && path.startsWith(mirror);
  const near = paths.filter((path) => isNear(path));
  const far = paths.filter((path) => !isNear(path));
  for (const group of [near, far].filter(({ length }) => length > 0)) {
    const imports = group.map((path) => `import "../${path}";\n`);
    Deno.writeTextFileSync(`${folder}/${COMBINED_TESTS}`, imports.join(""));
    if (await fails(folder, COMBINED_TESTS)) return "unit tests";
  }
  const args = [SIMULATIONS, "--", ...SIMULATION_COUNTS];
  return await fails(folder, ...args) ? "simulations" : undefined;
}

/** Returns whether a test run in a copy fails. */
async function fails(folder: string, ...args: string[]): Promise<boolean> {
  const { success } = await runDeno(folder, [
    ...["test", "--no-check", "--quiet", "--fail-fast", "--cached-only"],
    ...["--config", "tests/deno.json", "--allow-read", ...args],
  ]);
  return !success;
}

/** Tries the mutants, one at a time in each copy. */
async function tryMutants(
  copies: readonly string[],
  mutants: readonly MutatedFile[],
): Promise<"all found" | "some survived"> {
  const waiting = [...mutants];
  let found = 0;
  const work = async (folder: string): Promise<void> => {
    for (;;) {
      const mutant = waiting.shift();
      if (mutant === undefined) return;
      const { path, text } = mutant.file;
      Deno.writeTextFileSync(`${folder}/${path}`, text);
      const by = await findFailingTests(folder, path);
      Deno.copyFileSync(ROOT + path, `${folder}/${path}`);
      if (by !== undefined) found++;
      print(`${(by ?? "SURVIVED").padEnd(11)}  ${mutant.name}`);
    }
  };
  await Promise.all(copies.map(work));
  print(`${found} of ${mutants.length} mutants were found`);
  return found === mutants.length ? "all found" : "some survived";
}

async function main(part: string): Promise<number> {
  const scripts = filesIn("lib").filter((path) => path.endsWith(".ts"));
  const sources: SourceFile[] = scripts.map((path) => ({
    path,
    text: Deno.readTextFileSync(ROOT + path),
  }));
  const { mutated, problems } = fitMutants(MUTANTS, sources);
  if (problems.length > 0) {
    print(`These mutants do not fit exactly once:\n${problems.join("\n")}`);
    return 1;
  }
  const chosen = mutated.filter(({ name }) => name.includes(part));
  const workers = Math.min(navigator.hardwareConcurrency, chosen.length);
  const copies = Array.from({ length: workers }, makeCopy);
  Deno.addSignalListener("SIGINT", () => {
    removeAll(copies);
    Deno.exit(130);
  });
  try {
    const [first] = copies;
    if (first === undefined) {
      print(`No mutant has "${part}" in its name`);
      return 1;
    }
    const [errors, by] = await Promise.all([
      typeErrors(first, chosen),
      findFailingTests(first),
    ]);
    if (errors !== undefined) {
      print(`These mutants do not compile:\n${errors}`);
      return 1;
    }
    if (by !== undefined) {
      print(`The ${by} fail without any mutant`);
      return 1;
    }
    return await tryMutants(copies, chosen) === "all found" ? 0 : 1;
  } finally {
    removeAll(copies);
  }
}

Deno.exit(await main(Deno.args[0] ?? ""));
