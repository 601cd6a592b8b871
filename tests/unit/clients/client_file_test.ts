/**
 * Tests which entries of a client's file start this program, and which syntax
 * the client rejects, in JSON and in TOML.
 *
 * @module
 */

import {
  findAlwaysupServers,
  findRejectedSyntax,
} from "../../../lib/clients/client_file.ts";
import { stringify } from "smol-toml";
import {
  type Client,
  CLIENTS,
  createServerEntry,
} from "../../../lib/clients/registry.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

function clientOf(name: string): Client {
  return CLIENTS.find((client) => client.name === name)!;
}

/** Returns the servers that start this program in a file with this content. */
function findIn(client: Client, file: unknown): unknown {
  const text = client.isToml ? stringify(file) : JSON.stringify(file);
  return findAlwaysupServers(client, text, []);
}

test("Client file: finds our servers in JSON and in TOML", () => {
  const json = '{"mcpServers":{"a":{"command":"alwaysup"},"b":{"url":"u"}}}';
  const toml = '[mcp_servers.a]\ncommand = "alwaysup"\n';
  for (const [name, text] of [["cursor", json], ["codex", toml]] as const) {
    const found = findAlwaysupServers(clientOf(name), text, []);
    assertEquals(found, [{ name: "a", command: ["alwaysup"] }]);
  }
});

test("Client file: an empty file has no servers, and an invalid file is an error", () => {
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

test("Client file: names the first syntax that the client cannot read, with its line", () => {
  const text = '\ufeff{\n// a\n"b": 1,\n}';
  for (
    const [name, rejected] of [
      ["claude-code", "a byte order mark (line 1)"],
      ["cursor", "a trailing comma (line 3)"],
      ["vscode", undefined],
      ["codex", undefined],
    ] as const
  ) assertEquals(findRejectedSyntax(clientOf(name), text), rejected, name);
});

test("Client file: finds a server whose command is the path of this program", () => {
  const client = clientOf("zed");
  const text = '{"context_servers":{"a":{"command":"/opt/x","args":[]}}}';
  assertEquals(findAlwaysupServers(client, text, ["/opt/y"]), []);
  assertEquals(findAlwaysupServers(client, text, ["/opt/x"])[0]?.name, "a");
});

test("Client file: finds the servers that Claude Code has for single projects", () => {
  const text = JSON.stringify({
    mcpServers: { a: { command: "alwaysup" } },
    projects: {
      "/home/a": { mcpServers: { b: { command: "x" } } },
      "/home/b": { mcpServers: { c: { command: "alwaysup", args: ["d"] } } },
      "/home/c": null,
    },
  });
  assertEquals(findAlwaysupServers(clientOf("claude-code"), text, []), [
    { name: "a", command: ["alwaysup"] },
    { name: "c", command: ["alwaysup", "d"], project: "/home/b" },
  ]);
  assertEquals(findAlwaysupServers(clientOf("cursor"), text, []).length, 1);
});

test("Client file: finds no server in a file without servers, and no server without a command", () => {
  for (const client of CLIENTS) {
    const { serversKey, isToml } = client;
    const ours = createServerEntry(client, ["alwaysup", "a"]);
    const others = {
      a: isToml ? 1 : null,
      b: { command: 1, args: "alwaysup" },
      c: [],
      d: { url: "http://h" },
    };
    for (const file of [{}, { [serversKey]: 1 }, { [serversKey]: others }]) {
      assertEquals(findIn(client, file), []);
    }
    assertEquals(findIn(client, { [serversKey]: { ...others, e: ours } }), [
      { name: "e", command: ["alwaysup", "a"] },
    ]);
  }
});
