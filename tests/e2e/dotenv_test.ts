/**
 * Tests that our parser reads `.env` files as python-dotenv does. The inputs
 * are the forms of `tests/helpers/dotenv_cases.ts`, and seeded texts of special
 * characters.
 *
 * @module
 */

import { parseEnvFile } from "../../lib/config/dotenv.ts";
import { assertEquals } from "../helpers/assert.ts";
import { DOTENV_CASES, DOTENV_CASES_ENV } from "../helpers/dotenv_cases.ts";
import { test } from "../helpers/time_limit.ts";
import { seededRandom } from "../simulation/scheduler.ts";

/** The number of seeded texts. */
const SEEDS = 2000;
/** The maximum number of pieces in a seeded text. */
const PIECES = 24;
const CRITICAL = [
  ...["'", '"', "`", "#", " #", "$", "${", "{", "}", ":", "-", ":-", "\\"],
  ...["\n", "\n", "\r", "\r\n", "\t", " ", "=", "=", "export", "export "],
  ...["a", "b", "n", "OUTER", "${a}", "${OUTER", "a=", "='", '="', "\u00e9"],
  ...["\ufffd", "\x85", "\u2028", "\x1f"],
];

/** The values in a text, and the numbers of the lines that cannot be read. */
type ReadResult = readonly [
  values: ReadonlyMap<string, string | null>,
  lines: readonly number[],
];

const SCRIPT = new URL("../helpers/python_dotenv.py", import.meta.url);

/**
 * A Python interpreter with python-dotenv, and the version of python-dotenv.
 */
interface Python {
  readonly command: string;
  readonly version: string;
}

/** Returns undefined if the command is missing or has no python-dotenv. */
async function findPython(command: string): Promise<Python | undefined> {
  const code = "import importlib.metadata as it, dotenv.main\n" +
    "print(it.version('python-dotenv'))";
  try {
    const { success, stdout } = await new Deno.Command(command, {
      args: ["-c", code],
      stderr: "null",
    }).output();
    const version = new TextDecoder().decode(stdout).trim();
    return success ? { command, version } : undefined;
  } catch {
    return undefined;
  }
}

async function readByPython(
  { command }: Python,
  texts: readonly string[],
): Promise<ReadResult[]> {
  const python = new Deno.Command(command, {
    args: ["-c", await Deno.readTextFile(SCRIPT)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = python.stdin.getWriter();
  const input = JSON.stringify({ env: DOTENV_CASES_ENV, texts });
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { stdout } = await python.output();
  const read: [[string, string | null][], number[]][] = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  return read.map(([values, lines]) => [new Map(values), lines]);
}

function readByAlwaysup(text: string): ReadResult {
  const { values, unreadableLines } = parseEnvFile(text, DOTENV_CASES_ENV);
  const entries = Object.entries(values).map(([name, value]) => {
    return [name, value ?? null] as const;
  });
  return [new Map(entries), unreadableLines];
}

/** Returns the text of a seed. */
function textOf(seed: number): string {
  const random = seededRandom(seed);
  const pick = (limit: number): number => Math.floor(random() * limit);
  const pieces = Array.from(
    { length: 1 + pick(PIECES) },
    () => CRITICAL[pick(CRITICAL.length)],
  );
  return pieces.join("");
}

const NAME = "files are read as python-dotenv reads them";
const pythons =
  (await Promise.all(["python3", "/usr/bin/python3"].map(findPython)))
    .filter((it) => it !== undefined)
    .filter(({ version }, i, all) =>
      i === all.findIndex((it) => it.version === version)
    );

const isInstalled = pythons.length > 0;
const which = isInstalled
  ? pythons.map(({ version }) => version).join(", ")
  : "python-dotenv is not installed (Debian: python3-dotenv)";
test(`dotenv: ${NAME}, ${which}`, async () => {
  const forms = Object.entries(DOTENV_CASES).flatMap(([what, forms]) =>
    forms.map(([text]) => ({ what, text }))
  );
  const seeded = Array.from({ length: SEEDS }, (_, seed) => {
    return { what: `seed ${seed}`, text: textOf(seed) };
  });
  const all = [...forms, ...seeded];
  const texts = all.map(({ text }) => text);
  const ours = texts.map(readByAlwaysup);
  await Promise.all(pythons.map(async (python) => {
    const theirs = await readByPython(python, texts);
    assertEquals(theirs.length, all.length);
    for (const [i, { what, text }] of all.entries()) {
      const why = `${python.version}, ${what}: ${JSON.stringify(text)}`;
      assertEquals(ours[i], theirs[i], why);
    }
  }));
}, { ignore: !isInstalled });
