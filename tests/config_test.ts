/**
 * The files in `config/`, which users copy.
 *
 * @module
 */

import { parseEnv } from "node:util";
import { CLIENTS, entryOf, findOurs } from "../lib/clients.ts";
import { readConfig, rows } from "../lib/config.ts";
import { assert, assertEquals } from "./tools/assert.ts";
import { ENV_EXAMPLE, envExample } from "./tools/env_example.ts";
import { ExaiProcess } from "./tools/exai_process.ts";
import { RawDaemon } from "./tools/raw_daemon.ts";
import { test } from "./tools/limit.ts";
import { Proxy, withoutNpx } from "./tools/rig.ts";

test("config/env.example is what the settings table gives (deno task env)", async () => {
  assertEquals(await Deno.readTextFile(ENV_EXAMPLE), envExample());
});

test("config/env.example is accepted with every line in force", () => {
  const file = parseEnv(envExample().replaceAll(/^#(\w+=)/gm, "$1"));
  assert(Object.keys(file).length > 15);
  const reading = readConfig({ args: [], env: {}, file }, () => "");
  assertEquals(reading.kind, "config");
});

test("config/env.docker is accepted, and gives the streaming timeouts of the owner", async () => {
  const text = await Deno.readTextFile(
    new URL("../config/env.docker", import.meta.url),
  );
  const file = parseEnv(text);
  const reading = readConfig({ args: [], env: {}, file }, () => "");
  assertEquals(reading.kind, "config");
  assertEquals(
    [file.GLM_STREAM_TIMEOUT, file.KIMI_STREAM_TIMEOUT],
    ["300", "600"],
  );
});

interface Server {
  readonly command: string;
  readonly args: string[];
  readonly env: Record<string, string>;
}

/** A client's file, by the name that `install` knows the client by. */
function fileOf(client: string): string {
  const name = client === "augment" ? "augmentcode" : client;
  return `mcp-config.${name}.json`;
}

async function configOf(client: string): Promise<Record<string, unknown>> {
  const url = new URL(`../config/${fileOf(client)}`, import.meta.url);
  const text = await Deno.readTextFile(url);
  assert(text.trimEnd().split("\n").length <= 16, `${client} is short`);
  return JSON.parse(text);
}

async function serverOf(client: string, key: string): Promise<Server> {
  const servers = (await configOf(client))[key] as { exai: Server };
  return servers.exai;
}

test("every client's file in config/ starts the same proxy, in the form of lib/clients.ts", async () => {
  const { command, args, env } = await serverOf("cursor", "mcpServers");
  for (const client of CLIENTS) {
    const config = await configOf(client.name);
    const server = { ...entryOf(client, [command, ...args]), env };
    assertEquals(config, { [client.key]: { exai: server } }, client.name);
    const [found] = findOurs(client, config, []);
    assertEquals(found, { name: "exai", command: [command, ...args] });
  }
  assertEquals(readConfig({ args: [], env }, () => "").kind, "config");
  const known = CLIENTS.map(({ name }) => fileOf(name));
  for await (
    const { name } of Deno.readDir(new URL("../config/", import.meta.url))
  ) {
    const isKnown = known.includes(name) ||
      !/^mcp-config\..+\.json$/.test(name);
    assert(isKnown, `${name} is not tested`);
  }
});

test("a client's file in config/ reaches an exai daemon", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  const { command, args, env } = await serverOf("augment", "mcpServers");
  const main = `${import.meta.dirname}/../main.ts`;
  const real = args.map((arg) =>
    arg.replace("/path/to/alwaysup/main.ts", main)
  );
  assert(real.includes(main));
  const port = { EXAI_WS_PORT: `${daemon.port}` };
  const start = withoutNpx(command, real);
  await using proxy = new Proxy([], { ...env, ...port }, () => start);
  await proxy.initialize();
  await proxy.call(1, "echo", { text: "hi" });
  assertEquals((await proxy.answer(1)).result.content[0].text, "hi");
});

test("config/mcp-config.json starts a proxy that works", async () => {
  await using daemon = new RawDaemon();
  const file = new URL("../config/mcp-config.json", import.meta.url);
  const { mcpServers } = JSON.parse(await Deno.readTextFile(file));
  const [{ command, args }] = Object.values(mcpServers) as [
    { command: string; args: string[] },
  ];
  assertEquals(command, "/path/to/alwaysup");
  const real = args.map((arg) =>
    arg.replace("ws://127.0.0.1:8079/", daemon.url)
  );
  assert(real.includes(daemon.url));
  await using proxy = new Proxy(real);
  await proxy.initialize();
  assertEquals((await proxy.end()).code, 0);
});

test("the README's settings table is the program's, and its snippet the file's", async () => {
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
