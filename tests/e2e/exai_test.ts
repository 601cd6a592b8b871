/**
 * Tests the exai dialect, which replaces the Python shim, with real processes.
 * A fake of the exai daemon is killed, blocked, overloaded and disconnected.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { Gate } from "../helpers/gate.ts";
import { startNpmProgram } from "../helpers/npm_programs.ts";
import { TcpRelay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import {
  type ChildProcess,
  freePort,
  proxyCommandForClient,
  ProxyProcess,
} from "../helpers/process.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/**
 * Starts a proxy as users of the Python shim configure it: with `EXAI_*`
 * variables only.
 */
function startExaiProxy(
  port: number,
  env: Record<string, string> = {},
  ...flags: string[]
): ProxyProcess {
  return new ProxyProcess(flags, { EXAI_WS_PORT: `${port}`, ...env });
}

/** Waits for a dial to a port without a daemon, and closes the connection. */
async function waitForDial(port: number): Promise<void> {
  using listener = Deno.listen({ port, hostname: "127.0.0.1" });
  (await listener.accept()).close();
}

function textOf({ result }: Json): string {
  return result.content.map(({ text }: Json) => text).join("\n");
}

test("exai: every kind of response is translated to MCP", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  await using proxy = startExaiProxy(daemon.port);
  const { result } = await proxy.initialize();
  assertEquals(result.serverInfo.name, "alwaysup");
  await proxy.request(1, "tools/list");
  const { result: { tools } } = await proxy.waitForResponse(1);
  assert(tools.some(({ name }: Json) => name === "chat"));
  await proxy.callTool(2, "chat", { text: "hello" });
  assertEquals(
    textOf(await proxy.waitForResponse(2)),
    "hello\ncontinuation_id: c-1",
  );
  const failures: [name: string, pattern: RegExp][] = [
    ["nowhere", /^TOOL_NOT_FOUND: .*nowhere/],
    ["reject", /^it went wrong/],
    ["raise", /"raise_failed",\n.*no such file/],
    ["fail", /EXEC_ERROR/],
    ["timeout", /TIMEOUT/],
    ["odd", /\{/],
  ];
  for (const [name, pattern] of failures) {
    await proxy.callTool(name, name);
    const answer = await proxy.waitForResponse(name);
    assertEquals(answer.result.isError, true, name);
    assertMatch(textOf(answer), pattern);
  }
  await proxy.callTool(4, "activity");
  const silent = await proxy.waitForResponse(4);
  assertEquals(silent.result.isError, undefined);
  assertMatch(textOf(silent), /CALL SUMMARY ===\nTool: activity/);
  for (const name of ["garble", "nameless"]) {
    await proxy.callTool(name, name);
    assertEquals(
      (await proxy.waitForResponse(name)).result.isError,
      undefined,
      name,
    );
  }
  // The calls have equal arguments. No result may come from the daemon's cache.
  const counted: string[] = [];
  for (const id of ["c1", "c2"]) {
    await proxy.callTool(id, "counter");
    counted.push(textOf(await proxy.waitForResponse(id)));
  }
  assert(counted[0] !== counted[1]);
  assertEquals((await proxy.closeStdin()).code, 0);
  assertEquals(proxy.stderr.dump().includes("bug"), false);
});

test("exai: eight calls run four at a time", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  using gate = new Gate();
  for (let id = 1; id <= 8; id++) {
    await proxy.callTool(id, "gate", { path: gate.path });
  }
  await daemon.waitForEntries("execute", 4);
  // The response to a later request shows that no fifth call has begun.
  await proxy.request("list", "tools/list");
  await proxy.waitForResponse("list");
  assertEquals(daemon.journalEntries("execute").length, 4);
  gate.open();
  for (let id = 1; id <= 8; id++) {
    assertEquals((await proxy.waitForResponse(id)).result.isError, undefined);
  }
  const sockets = new Set(
    daemon.journalEntries("frame").filter(({ op }) => op === "call_tool")
      .map(({ socket }) => socket),
  );
  assertEquals(sockets.size, 4);
  assertEquals(daemon.journalEntries("execute").length, 8);
});

test("exai: while a tool blocks the daemon for long, neither the call nor a connection is lost", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  // Longer than an idle connection may stay silent.
  await proxy.callTool(1, "block", { ms: 12_000 });
  assertEquals((await proxy.waitForResponse(1)).result.isError, undefined);
  await proxy.request(2, "tools/list");
  await proxy.waitForResponse(2);
  assertEquals(/Lost|failed/.test(proxy.stderr.dump()), false);
  assertEquals(daemon.journalEntries("hello").length, 2);
});

test("exai: tools/list is answered while a long call runs", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--progress", "60000");
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  using gate = new Gate();
  await proxy.callTool(1, "gate", { path: gate.path });
  await daemon.waitForEntries("execute", 1);
  await proxy.request(2, "tools/list");
  assert((await proxy.waitForResponse(2)).result.tools.length > 0);
  gate.open();
  await proxy.waitForResponse(1);
  const order = proxy.stdout.lines.map(({ text }) => JSON.parse(text).id);
  assert(order.indexOf(2) < order.indexOf(1), `${order}`);
});

test("exai: queued calls are executed once, in order", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  await proxy.callTool("before", "echo", { text: "before" });
  await proxy.waitForResponse("before");
  await daemon.kill();
  await proxy.stderr.waitForLine((line) =>
    line.includes("Lost the WebSocket daemon")
  );
  for (const id of ["a", "b", "c"]) {
    await proxy.callTool(id, "echo", { text: id });
  }
  await daemon.start();
  for (const id of ["a", "b", "c"]) {
    assertEquals(textOf(await proxy.waitForResponse(id)), id);
  }
  const texts = daemon.journalEntries("execute").map((it) => it.arguments.text);
  assertEquals(texts, ["before", "a", "b", "c"]);
});

test("exai: a call that ran when the daemon was killed is not executed again", async () => {
  for (const revision of ["first", "head"]) {
    await using daemon = new ExaiProcess();
    await daemon.start("--revision", revision, "--progress", "60000");
    await using proxy = startExaiProxy(daemon.port);
    await proxy.initialize();
    await proxy.callTool(1, "sleep", { ms: 60_000 });
    await daemon.waitForEntries("execute", 1);
    await daemon.kill();
    await daemon.start("--revision", revision);
    const { error } = await proxy.waitForResponse(1);
    assertEquals([error.code, error.data.delivered], [-31002, "unknown"]);
    assertEquals(daemon.journalEntries("execute").length, 1);
    await proxy.callTool(2, "echo", { text: "on" });
    assertEquals(textOf(await proxy.waitForResponse(2)), "on");
  }
});

test("exai: after a lost connection, a call gets the result of its only execution", async () => {
  await using daemon = new ExaiProcess();
  // The daemon rounds its uptime down to seconds. If it had just started, it
  // would seem to be younger than the call.
  await daemon.start("--progress", "60000", "--age", "10000");
  await using relay = new TcpRelay(daemon.port);
  await using proxy = startExaiProxy(relay.port);
  await proxy.initialize();
  await proxy.callTool("before", "echo", { text: "before" });
  await proxy.waitForResponse("before");
  await proxy.callTool(1, "sleep", { ms: 1_500 });
  await daemon.waitForEntries("execute", 2);
  relay.closeConnections();
  assertEquals((await proxy.waitForResponse(1)).result.isError, undefined);
  const runs = daemon.journalEntries("execute").filter(({ name }) =>
    name === "sleep"
  );
  assertEquals(runs.length, 1);
  const outcomeRequests = daemon.journalEntries("frame").filter((
    { request_id },
  ) => request_id === runs[0].request_id);
  assert(outcomeRequests.length >= 2, "its outcome was requested");
});

test("exai: a call that the heartbeat of revision `first` has killed gets an error, and its connection is not reused", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--progress", "300", "--call-timeout", "1");
  await using proxy = startExaiProxy(daemon.port, {
    EXAI_SHIM_ACK_GRACE_SECS: "1",
  });
  await proxy.initialize();
  await proxy.callTool(1, "sleep", { ms: 5_000 }, { progressToken: 1 });
  const { error } = await proxy.waitForResponse(1);
  assertEquals(error.code, -31003);
  assertMatch(error.message, /EXAI_SHIM_ACK_GRACE_SECS/);
  await proxy.callTool(2, "echo", { text: "on" });
  assertEquals(textOf(await proxy.waitForResponse(2)), "on");
});

test("exai: a call is sent again until the daemon has capacity", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--global", "1");
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  for (const id of [1, 2, 3]) await proxy.callTool(id, "sleep", { ms: 300 });
  for (const id of [1, 2, 3]) {
    assertEquals((await proxy.waitForResponse(id)).result.isError, undefined);
  }
  assertEquals(daemon.journalEntries("execute").length, 3);
});

test("exai: a response that is too large (20 MB of text, sent twice) fails only its own call", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  await proxy.callTool(1, "big", { mb: 20 });
  const { error } = await proxy.waitForResponse(1);
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  await proxy.callTool(2, "echo", { text: "on" });
  assertEquals(textOf(await proxy.waitForResponse(2)), "on");
  assertEquals(daemon.journalEntries("hello").length, 2);
});

test("exai: the token is sent in hello; a wrong token gives an error at once, and is never shown", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--token", "s3cret");
  await using proxy = startExaiProxy(daemon.port, { EXAI_WS_TOKEN: "s3cret" });
  await proxy.initialize();
  await proxy.callTool(1, "echo", { text: "in" });
  assertEquals(textOf(await proxy.waitForResponse(1)), "in");
  await using stranger = startExaiProxy(
    daemon.port,
    { EXAI_WS_TOKEN: "wr0ng", LOG_LEVEL: "debug" },
  );
  await stranger.initialize();
  await stranger.callTool(1, "echo", { text: "in" });
  const { error } = await stranger.waitForResponse(1);
  assertEquals([error.code, error.data.reason], [-31001, "refused"]);
  await stranger.closeStdin();
  const all = stranger.stderr.dump() + stranger.stdout.dump();
  assertMatch(all, /EXAI_WS_TOKEN/);
  assertEquals(/wr0ng|s3cret/.test(all), false);
});

test("exai: every call is served although the daemon limits the connections", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--revision", "head", "--per-ip", "2");
  await using proxy = startExaiProxy(daemon.port);
  await proxy.initialize();
  for (const id of [1, 2, 3]) {
    await proxy.callTool(id, "sleep", { ms: 200, id });
  }
  for (const id of [1, 2, 3]) {
    assertEquals((await proxy.waitForResponse(id)).result.isError, undefined);
  }
  await proxy.stderr.waitForLine((line) => line.includes("MAX_CONNECTIONS"));
  assertEquals(proxy.stderr.dump().includes("Lost"), false);
});

test("exai: the health file is read when the first dial fails", async () => {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(
    file,
    JSON.stringify({ t: Date.now() / 1000 - 500 }),
  );
  const env = { EXAI_WS_HEALTH_FILE: file };
  await using proxy = startExaiProxy(freePort(), env);
  const { text } = await proxy.stderr.waitForLine((line) =>
    line.includes(file)
  );
  assertMatch(text, /is stale \(50\d\.\d s old\)/);
  await using silent = startExaiProxy(freePort(), {
    ...env,
    EXAI_WS_SKIP_HEALTH_CHECK: "true",
  });
  await silent.stderr.waitForLine((line) => line.includes("Attempt 1"));
  await silent.closeStdin();
  assertEquals(silent.stderr.dump().includes(file), false);
  await Deno.remove(file);
});

test("exai: the Inspector's CLI works through a kill and a restart", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start();
  const [command, args] = proxyCommandForClient(["--cache", "off"]);
  const start = (...rest: string[]): ChildProcess =>
    startNpmProgram("inspector", ...[
      ...["--cli", "-e", `EXAI_WS_PORT=${daemon.port}`],
      ...[command, ...args, ...rest],
    ]);
  const finish = async (cli: ChildProcess): Promise<Json> => {
    const { code } = await cli.waitForExit();
    assertEquals(code, 0, cli.stderr.dump());
    return JSON.parse(cli.stdout.dump());
  };
  await using list = start("--method", "tools/list");
  const { tools } = await finish(list);
  assert(tools.length > 5);
  await daemon.kill();
  const call = ["--method", "tools/call", "--tool-name", "echo"];
  await using cli = start(...call, "--tool-arg", "text=hi");
  await waitForDial(daemon.port);
  await daemon.start();
  assertEquals((await finish(cli)).content[0].text, "hi");
});
