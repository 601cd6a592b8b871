/**
 * Another client that takes the connection again and again.
 *
 * @module
 */

import { Displacement, mayDisplace } from "../../../lib/link/displacement.ts";
import { NOTHING } from "../../../lib/cache/cache.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { displaced, live, pass, taken } from "../../helpers/session/outage.ts";
import { Scene } from "../../helpers/session/session_driver.ts";

for (const code of [1000, 1005, 1008, 4000]) {
  test(`Displacement: two losses within 10 s with code ${code}: the next dial comes with a request only`, () => {
    const scene = new Scene();
    scene.start();
    scene.close(code);
    assertEquals(/another client/i.test(scene.log()), false, "once");
    taken(scene, 200, code);
    assertMatch(scene.log(), /another client takes the connection/);
    assertEquals(scene.session.snapshot().standing, { phase: "displaced" });
    const { length } = scene.dials;
    scene.pass(3_600_000);
    assertEquals(scene.dials.length, length);
    scene.call(1, "write");
    assertEquals(scene.dials.length, length + 1);
    scene.take();
    scene.again();
    assertEquals(scene.sent().at(-1).id, 1);
    scene.daemon({ id: 1, result: {} });
    scene.close(code);
    scene.pass(3_600_000);
    assertEquals(scene.dials.length, length + 1, "still");
  });
}

const OTHERS: [what: string, end: (scene: Scene) => void][] = [
  ["closed with 1001 (the daemon goes away)", (scene) => taken(scene, 9, 1001)],
  ["closed with 1012 (it restarts)", (scene) => taken(scene, 9, 1012)],
  ["lost without a close frame", (scene) => taken(scene, 9, 1006)],
  ["closed an hour later", (scene) => {
    scene.untilDial();
    scene.take();
    scene.again();
    live(scene, 3_600);
    scene.close(1000);
  }],
  ["closed, and the daemon was away between", (scene) => {
    scene.untilDial();
    scene.refuse();
    taken(scene);
  }],
];

for (const [what, end] of OTHERS) {
  test(`Displacement: none where the connection was ${what}`, () => {
    const scene = new Scene();
    scene.start();
    scene.close(1000);
    end(scene);
    assertEquals(/another client/i.test(scene.log()), false);
    const { length } = scene.dials;
    scene.pass(31_000);
    assert(scene.dials.length > length);
  });
}

test("Displacement: ends with a connection that lasts for a minute", () => {
  const scene = displaced();
  scene.call(1, "write");
  scene.untilDial();
  scene.take();
  scene.again();
  scene.daemon({ id: 1, result: {} });
  live(scene, 60);
  const { length } = scene.dials;
  scene.close(1000);
  scene.pass(250);
  assertEquals(scene.dials.length, length + 1);
});

test("Displacement: ends where the daemon is away", () => {
  const scene = displaced();
  scene.pass(60_000);
  scene.ask(1, "resources/read");
  scene.refuse();
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  const { length } = scene.dials;
  for (let dials = 1; dials <= 5; dials++) {
    scene.untilDial();
    scene.refuse();
  }
  assertEquals(scene.dials.length, length + 5);
});

for (const method of ["server/discover", "subscriptions/listen"]) {
  test(`Displacement: ${method} makes one dial`, () => {
    const scene = displaced();
    const { length } = scene.dials;
    scene.ask("held", method, { notifications: {} });
    scene.untilDial();
    scene.take();
    scene.again();
    assertEquals(scene.written().at(-1).id, "held");
    assertEquals(scene.dials.length, length + 1);
    scene.take();
    scene.close(1000);
    scene.pass(3_600_000);
    // What has an answer is asked for again.
    const isAsked = method === "server/discover";
    assertEquals(scene.dials.length > length + 1, isAsked);
    assertEquals(/Infinity/.test(scene.log()), false);
  });
}

test("Displacement: a connection of half a minute does not end it", () => {
  const scene = displaced();
  scene.ask(1, "resources/read");
  scene.untilDial();
  scene.take();
  scene.again();
  scene.daemon({ id: 1, result: {} });
  live(scene, 32);
  scene.close(1000);
  assertEquals(scene.session.snapshot().standing, { phase: "displaced" });
});

test("Displacement: a refusal is dialed again at the cap", () => {
  const scene = displaced({ giveUpAfter: 100_000 });
  scene.call(1, "write");
  scene.untilDial();
  scene.open();
  scene.close(1008);
  assertEquals(scene.session.snapshot().standing.phase, "waiting");
  const { length } = scene.dials;
  scene.pass(31_000);
  assertEquals(scene.dials.length, length + 1);
});

const CAUSES: [what: string, cause: (scene: Scene) => void][] = [
  ["a call in flight", (scene) => scene.call(scene.now, "write")],
  ["a request in flight", (scene) => scene.ask(scene.now, "prompts/get")],
  ["a call beside a second connection of our own", (scene) => {
    const { epoch } = scene;
    scene.call(scene.now, "write");
    scene.pass(10_000);
    scene.open();
    scene.epoch = epoch;
  }],
];

for (const [what, cause] of CAUSES) {
  test(`Displacement: none where ${what} may be the cause`, () => {
    const scene = new Scene();
    scene.start();
    for (let n = 0; n < 3; n++) {
      cause(scene);
      scene.close(1000, scene.epoch);
      scene.untilDial();
      scene.take();
      scene.again();
    }
    assertEquals(/another client/.test(scene.log()), false);
  });
}

test("Displacement: a request an hour later has the whole queue timeout", () => {
  const scene = displaced();
  scene.pass(3_600_000);
  for (const id of [1, 2]) scene.call(id, "write");
  pass(scene, 44_999);
  assertEquals(scene.replies(), []);
  pass(scene, 1);
  assertEquals(scene.replies().map(({ id }) => id), [1, 2]);
});

test("Displacement: a list that is answered from the cache still makes a dial", () => {
  const scene = new Scene({ remembered: NOTHING });
  scene.start();
  const result = { tools: [{ name: "old" }] };
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result });
  scene.close(1000);
  scene.untilDial();
  scene.take();
  scene.again();
  const { id } = scene.written().at(-1);
  scene.daemon({ id, result });
  scene.close(1000);
  const { length } = scene.dials;
  scene.pass(60_000);
  assertEquals(scene.dials.length, length);
  scene.take();
  scene.ask(1, "tools/list");
  assertEquals(scene.replies()[0].result, result);
  assertEquals(scene.dials.length, length + 1);
});

test("Displacement: none where a request of the proxy's own may be the cause of the close", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("list", "tools/list");
  scene.daemon({ id: "list", result: { tools: [] } });
  scene.close(1000);
  // The new daemon is asked for its tools, and closes.
  for (let n = 0; n < 3; n++) taken(scene);
  assertEquals(/another client/.test(scene.log()), false);
});

test("Displacement: a request in flight makes the next dial, and the log says when", () => {
  const scene = displaced();
  scene.ask("d", "server/discover");
  scene.untilDial();
  scene.take();
  scene.again();
  scene.take();
  scene.close(1000);
  assertMatch(scene.log(), /takes the connection\. Reconnecting in 0\.9 s\.$/);
  assertEquals(scene.session.snapshot().standing.phase, "waiting");
});

test("Displacement: a sleep makes no dial", () => {
  const scene = displaced();
  const { length } = scene.dials;
  scene.sleep(60_000);
  scene.pass(60_000);
  assertEquals(scene.dials.length, length);
});

/** The lives of connections that are closed one after the other, and whether that is lasting in the end. */
const LIVES: [what: string, lastedMs: number[], isLasting: boolean][] = [
  ["a single close", [5], false],
  ["a second one after 10 s", [99_999, 10_000], true],
  ["a second one after more than that", [5, 10_001], false],
  ["a third one soon after a late second one", [5, 10_001, 5], true],
  ["one that lasted for less than 60 s after that", [5, 5, 59_999], true],
  ["one that lasted for 60 s", [5, 5, 60_000], false],
];
for (const [what, lastedMs, isLasting] of LIVES) {
  test(`Displacement: ${isLasting ? "lasting" : "not lasting"} after ${what}`, () => {
    const displacement = new Displacement();
    for (const ms of lastedMs) displacement.displaced(1e6 + ms, 1e6);
    assertEquals(displacement.isLasting, isLasting);
    displacement.reset();
    assertEquals(displacement.isLasting, false);
    displacement.displaced(1, 0);
    assertEquals(displacement.isLasting, false, "it counts anew");
  });
}

test("Displacement: only some close codes may mean another client", () => {
  const codes = [0, 1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 3000];
  assertEquals([...codes, 4000, 4003, 4999].filter(mayDisplace), [
    ...[1000, 1005, 1008, 3000, 4000, 4999],
  ]);
});
