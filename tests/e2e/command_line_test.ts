/**
 * The command line of the real program: help, versions, exit codes, colors.
 *
 * @module
 */

import metadata from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../lib/commands/command_table.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { runToExit } from "../helpers/process.ts";
import { test } from "../helpers/time_limit.ts";

test("Command line: version, -V and --version print the same", async () => {
  const { code, stdout } = await runToExit(["version"]);
  assertEquals(code, 0);
  assert(stdout.startsWith(`alwaysup ${metadata.version} (`), stdout);
  for (const flag of ["-V", "--version"]) {
    assertEquals((await runToExit([flag])).stdout, stdout, flag);
  }
});

test("Command line: help, -h and --help print the same", async () => {
  const { code, stdout } = await runToExit(["help"]);
  assertEquals(code, 0);
  assertMatch(stdout, /^ {2}--url URL /m);
  for (const flag of ["-h", "--help"]) {
    assertEquals((await runToExit([flag])).stdout, stdout, flag);
  }
});

test("Command line: each command's help is the same with NAME --help and with help NAME", async () => {
  for (const { name } of COMMANDS) {
    const { code, stdout, stderr } = await runToExit([name, "--help"]);
    assertEquals([code, stderr], [0, ""], name);
    assertMatch(stdout, new RegExp(`^Usage:\n {2}alwaysup ${name}\\b`, "m"));
    assertEquals((await runToExit(["help", name])).stdout, stdout, name);
  }
});

const NOT_UNDERSTOOD: [args: string[], says: RegExp][] = [
  [["docter"], /^alwaysup: .*did you mean doctor\?/],
  [["docter", "--help"], /^alwaysup help: .*did you mean doctor\?/],
  [["version", "x"], /^alwaysup version: it takes no arguments$/],
  [["man", "x"], /^alwaysup man: it takes no arguments$/],
  [["completions"], /^alwaysup completions: .*the shells are bash, zsh, fish/],
  [["completions", "bsh"], /^alwaysup completions: .*did you mean bash\?$/],
  [["status", "--wach"], /^alwaysup status: .*did you mean --watch\?$/],
  [["status", "--verbos"], /^alwaysup status: .*did you mean --verbose\?$/],
  [["history", "--jsno"], /^alwaysup history: .*did you mean --json\?$/],
  [["install", "curser"], /^alwaysup: .*did you mean cursor\?$/],
  [["install", "cursor", "--wriet"], /--wriet: .*did you mean --write\?/],
  [["uninstall", "cursor", "--wriet"], /--wriet: .*did you mean --write\?/],
  [["--ulr", "ws://h/"], /^alwaysup: --ulr: .*did you mean --url\?/],
  [["--queue-timeout", "soon"], /^alwaysup: --queue-timeout: it is not a dur/],
];

test("Command line: a word that is not understood gives exit code 2, one sentence, and a suggestion", async () => {
  for (const [args, says] of NOT_UNDERSTOOD) {
    const { code, stdout, stderr } = await runToExit(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    assertMatch(stderr.trimEnd(), says);
  }
});

test("Command line: doctor gives exit code 2 for an unknown flag, and 1 for a failed check", async () => {
  const unknown = await runToExit(["doctor", "--conect"]);
  assertEquals(unknown.code, 2);
  assertMatch(unknown.stdout, /--conect: .*did you mean --connect\?/);
  const failed = await runToExit(["doctor", "--url", "ws://127.0.0.1:1/"]);
  assertEquals(failed.code, 1);
});

const COLORS: [env: Record<string, string>, hasColors: boolean][] = [
  [{ NO_COLOR: "" }, false],
  [{ NO_COLOR: "", FORCE_COLOR: "1" }, true],
  [{ NO_COLOR: "1", FORCE_COLOR: "1" }, true],
  [{ NO_COLOR: "1", FORCE_COLOR: "0" }, false],
];

test("Command line: without a terminal, only FORCE_COLOR gives colors", async () => {
  for (const [env, hasColors] of COLORS) {
    const { stdout } = await runToExit(["doctor", "--conect"], env);
    assertEquals(stdout.includes("\x1b["), hasColors, JSON.stringify(env));
  }
});
