/**
 * What a sleep of the machine changes, and what it does not.
 *
 * @module
 */

import { Naps } from "../../../lib/proxy/sleep_detector.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { down } from "../../helpers/session/outage.ts";
import { Scene } from "../../helpers/session/session_driver.ts";
import {
  answering,
  draining,
  pings,
} from "../../helpers/session/silent_connection.ts";

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

test("Sleep: postpones all timeouts, and the connection is probed at once", () => {
  const scene = new Scene({ requestTimeout: 60_000 });
  scene.start();
  scene.call(1, "write");
  scene.pass(10_000);
  scene.take();
  scene.sleep(8 * 3_600_000);
  assertEquals(scene.replies(), []);
  const [{ id, method }] = scene.sent();
  assertEquals(method, "ping");
  scene.daemon({ id, result: {} }, 1);
  scene.pass(49_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies()[0].error.code, -31003);
});

test("Sleep: buffered messages are forwarded, but do not show that the connection lives", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.pass(5_000);
  const old = scene.sent().at(-1);
  assertEquals(old.method, "ping");
  scene.take();
  scene.sleep(60_000);
  const { id, method } = scene.sent().at(-1);
  assertEquals([method, id === old.id], ["ping", false]);
  scene.take();
  scene.daemon({ id: old.id, result: {} });
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().map(({ id }) => id), [1]);
  scene.call(2, "write");
  assertEquals(scene.sent(), []);
  const dials = scene.dials.length;
  scene.pass(1_300);
  assertEquals(scene.dials.length, dials + 1);
});

test("exai sleep: a probe from before it does not show that the connection lives", () => {
  const scene = new ExaiScene();
  scene.greet();
  const main = scene.epoch;
  scene.health(main, "0:01:00");
  scene.pass(5_000);
  const isProbe = scene.frames().some(({ op }) => op === "health");
  assert(isProbe);
  scene.sleep(60_000);
  scene.health(main, "0:03:00");
  scene.take();
  scene.ask(1, "tools/list");
  assertEquals(scene.frames(), []);
  const dials = scene.dials.length;
  scene.pass(1_300);
  assertEquals(scene.dials.length, dials + 1);
});

test("Sleep: the next message clears a suspect connection", () => {
  const scene = new Scene();
  scene.start();
  const { epoch } = scene;
  scene.call(1, "write");
  scene.sleep(60_000);
  scene.pass(1_000);
  assertMatch(scene.log(), /a second one is to show/);
  scene.take();
  scene.call(2, "write");
  assertEquals(scene.sent(), []);
  scene.daemon({ method: "notifications/message", params: {} }, epoch);
  assertEquals(scene.written().map(({ id }) => id), [2]);
});

test("Sleep: nothing is sent before the connection has answered a probe", () => {
  const scene = new Scene();
  scene.start();
  scene.pass(1_000);
  scene.take();
  scene.sleep(60_000);
  const [{ id }] = scene.sent();
  scene.take();
  scene.call(1, "write");
  scene.ask(2, "ping");
  assertEquals(scene.sent(), []);
  assertEquals(scene.replies().map(({ id }) => id), [2]);
  scene.daemon({ id, result: {} });
  scene.pong();
  assertEquals(scene.written().map(({ id }) => id), [1]);
});

test("Sleep: a dead idle connection is lost after 1 s, and dialed", () => {
  const scene = new Scene();
  scene.start();
  scene.take();
  scene.sleep(60_000);
  scene.call(1, "write");
  const { now } = scene;
  scene.untilDial();
  assert(scene.now - now <= 1_300, `${scene.now - now}`);
  scene.take();
  scene.again();
  assertEquals(scene.written().at(-1).id, 1);
});

test("Sleep: a dead connection with calls is suspect after 1 s", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.take();
  scene.sleep(60_000);
  scene.pass(1_000);
  assertEquals([scene.dials.length, scene.replies()], [2, []]);
});

test("Sleep: ends a pause between dials, except after a refusal", () => {
  for (const refused of [false, true]) {
    const scene = down();
    for (let n = 0; n < 6; n++) {
      scene.untilDial();
      scene.refuse();
    }
    scene.untilDial();
    if (refused) {
      scene.open();
      scene.close(1008);
    } else scene.refuse();
    const { length } = scene.dials;
    scene.sleep(4_000);
    assertEquals(scene.dials.length, refused ? length : length + 1);
  }
});

test("exai sleep: a daemon that started during it is another process", () => {
  for (const slept of [0, 8 * 3_600_000]) {
    const scene = new ExaiScene();
    scene.greet();
    const call = scene.running(1);
    scene.pass(3_000);
    scene.do({ type: "resumed", gap: 0, unseen: slept });
    scene.close(1006, call.epoch);
    scene.close(1006, 1);
    scene.untilDial();
    scene.take();
    scene.greet();
    scene.greet();
    scene.health(scene.epoch, "4:00:00", 1_700_000_000);
    const sent = scene.frames().map(({ op }) => op);
    assertEquals(sent, slept === 0 ? ["call_tool"] : []);
  }
});
