/**
 * Checks the files in `config/`, which users copy.
 *
 * @module
 */

import {
  clientFileFormatOf,
  findAlwaysupServers,
} from "../lib/clients/client_file.ts";
import {
  type Client,
  CLIENTS,
  createServerEntry,
} from "../lib/clients/registry.ts";
import { listSettings, readConfig } from "../lib/config/config.ts";
import { parseEnvFile } from "../lib/config/dotenv.ts";
import { assert, assertEquals } from "./helpers/assert.ts";
import { ENV_EXAMPLE_FILE, envExampleText } from "../.ci/build/env_example.ts";
import { LOG_PAGE_FILE, logPageText } from "../.ci/build/log_page.ts";
import {
  SETTINGS_PAGE_FILE,
  settingsPageText,
} from "../.ci/build/settings_page.ts";
import { ExaiProcess } from "./helpers/exai_process.ts";
import { FakeWebSocketServer } from "./helpers/fake_websocket_server.ts";
import { test } from "./helpers/time_limit.ts";
import { proxyCommand, ProxyProcess, withoutNpx } from "./helpers/process.ts";

test("config/env.example: it is what the settings table gives (deno task settings)", async () => {
  assertEquals(await Deno.readTextFile(ENV_EXAMPLE_FILE), envExampleText());
});

test("config/README.md: it is what the settings table gives (deno task settings)", async () => {
  const text = await Deno.readTextFile(SETTINGS_PAGE_FILE);
  assertEquals(text, settingsPageText());
  for (const [name, { flag, env }] of listSettings()) {
    for (const word of [...env, ...flag === undefined ? [] : [`--${flag}`]]) {
      assert(text.includes(`\`${word}\``), name);
    }
  }
});

test("config/LOG.md: it is what the table of log events gives (deno task settings)", async () => {
  assertEquals(await Deno.readTextFile(LOG_PAGE_FILE), logPageText());
});

test("config/env.example: it is accepted with every setting uncommented", () => {
  const text = envExampleText().replaceAll(/^#(\w+=)/gm, "$1");
  const { values: file, unreadableLines, unsetVariables } = parseEnvFile(
    text,
    {},
  );
  assert(Object.keys(file).length > 15);
  assertEquals([unreadableLines, unsetVariables], [[], []]);
  const reading = readConfig({ args: [], env: {}, file }, () => "");
  assertEquals(reading.kind, "config");
});

test("config/env.docker: it is accepted, and gives the streaming timeouts 300 and 600", async () => {
  const text = await Deno.readTextFile(
    new URL("../config/env.docker", import.meta.url),
  );
  const { values: file, unreadableLines, unsetVariables } = parseEnvFile(
    text,
    {},
  );
  assertEquals([unreadableLines, unsetVariables], [[], []]);
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

/** Returns the name of a client's example file. */
function fileOf({ name, isToml }: Client): string {
  const shown = name === "augment" ? "augmentcode" : name;
  return `mcp-config.${shown}.${isToml ? "toml" : "json"}`;
}

async function textOf(file: string): Promise<string> {
  const url = new URL(`../config/${file}`, import.meta.url);
  return await Deno.readTextFile(url);
}

async function serverOf(file: string): Promise<Server> {
  return JSON.parse(await textOf(file)).mcpServers.exai;
}

/** The other example files, each with the command that it contains. */
const VARIANTS: [file: string, command: string[]][] = [
  ["mcp-config.npx.json", ["npx", "-y", "alwaysup"]],
  [
    "mcp-config.source.json",
    [
      ...["npx", "-y", `deno@${Deno.version.deno}`, "run", "-NERW"],
      "/path/to/alwaysup/main.ts",
    ],
  ],
];

test("config/: every client's file starts the installed executable, in the form of lib/clients/registry.ts", async () => {
  const { env, ...started } = await serverOf("mcp-config.cursor.json");
  assertEquals(started, { command: "/path/to/alwaysup", args: [] });
  for (const client of CLIENTS) {
    const text = await textOf(fileOf(client));
    assert(
      text.trimEnd().split("\n").length <= 16,
      `${client.name}: more than 16 lines`,
    );
    const config = clientFileFormatOf(client).parseClientFile(text);
    const server = {
      ...createServerEntry(client, [started.command]),
      [client.hasCommandList ? "environment" : "env"]: env,
    };
    assertEquals(
      config,
      { [client.serversKey]: { exai: server } },
      client.name,
    );
    const [found] = findAlwaysupServers(client, text, []);
    assertEquals(found, { name: "exai", command: [started.command] });
  }
  assertEquals(readConfig({ args: [], env }, () => "").kind, "config");
});

test("config/: the variants differ only in the command, and there is no other file", async () => {
  const { env } = await serverOf("mcp-config.cursor.json");
  for (const [file, [command, ...args]] of VARIANTS) {
    assertEquals(await serverOf(file), { command, args, env }, file);
  }
  const known = [
    ...[...CLIENTS.map(fileOf), ...VARIANTS.map(([file]) => file)],
    ...["mcp-config.json", "env.docker", "env.example", "README.md"],
    ...["LOG.md", "METRICS.md", "prometheus.yml", "prometheus-alerts.yml"],
    "grafana-dashboard.json",
  ];
  const folder = new URL("../config/", import.meta.url);
  const names = Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  assertEquals((await names).toSorted(), known.toSorted());
});

test("config/: the program that its files start reaches an exai daemon, installed and from source", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  const installed = await serverOf(fileOf(CLIENTS[0]!));
  const source = await serverOf("mcp-config.source.json");
  const main = `${import.meta.dirname}/../main.ts`;
  const real = source.args.map((arg) =>
    arg.replace("/path/to/alwaysup/main.ts", main)
  );
  assert(real.includes(main));
  const starts = [
    proxyCommand(installed.args),
    withoutNpx(source.command, real),
  ];
  const port = { EXAI_WS_PORT: `${daemon.port}` };
  for (const start of starts) {
    await using proxy = new ProxyProcess(
      [],
      { ...source.env, ...port },
      () => start,
    );
    await proxy.initialize();
    await proxy.callTool(1, "echo", { text: "hi" });
    assertEquals((await proxy.waitForResponse(1)).result.content[0].text, "hi");
  }
});

test("config/mcp-config.json: it starts a proxy that works", async () => {
  await using daemon = new FakeWebSocketServer();
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
  await using proxy = new ProxyProcess(real);
  await proxy.initialize();
  assertEquals((await proxy.closeStdin()).code, 0);
});
