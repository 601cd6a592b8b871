/**
 * Tests restarts of daemons, and the exit of the proxy, on Windows.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { ExaiProcess } from "../../helpers/exai_process.ts";
import { test, withWaitLimit } from "../../helpers/time_limit.ts";
import {
  FakeWebSocketServer,
  respondToAll,
} from "../../helpers/fake_websocket_server.ts";
import {
  freePort,
  INITIALIZE_LINE,
  type ProxyProcess,
} from "../../helpers/process.ts";
import {
  REFUSED_DIAL_ENV,
  UserFolder,
  type Windows,
} from "../windows_executable.ts";

/**
 * The longest time from EOF to the exit, in milliseconds: without an open
 * request, and with one.
 */
const MAX_IDLE_EXIT_MS = 1_000;
const MAX_EXIT_WITH_OPEN_CALL_MS = 12_000;

/** Starts a proxy with an open call `1`. Only the test can answer the call. */
async function startWithPendingCall(
  windows: Windows,
): Promise<
  AsyncDisposable & { proxy: ProxyProcess; daemon: FakeWebSocketServer }
> {
  await using started = new AsyncDisposableStack();
  const { promise: called, resolve } = Promise.withResolvers<void>();
  const daemon = started.use(
    new FakeWebSocketServer({
      respond: (message) =>
        message.method === "slow" ? resolve() : respondToAll(message),
    }),
  );
  const proxy = started.use(windows.proxy(["--url", daemon.url]));
  await proxy.initialize();
  await proxy.request(1, "slow");
  await withWaitLimit(called, "the call");
  const both = started.move();
  return { proxy, daemon, [Symbol.asyncDispose]: () => both.disposeAsync() };
}

function isLost(line: string): boolean {
  return line.includes("Lost the WebSocket");
}

/** Returns whether a process exists. */
async function isAlive(windows: Windows, pid: number): Promise<boolean> {
  await using child = windows.script("wine/alive.ts", [`${pid}`]);
  return (await child.closeStdin()).code === 0;
}

export function registerOutageTests(windows: Windows): void {
  test("Restart: a queued call is answered after kill -9 and a restart", async () => {
    await using processes = windows.proxyAndDaemon();
    const { proxy } = processes;
    await processes.startDaemon();
    await proxy.initialize();
    await processes.killDaemon();
    await proxy.stderr.waitForLine(isLost);
    await proxy.callTool(1, "write", { key: "queued" });
    await proxy.request("ping", "ping");
    assertEquals(
      (await proxy.waitForResponse("ping")).result,
      {},
      "a ping while the daemon is down",
    );
    await processes.startDaemon();
    assertEquals(
      (await proxy.waitForResponse(1)).result.content[0].text,
      "queued",
    );
    assertEquals(processes.journalLines("call"), ["call write queued"]);
    await proxy.stderr.waitForLine((line) => line.includes("Reconnected to"));
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("Restart: of two calls in flight the safe one is sent again, the unsafe one is not", async () => {
    await using processes = windows.proxyAndDaemon();
    const { proxy } = processes;
    await processes.startDaemon();
    await proxy.initialize();
    await processes.startTwoCalls();
    await processes.killDaemon();
    assertEquals((await proxy.waitForResponse(1)).error.code, -31002);
    await processes.startDaemon();
    assertEquals(
      (await proxy.waitForResponse("1")).result.content[0].text,
      "safe",
    );
    assertEquals(processes.journalLines("call write").length, 1);
    assertEquals(processes.journalLines("call look").length, 2);
  });

  test("Restart: after each of three in a row the next call is answered", async () => {
    await using processes = windows.proxyAndDaemon(["--backoff-cap", "250ms"]);
    const { proxy } = processes;
    await processes.startDaemon();
    await proxy.initialize();
    for (const id of [1, 2, 3]) {
      const from = proxy.stderr.lines.length;
      await processes.killDaemon();
      await proxy.stderr.waitForLine(isLost, from);
      await proxy.callTool(id, "echo", { key: `k${id}` });
      await processes.startDaemon();
      const { result } = await proxy.waitForResponse(id);
      assertEquals(result.content[0].text, `k${id}`);
    }
  });

  test("Restart: requests wait for a daemon that has not started yet", async () => {
    await using processes = windows.proxyAndDaemon();
    const { proxy } = processes;
    const hello = proxy.initialize();
    await proxy.callTool(1, "echo", { key: "early" });
    await proxy.stderr.waitForLine((line) => /Attempt 1 .* failed/.test(line));
    await processes.startDaemon();
    assertEquals((await hello).result.serverInfo.name, "tests");
    assertEquals(
      (await proxy.waitForResponse(1)).result.content[0].text,
      "early",
    );
  });

  test("Cache: without a daemon, initialize and the lists are answered from the cache", async () => {
    await using home = new UserFolder(windows);
    const env = { ...home.env, ALWAYSUP_CACHE: "on" };
    let url = "";
    {
      await using daemon = new FakeWebSocketServer({
        respond: (message) =>
          message.method === "tools/list"
            ? { id: message.id, result: { tools: [{ name: "kept" }] } }
            : respondToAll(message),
      });
      url = daemon.url;
      await using proxy = windows.proxy(["--url", url], env);
      await proxy.initialize();
      await proxy.request(1, "tools/list");
      await proxy.waitForResponse(1);
      assertEquals((await proxy.closeStdin()).code, 0);
    }
    const [file, ...others] = await home.fileNames("AppData", "Local");
    assertMatch(file!, /^AppData\/Local\/alwaysup\/mcp-[\w.-]+\.json$/);
    assertEquals(others, []);
    await using proxy = windows.proxy(["--url", url], {
      ...env,
      ...REFUSED_DIAL_ENV,
    });
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    await proxy.request(1, "tools/list");
    assertEquals((await proxy.waitForResponse(1)).result.tools[0].name, "kept");
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("Cache: without a cache and without a daemon, the client gets a placeholder after --initialize-grace", async () => {
    const url = `ws://127.0.0.1:${freePort()}/`;
    const flags = ["--initialize-grace", "300ms"];
    await using proxy = windows.proxy(
      ["--url", url, ...flags],
      REFUSED_DIAL_ENV,
    );
    const { result } = await proxy.initialize();
    assertMatch(result.instructions, /is not up yet/);
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("Restart: two proxies of one daemon both reconnect", async () => {
    await using processes = windows.proxyAndDaemon();
    await processes.startDaemon();
    const url = `ws://127.0.0.1:${processes.port}/`;
    await using other = windows.proxy(["--url", url], REFUSED_DIAL_ENV);
    const both = [processes.proxy, other];
    for (const proxy of both) await proxy.initialize();
    await processes.killDaemon();
    for (const [i, proxy] of both.entries()) {
      await proxy.stderr.waitForLine(isLost);
      await proxy.callTool(1, "echo", { key: `k${i}` });
    }
    await processes.startDaemon();
    for (const [i, proxy] of both.entries()) {
      const { result } = await proxy.waitForResponse(1);
      assertEquals(result.content[0].text, `k${i}`);
    }
  });

  test("exai: with only EXAI_WS_* set, calls work before and after a restart, and the log has no token", async () => {
    await using daemon = new ExaiProcess();
    await daemon.start("--token", "s3cret");
    const env = {
      ...REFUSED_DIAL_ENV,
      EXAI_WS_HOST: "127.0.0.1",
      EXAI_WS_PORT: `${daemon.port}`,
      EXAI_WS_TOKEN: "s3cret",
    };
    await using proxy = windows.proxy([], env);
    await proxy.initialize();
    const chat = async (id: number, text: string): Promise<void> => {
      await proxy.callTool(id, "chat", { text });
      const { result } = await proxy.waitForResponse(id);
      assert(result.content[0].text.startsWith(text), result.content[0].text);
    };
    await chat(1, "hello");
    await daemon.kill();
    await proxy.stderr.waitForLine(isLost);
    const waiting = chat(2, "again");
    await daemon.start("--token", "s3cret");
    await waiting;
    assertEquals((await proxy.closeStdin()).code, 0);
    assert(!proxy.stderr.dump().includes("s3cret"));
  });

  test("Exit: EOF with no open request gives exit code 0 at once", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const { code, ms } = await proxy.closeStdin();
    assertEquals(code, 0);
    assert(ms < MAX_IDLE_EXIT_MS, `${ms} ms`);
  });

  test("Exit: EOF while nothing answers the dial gives exit code 0 at once", async () => {
    const url = `ws://127.0.0.1:${freePort()}/`;
    await using proxy = windows.proxy(["--url", url], REFUSED_DIAL_ENV);
    await proxy.stderr.waitForLine((line) => /Attempt 1 .* failed/.test(line));
    const { code, ms } = await proxy.closeStdin();
    assertEquals(code, 0);
    assert(ms < MAX_IDLE_EXIT_MS, `${ms} ms`);
  });

  test("Exit: after EOF the response to an open call still arrives", async () => {
    await using call = await startWithPendingCall(windows);
    const { proxy, daemon } = call;
    const end = proxy.closeStdin();
    daemon.send({ id: 1, result: { late: true } });
    assertEquals((await end).code, 0);
    assertEquals((await proxy.waitForResponse(1)).result, { late: true });
  });

  test("Exit: after EOF an unanswered call gets an error at the end of the shutdown grace", async () => {
    await using call = await startWithPendingCall(windows);
    const { proxy } = call;
    const { code, ms } = await proxy.closeStdin();
    assertEquals(code, 0);
    assert(ms < MAX_EXIT_WITH_OPEN_CALL_MS, `${ms} ms`);
    assertEquals((await proxy.waitForResponse(1)).error.code, -31002);
  });

  test("Exit: after TerminateProcess on the proxy the daemon sees the connection end, and the next proxy works", async () => {
    await using home = new UserFolder(windows);
    const env = { ...home.env, ALWAYSUP_CACHE: "on", ALWAYSUP_STATUS: "on" };
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url], env);
    await proxy.initialize();
    const { pid } = proxy.process;
    await proxy.signal("SIGKILL");
    await withWaitLimit(daemon.firstCloseCode, "the connection to end");
    assertEquals(await isAlive(windows, pid), false);
    await using next = windows.proxy(["--url", daemon.url], env);
    assertEquals((await next.initialize()).result.serverInfo.name, "raw");
    assertEquals((await next.closeStdin()).code, 0);
    assertEquals(next.stderr.dump().includes(" WARN "), false);
  });

  test("Exit: after TerminateProcess on the client the proxy ends, too", async () => {
    await using daemon = new FakeWebSocketServer();
    const args = [windows.windowsPath, "--url", daemon.url];
    const alone = { ALWAYSUP_CACHE: "off", ALWAYSUP_STATUS: "off" };
    await using client = windows.script("wine/client.ts", args, alone);
    const { text } = await client.stdout.waitForLine((line) =>
      /^pid/.test(line)
    );
    const pid = Number(text.slice(4));
    await client.write(INITIALIZE_LINE);
    await client.stdout.waitForLine((line) => line.includes('"serverInfo"'));
    assertEquals(await isAlive(windows, pid), true);
    client.process.kill("SIGKILL");
    await withWaitLimit(client.process.status, "the client to end");
    await withWaitLimit(daemon.firstCloseCode, "the proxy to disconnect");
    while (await isAlive(windows, pid)) { /* polls until it has exited */ }
  });
}
