/**
 * The files in `config/`, which users copy.
 *
 * @module
 */

import { parseEnv } from "node:util";
import { readConfig, rows } from "../lib/config.ts";
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

Deno.test("the README's settings table is the program's, and its snippet the file's", async () => {
  const readme = await Deno.readTextFile(
    new URL("../README.md", import.meta.url),
  );
  for (const [name, { flag, env, default: fallback }] of rows()) {
    const cells = [
      flag === undefined ? "" : `\`--${flag}\``,
      env.map((variable) => `\`${variable}\``).join(", "),
      fallback === undefined ? "" : `\`${fallback}\``,
    ];
    const row = readme.split("\n").map((line) =>
      line.split("|").map((cell) => cell.trim())
    )
      .find((line) => line[2] === cells[1]);
    assertEquals(row?.slice(1, 4), cells, name);
  }
  const snippet = await Deno.readTextFile(
    new URL("../config/mcp-config.json", import.meta.url),
  );
  assert(readme.includes(snippet.trim()));
});
