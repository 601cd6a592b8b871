/**
 * What may hang, with real processes: slow calls, frozen and busy daemons.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { Gate } from "../helpers/gate.ts";
import { HASTY, Rig } from "../helpers/mcp_process.ts";
import { test } from "../helpers/time_limit.ts";

test("Timeouts: GLM_STREAM_TIMEOUT and KIMI_STREAM_TIMEOUT end their calls, not earlier, and the daemon gets a cancel", async () => {
  const env = { GLM_STREAM_TIMEOUT: "2", KIMI_STREAM_TIMEOUT: "4" };
  await using rig = new Rig([], env);
  await rig.up("--extra", "glm_chat");
  await rig.proxy.initialize();
  const start = performance.now();
  await rig.proxy.call("glm", "glm_chat", { ms: 60_000 });
  await rig.proxy.call("kimi", "write", { ms: 60_000, model: "kimi-k2" });
  await rig.proxy.call("other", "write", { ms: 4_500, key: "other" });
  const limits = [["glm", "GLM", 2_000], ["kimi", "KIMI", 4_000]] as const;
  for (const [id, name, ms] of limits) {
    const { error, at } = await rig.proxy.answer(id);
    assertEquals(error.code, -31003);
    assertMatch(
      error.message,
      new RegExp(`${name}_STREAM_TIMEOUT is ${ms / 1000}\\.0 s; no progress`),
    );
    const late = at - start - ms;
    assert(late >= 0 && late < 20_000, `${id}: ${late} ms late`);
  }
  await rig.noted("cancelled glm_chat");
  await rig.noted("cancelled write");
  const { result } = await rig.proxy.answer("other");
  assertEquals(result.content[0].text, "other");
});

test("Timeouts: a call of 25 s succeeds on a daemon that answers no ping, and on one that serves one request at a time", async () => {
  const run = async (habit: string): Promise<void> => {
    await using rig = new Rig();
    await rig.up("--habit", habit);
    await rig.proxy.initialize();
    await rig.proxy.call(1, "write", { ms: 25_000, key: habit });
    await rig.noted("call write");
    const { result } = await rig.proxy.answer(1);
    assertEquals(result.content[0].text, habit);
    assertEquals(rig.executed("call write").length, 1);
    // One that answers no ping is dialed anew before the call.
    const lost = rig.proxy.stderr.dump().match(/Lost the.*/g) ?? [];
    assertEquals(lost.filter((it) => !it.includes("a second")), []);
  };
  await Promise.all([run("mute"), run("serial")]);
});

test("Failover: a daemon that serves one request at a time answers new requests on a second connection", async () => {
  await using rig = new Rig(HASTY);
  await rig.up("--habit", "serial");
  await rig.proxy.initialize();
  using gate = new Gate();
  await rig.proxy.call(1, "write", { gate: gate.path, key: "slow" });
  await rig.proxy.stderr.find((line) => line.includes("a second connection"));
  await rig.proxy.call(2, "write", { key: "quick" });
  const quick = await rig.proxy.answer(2);
  gate.open();
  const slow = await rig.proxy.answer(1);
  assertEquals(slow.result.content[0].text, "slow");
  assert(quick.at < slow.at);
  await rig.proxy.stderr.find((line) => line.includes("Closed a connection"));
});

test("Liveness: a stopped daemon loses no call, and new requests wait for it", async () => {
  await using rig = new Rig(HASTY);
  await rig.up();
  await rig.proxy.initialize();
  using gate = new Gate();
  await rig.proxy.call(1, "write", { gate: gate.path, key: "one" });
  // The daemon answers while the call runs.
  await rig.probedAfter("call write one");
  rig.signal("SIGSTOP");
  await rig.proxy.stderr.find((line) =>
    line.includes("is silent: a second one")
  );
  await rig.proxy.call(2, "write", { key: "two" });
  gate.open();
  rig.signal("SIGCONT");
  for (const [id, key] of [[1, "one"], [2, "two"]] as const) {
    const { result } = await rig.proxy.answer(id);
    assertEquals(result.content[0].text, key);
  }
  assertEquals(rig.executed("call write"), [
    "call write one",
    "call write two",
  ]);
});

test("Backpressure: what a daemon does not read is bounded, and goes on when it reads", async () => {
  await using rig = new Rig(["--queue-limit", "5", "--ping-interval", "off"]);
  await rig.up();
  await rig.proxy.initialize();
  rig.signal("SIGSTOP");
  const pad = "x".repeat(8 * 1024 * 1024);
  const { stderr } = rig.proxy;
  const isFull = stderr.find((line) => line.includes("and 64 MiB wait for it"));
  let count = 0;
  // 64 MiB, and what the kernel takes.
  while (count < 40 && !stderr.all.some(({ text }) => /64 MiB/.test(text))) {
    await rig.proxy.call(++count, "write", { key: `${count}`, pad });
  }
  await isFull;
  // The last ones may have come after that.
  for (let i = 0; i < 6; i++) {
    await rig.proxy.call(++count, "write", { key: `${count}` });
  }
  assertEquals((await rig.proxy.answer(count)).error.code, -31004);
  rig.signal("SIGCONT");
  for (let id = 1; id <= count - 6; id++) {
    const { result, error } = await rig.proxy.answer(id);
    assertEquals(error?.code ?? result.content[0].text, `${id}`);
  }
  await rig.proxy.call("after", "write", { key: "after" });
  assertEquals((await rig.proxy.answer("after")).error, undefined);
});

test("Progress: a client that asked for it gets notifications about what its queued call waits for", async () => {
  await using rig = new Rig();
  await rig.up();
  await rig.proxy.initialize();
  await rig.kill();
  await rig.proxy.stderr.find((line) => line.includes("Lost the WebSocket"));
  await rig.proxy.call(1, "steps", { n: 2, key: "on" }, { progressToken: 5 });
  const { params } = await rig.proxy.hear("notifications/progress") as {
    params: { progressToken: unknown; message: string };
  };
  assertEquals(params.progressToken, 5);
  assertMatch(params.message, /^Waiting for the daemon \(attempt \d+, /);
  await rig.up();
  assertEquals((await rig.proxy.answer(1)).result.content[0].text, "on");
});

test("Retry: a request whose response is larger than a WebSocket message may be is sent once", async () => {
  await using rig = new Rig();
  await rig.up();
  await rig.proxy.initialize();
  await rig.proxy.ask("list", "tools/list");
  await rig.proxy.answer("list");
  // Safe to repeat by its annotations, and yet it must not be.
  await rig.proxy.call(1, "big", { n: 70 * 1024 * 1024 });
  const { error } = await rig.proxy.answer(1);
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  await rig.proxy.call(2, "write", { key: "on" });
  assertEquals((await rig.proxy.answer(2)).result.content[0].text, "on");
  assertEquals(rig.executed("call big").length, 1);
});
