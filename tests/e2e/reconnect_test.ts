/**
 * Tests with real processes that a daemon is used soon after it can be reached
 * again. The limits are generous, but the pauses of the backoff schedule are
 * longer.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { type Fault, FaultyRelay } from "../helpers/faulty_relay.ts";
import { Gate } from "../helpers/gate.ts";
import { test } from "../helpers/time_limit.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { freePort, ProxyProcess } from "../helpers/process.ts";

/**
 * The maximum wait of a call once the daemon can be reached, in milliseconds.
 * With the backoff schedule alone, the wait would be longer.
 */
const RECONNECT_WITHIN_MS = 10_000;

const FAULTS: [fault: Fault, variant: number, seen: RegExp][] = [
  // By the backoff schedule alone, seven dials take 32 s, and the eighth dial
  // comes 30 s later.
  ["rst", 0, /Attempt 7 /],
  ["accept-close", 0, /Attempt 7 /],
  ["1013", 0, /Attempt 7 /],
  ["garbage", 0, /Attempt 7 /],
  // Without a waiting request, a dial may take 15 s.
  [
    "silent-tcp",
    0,
    /Attempt 2 .*did not open in time \(the limit is \d+\.\d s because/,
  ],
  [
    "silent-ws",
    0,
    /Attempt 2 .*first message in time \(the limit is \d+\.\d s because/,
  ],
];
for (const [fault, variant, seen] of FAULTS) {
  test(`Reconnect: a daemon that can be reached after ${fault} answers the queued call`, async () => {
    const port = freePort();
    await using relay = await FaultyRelay.start(port);
    const flags = ["--log-level", "debug"];
    await using processes = new ProxyAndDaemon(flags, {}, relay.port, port);
    await processes.startDaemon();
    await processes.proxy.initialize();
    await processes.proxy.callTool("first", "echo", { key: "first" });
    await processes.proxy.waitForResponse("first");
    const { stderr } = processes.proxy;
    const from = stderr.lines.length;
    await relay.beginFault(fault, variant);
    // A call sent before the loss would be lost with the connection.
    await stderr.waitForLine((line) => line.includes("Lost the"), from);
    await processes.proxy.callTool("waits", "write", { key: "waits" });
    await stderr.waitForLine((line) => seen.test(line), from);
    const reachableAt = await relay.endFault();
    const { result, at } = await processes.proxy.waitForResponse("waits");
    assertEquals(result.content[0].text, "waits");
    assert(at - reachableAt < RECONNECT_WITHIN_MS, `${at - reachableAt} ms`);
    assertEquals(processes.journalLines("call write"), ["call write waits"]);
  });
}

test("Reconnect: a daemon that restarts again and again answers a call after each restart", async () => {
  await using processes = new ProxyAndDaemon();
  await processes.startDaemon();
  await processes.proxy.initialize();
  // By the backoff schedule, the pause after the seventh loss is 16 s.
  for (let life = 1; life <= 8; life++) {
    const { stderr } = processes.proxy;
    const seen = stderr.lines.length;
    await processes.killDaemon();
    await stderr.waitForLine((line) => line.includes("Lost the"), seen);
    await processes.proxy.callTool(life, "echo", { key: `${life}` });
    const upAt = await processes.startDaemon();
    const { result, at } = await processes.proxy.waitForResponse(life);
    assertEquals(result.content[0].text, `${life}`);
    assert(at - upAt < RECONNECT_WITHIN_MS, `life ${life}: ${at - upAt} ms`);
  }
});

test("Reconnect: once an exai daemon accepts the token, it answers one of the next requests", async () => {
  await using daemon = new ExaiProcess();
  await daemon.start("--token", "another");
  const env = { EXAI_WS_PORT: `${daemon.port}`, EXAI_WS_TOKEN: "right" };
  await using proxy = new ProxyProcess([], env);
  await proxy.initialize();
  await proxy.request("refused", "tools/list");
  const { error } = await proxy.waitForResponse("refused");
  assertEquals([error.code, error.data.reason], [-31001, "refused"]);
  await daemon.kill();
  await daemon.start("--token", "right");
  const start = performance.now();
  for (let id = 1;; id++) {
    await proxy.request(id, "tools/list");
    const { result, at } = await proxy.waitForResponse(id);
    // Without a request, the proxy would not dial for 30 s.
    assert(at - start < 20_000, `${at - start} ms`);
    if (result !== undefined) break;
    // A request that comes too soon for a new dial gets an error at once.
    await delay(500);
  }
});

for (const isConfirmed of [true, false]) {
  test(
    `Hint confirmation: the new daemon ${
      isConfirmed ? "confirms" : "has dropped"
    } the hint of a call in flight`,
    async () => {
      using gate = new Gate();
      await using processes = new ProxyAndDaemon();
      await processes.startDaemon();
      await processes.proxy.initialize();
      await processes.proxy.request("list", "tools/list");
      await processes.proxy.waitForResponse("list");
      await processes.proxy.callTool(1, "look", {
        key: "one",
        gate: gate.path,
      });
      await processes.waitForJournalLine("call look one");
      await processes.killDaemon();
      gate.open();
      await processes.startDaemon(...isConfirmed ? [] : ["--unhinted", "look"]);
      const { result, error } = await processes.proxy.waitForResponse(1);
      assertEquals(
        processes.journalLines("call look").length,
        isConfirmed ? 2 : 1,
      );
      if (isConfirmed) {
        return assertEquals(result.content[0].text, "one");
      }
      assertEquals([error.code, error.data.delivered], [-31002, "unknown"]);
      assertMatch(
        error.message,
        /may or may not have been executed.*tools\/list/,
      );
    },
  );
}
