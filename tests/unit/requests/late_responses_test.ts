/**
 * Ids that stay in use until a late response came.
 *
 * @module
 */

import { LateAnswers } from "../../../lib/requests/late_responses.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { down } from "../../helpers/session/outage.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const LATE: [what: string, config: Json, leave: (scene: Scene) => void][] = [
  ["cancelled", {}, (scene) =>
    scene.client({
      method: "notifications/cancelled",
      params: { requestId: 1 },
    })],
  ["timed out", { requestTimeout: 1_000 }, (scene) => scene.pass(1_000)],
  ["silent for too long", { idleTimeout: 1_000 }, (scene) => scene.pass(1_000)],
];

test("Late responses: the id of an initialize that timed out stays in use until its late response came", () => {
  const scene = new Scene({ requestTimeout: 1_000 });
  scene.start();
  scene.ask(7, "initialize", { protocolVersion: "2025-06-18" });
  scene.pass(1_000);
  scene.take();
  scene.ask(7, "tools/list");
  assertEquals(scene.replies().map(({ error }) => error.code), [-32600]);
  // A late answer that is no message has come as well.
  scene.daemon('{"jsonrpc":"2.0","id":7,"result":1,"error":{}}');
  scene.take();
  scene.ask(7, "tools/list");
  assertEquals(scene.written().map(({ id }) => id), [7]);
});

for (const [what, config, leave] of LATE) {
  test(`Late responses: an id that was ${what} stays in use until its late response came`, () => {
    const scene = new Scene(config);
    scene.start();
    scene.call(1, "write");
    leave(scene);
    scene.take();
    scene.call(1, "write");
    const [{ id, error }] = scene.replies();
    assertEquals([id, error.code], [1, -32600]);
    assertMatch(error.message, /another id/);
    assertEquals(scene.written(), []);
    scene.take();
    scene.call("1", "write");
    assertEquals(scene.written().map(({ id }) => id), ["1"], "another id");
    scene.take();
    scene.daemon({ id: 1, result: "late" });
    assertEquals(scene.replies(), []);
    scene.call(1, "write");
    scene.daemon({ id: 1, result: "its own" });
    assertEquals(scene.replies().map(({ result }) => result), ["its own"]);
  });

  test(`Late responses: an id that was ${what} is free again on the next connection`, () => {
    const scene = new Scene(config);
    scene.start();
    scene.call(1, "write");
    leave(scene);
    scene.close();
    scene.take();
    scene.call(1, "write");
    assertEquals(scene.replies(), []);
    scene.untilDial();
    scene.again();
    assertEquals(scene.written().at(-1).id, 1);
  });
}

const EXAI_LATE: [what: string, frame: Json][] = [
  ["no room for it", {
    error: { code: "OVER_CAPACITY", message: "full", retry_after: 1 },
  }],
  ["too much", {
    op: "list_tools_res",
    tools: [{ name: "x".repeat(33 * 1024 * 1024) }],
  }],
  ["the list", { op: "list_tools_res", tools: [] }],
];

for (const [what, frame] of EXAI_LATE) {
  test(`exai late responses: one to a cancelled list (${what}) frees its id`, () => {
    const scene = new ExaiScene();
    scene.greet();
    scene.ask(1, "tools/list");
    scene.client({
      method: "notifications/cancelled",
      params: { requestId: 1 },
    });
    scene.ask(1, "tools/list");
    assertEquals(scene.replies().at(-1).error.code, -32600);
    scene.say(frame);
    scene.take();
    scene.ask(1, "tools/list");
    scene.say({ op: "list_tools_res", tools: [] });
    assertEquals(scene.replies().map(({ id, result }) => [id, result.tools]), [
      [1, []],
    ]);
  });
}

test("Late responses: an id that was cancelled before it was sent is free at once", () => {
  const scene = down();
  scene.call(1, "write");
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.call(1, "look");
  scene.untilDial();
  scene.again();
  assertEquals(scene.written().at(-1).params, { name: "look" });
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

test("Late responses: an id is in use until its response came on that connection", () => {
  const late = new LateAnswers();
  late.add("1", 7);
  late.add("1", 8);
  late.add("2", 7, "unclear");
  late.came("1", 7);
  assertEquals([late.has("1"), late.isAnyDue(7), late.isAnyDue(8)], [
    ...[true, false, true],
  ]);
  late.came("2", 7);
  assertEquals(late.has("2"), true, "after an unclear one another may come");
  late.lost(7);
  late.lost(8);
  assertEquals([late.has("1"), late.has("2")], [false, false]);
});

test("Late responses: a cancelled call counts as work for 60 s, but not while asleep", () => {
  const late = new LateAnswers();
  late.works("1", 7, 4, 0);
  late.works("2", 7, 6, 10_000);
  assertEquals([late.deadline(), late.last(7)], [60_000, 6]);
  late.shift(5_000);
  late.advance(64_999);
  assertEquals(late.last(7), 6);
  late.advance(65_000);
  assertEquals([late.isWorking(7), late.deadline()], [true, 75_000]);
  late.advance(75_000);
  assertEquals([late.isWorking(7), late.last(7), late.deadline()], [
    ...[false, 0, Infinity],
  ]);
});

test("Late responses: a later pong ends the work of the calls before it, and only of those", () => {
  const late = new LateAnswers();
  late.works("1", 7, 4, 0);
  late.works("2", 7, 6, 0);
  late.overtaken(7, 5);
  assertEquals([late.isWorking(7), late.last(7)], [true, 6]);
  late.came("2", 7);
  assertEquals(late.isWorking(7), false);
});
