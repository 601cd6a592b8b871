/**
 * Silence, suspicion and sleep on the edge: found by an attack, each of them
 * once wrong.
 *
 * @module
 */

import {
  answering,
  calling,
  draining,
  greeted,
  pings,
} from "../../helpers/session/silent_connection.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { Naps } from "../../../lib/proxy/sleep_detector.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

/** How often the shell looks at its clocks. */
const HEARTBEAT_MS = 2_000;

/** A sleep during a call: a new call came after it, and the link has failed its probe. */
function woken(): Scene {
  const scene = new Scene();
  scene.start();
  scene.call("old", "write");
  scene.pass(100);
  scene.sleep(60_000);
  scene.call("new", "write");
  scene.pass(1_000);
  return scene;
}
test("exai sleep: with calls on connections that died, the next dial comes within 2 s", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.sleep(60_000);
  const { now } = scene;
  scene.call(2, "chat");
  scene.untilDial();
  assert(
    scene.now - now <= 2_000,
    `${scene.now - now} ms, ${JSON.stringify(scene.answers())}`,
  );
});
test("exai sleep: after one of 4 s during a call, tools/list and new calls go on", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.sleep(4_000);
  const [{ op, epoch }] = scene.frames();
  assertEquals([op, epoch], ["health", 1]);
  scene.health(1, "1:00:00");
  scene.ask("list", "tools/list");
  scene.call(2, "chat");
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
  assertEquals(scene.greet().map(({ name }) => name), ["chat"]);
  scene.pass(46_000);
  assertEquals(scene.answers(), []);
});
test("Liveness: each call that finds none in flight is probed during the call", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("l", "tools/list");
  scene.pass(5);
  scene.daemon({ id: "l", result: { tools: [] } });
  scene.pass(500);
  scene.take();
  scene.call("long", "write");
  for (let ms = 0; ms <= 300; ms++) { // the daemon answers every ping at once
    const id = pings(scene, 1).at(-1);
    if (id !== undefined) scene.daemon({ id, result: {} });
    scene.pass(1);
  }
  scene.pass(10_000); // black hole
  answering(scene);
  assert(scene.isLeft(1), "within 20 s");
});
test("Sleep: initialized reaches the daemon as soon as its connection answers the probe", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: "init", result });
  scene.sleep(4_000);
  const id = pings(scene, 1).at(-1);
  scene.client({ method: "notifications/initialized" });
  scene.daemon({ id, result: {} });
  scene.call(1, "write");
  scene.pong();
  assertEquals(scene.written().map((it) => it.method), [
    "notifications/initialized",
    "tools/call",
  ]);
});
test("Sleep: a request that was due first keeps its time", () => {
  const scene = new Scene({ requestTimeout: 3_000, pingInterval: Infinity });
  scene.start();
  scene.pass(4_000);
  const naps = new Naps(0, 0);
  scene.call(1, "write");
  naps.look(scene.now, scene.now, Infinity);
  const due = scene.session.deadline();
  scene.now += 60_000; // stopped at once
  scene.do(naps.look(scene.now, scene.now, due)!);
  assertEquals(scene.replies(), []);
});
test("--give-up-after: does not end the call of a busy daemon", () => {
  const scene = calling("concurrent", { giveUpAfter: 60_000 });
  scene.pass(80_000);
  assertEquals([scene.exit(), scene.replies()], [undefined, []]);
});
test("Failover: a dead connection is found with a ping interval below 1 s", () => {
  const scene = calling("concurrent", { pingInterval: 500, pingTimeout: 500 });
  scene.pass(1_000);
  scene.daemon({ id: greeted(scene), result: {} });
  scene.take();
  for (let n = 0; n < 40 && !scene.isLeft(1); n++) {
    scene.pass(500);
    const last = scene.sent().findLast((it) => it.method === "ping");
    if (last) scene.daemon({ id: last.id, result: {} }, 2);
  }
  assert(scene.isLeft(1), `not in ${scene.now} ms`);
});
test("Back-pressure: a full stdout during a failover loses each connection once", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  greeted(scene);
  scene.take();
  scene.do({ type: "clogged" });
  const closed = scene.take().flatMap((e) =>
    e.type === "close" ? [e.epoch] : []
  );
  assertEquals(closed, [1, 2]);
  const { length } = scene.dials;
  scene.do({ type: "drained" });
  scene.pass(600);
  assertEquals(scene.dials.length, length + 1);
});
test("Failover: a call's deadline and the standby's handshake timeout at once make one dial", () => {
  const scene = calling("concurrent", { requestTimeout: 25_250 });
  scene.pass(25_000);
  const { length } = scene.dials;
  scene.pass(300);
  assertEquals(scene.dials.length, length + 1);
});
test("Sleep: a connection whose session is being restored is probed at once", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("l", "tools/list");
  scene.daemon({ id: "l", result: { tools: [] } });
  scene.close();
  scene.untilDial();
  scene.again(); // the proxy's own tools/list is out
  scene.take();
  scene.sleep(10_000);
  assertEquals(scene.sent().map((it) => it.method), ["ping"]);
});
test("Sleep: with four draining connections, the main one is probed", () => {
  const scene = draining();
  scene.take();
  scene.sleep(5_000);
  const pinged = scene.take().flatMap((effect) =>
    effect.type === "send" ? [effect.epoch] : []
  );
  assertEquals(pinged.toSorted(), [1, 2, 3, 4, 5]);
});
test("Sleep: a call after it is not sent on a connection that fails its probe", () => {
  const scene = woken();
  assertEquals(scene.sent().some((it) => it.id === "new"), false);
  answering(scene);
  scene.pong();
  assert(scene.sent().some((it) => it.id === "new"));
});
test("Queue: a large message on a ready connection meets no limit", () => {
  const scene = new Scene({ maxMessage: 1024 ** 3 });
  scene.start();
  scene.call(1, "x".repeat(65 * 1024 * 1024));
  assertEquals(scene.replies(), []);
});
test("Queue: a batch of 1,500 requests on a ready connection meets no limit", () => {
  const scene = new Scene();
  scene.start();
  const batch = Array.from(
    { length: 1500 },
    (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }),
  );
  scene.client(JSON.stringify(batch));
  assertEquals([scene.written().length, scene.replies().length], [1500, 0]);
});
test("Sleep: a handshake in progress is given up within 2 s", () => {
  const scene = new Scene();
  scene.open();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.pass(100);
  scene.sleep(60_000);
  const { now } = scene;
  scene.untilDial();
  assert(scene.now - now <= 2_000, `${scene.now - now}`);
});
test("Circuit breaker: while it is open, a call dials at once", () => {
  const scene = new Scene();
  scene.start();
  scene.close();
  for (let i = 0; i < 12; i++) {
    scene.untilDial();
    scene.open();
    scene.close();
  }
  scene.pass(1_000);
  const { length } = scene.dials;
  scene.take();
  scene.call(1, "write");
  scene.pass(20_000);
  assert(
    scene.dials.length > length,
    JSON.stringify(scene.replies()[0]?.error.message),
  );
});
test("Wait progress: says that a second connection checks the silent one", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.refuse();
  scene.call("n", "write", { progressToken: 1 });
  for (let i = 0; i < 3; i++) {
    const n = scene.dials.length;
    scene.pass(500);
    if (scene.dials.length > n) scene.refuse();
  }
  const [{ params }] = scene.replies();
  assertEquals(/silent: a second connection/.test(params.message), true);
});
test("Draining: a broadcast from both connections reaches the client once", () => {
  const scene = new Scene();
  scene.start();
  scene.call("long", "write");
  scene.pass(10_000);
  answering(scene);
  scene.take();
  for (const epoch of [1, 2]) {
    scene.daemon({ method: "notifications/tools/list_changed" }, epoch);
  }
  assertEquals(scene.replies().length, 1);
});
test("Failover: goes on after four connections that drain", () => {
  const scene = draining();
  scene.pass(60_000);
  assert(scene.dials.length > 5, "another standby");
});
test("Sleep detector: notices one of 60 s during an exai call", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  scene.say(
    { op: "call_tool_ack", request_id: call.request_id, timeout: 67 },
    call.epoch,
  );
  scene.pass(50_000);
  const at = scene.now;
  const naps = new Naps(at, at);
  // The shell wakes for that at least, whatever is due.
  const due = Math.min(scene.session.deadline(), at + HEARTBEAT_MS);
  assert(naps.look(at + 60_000, at + 60_000, due) !== undefined);
});
test("Liveness: after a cancelled call the idle connection has 10 s of silence", () => {
  const scene = new Scene();
  scene.start();
  scene.call("long", "write");
  scene.pass(300);
  scene.client({
    method: "notifications/cancelled",
    params: { requestId: "long" },
  });
  scene.pass(7_000);
  assertEquals(scene.isLeft(1), false);
});

test("exai sleep: traffic on another connection does not keep one that answers no probe", () => {
  const scene = new ExaiScene();
  scene.greet();
  const calls = [scene.running(1), scene.running(2)];
  scene.result(calls[1], "done");
  scene.sleep(60_000);
  scene.health(1, "1:00:00");
  scene.take();
  for (let n = 0; n < 20; n++) {
    const { request_id, epoch } = calls[0];
    scene.say({ op: "progress", request_id }, epoch);
    scene.pass(100);
  }
  assertEquals(scene.isLeft(3), true);
});

test("Sleep: a call after it is not sent on a connection that fails its probe, even if the standby fails", () => {
  const scene = woken();
  scene.take();
  scene.refuse();
  assertEquals(scene.sent().some(({ id }) => id === "new"), false);
  scene.untilDial();
  answering(scene);
  scene.pong();
  assert(scene.sent().some(({ id }) => id === "new"));
});

test("Sleep: is not part of the waiting time in an error", () => {
  const scene = new Scene({ requestTimeout: 15_000 });
  scene.start();
  scene.call(1, "write");
  scene.pass(5_000);
  scene.sleep(60_000);
  scene.pass(10_000);
  const { error } = scene.replies().at(-1);
  assertEquals(/timed out after 15\.0 s/.test(error.message), true);
});
