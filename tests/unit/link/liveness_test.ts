/**
 * When a connection is probed, and when its silence counts.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  answering,
  calling,
  pings,
  pong,
} from "../../helpers/session/silent_connection.ts";

/** A call was cancelled after 20 s of silence; there was a probe before it, and no evidence that the connection is dead. */
function cancelled(): Scene {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.call(1, "write");
  scene.pong();
  scene.pass(20_000);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  return scene;
}

test("Liveness: a daemon that may still work on a cancelled call keeps the connection for the next one", () => {
  const scene = cancelled();
  scene.pass(12_000);
  assertEquals(scene.isLeft(1), false);
  scene.take();
  scene.call(2, "write");
  assertEquals(scene.written().at(-1).id, 2);
  scene.pass(120_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: 2, result: 1 });
  assertEquals(scene.replies().map(({ id }) => id), [2]);
});

test("Liveness: a connection that is silent for a minute after a cancelled call is lost", () => {
  const scene = cancelled();
  scene.pass(59_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: the late response to a cancelled call ends that minute", () => {
  const scene = cancelled();
  scene.daemon({ id: 1, result: 1 });
  scene.pass(9_999);
  assertEquals(scene.isLeft(1), false);
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: traffic after a probe keeps the connection when its last call is cancelled", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write"); // its probe is never answered
  scene.pass(6_000);
  scene.daemon({ method: "notifications/message", params: {} });
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  assertEquals(scene.isLeft(1), false);
});

test("Liveness: a silent connection with evidence is lost when its last call is cancelled", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write"); // its probe is never answered
  scene.pass(60_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: the client's own ping finds a dead idle connection", () => {
  const scene = new Scene({ pingInterval: 3_600_000 });
  scene.start();
  scene.pass(60_000);
  scene.ask(1, "ping");
  scene.pass(3_000);
  scene.ask(2, "ping");
  scene.client({ method: "notifications/cancelled", params: { requestId: 2 } });
  scene.pass(1_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(scene.replies().map(({ id, result }) => [id, result]), [[
    1,
    {},
  ]]);
  scene.pass(250);
  assertEquals(scene.dials.length, 2);
});

test("Liveness: with --ping-interval off a client's ping loses no connection", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.start();
  scene.ask(1, "ping");
  scene.call(2, "write");
  scene.pass(60_000);
  assertEquals(scene.replies(), []);
});

test("Liveness: a dead connection is lost after a cancelled call, even if the client pings", () => {
  const scene = new Scene({ connections: "one" });
  scene.start();
  scene.pass(5_000);
  scene.pong();
  scene.call(1, "write");
  scene.pass(60_000);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.ask(2, "ping");
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
});

test("Liveness: a pong after the response does not show that the daemon answers during calls", () => {
  const scene = calling("serial");
  scene.daemon({ id: "long", result: 1 });
  assertEquals(scene.session.snapshot().answersDuringCalls, undefined);
  scene.call(2, "write");
  scene.pass(2_000);
  scene.daemon({ id: 2, result: 1 });
  assertEquals(scene.session.snapshot().answersDuringCalls, false);
});

test("Liveness: a pong during a call shows that the daemon answers during calls", () => {
  const scene = calling("concurrent");
  assertEquals(scene.session.snapshot().answersDuringCalls, true);
});

test("Liveness: with probes off no connection is suspect", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.start();
  scene.call(1, "write");
  scene.pass(599_999);
  assertEquals([scene.dials.length, scene.sent().length], [1, 1]);
});

test("exai liveness: a connection with a call is neither probed nor suspect", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.pass(180_000);
  assertEquals(scene.frames(), []);
  assertEquals(scene.dials.length, 2);
});

/** A link that has answered a probe. */
function answered(): Scene {
  const scene = new Scene();
  scene.start();
  scene.pass(5_000);
  pong(scene, pings(scene, 1)[0], 1);
  return scene;
}

function order(scene: Scene): Json[] {
  return scene.sent().map(({ id, method }) => method === "ping" ? "ping" : id);
}

test("Leading probe: a call waits for its pong, and later requests wait behind it", () => {
  const scene = answered();
  scene.call(1, "write");
  scene.ask(2, "tools/list");
  assertEquals(order(scene), ["ping"]);
  scene.pong();
  assertEquals(order(scene), ["ping", 1, 2]);
});

test("Leading probe: does not delay the call where the daemon has never answered one", () => {
  const scene = new Scene();
  scene.start();
  scene.pass(1_000);
  scene.call(1, "write");
  assertEquals(order(scene), ["ping", 1]);
});

test("Leading probe: left out just after a handshake", () => {
  const scene = answered();
  scene.close();
  scene.untilDial();
  scene.take();
  scene.again();
  scene.pass(99);
  scene.call(1, "write");
  assertEquals(scene.written().at(-1).id, 1);
});

test("Leading probe: a call that comes while one is open waits for that one", () => {
  const scene = answered();
  scene.call(1, "write");
  scene.pass(300);
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.call(2, "write");
  assertEquals(order(scene), ["ping"]);
  scene.pass(4_700);
  assertEquals(scene.dials.length, 2, "the first probe's time counts");
});

test("Leading probe: at most one a second, and none while other calls are in flight", () => {
  const scene = answered();
  scene.call(1, "write");
  scene.pong();
  scene.pass(200);
  scene.daemon({ id: 1, result: 1 });
  scene.call(2, "write");
  scene.call(3, "write");
  assertEquals(order(scene), ["ping", 1, 2, 3]);
  scene.daemon({ id: 2, result: 1 });
  scene.daemon({ id: 3, result: 1 });
  scene.pass(800);
  scene.call(4, "write");
  assertEquals(order(scene).slice(4), ["ping"]);
});

test("Leading probe: none for a client's ping or subscription", () => {
  const scene = answered();
  scene.ask(1, "ping");
  scene.ask(2, "subscriptions/listen");
  const ids = scene.sent().map(({ id }) => id);
  assertEquals(ids, [1, 2]);
});

test("Leading probe: a burst that would fill the queue does not wait for it", () => {
  const scene = answered();
  const batch = Array.from(
    { length: 1500 },
    (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }),
  );
  scene.client(JSON.stringify(batch));
  scene.pong();
  assertEquals([scene.written().length, scene.replies().length], [1500, 0]);
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
