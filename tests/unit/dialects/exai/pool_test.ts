/**
 * The exai dialect's call links when they are refused, out of reach, asleep or
 * too few.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { ExaiScene } from "../../../helpers/session/exai_driver.ts";
import { test } from "../../../helpers/no_permissions.ts";

test("exai pool: a main connection that comes and goes does not prolong the wait for a pool connection", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  let main = scene.epoch;
  scene.greet(main);
  scene.call(1, "chat");
  let answeredAt = 0;
  for (let i = 0; i < 10 && answeredAt === 0; i++) {
    for (let s = 0; s < 20 && answeredAt === 0; s++) {
      // Every further connection is one too many.
      if (scene.epoch !== main) {
        scene.open();
        scene.close(1000);
      }
      scene.pass(1_000);
      if (scene.answers().length > 0) answeredAt = scene.now;
    }
    scene.close(1006, main);
    scene.untilDial();
    main = scene.epoch;
    scene.greet(main);
  }
  // Its time, and once more from when there was a main link again.
  assert(answeredAt >= 45_000 && answeredAt <= 67_000, `${answeredAt}`);
});

test("exai pool: a refused token is tried again for a call 5 s later, and every call fails with the reason", () => {
  const scene = new ExaiScene();
  scene.greet();
  let { length } = scene.dials;
  const refuse = (): void => {
    if (scene.dials.length === length) return;
    length = scene.dials.length;
    scene.open();
    scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  };
  scene.call(0, "chat");
  refuse();
  for (let i = 1; i <= 20; i++) {
    scene.pass(1_000);
    scene.say({ op: "health_res", ok: true }, 1);
    scene.call(i, "chat");
    refuse();
    assertEquals(scene.replies().length, i + 1);
  }
  const [, ...moments] = scene.dials.map(({ at }) => at);
  assertEquals(moments, [0, 5_000, 10_000, 15_000, 20_000]);
  for (const { error } of scene.replies()) {
    assertMatch(error.message, /refuses our token .*next attempt in \d+\.\d s/);
    assert(error.data.retryAfterMs >= 10_000);
  }
});

test("exai pool: while one dial checks whether the daemon still refuses us, no other is made", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.call(0, "chat");
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  scene.pass(4_900);
  scene.say({ op: "health_res", ok: true }, 1);
  scene.pass(100);
  scene.take();
  for (const id of [1, 2, 3]) scene.call(id, "chat");
  assertEquals([scene.dials.length, scene.replies()], [3, []]);
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(scene.answers(), [[1, -31001], [2, -31001], [3, -31001]]);
  scene.pass(5_000);
  scene.take();
  scene.call(4, "chat");
  assertEquals(scene.greet().map(({ op }) => op), ["call_tool"], "it is right");
});

test("exai pool: after a sleep a connection is probed when its call ends, and used again", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  scene.do({ type: "resumed", gap: 60_000, unseen: 0 });
  scene.say({ op: "health_res", ok: true }, 1);
  scene.take();
  scene.pass(30_000);
  scene.say({ op: "health_res", ok: true }, 1);
  scene.take();
  scene.result(call, "slow");
  assertEquals(scene.answers(), [[1, "slow"]]);
  scene.call(2, "chat");
  const frames = scene.frames().filter(({ epoch }) => epoch === 2);
  assertEquals(frames.map(({ op }) => op), ["health"]);
  scene.say({ op: "health_res", ok: true }, 2);
  const [next] = scene.frames();
  assertEquals([next.op, next.epoch], ["call_tool", 2]);
});

test("exai main connection: after a sleep during a probe it is probed anew, and stays", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.pass(5_000);
  assertEquals(scene.frames().map(({ op }) => op), ["health"]);
  scene.do({ type: "resumed", gap: 0, unseen: 60_000 });
  assertEquals(scene.frames(), []);
  scene.say({ op: "health_res", ok: true }, 1);
  assertEquals(scene.frames().map(({ op }) => op), ["health"]);
  scene.pass(900);
  scene.say({ op: "health_res", ok: true }, 1);
  scene.take();
  scene.pass(4_000);
  assertEquals(scene.take(), []);
});

test("exai main connection: after a sleep it is closed where the earlier probe stays unanswered", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.pass(5_000);
  scene.do({ type: "resumed", gap: 0, unseen: 60_000 });
  scene.take();
  scene.pass(1_000);
  assert(scene.take().some(({ type }) => type === "close"));
});

test("exai shutdown: a call that waits for a free connection fails as not delivered", () => {
  const scene = new ExaiScene();
  scene.greet();
  for (let i = 1; i <= 4; i++) scene.running(i);
  scene.call(5, "chat");
  scene.end();
  scene.take();
  scene.pass(1_500);
  const { error } = scene.replies().find(({ id }) => id === 5);
  assertMatch(error.message, /stopped while tools\/call "chat" waited for its/);
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
});

test("exai shutdown: a call that waits to be sent again fails with an unknown outcome", () => {
  const scene = new ExaiScene({ retry: "always" });
  /** A later revision takes over our session's name, and cannot be asked. */
  const greet = (): void => {
    scene.open();
    const { session_id } = scene.frames().at(-1);
    scene.say({ op: "hello_ack", ok: true, session_id });
  };
  greet();
  for (const id of [1, 2]) {
    scene.call(id, "chat");
    greet();
  }
  scene.close(1006, 2);
  scene.end();
  scene.take();
  scene.pass(1_500);
  const { error } = scene.replies().find(({ id }) => id === 1);
  assertMatch(error.message, /waited for its turn: it was not answered/);
  assertEquals(error.data.delivered, "unknown");
});
