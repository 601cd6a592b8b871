/**
 * Do the tests find bugs? Each mutant is a deliberate bug in a copy of the
 * source; the tables of the pure tests, or else the seeded worlds, must fail.
 *
 *     deno task mutants [PART OF A NAME]
 *
 * @module
 */

import { fit, type Source } from "./fit.ts";
import { MUTANTS } from "./mutants.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** The tests that need no permission. */
const TABLES = "tests/pure";
/** The one of them that lives through seeded worlds. */
const WORLDS = "tests/pure/session_fuzz_test.ts";
/** How many worlds, with an MCP daemon and with an exai daemon: fewer than the suite lives through. A mutant that needs more is a table's to find. */
const COUNTS = ["600", "200"];
/** A mutant may make the tests run for ever, which is found, too. */
const LIMIT_MS = 120_000;

/** The files below a folder, with paths from the root. */
async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(ROOT + folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) files.push(...await filesIn(path));
    else files.push(path);
  }
  return files.sort();
}

/** A folder with the source and its tests, in which one worker puts one mutant after the other. */
async function makeCopy(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "mutants-" });
  const files = [...await filesIn("lib"), ...await filesIn("tests")];
  for (const path of [...files, "deno.json", "deno.lock"]) {
    const to = `${folder}/${path}`;
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(ROOT + path, to);
  }
  // One module, for each would be a process of its own to the runtime.
  const tables = files.filter((path) =>
    path.startsWith(`${TABLES}/`) && path.endsWith("_test.ts") &&
    path !== WORLDS
  );
  const imports = tables.map((path) => `import "./${path}";\n`);
  await Deno.writeTextFile(`${folder}/tables.ts`, imports.join(""));
  return folder;
}

const hasOwnConfig = (await filesIn("tests")).includes("tests/deno.json");

/** Runs tests of a copy; says how they ended. */
async function run(
  folder: string,
  ...files: string[]
): Promise<"passed" | "failed" | "broken"> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      ...["--no-check", "--quiet", "--fail-fast", "--cached-only"],
      ...(hasOwnConfig ? ["--config", "tests/deno.json"] : []),
      ...["--allow-read", ...files],
    ],
    cwd: folder,
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(LIMIT_MS),
    stdout: "null",
    stderr: "piped",
  });
  const { success, stderr } = await command.output();
  if (success) return "passed";
  // A bug must be a program: what does not even parse proves nothing.
  const words = new TextDecoder().decode(stderr);
  return words.includes("could not be parsed") ? "broken" : "failed";
}

/** Which tests fail in a copy. */
async function judge(
  folder: string,
): Promise<"tables" | "worlds" | "broken" | undefined> {
  for (const tests of ["tables", "worlds"] as const) {
    const files = tests === "tables"
      ? ["tables.ts"]
      : [WORLDS, "--", ...COUNTS];
    const result = await run(folder, ...files);
    if (result !== "passed") return result === "failed" ? tests : result;
  }
  return undefined;
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const sources: Source[] = [];
for (const path of await filesIn("lib")) {
  sources.push({ path, text: await Deno.readTextFile(ROOT + path) });
}
const { broken, problems } = fit(MUTANTS, sources);
if (problems.length > 0) {
  print(`These mutants do not fit lib/ exactly once:\n${problems.join("\n")}`);
  Deno.exit(1);
}
const [part = ""] = Deno.args;
const chosen = broken.filter(({ name }) => name.includes(part));
const waiting = [...chosen];
let found = 0;

async function work(folder: string): Promise<void> {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { name, file: { path, text } } = next;
    await Deno.writeTextFile(`${folder}/${path}`, text);
    const by = await judge(folder);
    await Deno.copyFile(ROOT + path, `${folder}/${path}`);
    if (by === "tables" || by === "worlds") found++;
    const result = by === "broken" ? "NO CODE" : by ?? "SURVIVED";
    print(`${result.padEnd(8)}  ${name}`);
  }
}

const copies = await Promise.all(
  Array.from({ length: navigator.hardwareConcurrency }, makeCopy),
);
try {
  const by = await judge(copies[0]!);
  if (by !== undefined) {
    print(`The ${by} fail without any mutant`);
    Deno.exit(1);
  }
  await Promise.all(copies.map(work));
} finally {
  for (const folder of copies) await Deno.remove(folder, { recursive: true });
}
print(`${found} of ${chosen.length} mutants were found`);
Deno.exit(found === chosen.length ? 0 : 1);
