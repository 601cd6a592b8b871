/**
 * A daemon that is back is used soon, however it was away before, with real
 * processes: the bounds have room, but the pauses of the back-off's table are
 * longer.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ExaiProcess } from "../helpers/exai_process.ts";
import { type Fault, Front } from "../helpers/faulty_relay.ts";
import { Gate } from "../helpers/gate.ts";
import { test } from "../helpers/time_limit.ts";
import { Rig } from "../helpers/mcp_process.ts";
import { freePort, Proxy } from "../helpers/process.ts";

/** What a call may wait for a daemon that can be reached, in milliseconds. By the table it would be more. */
const BACK_MS = 10_000;

const FAULTS: [fault: Fault, variant: number, seen: RegExp][] = [
  // Seven dials after the table's pauses take 32 s, and the next one comes 16 s later.
  ["rst", 0, /Attempt 7 /],
  ["accept-close", 0, /Attempt 7 /],
  ["1013", 0, /Attempt 7 /],
  ["garbage", 0, /Attempt 7 /],
  // A dial without a request that waits has 15 s.
  ["silent-tcp", 0, /Attempt 2 .*did not open in time \(\d+\.\d s, while/],
  ["silent-ws", 0, /Attempt 2 .*first message in time \(\d+\.\d s, while/],
];
for (const [fault, variant, seen] of FAULTS) {
  test(`Reconnect: a daemon that can be reached after ${fault} answers the queued call`, async () => {
    const port = freePort();
    await using front = await Front.start(port);
    const flags = ["--log-level", "debug"];
    await using rig = new Rig(flags, {}, front.port, port);
    await rig.up();
    await rig.proxy.initialize();
    await rig.proxy.call("first", "echo", { key: "first" });
    await rig.proxy.answer("first");
    const { stderr } = rig.proxy;
    const from = stderr.all.length;
    await front.begin(fault, variant);
    // A call that is written before would be lost with the connection.
    await stderr.find((line) => line.includes("Lost the"), from);
    await rig.proxy.call("waits", "write", { key: "waits" });
    await stderr.find((line) => seen.test(line), from);
    const reachableAt = await front.end();
    const { result, at } = await rig.proxy.answer("waits");
    assertEquals(result.content[0].text, "waits");
    assert(at - reachableAt < BACK_MS, `${at - reachableAt} ms`);
    assertEquals(rig.executed("call write"), ["call write waits"]);
  });
}

test("Reconnect: a daemon that restarts again and again answers a call after each restart", async () => {
  await using rig = new Rig();
  await rig.up();
  await rig.proxy.initialize();
  // By the table the pause after the seventh loss is 16 s.
  for (let life = 1; life <= 8; life++) {
    const { stderr } = rig.proxy;
    const seen = stderr.all.length;
    await rig.kill();
    await stderr.find((line) => line.includes("Lost the"), seen);
    await rig.proxy.call(life, "echo", { key: `${life}` });
    const upAt = await rig.up();
    const { result, at } = await rig.proxy.answer(life);
    assertEquals(result.content[0].text, `${life}`);
    assert(at - upAt < BACK_MS, `life ${life}: ${at - upAt} ms`);
  }
});

test("Reconnect: an exai daemon that takes the token again answers one of the next calls", async () => {
  await using daemon = new ExaiProcess();
  await daemon.up("--token", "another");
  const env = { EXAI_WS_PORT: `${daemon.port}`, EXAI_WS_TOKEN: "right" };
  await using proxy = new Proxy([], env);
  await proxy.initialize();
  await proxy.ask("refused", "tools/list");
  const { error } = await proxy.answer("refused");
  assertEquals([error.code, error.data.reason], [-31001, "refused"]);
  await daemon.kill();
  await daemon.up("--token", "right");
  const start = performance.now();
  for (let id = 1;; id++) {
    await proxy.ask(id, "tools/list");
    const { result, at } = await proxy.answer(id);
    // Nobody asks the daemon without a call before 30 s have passed.
    assert(at - start < 20_000, `${at - start} ms`);
    if (result !== undefined) break;
    // Every call that comes too soon is told at once.
    await delay(500);
  }
});

for (const isConfirmed of [true, false]) {
  test(
    `the new daemon ${
      isConfirmed ? "confirms" : "has dropped"
    } the hint of a call in flight`,
    async () => {
      using gate = new Gate();
      await using rig = new Rig();
      await rig.up();
      await rig.proxy.initialize();
      await rig.proxy.ask("list", "tools/list");
      await rig.proxy.answer("list");
      await rig.proxy.call(1, "look", { key: "one", gate: gate.path });
      await rig.noted("call look one");
      await rig.kill();
      gate.open();
      await rig.up(...isConfirmed ? [] : ["--unhinted", "look"]);
      const { result, error } = await rig.proxy.answer(1);
      assertEquals(rig.executed("call look").length, isConfirmed ? 2 : 1);
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
