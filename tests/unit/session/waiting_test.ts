/**
 * Progress notifications while a request waits, the circuit breaker in a long
 * outage, and the limits of the queue.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import { down, pass } from "../../helpers/session/outage.ts";
import { Scene } from "../../helpers/session/session_driver.ts";
import { calling, greeted } from "../../helpers/session/silent_connection.ts";

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
