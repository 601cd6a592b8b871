/**
 * A connection that is silent while calls are in flight on it: what a standby
 * shows, and what follows for the first connection.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  answering,
  calling,
  draining,
  greeted,
  pings,
  pong,
} from "../../helpers/session/silent_connection.ts";

/** The link froze while it was idle; then a call came, and waits for the answer to the probe before it. */
function frozen(config: Partial<SessionConfig> = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.pass(5_000);
  pong(scene, pings(scene, 1)[0], 1);
  scene.pass(2_000);
  scene.call("waits", "write");
  assertEquals(scene.sent().map(({ method }) => method), ["ping"]);
  return scene;
}

function replies(scene: Scene): Json[] {
  return scene.replies().map(({ id, error }) => [id, error?.code]);
}

test("Failover: silence during a call leads to probes after 0.25, 5 and 10 s, and then to a standby", () => {
  const scene = calling("serial");
  assertEquals(pings(scene, 1).length, 0);
  scene.pass(4_749);
  assertEquals(scene.sent(), []);
  scene.pass(1);
  assertEquals(pings(scene, 1).length, 1);
  scene.pass(4_999);
  assertEquals(scene.dials.length, 1);
  scene.pass(1);
  assertEquals([scene.dials.length, scene.replies()], [2, []]);
  assertEquals(pings(scene, 1).length, 1);
});

test("Failover: suspicion comes after --ping-interval and --ping-timeout, also between two probes", () => {
  const scene = calling("serial", { pingTimeout: 3_000 });
  scene.pass(7_749);
  assertEquals(scene.dials.length, 1);
  scene.pass(1);
  assertEquals(scene.dials.length, 2);
});

test("Failover: a daemon that keeps one connection gets no standby, and no call is ended", () => {
  for (const connections of ["one", "auto"] as const) {
    const scene = new Scene({ connections });
    scene.open();
    scene.pass(200); // too slow for a trial
    scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
    scene.pass(200);
    scene.daemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities: {} },
    });
    scene.call("long", "write");
    scene.pass(599_000);
    assertEquals([scene.dials.length, replies(scene)], [1, [["init", void 0]]]);
    scene.daemon({ id: "long", result: 1 });
    assertEquals(replies(scene).at(-1), ["long", undefined]);
  }
});

test("Failover: a connection that answered a probe during the call is lost within 18 s, and its calls end", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.call("new", "write");
  assertEquals(scene.written(), [], "it waits");
  answering(scene);
  assertEquals(scene.isLeft(1), true);
  assertEquals(replies(scene), [["long", -31002]]);
  assertEquals(scene.sent().map(({ method }) => method), [
    "notifications/initialized",
    "ping",
  ]);
  scene.pong();
  assertEquals(scene.written().at(-1).id, "new");
  assertMatch(scene.log(), /is silent, and the daemon answers on another/);
  assertMatch(scene.log(), /Reconnected/);
  assert(scene.now < 18_000);
  scene.take();
  scene.daemon({ id: "new", result: 1 });
  scene.daemon({ id: "long", result: 2 }, 1);
  assertEquals(replies(scene), [["new", undefined]]);
});

test("Failover: a call whose leading probe is not answered moves to the standby", () => {
  const scene = frozen();
  scene.call("second", "write");
  scene.pass(4_999);
  assertEquals(scene.dials.length, 1);
  scene.pass(1);
  assertEquals(scene.dials.length, 2);
  scene.take();
  scene.again();
  assertEquals(scene.isLeft(1), true, "nothing was in flight on it");
  scene.pong();
  assertEquals(scene.written().slice(-2).map(({ id }) => id), [
    "waits",
    "second",
  ]);
  assertEquals(scene.replies(), []);
  assertEquals(scene.now, 12_000);
});

test("Failover: a probe from before the call counts with its earlier time", () => {
  const scene = new Scene();
  scene.start();
  scene.pass(5_000);
  pong(scene, pings(scene, 1)[0], 1);
  scene.pass(8_000);
  assertEquals(pings(scene, 1).length, 1);
  scene.call("waits", "write");
  scene.pass(2_000);
  assertEquals([scene.dials.length, scene.isLeft(1)], [2, false]);
});

test("Failover: without a waiting call a silent connection is lost as any idle one", () => {
  const scene = frozen();
  scene.client({
    method: "notifications/cancelled",
    params: { requestId: "waits" },
  });
  scene.pass(10_000);
  assertEquals(scene.isLeft(1), true);
});

const ALIVE: [what: string, answer: (scene: Scene) => void][] = [
  ["the probe is answered", (scene) => scene.pong(1)],
  ["something is heard", (scene) => {
    scene.daemon({ method: "notifications/message", params: {} }, 1);
  }],
];

for (const [what, answer] of ALIVE) {
  test(`Failover: while the standby opens ${what}: the call is sent on the first connection`, () => {
    const scene = frozen();
    scene.pass(5_500);
    scene.open();
    answer(scene);
    assertEquals([scene.isLeft(1), scene.isLeft(2)], [false, true]);
    assertEquals(scene.written().at(-1).id, "waits");
  });
}

test("Failover: when the standby hangs, too, the call is sent on the first connection, and keeps all its time", () => {
  const scene = frozen();
  scene.pass(19_999);
  assertEquals(scene.written().some(({ id }) => id === "waits"), false);
  scene.pass(1);
  const at = scene.take().flatMap((effect) =>
    effect.type === "send" && /"waits"/.test(effect.text) ? [effect.epoch] : []
  );
  assertEquals(at, [1]);
  for (let n = 0; n < 100; n++) {
    scene.pass(1_000);
    if (scene.epoch > 2) break;
  }
  answering(scene);
  assertEquals([scene.isLeft(1), replies(scene)], [false, []], "no evidence");
  scene.daemon({ id: "waits", result: 1 }, 1);
  assertEquals(replies(scene), [["waits", undefined]]);
});

test("Failover: when nothing listens for the standby, the first connection is lost, and the call waits", () => {
  const scene = frozen();
  scene.pass(5_000);
  scene.refuse();
  assertEquals([scene.isLeft(1), scene.replies()], [true, []]);
  scene.untilDial();
  scene.take();
  scene.again();
  scene.pong();
  assertEquals(scene.written().at(-1).id, "waits");
});

test("Failover: with a daemon that keeps one connection, a call waits 250 ms for its probe", () => {
  const scene = frozen({ connections: "one" });
  scene.pass(249);
  assertEquals(scene.written(), []);
  scene.pass(1);
  assertEquals(scene.written().map(({ id }) => id), ["waits"]);
  scene.pass(500_000);
  assertEquals([scene.dials.length, scene.replies()], [1, []]);
});

test("Failover: a read-only call is repeated on the standby", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("r", "resources/read", { uri: "a" });
  scene.pass(250);
  pong(scene, pings(scene, 1).at(-1), 1);
  scene.pass(10_000);
  answering(scene);
  scene.pong();
  assertEquals(scene.written().at(-1).id, "r");
  scene.daemon({ id: "r", result: 1 });
  assertEquals(replies(scene), [["r", undefined]]);
});

test("Draining: without evidence the connection keeps its calls, and new ones go to the standby", () => {
  const scene = calling("serial");
  scene.call("early", "write");
  scene.pass(9_750);
  scene.call("meanwhile", "write");
  assertEquals(scene.written().some(({ id }) => id === "meanwhile"), false);
  answering(scene);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  assertMatch(scene.log(), /a second connection carries what comes now/);
  scene.call("new", "write");
  scene.pong(2);
  const at = scene.take().flatMap((effect) =>
    effect.type === "send" && effect.text.includes('"new"')
      ? [effect.epoch]
      : []
  );
  assertEquals(at, [2]);
  scene.pass(200);
  for (const id of ["meanwhile", "new"]) scene.daemon({ id, result: 1 });
  scene.daemon({ id: "long", result: 2 }, 1);
  scene.daemon({ id: "early", result: 3 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), [
    ...["meanwhile", "new", "long", "early"],
  ]);
  assertEquals(scene.isLeft(1), true, "nothing is in flight on it");
});

const NO_EVIDENCE: [what: string, scene: () => Scene][] = [
  ["the connection has never answered a probe", () => {
    const scene = new Scene();
    scene.start();
    scene.call("long", "write");
    scene.pass(10_000);
    return scene;
  }],
  [
    "a probe was answered during an earlier call, but not during this one",
    () => {
      const scene = calling("concurrent");
      scene.call("second", "write");
      scene.pass(10_000);
      return scene;
    },
  ],
  ["there was a probe before a call less than a second before", () => {
    const scene = new Scene();
    scene.start();
    scene.call("short", "write");
    pong(scene, pings(scene, 1)[0], 1);
    scene.daemon({ id: "short", result: 1 });
    scene.pass(500);
    scene.take();
    scene.call("long", "write");
    scene.pass(10_000);
    return scene;
  }],
];

for (const [what, make] of NO_EVIDENCE) {
  test(`Failover: no evidence: ${what}`, () => {
    const scene = make();
    scene.take();
    assertEquals(scene.epoch, 2, "the standby");
    answering(scene);
    assertEquals([scene.isLeft(1), replies(scene)], [false, []]);
    scene.daemon({ id: "long", result: 1 }, 1);
    assertEquals(replies(scene), [["long", undefined]]);
  });
}

test("Failover: a connection that answers before the standby's second pong is kept", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  const [first] = pings(scene, 1);
  pong(scene, greeted(scene), 2);
  scene.pass(4_900);
  pong(scene, first, 1);
  assertEquals(scene.isLeft(2), true, "it has nothing to show any more");
  scene.pass(2_000);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: "long", result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["long"]);
});

test("Draining: a connection that closes fails only its own calls", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  answering(scene);
  scene.call("new", "write");
  scene.take();
  scene.close(1006, 1);
  assertEquals(replies(scene), [["long", -31002]]);
  assertEquals(scene.dials.length, 2, "the main link stands");
});

test("Draining: the connection is probed in silence", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  answering(scene);
  scene.take();
  scene.pass(11_000);
  assertEquals(pings(scene, 1).length, 2);
});

test("Failover: when no standby answers, the call keeps all its time, and standbys follow the backoff", () => {
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

test("Failover: a standby that answers initialize but no ping shows nothing", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  greeted(scene);
  scene.pass(5_000);
  assertEquals(scene.isLeft(2), true);
  assertEquals([scene.isLeft(1), scene.replies()], [false, []]);
  scene.daemon({ id: "long", result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), ["long"]);
});

test("Failover: any message on the suspect connection clears the suspicion", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.open();
  scene.daemon({ method: "notifications/message", params: {} }, 1);
  assertEquals(scene.isLeft(2), true);
  scene.take();
  scene.call("new", "write");
  assertEquals(scene.sent().map(({ id }) => id), ["new"]);
});

test("Failover: when the suspect connection closes, the standby is closed and one dial is made", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.open();
  scene.pass(2_001);
  scene.close(1006, 1);
  assertEquals(scene.isLeft(2), true);
  assertEquals(scene.replies()[0].error.code, -31002);
  scene.untilDial();
  assertEquals(scene.epoch, 3);
});

test("Failover: with evidence, new calls wait while the standby is refused, 45 s at most, and fail as not delivered", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.take();
  scene.call("new", "write");
  const until = scene.now + 44_999;
  while (scene.now < until) {
    scene.refuse();
    scene.pass(Math.min(until - scene.now, 500));
  }
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], ["new", -31001, "no"]);
});

test("Failover: a call that came during the silence does not weaken the evidence", () => {
  const scene = calling("concurrent");
  scene.pass(9_000);
  scene.call("late", "write");
  scene.pass(1_000);
  answering(scene);
  assertEquals(replies(scene), []);
  scene.daemon({ id: "late", result: 1 }, 1);
  assertEquals(replies(scene), [["late", undefined]]);
});

test("Failover: when the standby is refused without evidence, new calls are sent on the first connection", () => {
  const scene = calling("serial");
  scene.pass(9_750);
  scene.call("new", "write");
  scene.open();
  scene.close(1013);
  assertEquals(scene.written().at(-1).id, "new");
});

test("Failover: when the standby hangs, new calls are sent on the first connection", () => {
  const scene = calling("concurrent");
  scene.pass(10_000);
  scene.call("new", "write");
  scene.pass(14_999);
  assertEquals(scene.written().some(({ id }) => id === "new"), false);
  scene.pass(1);
  assertEquals(scene.written().at(-1).id, "new");
  scene.pass(60_000);
  assertEquals(scene.replies(), []);
  scene.daemon({ id: "new", result: 1 }, 1);
  assertEquals(replies(scene), [["new", undefined]]);
});

test("Wait progress: clients are notified while their connection is suspect", () => {
  const scene = new Scene();
  scene.start();
  scene.call("flight", "write", { progressToken: 1 });
  scene.call("silent", "write");
  scene.pass(250);
  pong(scene, pings(scene, 1).at(-1), 1);
  scene.pass(10_000);
  scene.call("queue", "write", { progressToken: 2 });
  scene.pass(1_000);
  const told = scene.replies().map(({ method, params }) => {
    assertEquals(method, "notifications/progress");
    return [params.progressToken, params.message];
  });
  assertEquals(told.map(([token]) => token), [1, 2]);
  for (const [, message] of told) {
    assertMatch(message, /silent: a second connection is to show/);
  }
  scene.take();
  scene.pass(5_000);
  assertEquals(
    scene.replies().map(({ params }) => params.progressToken).toSorted(),
    [1, 2],
  );
  const [{ params: { progress } }] = scene.replies();
  assert(progress > 0 && progress < 0.001, "the daemon's own is still more");
});

test("Draining: at most sixteen connections; then no standby is opened, and no call is lost", () => {
  const scene = new Scene();
  scene.start();
  for (let n = 1; n <= 16; n++) {
    scene.call(n, "write");
    scene.pong();
    scene.pass(10_000);
    assertEquals([scene.epoch, scene.replies()], [n + 1, []]);
    answering(scene);
  }
  scene.call(17, "write");
  scene.pong();
  scene.pass(60_000);
  assertEquals([scene.epoch, scene.replies()], [17, []]);
  scene.daemon({ id: 1, result: 1 }, 1);
  scene.pass(0);
  assertEquals([scene.epoch, scene.replies().length], [18, 1]);
});

test("Failover: after a sleep a daemon that answers no ping gets new calls, and ever fewer dials", () => {
  const scene = new Scene();
  scene.start();
  scene.call(1, "write");
  scene.pass(1_000);
  scene.sleep(7_000);
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

test("Failover: for a client that never initialized, a ping opens the standby", () => {
  const scene = new Scene();
  scene.open();
  scene.ask(1, "vendor/long");
  const [{ id: opening }] = scene.sent();
  scene.daemon({ id: opening, result: {} });
  scene.pass(10_000);
  scene.take();
  scene.open();
  scene.pong();
  scene.pong();
  scene.pass(5_000);
  scene.pong();
  scene.take();
  scene.ask(2, "vendor/short");
  scene.pong();
  assertEquals(scene.written().map(({ id }) => id), [2]);
  scene.daemon({ id: 2, result: 1 });
  scene.daemon({ id: 1, result: 1 }, 1);
  assertEquals(scene.replies().map(({ id }) => id), [2, 1]);
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

test("Failover: a call's deadline and the standby's handshake timeout at once make one dial", () => {
  const scene = calling("concurrent", { requestTimeout: 25_250 });
  scene.pass(25_000);
  const { length } = scene.dials;
  scene.pass(300);
  assertEquals(scene.dials.length, length + 1);
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
