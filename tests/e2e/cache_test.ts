/**
 * Tests the cache with real processes: what the proxy stores, what a client
 * gets before its daemon starts, and how the proxy works without a cache.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { test } from "../helpers/time_limit.ts";
import { ProxyProcess } from "../helpers/process.ts";

/** A temporary folder, which is the home and the state folder of one test. */
class Home implements AsyncDisposable {
  readonly path = Deno.makeTempDirSync({ prefix: "home-" });
  readonly env = {
    HOME: this.path,
    XDG_STATE_HOME: `${this.path}/state`,
    ALWAYSUP_CACHE: "on",
  };

  files(): string[] {
    const folder = `${this.path}/state/alwaysup`;
    return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Fills the cache in one session. Returns the daemon's port. */
async function fillHomeCache(home: Home): Promise<number> {
  await using processes = new ProxyAndDaemon([], home.env);
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.request(1, "tools/list");
  await processes.proxy.waitForResponse(1);
  assertEquals((await processes.proxy.closeStdin()).code, 0);
  return processes.port;
}

test("Cache: while the daemon is away, the client gets the cached tools, and its call waits", async () => {
  await using home = new Home();
  const port = await fillHomeCache(home);
  await using processes = new ProxyAndDaemon([], home.env, port);
  const { result } = await processes.proxy.initialize();
  assertEquals(result.serverInfo.name, "tests");
  assertEquals(result.capabilities.tools.listChanged, true);
  await processes.proxy.request(1, "tools/list");
  const { result: { tools } } = await processes.proxy.waitForResponse(1);
  assert(tools.some(({ name }: { name: string }) => name === "write"));
  const input = { n: 1, key: "on" };
  await processes.proxy.callTool(2, "steps", input, { progressToken: "t" });
  await processes.proxy.waitForMessage("notifications/progress");
  await processes.startDaemon("--extra", "more");
  assertEquals(
    (await processes.proxy.waitForResponse(2)).result.content[0].text,
    "on",
  );
  await processes.proxy.waitForMessage("notifications/tools/list_changed");
  assertEquals((await processes.proxy.closeStdin()).code, 0);
  const [file] = home.files();
  assert(Deno.readTextFileSync(file!).includes('\\"more\\"'));
});

test("Cache: without cached results, the client gets a placeholder after --initialize-grace, and list_changed once the daemon runs", async () => {
  await using home = new Home();
  const grace = { ALWAYSUP_INITIALIZE_GRACE: "300ms" };
  await using processes = new ProxyAndDaemon([], { ...home.env, ...grace });
  const { result } = await processes.proxy.initialize();
  assertMatch(result.instructions, /is not up yet/);
  await processes.proxy.request(1, "tools/list");
  const input = { n: 1, key: "on" };
  await processes.proxy.callTool(2, "steps", input, { progressToken: "t" });
  await processes.proxy.waitForMessage("notifications/progress");
  await processes.startDaemon();
  const { result: { tools } } = await processes.proxy.waitForResponse(1);
  assert(tools.length > 3);
  assertEquals(
    (await processes.proxy.waitForResponse(2)).result.content[0].text,
    "on",
  );
  await processes.proxy.waitForMessage("notifications/tools/list_changed");
});

test("Cache: the file is readable only by its user, and contains no secret", async () => {
  await using home = new Home();
  await using processes = new ProxyAndDaemon([], {
    ...home.env,
    ALWAYSUP_TOKEN: "s3cret",
  });
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.request(1, "tools/list");
  await processes.proxy.waitForResponse(1);
  await processes.proxy.closeStdin();
  const [file, ...others] = home.files();
  assertEquals(others, []);
  const text = Deno.readTextFileSync(file!);
  assertEquals(text.includes("s3cret"), false);
  assertEquals(Deno.statSync(file!).mode! & 0o777, 0o600);
  const folder = file!.replace(/\/[^/]*$/, "");
  assertEquals(Deno.statSync(folder).mode! & 0o777, 0o700);
});

test("Cache: a secret that is the URL's whole query appears in no file name, file or log", async () => {
  await using home = new Home();
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess([], {
    ...home.env,
    ALWAYSUP_URL: `${daemon.url}?sk-live-s3cret`,
  });
  await proxy.initialize();
  await proxy.closeStdin();
  const [file, ...others] = home.files();
  assertEquals(others, []);
  const text = file! + Deno.readTextFileSync(file!) + proxy.stderr.dump();
  assertMatch(text, /"daemon":"ws:[^"]*\/\?\*\*\*"/);
  assertEquals(text.includes("s3cret"), false);
});

const BROKEN: [what: string, make: (path: string) => void, pattern: RegExp][] =
  [
    [
      "broken",
      (path) => Deno.writeTextFileSync(path, "{"),
      /not used: it is not JSON/,
    ],
    [
      "another program's",
      (path) => Deno.writeTextFileSync(path, "{}"),
      /not used: this version of alwaysup does not know its format/,
    ],
    [
      "huge",
      (path) => Deno.writeTextFileSync(path, " ".repeat(9 * 1024 * 1024)),
      /not used: it cannot be read \(it has 9437184 bytes, and the limit/,
    ],
    [
      "a folder",
      (path) => Deno.mkdirSync(path),
      /not used: it is not a regular file: move it /,
    ],
  ];
for (const [what, make, pattern] of BROKEN) {
  test(`Cache: a file that is ${what} gives one log line, and the proxy uses the daemon`, async () => {
    const folder = Deno.makeTempDirSync();
    const path = `${folder}/cache.json`;
    make(path);
    await using processes = new ProxyAndDaemon(["--cache", path]);
    await processes.startDaemon();
    await processes.proxy.initialize();
    await processes.proxy.request(1, "tools/list");
    await processes.proxy.waitForResponse(1);
    await processes.proxy.closeStdin();
    const lines = processes.proxy.stderr.dump().split("\n")
      .filter((line) => line.includes("The cache "));
    assertMatch(lines[0]!, pattern);
    assertEquals(lines.length, 1);
    await Deno.remove(folder, { recursive: true });
  });
}

test("Cache: a file that cannot be written gives one log line, and the write is retried", async () => {
  await using home = new Home();
  // The state folder cannot be created, because a file has its name.
  Deno.writeTextFileSync(`${home.path}/state`, "");
  await using processes = new ProxyAndDaemon([], home.env);
  await processes.startDaemon();
  await processes.proxy.initialize();
  for (const id of [1, 2]) {
    await processes.proxy.request(id, "tools/list");
    await processes.proxy.waitForResponse(id);
  }
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("cannot be saved to the cache")
  );
  Deno.removeSync(`${home.path}/state`);
  await processes.killDaemon();
  await processes.startDaemon("--extra", "more");
  await processes.proxy.waitForMessage("notifications/tools/list_changed");
  await processes.proxy.closeStdin();
  assert(
    Deno.readTextFileSync(home.files()[0]!).includes('\\"more\\"'),
  );
  const lines = processes.proxy.stderr.dump().split("\n")
    .filter((line) => /The cache |cannot be saved to the cache/.test(line));
  assertMatch(lines.at(-1)!, /cannot be saved to the cache/);
  assert(lines.length <= 2, "one line for reading, one for all writes");
});

/** Runs one session with a new daemon and `--cache PATH`. */
async function fillCache(path: string): Promise<void> {
  await using processes = new ProxyAndDaemon(["--cache", path]);
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.request(1, "tools/list");
  await processes.proxy.waitForResponse(1);
  assertEquals((await processes.proxy.closeStdin()).code, 0);
}

test("Cache: --cache never replaces another program's file, a pipe or a link", async () => {
  await using home = new Home();
  const foreign = `${home.path}/mcp.json`;
  const text = '{"mcpServers":{"mine":1}}';
  Deno.writeTextFileSync(foreign, text);
  await fillCache(foreign);
  assertEquals(Deno.readTextFileSync(foreign), text);
  const pipe = `${home.path}/pipe`;
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  await fillCache(pipe);
  assertEquals(Deno.statSync(pipe).isFifo, true);
  const link = `${home.path}/link.json`;
  Deno.writeTextFileSync(`${home.path}/real.json`, text);
  Deno.symlinkSync(`${home.path}/real.json`, link);
  await fillCache(link);
  assertEquals(Deno.lstatSync(link).isSymlink, true);
  assertEquals(Deno.readTextFileSync(link), text);
});

test("Cache: daemons whose URLs differ only in a secret have separate files", async () => {
  await using home = new Home();
  await using processes = new ProxyAndDaemon([], home.env);
  await processes.startDaemon();
  const url = `ws://127.0.0.1:${processes.port}/`;
  {
    await using proxy = new ProxyProcess(
      ["--url", `${url}?server=git`],
      home.env,
    );
    await proxy.initialize();
    await proxy.closeStdin();
  }
  await processes.killDaemon();
  const grace = ["--initialize-grace", "200ms"];
  for (
    const [server, name] of [["git", "tests"], ["shell", "alwaysup"]] as const
  ) {
    const flags = ["--url", `${url}?server=${server}`, ...grace];
    await using proxy = new ProxyProcess(flags, home.env);
    const { result } = await proxy.initialize();
    assertEquals(result.serverInfo.name, name);
    await proxy.closeStdin();
  }
});

test("Cache: each token has its own file, and eight files are kept", async () => {
  await using home = new Home();
  const serverNameFor = async (
    processes: ProxyAndDaemon,
    token: string,
    ...flags: string[]
  ): Promise<string> => {
    const env = { ...home.env, ALWAYSUP_TOKEN: token };
    const url = `ws://127.0.0.1:${processes.port}/`;
    await using proxy = new ProxyProcess(["--url", url, ...flags], env);
    const { result } = await proxy.initialize();
    await proxy.closeStdin();
    return result.serverInfo.name;
  };
  await using processes = new ProxyAndDaemon(["--cache", "off"], home.env);
  await processes.startDaemon();
  for (let n = 0; n < 9; n++) await serverNameFor(processes, `t${n}`);
  const caches = home.files().filter((path) => path.includes("/mcp-"));
  assertEquals(caches.length, 8);
  await processes.killDaemon();
  const grace = ["--initialize-grace", "200ms"];
  assertEquals(await serverNameFor(processes, "t8", ...grace), "tests");
  assertEquals(await serverNameFor(processes, "t0", ...grace), "alwaysup");
  assertEquals(await serverNameFor(processes, "", ...grace), "alwaysup");
});

test("Cache: a proxy does not remove results that another proxy has saved", async () => {
  await using home = new Home();
  const path = `${home.path}/c.json`;
  const cache = ["--cache", path];
  await using first = new ProxyAndDaemon(cache);
  await first.proxy.stderr.waitForLine((line) => line.includes("Attempt 1"));
  await first.startDaemon();
  const url = ["--url", `ws://127.0.0.1:${first.port}/`];
  await using second = new ProxyProcess([...url, ...cache]);
  await second.initialize();
  await second.request(1, "tools/list");
  await second.waitForResponse(1);
  await second.closeStdin();
  await first.proxy.initialize();
  await first.proxy.closeStdin();
  const { lists } = JSON.parse(Deno.readTextFileSync(path));
  assert(JSON.parse(lists["tools/list"]).tools.length > 0);
});

test("Cache: eight proxies write a new file at once without a warning, and the next start saves results that were lost", async () => {
  await using home = new Home();
  await using daemon = new FakeWebSocketServer();
  const path = `${home.path}/c.json`;
  const flags = ["--url", daemon.url, "--cache", path];
  const versions = Array.from({ length: 8 }, (_, n) => `2025-11-0${n}`);
  const initialize = async (proxy: ProxyProcess, n: number): Promise<void> => {
    const protocolVersion = versions[n];
    await proxy.request(0, "initialize", { protocolVersion, capabilities: {} });
    await proxy.waitForResponse(0);
  };
  const known = (): string[] => {
    const { initialize } = JSON.parse(Deno.readTextFileSync(path));
    return Object.keys(initialize).sort();
  };
  await using all = new AsyncDisposableStack();
  const proxies = versions.map(() =>
    all.use(new ProxyProcess(flags, home.env))
  );
  // All proxies are connected before one of them writes the cache.
  await daemon.waitForHandshakes(8);
  await Promise.all(proxies.map(initialize));
  await Promise.all(proxies.map((proxy) => proxy.closeStdin()));
  for (const proxy of proxies) {
    const lines = proxy.stderr.dump().split("\n");
    assertEquals(lines.filter((line) => line.includes(" WARN ")), []);
  }
  const names = [...Deno.readDirSync(home.path)].map(({ name }) => name);
  assertEquals(names.filter((name) => name.startsWith("c.json")), ["c.json"]);
  for (const [n, version] of versions.entries()) {
    if (known().includes(version)) continue;
    await using proxy = new ProxyProcess(flags, home.env);
    await initialize(proxy, n);
    await proxy.closeStdin();
  }
  assertEquals(known(), versions);
});

test("Cache: several proxies share one file", async () => {
  await using home = new Home();
  await using processes = new ProxyAndDaemon([], home.env);
  await processes.startDaemon();
  const flags = ["--url", `ws://127.0.0.1:${processes.port}/`];
  await using other = new ProxyProcess(flags, home.env);
  for (const proxy of [processes.proxy, other]) {
    await proxy.initialize();
    await proxy.request(1, "tools/list");
  }
  for (const proxy of [processes.proxy, other]) await proxy.waitForResponse(1);
  for (const proxy of [processes.proxy, other]) await proxy.closeStdin();
  const [file, ...others] = home.files();
  assertEquals(others, []);
  JSON.parse(Deno.readTextFileSync(file!));
});
