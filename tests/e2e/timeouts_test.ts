/**
 * Tests timeouts with real processes: slow calls, and frozen or busy daemons.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { Gate } from "../helpers/gate.ts";
import { FAST_PROBE_FLAGS, ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { test } from "../helpers/time_limit.ts";

test("Timeouts: GLM_STREAM_TIMEOUT and KIMI_STREAM_TIMEOUT end their providers' calls on time, and the daemon gets a cancellation", async () => {
  const env = { GLM_STREAM_TIMEOUT: "2", KIMI_STREAM_TIMEOUT: "4" };
  await using processes = new ProxyAndDaemon([], env);
  await processes.startDaemon("--extra", "glm_chat");
  await processes.proxy.initialize();
  const start = performance.now();
  await processes.proxy.callTool("glm", "glm_chat", { ms: 60_000 });
  await processes.proxy.callTool("kimi", "write", {
    ms: 60_000,
    model: "kimi-k2",
  });
  await processes.proxy.callTool("other", "write", { ms: 4_500, key: "other" });
  const limits = [["glm", "GLM", 2_000], ["kimi", "KIMI", 4_000]] as const;
  for (const [id, name, ms] of limits) {
    const { error, at } = await processes.proxy.waitForResponse(id);
    assertEquals(error.code, -31003);
    assertMatch(
      error.message,
      new RegExp(`${name}_STREAM_TIMEOUT is ${ms / 1000}\\.0 s; no progress`),
    );
    const late = at - start - ms;
    assert(late >= 0 && late < 20_000, `${id}: ${late} ms late`);
  }
  await processes.waitForJournalLine("cancelled glm_chat");
  await processes.waitForJournalLine("cancelled write");
  const { result } = await processes.proxy.waitForResponse("other");
  assertEquals(result.content[0].text, "other");
});

test("Timeouts: a call of 25 s succeeds on a daemon that answers no ping, and on one that serves one request at a time", async () => {
  const run = async (habit: string): Promise<void> => {
    await using processes = new ProxyAndDaemon();
    await processes.startDaemon("--habit", habit);
    await processes.proxy.initialize();
    await processes.proxy.callTool(1, "write", { ms: 25_000, key: habit });
    await processes.waitForJournalLine("call write");
    const { result } = await processes.proxy.waitForResponse(1);
    assertEquals(result.content[0].text, habit);
    assertEquals(processes.journalLines("call write").length, 1);
    // If the daemon answers no ping, the proxy may reconnect before the call.
    const lost = processes.proxy.stderr.dump().match(/Lost the.*/g) ?? [];
    assertEquals(lost.filter((it) => !it.includes("a second")), []);
  };
  await Promise.all([run("mute"), run("serial")]);
});

test("Failover: a daemon that serves one request at a time answers new requests on a second connection", async () => {
  await using processes = new ProxyAndDaemon(FAST_PROBE_FLAGS);
  await processes.startDaemon("--habit", "serial");
  await processes.proxy.initialize();
  using gate = new Gate();
  await processes.proxy.callTool(1, "write", { gate: gate.path, key: "slow" });
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("new messages use a second connection")
  );
  await processes.proxy.callTool(2, "write", { key: "quick" });
  const quick = await processes.proxy.waitForResponse(2);
  gate.open();
  const slow = await processes.proxy.waitForResponse(1);
  assertEquals(slow.result.content[0].text, "slow");
  assert(quick.at < slow.at);
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("Closed a connection")
  );
});

test("Liveness: a stopped daemon loses no call, and new requests wait for it", async () => {
  await using processes = new ProxyAndDaemon(FAST_PROBE_FLAGS);
  await processes.startDaemon();
  await processes.proxy.initialize();
  using gate = new Gate();
  await processes.proxy.callTool(1, "write", { gate: gate.path, key: "one" });
  // Now the proxy knows that the daemon answers probes during calls.
  await processes.waitForProbeAfter("call write one");
  processes.signalDaemon("SIGSTOP");
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("is silent: a second connection will")
  );
  await processes.proxy.callTool(2, "write", { key: "two" });
  gate.open();
  processes.signalDaemon("SIGCONT");
  for (const [id, key] of [[1, "one"], [2, "two"]] as const) {
    const { result } = await processes.proxy.waitForResponse(id);
    assertEquals(result.content[0].text, key);
  }
  assertEquals(processes.journalLines("call write"), [
    "call write one",
    "call write two",
  ]);
});

test("Back-pressure: data for a daemon that does not read is limited, and is sent once the daemon reads", async () => {
  await using processes = new ProxyAndDaemon([
    "--queue-limit",
    "5",
    "--ping-interval",
    "off",
  ]);
  await processes.startDaemon();
  await processes.proxy.initialize();
  processes.signalDaemon("SIGSTOP");
  const pad = "x".repeat(8 * 1024 * 1024);
  const { stderr } = processes.proxy;
  const isFull = stderr.waitForLine((line) =>
    line.includes("and 64 MiB wait for it")
  );
  let count = 0;
  // The limit is 64 MiB, and the kernel buffers some more.
  while (count < 40 && !stderr.lines.some(({ text }) => /64 MiB/.test(text))) {
    await processes.proxy.callTool(++count, "write", { key: `${count}`, pad });
  }
  await isFull;
  // The last large call may already be in the queue.
  for (let i = 0; i < 6; i++) {
    await processes.proxy.callTool(++count, "write", { key: `${count}` });
  }
  assertEquals(
    (await processes.proxy.waitForResponse(count)).error.code,
    -31004,
  );
  processes.signalDaemon("SIGCONT");
  for (let id = 1; id <= count - 6; id++) {
    const { result, error } = await processes.proxy.waitForResponse(id);
    assertEquals(error?.code ?? result.content[0].text, `${id}`);
  }
  await processes.proxy.callTool("after", "write", { key: "after" });
  assertEquals(
    (await processes.proxy.waitForResponse("after")).error,
    undefined,
  );
});

test("Progress: a client with a progress token is notified why its queued call waits", async () => {
  await using processes = new ProxyAndDaemon();
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.killDaemon();
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("Lost the WebSocket")
  );
  await processes.proxy.callTool(1, "steps", { n: 2, key: "on" }, {
    progressToken: 5,
  });
  const { params } = await processes.proxy.waitForMessage(
    "notifications/progress",
  ) as {
    params: { progressToken: unknown; message: string };
  };
  assertEquals(params.progressToken, 5);
  assertMatch(params.message, /^Waiting for the daemon \(attempt \d+, /);
  await processes.startDaemon();
  assertEquals(
    (await processes.proxy.waitForResponse(1)).result.content[0].text,
    "on",
  );
});

test("Retry: a request is sent only once if its response is larger than a WebSocket message may be", async () => {
  await using processes = new ProxyAndDaemon();
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.request("list", "tools/list");
  await processes.proxy.waitForResponse("list");
  // The tool's annotations allow a repeat, but this call must not be repeated.
  await processes.proxy.callTool(1, "big", { n: 70 * 1024 * 1024 });
  const { error } = await processes.proxy.waitForResponse(1);
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  await processes.proxy.callTool(2, "write", { key: "on" });
  assertEquals(
    (await processes.proxy.waitForResponse(2)).result.content[0].text,
    "on",
  );
  assertEquals(processes.journalLines("call big").length, 1);
});
