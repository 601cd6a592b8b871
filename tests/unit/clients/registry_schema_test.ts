/**
 * Compares the table of clients with `@gleanwork/mcp-config-schema`, a
 * third-party registry: the path of each client's file, and the form of an
 * entry.
 *
 * @module
 */

import { MCPConfigRegistry } from "@gleanwork/mcp-config-schema";
import { stringify } from "smol-toml";
import {
  clientFileFormatOf,
  findAlwaysupServers,
} from "../../../lib/clients/client_file.ts";
import { CLIENTS, createServerEntry } from "../../../lib/clients/registry.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** The clients that the registry lacks. */
const UNKNOWN = ["augment", "zed"];
const COMMAND = ["npx", "-y", "alwaysup"];
const SYSTEMS = [
  ["linux", "linux", { HOME: "/home/a" }],
  ["darwin", "darwin", { HOME: "/Users/a" }],
  [
    "windows",
    "win32",
    { USERPROFILE: "C:\\Users\\a", APPDATA: "C:\\Users\\a\\Roaming" },
  ],
] as const;

const registry = new MCPConfigRegistry({ serverPackage: "alwaysup" });
const known = CLIENTS.filter(({ name }) => !UNKNOWN.includes(name));

test("Client registry: mcp-config-schema knows every client except two", () => {
  const ids = registry.getAllConfigs().map(({ id }) => `${id}`);
  const missing = CLIENTS.map(({ name }) => name)
    .filter((name) => !ids.includes(name));
  assertEquals(missing, UNKNOWN);
});

for (const client of known) {
  const id = client.name as Parameters<typeof registry.createBuilder>[0];

  test(`Client registry: mcp-config-schema has the same file for ${id}`, () => {
    const { configPath, configFormat } = registry.getConfig(id)!;
    assertEquals(configFormat, client.isToml ? "toml" : "json");
    for (const [os, platform, env] of SYSTEMS) {
      const variables: Record<string, string> = env;
      const path = configPath[platform]!
        .replace(/\$(\w+)|%(\w+)%/g, (_, a, b) => variables[a ?? b]!);
      const getEnv = (name: string): string | undefined => variables[name];
      assertEquals(
        client.filePath({ os, getEnv, listFolder: () => [] }),
        path,
        os,
      );
    }
  });

  test(`Client registry: mcp-config-schema has the same entry for ${id}`, () => {
    const env = { A: "b" };
    const options = {
      transport: "stdio",
      serverName: "alwaysup",
      env,
    } as const;
    const config = registry.createBuilder(id).buildConfiguration(
      options,
    ) as Json;
    assertEquals(Object.keys(config), [client.serversKey]);
    const { env: _, environment: __, type, ...theirs } =
      config[client.serversKey].alwaysup;
    const { type: own, ...ours } = createServerEntry(client, COMMAND) as Json;
    assertEquals(theirs, ours);
    // Our entry has no `type` if the client assumes `stdio`.
    assert(own === type || own === undefined && type === "stdio", `${own}`);
    const text = client.isToml ? stringify(config) : JSON.stringify(config);
    assertEquals(findAlwaysupServers(client, text, []), [
      { name: "alwaysup", command: COMMAND },
    ]);
    // Our edit keeps the variables in the file that the registry built.
    const { setEntry, parseClientFile } = clientFileFormatOf(client);
    const entry = createServerEntry(client, [
      "/opt/alwaysup",
      "--url",
      "ws://h/",
    ]);
    const kept = client.hasCommandList ? { environment: env } : { env };
    assertEquals(parseClientFile(setEntry(text, "alwaysup", entry)), {
      [client.serversKey]: { alwaysup: { ...entry, ...kept } },
    });
  });
}
