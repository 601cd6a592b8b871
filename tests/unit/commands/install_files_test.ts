/**
 * Tests `install` and `uninstall` with the files in `tests/fixtures/clients/`,
 * which are written like the files of real users.
 *
 * @module
 */

import { decodeUtf8 } from "../../../lib/text/utf8.ts";
import { parse as library } from "jsonc-parser";
import { clientFileFormatOf } from "../../../lib/clients/client_file.ts";
import {
  type Client,
  CLIENTS,
  createServerEntry,
} from "../../../lib/clients/registry.ts";
import { install, uninstall } from "../../../lib/commands/install.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { MemoryDisk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { runCommand } from "../../helpers/command_run.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const FLAGS = ["--write", "--url", "ws://127.0.0.1:9/"];
const REFUSED = /, which Claude Desktop cannot read; remove that first; /;

/** A file, its client, and the warning that `install` prints. */
const FILES: [file: string, client: string, says: RegExp][] = [
  ["augment_settings.json", "augment", /^$/],
  ["claude_code.json", "claude-code", /^$/],
  ["claude_code_null_servers.json", "claude-code", /^$/],
  ["claude_desktop_bom_crlf.json", "claude-desktop", REFUSED],
  ["claude_desktop_comments.json", "claude-desktop", REFUSED],
  ["codex_config.toml", "codex", /has "enabled": false/],
  ["codex_windows_crlf.toml", "codex", /^$/],
  ["cursor_mcp.json", "cursor", /has "disabled": true/],
  ["gemini_settings.json", "gemini", /"mcp.excluded"/],
  ["opencode.json", "opencode", /has "enabled": false/],
  ["opencode_v2_servers.jsonc", "opencode", /^$/],
  ["vscode_mcp_inputs.json", "vscode", /^$/],
  ["windsurf_mcp_config.json", "windsurf", /has "disabled": true/],
  ["zed_flat_source_custom.json", "zed", /^$/],
  ["zed_older_command_object.json", "zed", /has "enabled": false/],
];
const FOLDER = new URL("../../fixtures/clients/", import.meta.url);
const texts = new Map(
  FILES.map(([file]): [string, string] => [
    file,
    decodeUtf8(Deno.readFileSync(new URL(file, FOLDER))),
  ]),
);

test("install: every file in tests/fixtures/clients is tested", () => {
  assertEquals(names, FILES.map(([file]) => file));
});
const names = Array.from(Deno.readDirSync(FOLDER), ({ name }) => name)
  .toSorted();

/**
 * Runs a command. Returns its stderr. Asserts that the exit code is 1 if the
 * command refused the file, else 0.
 */
async function run(
  command: typeof install,
  args: readonly string[],
  disk: MemoryDisk,
): Promise<string> {
  const { code, stderr } = await runCommand(command, args, disk.host());
  assertEquals(code, REFUSED.test(stderr) ? 1 : 0, stderr);
  return stderr;
}

/** Parses a client's file. Returns its value without the entry `alwaysup`. */
function others(client: Client, text: string): Json {
  const { serversKey, isToml } = client;
  const file = isToml
    ? clientFileFormatOf(client).parseClientFile(text)
    : library(text, [], { allowTrailingComma: true });
  const { [serversKey]: servers, ...rest } = file as Json;
  const { alwaysup: _, ...theirs } = servers ?? {};
  return { ...rest, [serversKey]: theirs };
}

/** Returns the members of an entry that `install` does not replace. */
function keptMembersOf(entry: Json): Json {
  const { command, args: _, type: __, ...own } = entry ?? {};
  const { path: ___, args: ____, ...inner } = command?.path ? command : {};
  return { ...inner, ...own };
}

for (const [file, name, says] of FILES) {
  test(`install: changes only its own entry in a realistic file: ${file}`, async () => {
    const client = CLIENTS.find((client) => client.name === name)!;
    const { findEntry } = clientFileFormatOf(client);
    const before = texts.get(file)!;
    const disk = new MemoryDisk();
    const path = client.filePath(disk.host())!;
    disk.addFile(path, before);
    assertMatch(await run(install, [name, ...FLAGS], disk), says);
    const after = disk.readText(path)!;
    if (says === REFUSED) return assertEquals(after, before);
    const entry = findEntry(after, "alwaysup") as Json;
    assertEquals(entry, {
      ...createServerEntry(client, ["/alwaysup", ...FLAGS.slice(1)]),
      ...keptMembersOf(findEntry(before, "alwaysup")),
    });
    assertEquals(others(client, after), others(client, before));
    // `install` removes the old arguments, and the comments between them.
    const comments = (text: string): string[] =>
      text.match(/(^|[ \t])(#|\/\/) (?!loopback only).*$/gm) ?? [];
    assertEquals(comments(after), comments(before));
    const breaks = (text: string): boolean => text.includes("\r\n");
    assertEquals(breaks(after), breaks(before));
    assert(!breaks(before) || !/[^\r]\n/.test(after), "one kind of line end");

    assertMatch(await run(install, [name, ...FLAGS], disk), says);
    assertEquals(disk.readText(path), after, "nothing changes");
    await run(uninstall, [name, "--write"], disk);
    const left = disk.readText(path)!;
    assertEquals(findEntry(left, "alwaysup"), undefined);
    assertEquals(others(client, left), others(client, before));
  });
}
