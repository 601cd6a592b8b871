/**
 * Tests the help of the program and of its commands, and the manual page.
 *
 * @module
 */

import { COMMANDS, flagsOf } from "../../../lib/commands/command_table.ts";
import {
  formatCommandHelp,
  formatProgramHelp,
  help,
} from "../../../lib/commands/help.ts";
import { formatManPage } from "../../../lib/commands/man.ts";
import { listSettings } from "../../../lib/config/config.ts";
import type { Host } from "../../../lib/runtime/host.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { runCommand } from "../../helpers/command_run.ts";
import { test } from "../../helpers/time_limit.ts";

function assertNarrow(text: string): void {
  for (const line of text.split("\n")) {
    assert(line.length <= 80 && /^[\x20-\x7e]*$/.test(line), line);
    assertEquals(line.trimEnd(), line);
  }
}

test("help: names every command, flag, variable and default, in lines of 80 ASCII characters", () => {
  const text = formatProgramHelp();
  for (const [name, setting] of listSettings()) {
    if (setting.flag) assert(text.includes(`  --${setting.flag} `), name);
    for (const variable of setting.env) assert(text.includes(variable), name);
    if (setting.default) assert(text.includes(setting.default), name);
  }
  for (const { name } of COMMANDS) {
    assertMatch(text, new RegExp(`^  ${name} +[A-Z].*\\.$`, "m"));
  }
  assertNarrow(text);
});

test("help: a setting without a flag is listed by its variable", () => {
  const text = formatProgramHelp();
  for (const [name, { flag, env }] of listSettings()) {
    if (flag !== undefined) continue;
    assertMatch(text, new RegExp(`^  ${env[0]}=`, "m"), name);
  }
});

test("help: each command has its flags, examples and exit codes", async () => {
  for (const command of COMMANDS) {
    const text = formatCommandHelp(command);
    assertNarrow(text);
    assert(text.includes(`Usage:\n  alwaysup ${command.name}`), text);
    for (const { flag } of command.flags) {
      assertMatch(text, new RegExp(`^  --${flag}\\b`, "m"));
    }
    for (const [line] of command.examples) {
      assert(text.includes(`  ${line}\n`), line);
    }
    const codes = command.exitCodes.map(([code]) => code);
    assertEquals([codes[0], codes.at(-1)], [0, 2], command.name);
    const printed = await runCommand(help, [command.name], {} as Host);
    assertEquals(printed, { code: 0, stdout: text.trimEnd(), stderr: "" });
  }
});

test("help: an unknown command gives exit code 2 and a suggestion, but is not repeated", async () => {
  const unknown = await runCommand(help, ["docter"], {} as Host);
  assertEquals([unknown.code, unknown.stdout], [2, ""]);
  assertMatch(unknown.stderr, /did you mean doctor\?$/);
  const secret = await runCommand(help, ["s3cret"], {} as Host);
  assertMatch(secret.stderr, /the commands are doctor, status, /);
  assert(!secret.stderr.includes("s3cret"));
  assertEquals((await runCommand(help, ["man", "x"], {} as Host)).code, 2);
});

test("command table: a command that takes settings has the flags of the settings", () => {
  for (const command of COMMANDS) {
    const flags = flagsOf(command.name);
    assertEquals(flags.includes("--url"), command.takesSettings, command.name);
    assertEquals(new Set(flags).size, flags.length, command.name);
  }
});

test("man: the page names every command, flag and variable, and escapes roff syntax", () => {
  const page = formatManPage();
  const text = page.replaceAll("\\-", "-");
  for (const [name, { flag, env }] of listSettings()) {
    if (flag) assert(text.includes(`.B --${flag} `), name);
    for (const variable of env) assert(text.includes(variable), name);
  }
  for (const { name } of COMMANDS) assert(text.includes(`.SS ${name}\n`), name);
  for (const line of page.trimEnd().split("\n")) {
    assertMatch(line, /^(\.(TH|SH|SS|TP|PP|RS|RE|B|br|nf|fi)\b|[^.'])/);
  }
});
