/**
 * The files in `config/`, which users copy.
 *
 * @module
 */

import { parseEnv } from "node:util";
import { readConfig } from "../lib/config.ts";
import { assert, assertEquals } from "./tools/assert.ts";
import { ENV_EXAMPLE, envExample } from "./tools/env_example.ts";
import { RawDaemon } from "./tools/raw_daemon.ts";
import { Proxy } from "./tools/rig.ts";

Deno.test("config/env.example is what the settings table gives (deno task env)", async () => {
  assertEquals(await Deno.readTextFile(ENV_EXAMPLE), envExample());
});

Deno.test("config/env.example is accepted with every line in force", () => {
  const file = parseEnv(envExample().replaceAll(/^#(\w+=)/gm, "$1"));
  assert(Object.keys(file).length > 15);
  const reading = readConfig({ args: [], env: {}, file }, () => "");
  assertEquals(reading.kind, "config");
});

Deno.test("config/mcp-config.json starts a proxy that works", async () => {
  await using daemon = new RawDaemon();
  const file = new URL("../config/mcp-config.json", import.meta.url);
  const { mcpServers } = JSON.parse(await Deno.readTextFile(file));
  const [{ command, args }] = Object.values(mcpServers) as [
    { command: string; args: string[] },
  ];
  const root = new URL("../", import.meta.url).pathname;
  const real = args.map((arg) =>
    arg.replace("/path/to/alwaysup/", root)
      .replace("ws://127.0.0.1:8079/", daemon.url)
  );
  assert(real.includes(daemon.url) && real.includes(`${root}main.ts`));
  await using proxy = new Proxy([], {}, () => [command, real]);
  await proxy.initialize();
  assertEquals((await proxy.end()).code, 0);
});
