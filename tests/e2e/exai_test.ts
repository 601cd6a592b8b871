/**
 * The drop-in for the Python shim, with real processes: a faithful fake of the
 * exai daemon that is killed, blocked, filled and cut off.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { Gate } from "../helpers/gate.ts";
import { startPeer } from "../helpers/peer_packages.ts";
import { Relay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import {
  type Child,
  freePort,
  Proxy,
  proxyCommand,
} from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** A proxy as an MCP configuration of the Python shim starts it: with nothing but `EXAI_*`. */
function shim(
  port: number,
  env: Record<string, string> = {},
  ...flags: string[]
): Proxy {
  return new Proxy(flags, { EXAI_WS_PORT: `${port}`, ...env });
}

/** Waits until somebody dials a port at which nothing answers. */
async function dialed(port: number): Promise<void> {
  using listener = Deno.listen({ port, hostname: "127.0.0.1" });
  (await listener.accept()).close();
}

function textOf({ result }: Json): string {
  return result.content.map(({ text }: Json) => text).join("\n");
}

test("exai: every kind of response arrives as MCP has it", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  await using proxy = shim(daemon.port);
  const { result } = await proxy.initialize();
  assertEquals(result.serverInfo.name, "alwaysup");
  await proxy.ask(1, "tools/list");
  const { result: { tools } } = await proxy.answer(1);
  assert(tools.some(({ name }: Json) => name === "chat"));
  await proxy.call(2, "chat", { text: "hello" });
  assertEquals(textOf(await proxy.answer(2)), "hello\ncontinuation_id: c-1");
  const failures: [name: string, said: RegExp][] = [
    ["nowhere", /^TOOL_NOT_FOUND: .*nowhere/],
    ["reject", /^it went wrong/],
    ["raise", /"raise_failed",\n.*no such file/],
    ["fail", /EXEC_ERROR/],
    ["timeout", /TIMEOUT/],
    ["odd", /\{/],
  ];
  for (const [name, said] of failures) {
    await proxy.call(name, name);
    const answer = await proxy.answer(name);
    assertEquals(answer.result.isError, true, name);
    assertMatch(textOf(answer), said);
  }
  await proxy.call(4, "activity");
  const silent = await proxy.answer(4);
  assertEquals(silent.result.isError, undefined);
  assertMatch(textOf(silent), /CALL SUMMARY ===\nTool: activity/);
  for (const name of ["garble", "nameless"]) {
    await proxy.call(name, name);
    assertEquals((await proxy.answer(name)).result.isError, undefined, name);
  }
  // Equal arguments, but not the same call: nothing may come from a cache.
  const counted: string[] = [];
  for (const id of ["c1", "c2"]) {
    await proxy.call(id, "counter");
    counted.push(textOf(await proxy.answer(id)));
  }
  assert(counted[0] !== counted[1]);
  assertEquals((await proxy.end()).code, 0);
  assertEquals(proxy.stderr.dump().includes("bug"), false);
});

test("exai: eight calls run four at a time", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  using gate = new Gate();
  for (let id = 1; id <= 8; id++) {
    await proxy.call(id, "gate", { path: gate.path });
  }
  await daemon.until("execute", 4);
  // What is asked after the calls is answered, and no fifth one has begun.
  await proxy.ask("list", "tools/list");
  await proxy.answer("list");
  assertEquals(daemon.seen("execute").length, 4);
  gate.open();
  for (let id = 1; id <= 8; id++) {
    assertEquals((await proxy.answer(id)).result.isError, undefined);
  }
  const sockets = new Set(
    daemon.seen("frame").filter(({ op }) => op === "call_tool")
      .map(({ socket }) => socket),
  );
  assertEquals(sockets.size, 4);
  assertEquals(daemon.seen("execute").length, 8);
});

test("exai: a daemon that blocks for long inside a tool keeps its call and its connections", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  // Longer than a link that is idle would be given.
  await proxy.call(1, "block", { ms: 12_000 });
  assertEquals((await proxy.answer(1)).result.isError, undefined);
  await proxy.ask(2, "tools/list");
  await proxy.answer(2);
  assertEquals(/Lost|failed/.test(proxy.stderr.dump()), false);
  assertEquals(daemon.seen("hello").length, 2);
});

test("exai: tools/list is answered while a long call runs", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--progress", "60000");
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  using gate = new Gate();
  await proxy.call(1, "gate", { path: gate.path });
  await daemon.until("execute", 1);
  await proxy.ask(2, "tools/list");
  assert((await proxy.answer(2)).result.tools.length > 0);
  gate.open();
  await proxy.answer(1);
  const order = proxy.stdout.all.map(({ text }) => JSON.parse(text).id);
  assert(order.indexOf(2) < order.indexOf(1), `${order}`);
});

test("exai: calls that wait for a daemon are executed by it in order, and once", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  await proxy.call("before", "echo", { text: "before" });
  await proxy.answer("before");
  await daemon.kill();
  await proxy.stderr.find((line) => line.includes("Lost the WebSocket daemon"));
  for (const id of ["a", "b", "c"]) await proxy.call(id, "echo", { text: id });
  await daemon.up();
  for (const id of ["a", "b", "c"]) {
    assertEquals(textOf(await proxy.answer(id)), id);
  }
  const texts = daemon.seen("execute").map((it) => it.arguments.text);
  assertEquals(texts, ["before", "a", "b", "c"]);
});

test("exai: a call that ran when the daemon was killed is not executed again", async () => {
  for (const revision of ["first", "head"]) {
    await using daemon = new ExaiProcess();
    await daemon.up("--revision", revision, "--progress", "60000");
    await using proxy = shim(daemon.port);
    await proxy.initialize();
    await proxy.call(1, "sleep", { ms: 60_000 });
    await daemon.until("execute", 1);
    await daemon.kill();
    await daemon.up("--revision", revision);
    const { error } = await proxy.answer(1);
    assertEquals([error.code, error.data.delivered], [-31002, "unknown"]);
    assertEquals(daemon.seen("execute").length, 1);
    await proxy.call(2, "echo", { text: "on" });
    assertEquals(textOf(await proxy.answer(2)), "on");
  }
});

test("exai: a call whose connection is cut has the result of its one execution", async () => {
  await using daemon = new ExaiProcess();
  // The daemon tells its age in whole seconds only.
  await daemon.up("--progress", "60000", "--age", "10000");
  await using relay = new Relay(daemon.port);
  await using proxy = shim(relay.port);
  await proxy.initialize();
  await proxy.call("before", "echo", { text: "before" });
  await proxy.answer("before");
  await proxy.call(1, "sleep", { ms: 1_500 });
  await daemon.until("execute", 2);
  relay.cut();
  assertEquals((await proxy.answer(1)).result.isError, undefined);
  const runs = daemon.seen("execute").filter(({ name }) => name === "sleep");
  assertEquals(runs.length, 1);
  const asked = daemon.seen("frame").filter(({ request_id }) =>
    request_id === runs[0].request_id
  );
  assert(asked.length >= 2, "its outcome was asked for");
});

test("exai: the eight-second bug costs its call, and its connection is not used again", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--progress", "300", "--call-timeout", "1");
  await using proxy = shim(daemon.port, { EXAI_SHIM_ACK_GRACE_SECS: "1" });
  await proxy.initialize();
  await proxy.call(1, "sleep", { ms: 5_000 }, { progressToken: 1 });
  const { error } = await proxy.answer(1);
  assertEquals(error.code, -31003);
  assertMatch(error.message, /EXAI_SHIM_ACK_GRACE_SECS/);
  await proxy.call(2, "echo", { text: "on" });
  assertEquals(textOf(await proxy.answer(2)), "on");
});

test("exai: a call that the daemon has no room for is sent again until it has", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--global", "1");
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  for (const id of [1, 2, 3]) await proxy.call(id, "sleep", { ms: 300 });
  for (const id of [1, 2, 3]) {
    assertEquals((await proxy.answer(id)).result.isError, undefined);
  }
  assertEquals(daemon.seen("execute").length, 3);
});

test("exai: a response in a frame of 40 MB costs its own call only", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  await proxy.call(1, "big", { mb: 20 });
  const { error } = await proxy.answer(1);
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  await proxy.call(2, "echo", { text: "on" });
  assertEquals(textOf(await proxy.answer(2)), "on");
  assertEquals(daemon.seen("hello").length, 2);
});

test("exai: the token goes into hello; a wrong one is named at once, and nowhere shown", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--token", "s3cret");
  await using proxy = shim(daemon.port, { EXAI_WS_TOKEN: "s3cret" });
  await proxy.initialize();
  await proxy.call(1, "echo", { text: "in" });
  assertEquals(textOf(await proxy.answer(1)), "in");
  await using stranger = shim(
    daemon.port,
    { EXAI_WS_TOKEN: "wr0ng", LOG_LEVEL: "debug" },
  );
  await stranger.initialize();
  await stranger.call(1, "echo", { text: "in" });
  const { error } = await stranger.answer(1);
  assertEquals([error.code, error.data.reason], [-31001, "refused"]);
  await stranger.end();
  const all = stranger.stderr.dump() + stranger.stdout.dump();
  assertMatch(all, /EXAI_WS_TOKEN/);
  assertEquals(/wr0ng|s3cret/.test(all), false);
});

test("exai: a pool that the daemon keeps small serves every call", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--revision", "head", "--per-ip", "2");
  await using proxy = shim(daemon.port);
  await proxy.initialize();
  for (const id of [1, 2, 3]) {
    await proxy.call(id, "sleep", { ms: 200, id });
  }
  for (const id of [1, 2, 3]) {
    assertEquals((await proxy.answer(id)).result.isError, undefined);
  }
  await proxy.stderr.find((line) => line.includes("MAX_CONNECTIONS"));
  assertEquals(proxy.stderr.dump().includes("Lost"), false);
});

test("exai: the health file is read when the first dial fails", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(
    file,
    JSON.stringify({ t: Date.now() / 1000 - 500 }),
  );
  const env = { EXAI_WS_HEALTH_FILE: file };
  await using proxy = shim(freePort(), env);
  const { text } = await proxy.stderr.find((line) => line.includes(file));
  assertMatch(text, /is stale \(50\d\.\d s old\)/);
  await using silent = shim(freePort(), {
    ...env,
    EXAI_WS_SKIP_HEALTH_CHECK: "true",
  });
  await silent.stderr.find((line) => line.includes("Attempt 1"));
  await silent.end();
  assertEquals(silent.stderr.dump().includes(file), false);
  await Deno.remove(file);
});

test("exai: the Inspector's CLI works through a kill and a restart", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up();
  const [command, args] = proxyCommand(["--cache", "off"]);
  const start = (...rest: string[]): Child =>
    startPeer("inspector", ...[
      ...["--cli", "-e", `EXAI_WS_PORT=${daemon.port}`],
      ...[command, ...args, ...rest],
    ]);
  const finish = async (cli: Child): Promise<Json> => {
    const { code } = await cli.ended();
    assertEquals(code, 0, cli.stderr.dump());
    return JSON.parse(cli.stdout.dump());
  };
  await using list = start("--method", "tools/list");
  const { tools } = await finish(list);
  assert(tools.length > 5);
  await daemon.kill();
  const call = ["--method", "tools/call", "--tool-name", "echo"];
  await using cli = start(...call, "--tool-arg", "text=hi");
  await dialed(daemon.port);
  await daemon.up();
  assertEquals((await finish(cli)).content[0].text, "hi");
});
