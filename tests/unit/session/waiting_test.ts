/**
 * What a client hears while its request waits, what a long outage costs, and
 * what a sleep does not.
 *
 * @module
 */

import { down, pass } from "../../helpers/session/outage.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import type { SessionEvent } from "../../../lib/events.ts";
import { Naps } from "../../../lib/proxy/sleep_detector.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

test("Wait progress: a client with a progress token is notified of the wait for the daemon", () => {
  const scene = down();
  scene.call(1, "write", { progressToken: "t" });
  scene.call(2, "write");
  pass(scene, 11_500);
  const heard = scene.replies();
  assertEquals(heard.map(({ params }) => params.progressToken), [
    "t",
    "t",
    "t",
  ]);
  assertEquals(heard.map(({ params }) => params.progress), [1e-6, 2e-6, 3e-6]);
  assert(heard.every(({ params }) => params.total === undefined));
  for (const { params } of heard) {
    assertMatch(
      params.message,
      /^Waiting for the daemon \(attempt \d+, (next in \d+ s|under way)\)$/,
    );
  }
  scene.untilDial();
  scene.again();
  scene.take();
  for (const progress of [0, 0.1, 1]) {
    const params = { progressToken: "t", progress };
    scene.daemon({ method: "notifications/progress", params });
  }
  scene.daemon({ id: 1, result: {} });
  pass(scene, 20_000);
  const later = scene.replies();
  assertEquals(later.map(({ id, params }) => id ?? params.progress), [
    0,
    0.1,
    1,
    1,
  ]);
});

test("Wait progress: none for an exai call that waits for a free connection", () => {
  const scene = new ExaiScene();
  scene.greet();
  for (let id = 1; id <= 4; id++) scene.running(id);
  scene.call(5, "chat", { progressToken: "t" });
  scene.pass(30_000);
  assertEquals(scene.replies(), []);
});

test("Wait progress: none with --wait-progress off", () => {
  const scene = down({ waitProgress: "off" });
  scene.call(1, "write", { progressToken: "t" });
  pass(scene, 40_000);
  assertEquals(scene.replies(), []);
});

test("Wait progress: rises above the daemon's own progress", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "tools/list", { _meta: { progressToken: 7 } });
  const params = { progressToken: 7, progress: 3 };
  scene.daemon({ method: "notifications/progress", params });
  scene.close();
  scene.take();
  pass(scene, 1_200);
  const [{ params: told }] = scene.replies();
  assertEquals([told.progressToken, told.progress], [7, 3.000001]);
});

test("Circuit breaker: after an outage longer than the queue timeout, a call dials at once and waits 20 s", () => {
  const scene = down();
  pass(scene, 100_000);
  const { length } = scene.dials;
  scene.take();
  scene.call(1, "write");
  assertEquals(scene.dials.length, length + 1);
  scene.refuse();
  pass(scene, 19_999);
  assertEquals(scene.replies(), []);
  assert(scene.dials.length > length + 15, "a container may be booting");
  pass(scene, 1);
  const [{ error }] = scene.replies();
  assertEquals([error.code, error.data.delivered], [-31001, "no"]);
  assertMatch(
    error.message,
    /down for 120\.0 s, \d+ attempts, next attempt in/,
  );
});

test("Circuit breaker: an open subscription does not keep a call from dialing at once", () => {
  const scene = down();
  scene.ask("s", "subscriptions/listen", { notifications: {} });
  // A daemon that accepts and closes gains nothing by being dialed faster.
  while (scene.now < 200_000) {
    scene.untilDial();
    scene.open();
    scene.close();
  }
  scene.pass(10_000);
  const { length } = scene.dials;
  scene.call(1, "write");
  assertEquals(scene.dials.length, length + 1);
});

test("Back-pressure: while the daemon does not read, requests are queued", () => {
  const scene = new Scene({ queueLimit: 1 });
  scene.start();
  scene.do({ type: "backlog", epoch: 1, is: "full" });
  scene.take();
  scene.call(1, "write");
  scene.call(2, "write");
  assertEquals(scene.replies().map(({ id, error }) => [id, error.code]), [
    [2, -31004],
  ]);
  assertEquals(scene.written(), []);
  scene.do({ type: "backlog", epoch: 1, is: "read" });
  assertEquals(scene.written().map(({ id }) => id), [1]);
});

test("Queue: requests that wait without a timeout are limited in number, too", () => {
  const scene = down({ queueLimit: 5 });
  for (let i = 0; i < 11; i++) scene.ask(i, "server/discover");
  assertEquals(scene.replies().map(({ id, error }) => [id, error.code]), [
    [10, -31004],
  ]);
});

test("Circuit breaker: stays closed in a short outage, with a short queue timeout or without one", () => {
  for (const queueTimeout of [45_000, 5_000]) {
    const scene = down({ queueTimeout });
    pass(scene, 4_000);
    scene.take();
    scene.call(1, "write");
    pass(scene, queueTimeout - 1);
    assertEquals(scene.replies(), []);
    pass(scene, 1);
    assertEquals(scene.replies().length, 1);
  }
  const scene = down({ queueTimeout: Infinity });
  pass(scene, 1_000_000);
  scene.take();
  scene.call(1, "write");
  pass(scene, 100_000);
  assertEquals(scene.replies(), [], "without a limit no circuit");
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

test("--give-up-after: does not count a sleep", () => {
  const scene = down({ giveUpAfter: 60_000 });
  pass(scene, 30_000);
  scene.sleep(3_600_000);
  assertEquals(scene.exit(), undefined);
  pass(scene, 31_000);
  assertEquals(scene.exit(), 1);
});

test("--give-up-after: does not run while a connection is probed after a sleep", () => {
  const scene = new Scene({ giveUpAfter: 60_000 });
  scene.start();
  for (let n = 0; n < 30; n++) {
    scene.pass(5_000);
    const id = scene.written().findLast(({ method }) => method === "ping")?.id;
    scene.take();
    if (id !== undefined) scene.daemon({ id, result: {} });
  }
  scene.sleep(3_600_000);
  assertEquals(scene.exit(), undefined);
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

const NAPS: [
  what: string,
  now: number,
  wall: number,
  dueAt: number,
  found: Json,
][] = [
  ["in time", 2_000, 2_000, 2_000, undefined],
  ["a busy machine", 4_900, 4_900, 2_000, undefined],
  ["stopped", 60_000, 60_000, 2_000, { gap: 60_000, unseen: 0 }],
  ["stopped, with a deadline soon", 60_000, 60_000, 100, {
    gap: 60_000,
    unseen: 0,
  }],
  ["a clock that stood still", 1_000, 61_000, 2_000, {
    gap: 0,
    unseen: 60_000,
  }],
  ["both", 11_000, 61_000, 1_000, { gap: 11_000, unseen: 50_000 }],
  ["nothing was due", 61_000, 61_000, Infinity, undefined],
  ["the wall's clock was put back", 1_000, -61_000, 1_000, undefined],
];
for (const [what, now, wall, dueAt, found] of NAPS) {
  test(`Sleep detector: ${what}`, () => {
    const naps = new Naps(0, 0);
    const event: SessionEvent | undefined = found &&
      { type: "resumed", ...found };
    assertEquals(naps.look(now, wall, dueAt), event);
    assertEquals(naps.look(now, wall, dueAt), undefined, "once");
  });
}

test("Size limit: a response that is too large for the runtime is not requested again", () => {
  const burst = (scene: Scene): void => {
    const reason = "the daemon sent a message larger than can be received here";
    const how = { code: 0, reason, reached: true, oversize: true };
    scene.do({ type: "closed", epoch: scene.epoch, ...how });
  };
  const one = new Scene();
  one.start();
  one.ask(1, "resources/read");
  burst(one);
  const [{ error }] = one.replies();
  assertEquals([error.code, error.data.delivered], [-31005, "yes"]);
  const two = new Scene({ retry: "always" });
  two.start();
  two.ask(1, "resources/read");
  two.ask(2, "tools/list");
  burst(two);
  assertEquals(two.replies().map(({ error }) => error.code), [-31002, -31002]);
  two.take();
  two.untilDial();
  two.again();
  assertEquals(two.sent().some(({ id }) => id === 1 || id === 2), false);
  const exai = new ExaiScene();
  exai.greet();
  exai.running(1);
  burst(exai);
  assertEquals(exai.answers(), [[1, -31005]]);
});
