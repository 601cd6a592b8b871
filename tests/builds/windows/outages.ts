/**
 * Daemons that go and come, and ends, on Windows.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { ExaiProcess } from "../../helpers/exai_process.ts";
import { test, within } from "../../helpers/time_limit.ts";
import { answerAll, RawDaemon } from "../../helpers/fake_websocket_server.ts";
import { freePort, HELLO, type Proxy } from "../../helpers/process.ts";
import { Home, REFUSED, type Windows } from "../windows_executable.ts";

/** What the end may take where nothing is owed, and where something is, in milliseconds. */
const PROMPT_MS = 1_000;
const OWED_MS = 12_000;

/** A proxy that owes the answer to the call `1`, and the daemon that has not given it. */
async function owing(
  windows: Windows,
): Promise<AsyncDisposable & { proxy: Proxy; daemon: RawDaemon }> {
  await using started = new AsyncDisposableStack();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const daemon = started.use(
    new RawDaemon({
      answer: (message) =>
        message.method === "slow" ? resolve() : answerAll(message),
    }),
  );
  const proxy = started.use(windows.proxy(["--url", daemon.url]));
  await proxy.initialize();
  await proxy.ask(1, "slow");
  await within(asked, "the call");
  const both = started.move();
  return { proxy, daemon, [Symbol.asyncDispose]: () => both.disposeAsync() };
}

function isLost(line: string): boolean {
  return line.includes("Lost the WebSocket");
}

/** Whether a process runs. */
async function isAlive(windows: Windows, pid: number): Promise<boolean> {
  await using child = windows.script("wine/alive.ts", [`${pid}`]);
  return (await child.end()).code === 0;
}

/** Registers the scenarios. */
export function outages(windows: Windows): void {
  test("Restart: a queued call is answered after kill -9 and a restart", async () => {
    await using rig = windows.rig();
    const { proxy } = rig;
    await rig.up();
    await proxy.initialize();
    await rig.kill();
    await proxy.stderr.find(isLost);
    await proxy.call(1, "write", { key: "queued" });
    await proxy.ask("ping", "ping");
    assertEquals((await proxy.answer("ping")).result, {}, "while it is away");
    await rig.up();
    assertEquals((await proxy.answer(1)).result.content[0].text, "queued");
    assertEquals(rig.executed("call"), ["call write queued"]);
    await proxy.stderr.find((line) => line.includes("Reconnected to"));
    assertEquals((await proxy.end()).code, 0);
  });

  test("Restart: of two calls in flight the safe one is sent again, the unsafe one is not", async () => {
    await using rig = windows.rig();
    const { proxy } = rig;
    await rig.up();
    await proxy.initialize();
    await rig.callTwo();
    await rig.kill();
    assertEquals((await proxy.answer(1)).error.code, -31002);
    await rig.up();
    assertEquals((await proxy.answer("1")).result.content[0].text, "safe");
    assertEquals(rig.executed("call write").length, 1);
    assertEquals(rig.executed("call look").length, 2);
  });

  test("Restart: after each of three in a row the next call is answered", async () => {
    await using rig = windows.rig(["--backoff-cap", "250ms"]);
    const { proxy } = rig;
    await rig.up();
    await proxy.initialize();
    for (const id of [1, 2, 3]) {
      const from = proxy.stderr.all.length;
      await rig.kill();
      await proxy.stderr.find(isLost, from);
      await proxy.call(id, "echo", { key: `k${id}` });
      await rig.up();
      const { result } = await proxy.answer(id);
      assertEquals(result.content[0].text, `k${id}`);
    }
  });

  test("Restart: requests wait for a daemon that is not there yet", async () => {
    await using rig = windows.rig();
    const { proxy } = rig;
    const hello = proxy.initialize();
    await proxy.call(1, "echo", { key: "early" });
    await proxy.stderr.find((line) => /Attempt 1 .* failed/.test(line));
    await rig.up();
    assertEquals((await hello).result.serverInfo.name, "tests");
    assertEquals((await proxy.answer(1)).result.content[0].text, "early");
  });

  test("Cache: without a daemon initialize and the lists come from it", async () => {
    await using home = new Home(windows);
    const env = { ...home.env, ALWAYSUP_CACHE: "on" };
    let url = "";
    {
      await using daemon = new RawDaemon({
        answer: (message) =>
          message.method === "tools/list"
            ? { id: message.id, result: { tools: [{ name: "kept" }] } }
            : answerAll(message),
      });
      url = daemon.url;
      await using proxy = windows.proxy(["--url", url], env);
      await proxy.initialize();
      await proxy.ask(1, "tools/list");
      await proxy.answer(1);
      assertEquals((await proxy.end()).code, 0);
    }
    const [file, ...others] = await home.all("AppData", "Local");
    assertMatch(file!, /^AppData\/Local\/alwaysup\/mcp-[\w.-]+\.json$/);
    assertEquals(others, []);
    await using proxy = windows.proxy(["--url", url], { ...env, ...REFUSED });
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    await proxy.ask(1, "tools/list");
    assertEquals((await proxy.answer(1)).result.tools[0].name, "kept");
    assertEquals((await proxy.end()).code, 0);
  });

  test("Cache: without one, and without a daemon, the client gets a placeholder after the grace", async () => {
    const url = `ws://127.0.0.1:${freePort()}/`;
    const flags = ["--initialize-grace", "300ms"];
    await using proxy = windows.proxy(["--url", url, ...flags], REFUSED);
    const { result } = await proxy.initialize();
    assertMatch(result.instructions, /is not up yet/);
    assertEquals((await proxy.end()).code, 0);
  });

  test("Restart: two proxies of one daemon both reconnect", async () => {
    await using rig = windows.rig();
    await rig.up();
    const url = `ws://127.0.0.1:${rig.port}/`;
    await using other = windows.proxy(["--url", url], REFUSED);
    const both = [rig.proxy, other];
    for (const proxy of both) await proxy.initialize();
    await rig.kill();
    for (const [i, proxy] of both.entries()) {
      await proxy.stderr.find(isLost);
      await proxy.call(1, "echo", { key: `k${i}` });
    }
    await rig.up();
    for (const [i, proxy] of both.entries()) {
      const { result } = await proxy.answer(1);
      assertEquals(result.content[0].text, `k${i}`);
    }
  });

  test("exai: a daemon by EXAI_WS_* alone, its tools, a restart, its token", async () => {
    await using daemon = new ExaiProcess();
    await daemon.up("--token", "s3cret");
    const env = {
      ...REFUSED,
      EXAI_WS_HOST: "127.0.0.1",
      EXAI_WS_PORT: `${daemon.port}`,
      EXAI_WS_TOKEN: "s3cret",
    };
    await using proxy = windows.proxy([], env);
    await proxy.initialize();
    const chat = async (id: number, text: string): Promise<void> => {
      await proxy.call(id, "chat", { text });
      const { result } = await proxy.answer(id);
      assert(result.content[0].text.startsWith(text), result.content[0].text);
    };
    await chat(1, "hello");
    await daemon.kill();
    await proxy.stderr.find(isLost);
    const waiting = chat(2, "again");
    await daemon.up("--token", "s3cret");
    await waiting;
    assertEquals((await proxy.end()).code, 0);
    assert(!proxy.stderr.dump().includes("s3cret"));
  });

  test("Exit: EOF with no open request gives exit code 0 at once", async () => {
    await using daemon = new RawDaemon();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const { code, ms } = await proxy.end();
    assertEquals(code, 0);
    assert(ms < PROMPT_MS, `${ms} ms`);
  });

  test("Exit: EOF while nothing answers the dial gives exit code 0 at once", async () => {
    const url = `ws://127.0.0.1:${freePort()}/`;
    await using proxy = windows.proxy(["--url", url], REFUSED);
    await proxy.stderr.find((line) => /Attempt 1 .* failed/.test(line));
    const { code, ms } = await proxy.end();
    assertEquals(code, 0);
    assert(ms < PROMPT_MS, `${ms} ms`);
  });

  test("Exit: after EOF the response to an open call still comes", async () => {
    await using call = await owing(windows);
    const { proxy, daemon } = call;
    const end = proxy.end();
    daemon.send({ id: 1, result: { late: true } });
    assertEquals((await end).code, 0);
    assertEquals((await proxy.answer(1)).result, { late: true });
  });

  test("Exit: after EOF a call that nobody answers gets an error when the drain time is over", async () => {
    await using call = await owing(windows);
    const { proxy } = call;
    const { code, ms } = await proxy.end();
    assertEquals(code, 0);
    assert(ms < OWED_MS, `${ms} ms`);
    assertEquals((await proxy.answer(1)).error.code, -31002);
  });

  test("Exit: after TerminateProcess on the proxy the daemon sees the connection end, and the next proxy works", async () => {
    await using home = new Home(windows);
    const env = { ...home.env, ALWAYSUP_CACHE: "on", ALWAYSUP_STATUS: "on" };
    await using daemon = new RawDaemon();
    await using proxy = windows.proxy(["--url", daemon.url], env);
    await proxy.initialize();
    const { pid } = proxy.process;
    await proxy.signal("SIGKILL");
    await within(daemon.closed, "the connection to end");
    assertEquals(await isAlive(windows, pid), false);
    await using next = windows.proxy(["--url", daemon.url], env);
    assertEquals((await next.initialize()).result.serverInfo.name, "raw");
    assertEquals((await next.end()).code, 0);
    assertEquals(next.stderr.dump().includes(" WARN "), false);
  });

  test("Exit: after TerminateProcess on the client the proxy ends, too", async () => {
    await using daemon = new RawDaemon();
    const args = [windows.program, "--url", daemon.url];
    const alone = { ALWAYSUP_CACHE: "off", ALWAYSUP_STATUS: "off" };
    await using client = windows.script("wine/client.ts", args, alone);
    const { text } = await client.stdout.find((line) => /^pid/.test(line));
    const pid = Number(text.slice(4));
    await client.write(HELLO);
    await client.stdout.find((line) => line.includes('"serverInfo"'));
    assertEquals(await isAlive(windows, pid), true);
    client.process.kill("SIGKILL");
    await within(client.process.status, "the client to end");
    await within(daemon.closed, "the proxy to leave");
    while (await isAlive(windows, pid)) { /* it is about to end */ }
  });
}
