/**
 * The connections of the exai dialect: the main one, and the pool with one for
 * each call.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiScene } from "../../../helpers/session/exai_driver.ts";

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

test("exai pool: when a cancel closes the only connection, the next call gets a new one", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.call(2, "chat");
  scene.open(3);
  scene.close(1008, 3);
  while (scene.now < 178_000) {
    for (const effect of scene.take()) {
      if (effect.type === "send" && effect.epoch === 1) {
        scene.health(1, "1:00:00");
      }
      if (effect.type !== "dial") continue;
      scene.open(effect.epoch);
      scene.close(1008, effect.epoch);
    }
    scene.pass(250);
  }
  const { length } = scene.dials;
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.take();
  scene.pass(2_000);
  assertEquals(scene.answers(), []); // -31001 after 2 s, and no dial in between
  assert(scene.dials.length > length, "the room is taken");
});

for (const how of ["close", "cancel"]) {
  test(`exai pool: after a refusal, a waiting call fails as soon as the last connection closes (${how})`, () => {
    const scene = new ExaiScene();
    scene.greet();
    const one = scene.running(1);
    scene.close(1006, 1);
    scene.untilDial();
    scene.open();
    scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
    scene.call(2, "chat");
    scene.take();
    if (how === "close") scene.close(1006, one.epoch);
    else {scene.client({
        method: "notifications/cancelled",
        params: { requestId: 1 },
      });}
    assert(scene.answers().some(([id]) => id === 2));
  });
}

test("exai pool: a call's queue timeout counts the waits for the main connection and for its own", () => {
  const scene = new ExaiScene();
  scene.call(1, "chat");
  while (scene.now < 43_000) {
    scene.refuse();
    scene.untilDial();
  }
  const { now } = scene;
  scene.take();
  scene.greet(); // the main link is ready, one of the pool is dialed
  scene.pass(45_000 - now - 1);
  assertEquals(scene.answers(), []);
  scene.pass(1);
  assertEquals(scene.answers(), [[1, -31001]]);
});

test("exai pool: a call does not wait behind a dead idle connection while another can be opened", () => {
  const scene = new ExaiScene();
  scene.greet();
  const one = scene.running(1);
  const two = scene.running(2);
  scene.result(one, "x");
  scene.result(two, "y");
  scene.pass(5_000); // probes go out on all three
  scene.health(1, "1:00:00");
  scene.health(3, "1:00:00"); // link 2 is silent
  scene.call(5, "long");
  const { length } = scene.dials;
  scene.call(6, "parked");
  scene.pass(15_000);
  assert(scene.dials.length > length, "no link was opened for it");
});

test("exai main connection: when it is silent during a list, the second connection is asked for the list", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(1, "tools/list");
  scene.pass(10_000);
  assertEquals(scene.epoch, 2);
  scene.take();
  assertEquals(scene.greet().map(({ op }) => op), ["health"]);
  scene.health(2, "1:00:00");
  scene.pass(5_000);
  assertEquals(scene.frames().map(({ op }) => op), ["health"]);
  scene.health(2, "1:00:00");
  assertEquals(scene.isLeft(1), true);
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
  scene.say({ op: "list_tools_res", tools: [] });
  assertEquals(scene.answers(), [[1, { tools: [] }]]);
});

test("exai pool: a call that waits for the first connection of the pool gets wait progress", () => {
  const scene = new ExaiScene({ queueTimeout: 10_000, pingInterval: Infinity });
  scene.greet();
  scene.pass(3_600_000);
  scene.call(1, "chat", { progressToken: 7 });
  scene.take();
  scene.pass(1_500);
  const [{ params }] = scene.replies();
  assertEquals(params.message, "Waiting for the daemon (attempt 1, under way)");
  scene.pass(10_000);
  const { error } = scene.replies().at(-1);
  assertMatch(
    error.message,
    /in time \(\d\.\d s, while a request waits\) \(down for 10\.0 s, 4 attempts/,
  );
});

test("exai pool: eight calls run four at a time, the others in order as connections become free", () => {
  const scene = new ExaiScene();
  scene.greet();
  for (let id = 1; id <= 8; id++) scene.call(id, `tool${id}`);
  assertEquals(scene.dials.length, 5);
  const calls = [2, 3, 4, 5].flatMap((epoch) => scene.greet(epoch));
  assertEquals(calls.map(({ name }) => name), [
    ...["tool1", "tool2", "tool3", "tool4"],
  ]);
  scene.take();
  scene.result(calls[2], "third");
  assertEquals(scene.answers(), [[3, "third"]]);
  assertEquals(
    scene.frames().map(({ epoch, name }) => [epoch, name]),
    [[4, "tool5"]],
  );
});

test("exai main connection: tools/list and probes do not wait behind a call", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.ask(2, "tools/list");
  assertEquals(scene.frames(), [{ epoch: 1, op: "list_tools" }]);
});

test("exai main connection: a list waits for the response to a probe, as one frame is in flight at a time", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.pass(5_000);
  assertEquals(scene.frames().map(({ op }) => op), ["health"]);
  scene.ask(1, "tools/list");
  assertEquals(scene.frames(), []);
  scene.say({ error: { code: "INVALID_REQUEST", message: "no health" } });
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
});

test("exai pool: a call that waits for a free connection may exceed the queue timeout, but not its own limit", () => {
  const scene = new ExaiScene({ requestTimeout: 100_000 });
  scene.greet();
  for (let id = 1; id <= 5; id++) scene.call(id, "chat");
  for (const epoch of [2, 3, 4, 5]) scene.greet(epoch);
  scene.pass(99_000);
  assertEquals(scene.answers(), []);
  scene.pass(1_000);
  assertEquals(scene.answers(), [1, 2, 3, 4, 5].map((id) => [id, -31003]));
});

test("exai pool: a connection is closed after a minute without a call", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  scene.greet();
  const call = scene.running(1);
  scene.pass(100_000);
  scene.result(call, "late");
  scene.take();
  scene.pass(59_999);
  assertEquals(scene.take(), []);
  scene.pass(1);
  assertEquals(
    scene.take().filter(({ type }) => type === "close"),
    [{ type: "close", epoch: 2 }],
  );
  scene.pass(600_000);
  assertEquals([scene.take(), scene.session.deadline()], [[], Infinity]);
});

test("exai pool: a connection whose call timed out or was cancelled is not used again", () => {
  for (const isCancelled of [true, false]) {
    const scene = new ExaiScene({ requestTimeout: 10_000 });
    scene.greet();
    scene.running(1);
    if (isCancelled) {
      const params = { requestId: 1 };
      scene.client({ method: "notifications/cancelled", params });
    } else {
      scene.pass(10_000);
    }
    const closed = scene.take().filter(({ type }) => type === "close");
    assertEquals(closed, [{ type: "close", epoch: 2 }]);
    const next = scene.running(2);
    assertEquals(next.epoch, 3);
    scene.result(next, "good");
    assertEquals(scene.answers(), [[2, "good"]]);
  }
});

test("exai pool: a full pool is no lost daemon", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  scene.call(2, "chat");
  for (let i = 0; i < 3; i++) {
    scene.open();
    scene.close(1008);
    scene.untilDial();
  }
  assertEquals(scene.logged(), ["pool-attempt-failed"]);
  scene.result(call, "first");
  assertEquals(scene.frames().at(-1)?.name, "chat");
  scene.ask(3, "tools/list");
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
});

test("exai pool: a call for which no connection opens fails with the reason after the queue timeout", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  scene.greet();
  scene.call(1, "chat");
  while (scene.replies().length === 0 && scene.now < 100_000) {
    scene.open();
    scene.close(1008);
    scene.pass(1_000);
  }
  assert(scene.now >= 45_000 && scene.now < 46_000);
  const [{ error }] = scene.replies();
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
  assertMatch(error.message, /MAX_CONNECTIONS/);
  scene.take();
  scene.pass(1_000);
  assertEquals(scene.take(), [], "nobody wants the pool any more");
});
