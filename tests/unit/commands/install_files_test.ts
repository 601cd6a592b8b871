/**
 * `install` and `uninstall` on the files in `tests/fixtures/clients/`, which have the
 * shapes that people's files have, byte for byte.
 *
 * @module
 */

import { textOf } from "../../../lib/text/utf8.ts";
import { parse as library } from "jsonc-parser";
import { formatOf } from "../../../lib/clients/config_file.ts";
import {
  type Client,
  CLIENTS,
  entryOf,
} from "../../../lib/clients/registry.ts";
import { install, uninstall } from "../../../lib/commands/install.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { Disk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ran } from "../../helpers/command_run.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const FLAGS = ["--write", "--url", "ws://127.0.0.1:9/"];
const REFUSED = / and Claude Desktop does not read that: take it out first; /;

/** A file, whose it is, and what is said about it. */
const FILES: [file: string, client: string, says: RegExp][] = [
  ["augment_settings.json", "augment", /^$/],
  ["claude_code.json", "claude-code", /^$/],
  ["claude_code_null_servers.json", "claude-code", /^$/],
  ["claude_desktop_bom_crlf.json", "claude-desktop", REFUSED],
  ["claude_desktop_comments.json", "claude-desktop", REFUSED],
  ["codex_config.toml", "codex", /says "enabled": false/],
  ["codex_windows_crlf.toml", "codex", /^$/],
  ["cursor_mcp.json", "cursor", /says "disabled": true/],
  ["gemini_settings.json", "gemini", /"mcp.excluded"/],
  ["opencode.json", "opencode", /says "enabled": false/],
  ["opencode_v2_servers.jsonc", "opencode", /^$/],
  ["vscode_mcp_inputs.json", "vscode", /^$/],
  ["windsurf_mcp_config.json", "windsurf", /says "disabled": true/],
  ["zed_flat_source_custom.json", "zed", /^$/],
  ["zed_older_command_object.json", "zed", /says "enabled": false/],
];
const FOLDER = new URL("../../fixtures/clients/", import.meta.url);
const texts = new Map(
  FILES.map(([file]): [string, string] => [
    file,
    textOf(Deno.readFileSync(new URL(file, FOLDER))),
  ]),
);

test("Install: every file in tests/fixtures/clients is tested", () => {
  assertEquals(names, FILES.map(([file]) => file));
});
const names = Array.from(Deno.readDirSync(FOLDER), ({ name }) => name)
  .toSorted();

/** Runs a command, and gives what it complains about. */
async function run(
  command: typeof install,
  args: readonly string[],
  disk: Disk,
): Promise<string> {
  const { code, err } = await ran(command, args, disk.host());
  assertEquals(code, REFUSED.test(err) ? 1 : 0, err);
  return err;
}

/** A text without our entry, as its client sees it: the other servers, and everything else. */
function others(client: Client, text: string): Json {
  const { key, isToml } = client;
  const file = isToml
    ? formatOf(client).parseFile(text)
    : library(text, [], { allowTrailingComma: true });
  const { [key]: servers, ...rest } = file as Json;
  const { alwaysup: _, ...theirs } = servers ?? {};
  return { ...rest, [key]: theirs };
}

/** What is the user's of an entry. */
function ownOf(entry: Json): Json {
  const { command, args: _, type: __, ...own } = entry ?? {};
  const { path: ___, args: ____, ...inner } = command?.path ? command : {};
  return { ...inner, ...own };
}

for (const [file, name, says] of FILES) {
  test(`Install: changes only its own entry in a file like people's: ${file}`, async () => {
    const client = CLIENTS.find((client) => client.name === name)!;
    const { entryIn } = formatOf(client);
    const before = texts.get(file)!;
    const disk = new Disk();
    const path = client.file(disk.host())!;
    disk.put(path, before);
    const slot = { key: client.key, name: "alwaysup" };
    assertMatch(await run(install, [name, ...FLAGS], disk), says);
    const after = disk.text(path)!;
    if (says === REFUSED) return assertEquals(after, before);
    const entry = entryIn(after, slot) as Json;
    assertEquals(entry, {
      ...entryOf(client, ["/alwaysup", ...FLAGS.slice(1)]),
      ...ownOf(entryIn(before, slot)),
    });
    assertEquals(others(client, after), others(client, before));
    // What is said within the old arguments goes with them.
    const comments = (text: string): string[] =>
      text.match(/(^|[ \t])(#|\/\/) (?!loopback only).*$/gm) ?? [];
    assertEquals(comments(after), comments(before));
    const breaks = (text: string): boolean => text.includes("\r\n");
    assertEquals(breaks(after), breaks(before));
    assert(!breaks(before) || !/[^\r]\n/.test(after), "one kind of line end");

    assertMatch(await run(install, [name, ...FLAGS], disk), says);
    assertEquals(disk.text(path), after, "nothing changes");
    await run(uninstall, [name, "--write"], disk);
    const left = disk.text(path)!;
    assertEquals(entryIn(left, slot), undefined);
    assertEquals(others(client, left), others(client, before));
  });
}
