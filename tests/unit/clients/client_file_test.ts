/**
 * A client's file in the format of that client.
 *
 * @module
 */

import {
  findAlwaysupServers,
  findRejectedSyntax,
} from "../../../lib/clients/client_file.ts";
import { type Client, CLIENTS } from "../../../lib/clients/registry.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

function clientOf(name: string): Client {
  return CLIENTS.find((client) => client.name === name)!;
}

test("Client file: finds our servers in JSON and in TOML", () => {
  const json = '{"mcpServers":{"a":{"command":"alwaysup"},"b":{"url":"u"}}}';
  const toml = '[mcp_servers.a]\ncommand = "alwaysup"\n';
  for (const [name, text] of [["cursor", json], ["codex", toml]] as const) {
    const found = findAlwaysupServers(clientOf(name), text, []);
    assertEquals(found, [{ name: "a", command: ["alwaysup"] }]);
  }
});

test("Client file: an empty one has no servers, a broken one is an error", () => {
  for (const name of ["cursor", "codex"]) {
    for (const text of ["", " \n", "\ufeff"]) {
      assertEquals(findAlwaysupServers(clientOf(name), text, []), []);
    }
    assertThrows(
      () => findAlwaysupServers(clientOf(name), "{", []),
      Error,
      "it is not",
    );
  }
});

test("Client file: names the first thing that its client cannot read, with the line", () => {
  const text = '\ufeff{\n// a\n"b": 1,\n}';
  for (
    const [name, rejected] of [
      ["claude-code", "a byte order mark (line 1)"],
      ["cursor", "a comma behind the last member (line 3)"],
      ["vscode", undefined],
      ["codex", undefined],
    ] as const
  ) assertEquals(findRejectedSyntax(clientOf(name), text), rejected, name);
});
