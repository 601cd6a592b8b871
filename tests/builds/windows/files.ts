/**
 * Tests the files of the program and of its clients on Windows.
 *
 * @module
 */

import { clientFileFormatOf } from "../../../lib/clients/client_file.ts";
import { CLIENTS, createServerEntry } from "../../../lib/clients/registry.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import {
  test,
  WAIT_LIMIT_MS,
  withWaitLimit,
} from "../../helpers/time_limit.ts";
import {
  FakeWebSocketServer,
  respondToAll,
  type ServerBehavior,
} from "../../helpers/fake_websocket_server.ts";
import {
  type ChildProcess,
  freePort,
  type ProxyProcess,
} from "../../helpers/process.ts";
import { UserFolder, type Windows } from "../windows_executable.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

const CACHE = "AppData/Local/alwaysup";
/** An `install` flag with a URL at which nothing listens. */
const URL_FLAG = ["--url", "ws://127.0.0.1:9/"];

/**
 * The path of each client's configuration file, relative to the home folder.
 */
const CLIENT_FILES: Readonly<Record<string, string>> = {
  "claude-desktop": "AppData/Roaming/Claude/claude_desktop_config.json",
  "claude-code": ".claude.json",
  vscode: "AppData/Roaming/Code/User/mcp.json",
  cursor: ".cursor/mcp.json",
  windsurf: ".codeium/windsurf/mcp_config.json",
  augment: ".augment/settings.json",
  zed: "AppData/Roaming/Zed/settings.json",
  codex: ".codex/config.toml",
  gemini: ".gemini/settings.json",
  opencode: ".config/opencode/opencode.json",
};

/** Accepts every protocol version, and answers `tools/list` with one tool. */
const respondWithVersion: NonNullable<ServerBehavior["respond"]> = (message) =>
  message.method === "tools/list"
    ? { id: message.id, result: { tools: [{ name: "a", inputSchema: {} }] } }
    : respondToAll(message);

/** Performs the handshake with a protocol version, and lists the tools. */
async function initializeAndListTools(
  proxy: ProxyProcess,
  protocolVersion: string,
): Promise<void> {
  const clientInfo = { name: "windows", version: "1" };
  const params = { protocolVersion, capabilities: {}, clientInfo };
  await proxy.request(0, "initialize", params);
  await proxy.waitForResponse(0);
  await proxy.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  await proxy.request(1, "tools/list");
  await proxy.waitForResponse(1);
}

/**
 * A user with two running proxies that write status files. Each proxy has its
 * own client.
 */
interface User extends AsyncDisposable {
  readonly home: UserFolder;
  readonly daemon: FakeWebSocketServer;
  readonly env: Record<string, string>;
  readonly proxies: readonly ProxyProcess[];
}

async function userWithTwoProxies(windows: Windows): Promise<User> {
  await using started = new AsyncDisposableStack();
  const home = started.use(new UserFolder(windows));
  const daemon = started.use(
    new FakeWebSocketServer({ respond: respondWithVersion }),
  );
  const env = { ...home.env, ALWAYSUP_STATUS: "on" };
  const proxies = [1, 2].map(() =>
    started.use(windows.proxy(["--url", daemon.url], env))
  );
  for (const proxy of proxies) {
    await initializeAndListTools(proxy, "2025-06-18");
  }
  const all = started.move();
  const dispose = (): Promise<void> => all.disposeAsync();
  return { home, daemon, env, proxies, [Symbol.asyncDispose]: dispose };
}

/** Makes another program hold a file open for `ms`, or until its disposal. */
async function holdOpen(
  windows: Windows,
  file: string,
  ms?: number,
): Promise<ChildProcess> {
  const args = ms === undefined ? [file] : [file, `${ms}`];
  const holder = windows.script("wine/hold.ts", args);
  await holder.stdout.waitForLine((line) => line === "held");
  return holder;
}

/** Repeats `status --json` until its output is accepted. */
async function waitForStatus(
  windows: Windows,
  env: Record<string, string>,
  accepts: (running: Json[]) => boolean,
): Promise<Json[]> {
  const until = performance.now() + WAIT_LIMIT_MS;
  let lastOutput = "";
  while (performance.now() < until) {
    const { code, stdout, stderr } = await windows.run(
      ["status", "--json"],
      env,
    );
    assertEquals([code, stderr], [0, ""]);
    lastOutput = stdout;
    const running = JSON.parse(stdout);
    if (accepts(running)) return running;
  }
  throw new Error(
    `status did not give the expected output. Its last output: ${lastOutput}`,
  );
}

export function registerFileTests(windows: Windows): void {
  test("install: a program in a folder with spaces and umlauts starts by the command that install wrote", async () => {
    await using home = new UserFolder(windows);
    await using daemon = new FakeWebSocketServer();
    const program = await home.copyProgram(
      windows.hostPath,
      "Meine Programme",
      "\u00fcp",
    );
    const flags = ["--url", daemon.url, "--cache", "off"];
    const args = ["install", "cursor", "--write", ...flags];
    const { code, stderr } = await windows.run(args, home.env, {
      windowsPath: program,
    });
    assertEquals([code, stderr], [0, ""]);
    const text = await home.read(CLIENT_FILES.cursor!);
    const { command, args: all } = JSON.parse(text).mcpServers.alwaysup;
    assertEquals(command, program);
    assertEquals(all, flags);
    await using proxy = windows.proxy(all, {}, command);
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  for (const client of CLIENTS) {
    const { name, serversKey, isToml } = client;
    test(`install: for ${name}, install and uninstall change the file that the client reads, and keep CRLF`, async () => {
      await using home = new UserFolder(windows);
      const place = CLIENT_FILES[name]!;
      const before = isToml
        ? `n = 1.0\r\n\r\n[${serversKey}.o]\r\ncommand = 'C:\\x'\r\n`
        : `{\r\n  "${serversKey}": {\r\n    "o": { "command": "C:\\\\x" }` +
          '\r\n  },\r\n  "n": 1.0\r\n}\r\n';
      const file = await home.write(before, place);
      const args = [name, "--write"];
      const install = await windows.run(
        ["install", ...args, ...URL_FLAG],
        home.env,
      );
      assertEquals([install.code, install.stderr], [0, ""]);
      assert(install.stdout.startsWith(`${file}:\n`), install.stdout);
      const text = await home.read(place);
      assert(!/[^\r]\n/.test(text), JSON.stringify(text));
      const servers =
        (clientFileFormatOf(client).parseClientFile(text) as Json)[serversKey];
      assertEquals(servers, {
        o: { command: "C:\\x" },
        alwaysup: createServerEntry(client, [windows.windowsPath, ...URL_FLAG]),
      });
      assertEquals(await home.read(`${place}.alwaysup.bak`), before);
      const uninstall = await windows.run(["uninstall", ...args], home.env);
      assertEquals([uninstall.code, uninstall.stderr], [0, ""]);
      assertEquals(await home.read(place), before);
    });
  }

  test("install: it creates the file of a client that has none yet", async () => {
    await using home = new UserFolder(windows);
    const args = ["install", "vscode", "--write", ...URL_FLAG];
    const { code, stderr } = await windows.run(args, home.env);
    assertEquals([code, stderr], [0, ""]);
    const { servers } = JSON.parse(await home.read(CLIENT_FILES.vscode!));
    assertEquals(servers.alwaysup.command, windows.windowsPath);
    assertEquals(await home.fileNames(), [CLIENT_FILES.vscode!]);
  });

  test("install: for Claude Desktop from the Microsoft Store, it changes the file of the package", async () => {
    await using home = new UserFolder(windows);
    const place = "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/" +
      "LocalCache/Roaming/Claude/claude_desktop_config.json";
    const file = await home.write("{}", place);
    const args = ["install", "claude-desktop", "--write", ...URL_FLAG];
    const { code, stdout, stderr } = await windows.run(args, home.env);
    assertEquals([code, stderr], [0, ""]);
    assert(stdout.startsWith(`${file}:\n`), stdout);
    const { mcpServers } = JSON.parse(await home.read(place));
    assertEquals(mcpServers.alwaysup.command, windows.windowsPath);
  });

  test("install: relative paths become absolute, with and without a drive", async () => {
    await using home = new UserFolder(windows);
    await home.write("", "my.env");
    const here = home.file().name;
    const drive = here.slice(0, 2);
    const forms = [
      ["my.env", `${here}\\my.env`],
      [".\\my.env", `${here}\\my.env`],
      [`${drive}my.env`, `${here}\\my.env`],
      [`${here.slice(2)}\\my.env`, `${here}\\my.env`],
      [`\\\\?\\${here}\\my.env`, `\\\\?\\${here}\\my.env`],
      ["nul", "nul"],
    ] as const;
    for (const [given, whole] of forms) {
      const args = ["install", "cursor", ...URL_FLAG, "--env-file", given];
      const { code, stdout, stderr } = await windows.run(args, home.env, {
        folder: here,
      });
      assertEquals([code, stderr], [0, ""], given);
      const { mcpServers } = JSON.parse(/^\{[^]*^\}/m.exec(stdout)![0]);
      const [, , ...flags] = mcpServers.alwaysup.args;
      assertEquals(flags, ["--env-file", whole]);
    }
  });

  test("install: it waits for a file that another program holds open, and does not change one that stays open", async () => {
    await using home = new UserFolder(windows);
    const before = '{\r\n  "mcpServers": {}\r\n}\r\n';
    const file = await home.write(before, CLIENT_FILES.cursor!);
    const args = ["install", "cursor", "--write", ...URL_FLAG];
    {
      await using _ = await holdOpen(windows, file);
      const { code, stderr } = await windows.run(args, home.env);
      assertEquals(code, 1);
      assertMatch(stderr, /^alwaysup: [^\n]+ cannot be written [^\n]+\n$/);
      assertEquals(await home.read(CLIENT_FILES.cursor!), before);
    }
    await using holder = await holdOpen(windows, file);
    const next = home.waitForFile(/\.tmp$/, ".cursor");
    const waiting = windows.run(args, home.env);
    await withWaitLimit(next, "the temporary file that will replace it");
    await holder.closeStdin();
    const { code, stderr } = await waiting;
    assertEquals([code, stderr], [0, ""]);
    const text = await home.read(CLIENT_FILES.cursor!);
    assert(JSON.parse(text).mcpServers.alwaysup);
    const names = await home.fileNames(".cursor");
    assertEquals(names.filter((name) => name.endsWith(".tmp")), []);
  });

  for (
    const [what, names] of [
      ["spaces and umlauts", ["K\u00e4se 1", "\u00e4 b.json"]],
      [
        "more than 260 characters",
        [..."abc"].map((name) => name.repeat(100)).concat("c.json"),
      ],
    ] as const
  ) {
    test(`Cache: it may be in a path with ${what}`, async () => {
      await using home = new UserFolder(windows);
      await using daemon = new FakeWebSocketServer({
        respond: respondWithVersion,
      });
      const { name } = home.file(...names);
      const args = ["--url", daemon.url, "--cache", name];
      await using proxy = windows.proxy(args, home.env);
      await initializeAndListTools(proxy, "2025-06-18");
      assertEquals((await proxy.closeStdin()).code, 0);
      assertEquals(await home.fileNames(), [names.join("/")]);
      assertEquals(JSON.parse(await home.read(...names)).dialect, "mcp");
      assertEquals(proxy.stderr.dump().includes(" WARN "), false);
    });
  }

  test("Cache: four proxies share one file, which has the results of each, and no other file is left", async () => {
    await using home = new UserFolder(windows);
    await using daemon = new FakeWebSocketServer({
      respond: respondWithVersion,
    });
    const versions = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
    const env = { ...home.env, ALWAYSUP_CACHE: "on" };
    await using all = new AsyncDisposableStack();
    const proxies = versions.map(() =>
      all.use(windows.proxy(["--url", daemon.url], env))
    );
    await Promise.all(
      proxies.map((proxy, i) => initializeAndListTools(proxy, versions[i]!)),
    );
    const ends = await Promise.all(proxies.map((proxy) => proxy.closeStdin()));
    for (const { code } of ends) assertEquals(code, 0);
    for (const { stderr } of proxies) {
      assertEquals(stderr.dump().includes(" WARN "), false, stderr.dump());
    }
    const [file, ...others] = await home.fileNames("AppData", "Local");
    assertEquals(others, []);
    assert(file!.startsWith(`${CACHE}/mcp-`), file);
    const { initialize } = JSON.parse(await home.read(file!));
    assertEquals(Object.keys(initialize).toSorted(), versions);
  });

  test("Cache: the proxy works while another program holds the file open, and saves its results afterwards", async () => {
    await using home = new UserFolder(windows);
    await using daemon = new FakeWebSocketServer({
      respond: respondWithVersion,
    });
    const file = home.file("c.json").name;
    const args = ["--url", daemon.url, "--cache", file];
    {
      await using proxy = windows.proxy(args);
      await initializeAndListTools(proxy, "2025-03-26");
      assertEquals((await proxy.closeStdin()).code, 0);
    }
    await using holder = await holdOpen(windows, file, 600);
    await using proxy = windows.proxy(args);
    await initializeAndListTools(proxy, "2025-06-18");
    await holder.waitForExit();
    assertEquals((await proxy.closeStdin()).code, 0);
    const { initialize } = JSON.parse(await home.read("c.json"));
    const versions = ["2025-03-26", "2025-06-18"];
    assertEquals(Object.keys(initialize).toSorted(), versions);
    assertEquals(proxy.stderr.dump().includes(" WARN "), false);
    assertEquals(await home.fileNames(), ["c.json"]);
  });

  test("status: it lists two running proxies, and none after they have exited", async () => {
    await using user = await userWithTwoProxies(windows);
    const { home, daemon, env, proxies } = user;
    const isReady = (running: Json[]): boolean =>
      running.length === 2 &&
      running.every(({ connectionState }) => connectionState.phase === "ready");
    const running = await waitForStatus(windows, env, isReady);
    const pids = running.map(({ pid }) => pid).toSorted();
    assertEquals(pids, proxies.map(({ process }) => process.pid).toSorted());
    assertEquals(running.map(({ client }) => client), [
      "windows 1",
      "windows 1",
    ]);
    const table = await windows.run(["status"], env);
    assertEquals(table.stdout.split(daemon.url).length, 3, table.stdout);
    for (const proxy of proxies) {
      assertEquals((await proxy.closeStdin()).code, 0);
      assertEquals(proxy.stderr.dump().includes(" WARN "), false);
    }
    assertEquals(await waitForStatus(windows, env, () => true), []);
    assertEquals(await home.fileNames("AppData", "Local"), []);
  });

  test("Status file: the proxy works while another program holds the file open, and updates it afterwards", async () => {
    await using home = new UserFolder(windows);
    await using daemon = new FakeWebSocketServer({
      respond: respondWithVersion,
    });
    const env = { ...home.env, ALWAYSUP_STATUS: "on" };
    await using proxy = windows.proxy(["--url", daemon.url], env);
    const isThere = (running: Json[]): boolean => running.length === 1;
    await waitForStatus(windows, env, isThere);
    const names = await home.fileNames(
      "AppData",
      "Local",
      "alwaysup",
      "running",
    );
    const file = names.find((name) => name.endsWith(".json"))!;
    {
      // The hold is longer than the shortest interval between two writes.
      const held = home.file(file).name;
      await using holder = await holdOpen(windows, held, 1_500);
      await initializeAndListTools(proxy, "2025-06-18");
      await holder.waitForExit();
    }
    const hasClient = ([it]: Json[]): boolean => it?.client === "windows 1";
    await waitForStatus(windows, env, hasClient);
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("status: repeated runs beside two working proxies cause no file conflicts", async () => {
    await using user = await userWithTwoProxies(windows);
    const { env, proxies } = user;
    const watches = [1, 2, 3].map(() =>
      waitForStatus(windows, env, ([first]) => first?.connectionState.since > 0)
    );
    await Promise.all(watches);
    for (const proxy of proxies) {
      assertEquals((await proxy.closeStdin()).code, 0);
      assertEquals(proxy.stderr.dump().includes(" WARN "), false);
    }
  });

  test("doctor: with a working daemon every check passes, and the exit code is 0", async () => {
    await using home = new UserFolder(windows);
    await using daemon = new FakeWebSocketServer({
      respond: respondWithVersion,
    });
    const args = ["doctor", "--json", "--url", daemon.url];
    const { code, stdout } = await windows.run(args, home.env);
    const { ok, checks } = JSON.parse(stdout);
    assertEquals([code, ok], [0, true], stdout);
    assert(checks.length > 3);
  });

  test("doctor: if nothing listens, the exit code is 1 and the output names the address", async () => {
    await using home = new UserFolder(windows);
    const url = `ws://127.0.0.1:${freePort()}/`;
    const hasty = ["--handshake-timeout", "500ms"];
    const { code, stdout } = await windows.run(
      ["doctor", "--url", url, ...hasty],
      home.env,
    );
    assertEquals(code, 1, stdout);
    assert(stdout.includes("127.0.0.1"), stdout);
    assertEquals(await home.fileNames(), []);
  });
}
