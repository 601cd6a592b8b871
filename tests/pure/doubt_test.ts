/**
 * A connection that is silent while the client is owed an answer on it: what a
 * second connection shows, and what follows for the first.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../tools/assert.ts";
import type { SessionConfig } from "../../lib/desk.ts";
import { test } from "../tools/pure.ts";
import { ExaiScene } from "../tools/exai_scene.ts";
import { type Json, Scene } from "../tools/scene.ts";

/** The id of the last ping that went out on a connection since the last look. */
function pinged(scene: Scene, epoch: number): Json {
  const pings = scene.take().flatMap((effect) =>
    effect.type === "send" && effect.epoch === epoch
      ? [JSON.parse(effect.text)]
      : []
  ).filter(({ method }) => method === "ping");
  return pings.at(-1)?.id;
}

/** A call has run for 250 ms, and the trial's probe is out; on a concurrent link it is answered. */
function calling(
  habit: "concurrent" | "serial",
  config: Partial<SessionConfig> = {},
): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.call("long", "write");
  scene.pass(250);
  const id = pinged(scene, 1);
  assert(id !== undefined, "the trial");
  if (habit === "concurrent") scene.daemon({ id, result: {} });
  return scene;
}

/** The second connection opens and is greeted; gives the id of its probe. */
function second(scene: Scene): Json {
  assertEquals(scene.epoch, 2, "it was dialed");
  scene.open();
  const [{ id, method, params }] = scene.sent().filter((it) => it.params);
  assertEquals([method, params.protocolVersion], ["initialize", "2025-06-18"]);
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.take();
  scene.daemon({ id, result });
  const said = scene.sent();
  assertEquals(said.map(({ method }) => method), [
    "notifications/initialized",
    "ping",
  ]);
  return said[1].id;
}

test("a concurrent link that is silent is probed after 5 s, and doubted 5 s later", () => {
  const scene = calling("concurrent");
  scene.pass(4_999);
  assertEquals(scene.sent(), []);
  scene.pass(1);
  assert(pinged(scene, 1) !== undefined);
  scene.pass(4_999);
  assertEquals(scene.dials.length, 1);
  scene.pass(1);
  assertEquals(scene.dials.length, 2);
  assertEquals(scene.replies(), []);
});

test("the second connection answers, the concurrent one does not: that one is dead", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.call("new", "write");
  assertEquals(scene.sent().some(({ id }) => id === "new"), false, "it waits");
  const id = second(scene);
  scene.daemon({ id, result: {} });
  scene.take();
  scene.pass(999);
  assertEquals(scene.isLeft(1), false, "a busy daemon may turn to it now");
  scene.pass(1);
  assertEquals(scene.isLeft(1), true);
  const [{ id: lost, error }] = scene.replies();
  assertEquals([lost, error.code], ["long", -31002]);
  assertEquals(scene.sent().map(({ id }) => id), ["new"]);
  assertMatch(scene.log(), /it is silent, and another connection is not/);
  assertMatch(scene.log(), /Reconnected/);
  assert(scene.now < 20_000);
  scene.take();
  scene.daemon({ id: "new", result: 1 });
  scene.daemon({ id: "long", result: 2 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["new"]);
});

test("it answers within the second that it has left: nothing is lost", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  const first = pinged(scene, 1);
  const id = second(scene);
  scene.daemon({ id, result: {} });
  scene.pass(900);
  scene.daemon({ id: first, result: {} }, 1);
  assertEquals(scene.isLeft(2), true, "no opinion is wanted any more");
  scene.pass(2_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: "long", result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["long"]);
});

test("a link that was never seen to be concurrent keeps its call, and the second one carries what comes", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  scene.call("early", "write");
  const written = scene.sent().some(({ id }) => id === "early");
  assert(written, "as long as nobody knows better, it is written");
  scene.take();
  const id = second(scene);
  scene.take();
  scene.daemon({ id, result: {} });
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  assertMatch(scene.log(), /a second connection carries what comes now/);
  scene.call("new", "write");
  const at = scene.take().flatMap((effect) =>
    effect.type === "send" && effect.text.includes('"new"')
      ? [effect.epoch]
      : []
  );
  assertEquals(at, [2]);
  scene.pass(200);
  scene.daemon({ id: "new", result: 1 });
  scene.daemon({ id: "long", result: 2 }, 1);
  scene.daemon({ id: "early", result: 3 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["new", "long", "early"]);
  assertEquals(scene.isLeft(1), true, "it owes nothing any more");
});

test("a kept connection that closes costs its own calls only", () => {
  const scene = calling("serial");
  scene.pass(10_000);
  const id = second(scene);
  scene.daemon({ id, result: {} });
  scene.call("new", "write");
  scene.take();
  scene.close(1006, 1);
  assertEquals(scene.replies().map(({ id, error }) => [id, error.code]), [
    ["long", -31002],
  ]);
  assertEquals(scene.dials.length, 2, "the main link stands");
});

test("nothing answers on the second connection either: the call has all its time", () => {
  for (const habit of ["concurrent", "serial"] as const) {
    const scene = calling(habit);
    scene.pass(590_000);
    assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
    scene.daemon({ id: "long", result: 1 }, 1);
    assertEquals(scene.replies().map(({ id }) => id), ["long"]);
    assert(scene.dials.length > 10, "it goes on asking");
    assert(scene.dials.length < 40, "by the table");
  }
});

test("a daemon that answers initialize, but no ping, has no opinion", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  second(scene);
  scene.pass(5_000);
  assertEquals(scene.isLeft(2), true);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: "long", result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["long"]);
});

test("whatever is heard ends the doubt", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.open();
  scene.daemon({ method: "notifications/message", params: {} }, 1);
  assertEquals(scene.isLeft(2), true);
  scene.take();
  scene.call("new", "write");
  assertEquals(scene.sent().map(({ id }) => id), ["new"]);
});

test("the doubted link closes: it is dialed itself, and nobody else", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.open();
  scene.close(1006, 1);
  assertEquals(scene.isLeft(2), true);
  assertEquals(scene.replies()[0].error.code, -31002);
  scene.untilDial();
  assertEquals(scene.epoch, 3);
});

test("while a concurrent link is doubted, what comes waits for 45 s and was not delivered", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.take();
  scene.call("new", "write");
  scene.pass(44_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], ["new", -31001, "no"]);
});

test("a pong that follows the answer shows nothing: the daemon may do one thing at a time", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.pass(250);
  const id = pinged(scene, 1);
  scene.call(2, "write"); // behind the probe
  scene.daemon({ id: 1, result: 1 });
  scene.daemon({ id, result: {} });
  scene.pass(10_000);
  scene.take();
  scene.call(3, "write");
  assertEquals(scene.sent().map(({ id }) => id), [3], "not held back");
});

test("with probes switched off nothing is doubted", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.start();
  scene.call(1, "write");
  scene.pass(599_999);
  assertEquals([scene.dials.length, scene.sent().length], [1, 1]);
});

test("no more than sixteen connections are kept: then no further opinion is asked for, and no call is lost", () => {
  const scene = new Scene();
  scene.start();
  for (let n = 1; n <= 16; n++) {
    scene.call(n, "write");
    scene.pass(10_000);
    assertEquals([scene.epoch, scene.replies()], [n + 1, []]);
    scene.open();
    const { id } = scene.sent().findLast((it) => it.method === "initialize");
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    scene.take();
    scene.daemon({ id, result });
    scene.daemon({ id: scene.sent().at(-1).id, result: {} });
  }
  scene.call(17, "write");
  scene.pass(60_000);
  assertEquals([scene.epoch, scene.replies()], [17, []]);
  scene.daemon({ id: 1, result: 1 }, 1);
  scene.pass(0);
  assertEquals([scene.epoch, scene.replies().length], [18, 1]);
});

test("a daemon that answers no ping is given what comes after a sleep, and asked ever more seldom", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.pass(1_000);
  scene.do({ type: "resumed", gap: 7_000, unseen: 0 });
  scene.call(2, "write");
  const written = (): boolean => scene.sent().some(({ id }) => id === 2);
  let epoch = 1;
  while (scene.now < 120_000) {
    scene.pass(100);
    if (scene.epoch === epoch) continue;
    epoch = scene.epoch;
    scene.open();
    const { id } = scene.sent().findLast((it) => it.method === "initialize");
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    scene.daemon({ id, result });
  }
  assert(written());
  assertEquals(scene.replies(), []);
  assert(scene.dials.length <= 12, `${scene.dials.length}`);
});

test("a client that never initialized: the second connection has its say after a ping", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(1, "vendor/long");
  const [{ id: opening }] = scene.sent();
  scene.daemon({ id: opening, result: {} });
  scene.pass(10_000);
  scene.take();
  scene.open();
  const [{ id, method }] = scene.sent();
  assertEquals(method, "ping");
  scene.daemon({ id, result: {} });
  scene.daemon({ id: scene.sent().at(-1).id, result: {} });
  scene.take();
  scene.ask(2, "vendor/short");
  assertEquals(scene.sent().map(({ id }) => id), [2]);
  scene.daemon({ id: 2, result: 1 });
  scene.daemon({ id: 1, result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), [2, 1]);
});

test("an exai link with a call is neither probed nor doubted", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.pass(180_000);
  assertEquals(scene.frames(), []);
  assertEquals(scene.dials.length, 2);
});
