/**
 * How soon a daemon that is back is used, by kind of outage; what ends the
 * waiting, and what does not make anybody dial.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import {
  DIAL_ENDS,
  displaced,
  down,
  live,
  pass,
} from "../../helpers/session/outage.ts";
import { Scene } from "../../helpers/session/session_driver.ts";

for (const [what, end] of Object.entries(DIAL_ENDS)) {
  // A call that is written to it is lost with the connection.
  if (what === "answers initialize and closes") continue;
  test(`Reconnect: a daemon that ${what} for 34 s is used within 1 s when it recovers, and the call is answered`, () => {
    const scene = down();
    scene.call(1, "write");
    pass(scene, 34_000, end);
    const { length } = scene.dials;
    assert(length < 34_000 / 900 + 5, `${length} dials`);
    const { now } = scene;
    scene.take();
    scene.untilDial();
    assert(scene.now - now <= 1_000, `${scene.now - now}`);
    scene.again();
    assertEquals(scene.written().at(-1).id, 1);
    scene.daemon({ id: 1, result: {} });
    assertEquals(scene.replies().map(({ id }) => id), [1]);
  });
}

test("Reconnect: a waiting call dials within 1 s, however often the daemon restarts", () => {
  const scene = down();
  for (let round = 1; round <= 20; round++) {
    scene.call(round, "write");
    pass(scene, 1_300);
    const { now } = scene;
    scene.take();
    scene.untilDial();
    assert(scene.now - now <= 1_000, `round ${round}: ${scene.now - now}`);
    scene.again();
    scene.daemon({ id: round, result: {} });
    assertEquals(scene.replies().at(-1).id, round);
    scene.pass(1_000);
    scene.close();
  }
  assertEquals(scene.replies().filter(({ error }) => error), []);
});

const HELD: [what: string, ask: (scene: Scene) => void][] = [
  ["a subscription", (scene) =>
    scene.ask("s", "subscriptions/listen", {
      notifications: {},
    })],
  ["server/discover", (scene) => scene.ask("d", "server/discover")],
  [
    "a notification",
    (scene) => scene.client({ method: "notifications/roots/list_changed" }),
  ],
];

for (const [what, ask] of HELD) {
  test(`Reconnect: ${what} alone causes no dial before the backoff table does`, () => {
    for (const end of Object.values(DIAL_ENDS)) {
      const [idle, held] = [down(), down()];
      ask(held);
      for (const scene of [idle, held]) pass(scene, 60_000, end);
      assertEquals(
        held.dials.map(({ at }) => at),
        idle.dials.map(({ at }) => at),
      );
    }
  });
}

test("Reconnect: a call beside a subscription dials at once, and the subscription is sent with it", () => {
  const scene = down();
  scene.ask("s", "subscriptions/listen", { notifications: {} });
  pass(scene, 60_000);
  const { length } = scene.dials;
  scene.call(1, "write");
  assertEquals(scene.dials.length, length + 1);
  scene.take();
  scene.again();
  assertEquals(scene.written().slice(-2).map(({ id }) => id), ["s", 1]);
});

test("Queue timeout: the sum of all waits of a request that is sent again", () => {
  const scene = down();
  scene.ask(1, "resources/read");
  pass(scene, 30_000);
  scene.untilDial();
  const waited = scene.now;
  scene.take();
  scene.again();
  assertEquals(scene.written().at(-1).id, 1);
  live(scene, 60);
  scene.take();
  scene.close();
  pass(scene, 45_000 - waited - 1);
  assertEquals(scene.replies(), []);
  pass(scene, 1);
  const [{ error }] = scene.replies();
  assertEquals([error.code, error.data.delivered], [-31001, "unknown"]);
});

test("exai queue timeout: does not run while a call waits for a free connection", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  for (const id of [1, 2, 3, 4, 5]) scene.call(id, "chat");
  pass(scene, 10_000);
  scene.untilDial();
  const waited = scene.now;
  const from = scene.epoch;
  scene.greet();
  for (let epoch = from + 1; epoch <= scene.epoch; epoch++) scene.greet(epoch);
  scene.take();
  scene.pass(100_000);
  const epochs = [from, ...[1, 2, 3, 4].map((n) => scene.epoch - 4 + n)];
  for (const epoch of epochs) scene.close(1006, epoch);
  pass(scene, 45_000 - waited - 1);
  assertEquals(scene.answers().filter(([id]) => id === 5), []);
  pass(scene, 1);
  assertEquals(scene.answers().filter(([id]) => id === 5), [[5, -31001]]);
});

test("exai queue timeout: runs while the main connection is away, even if another call runs", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  scene.greet();
  scene.running(1);
  scene.close(1006, 1);
  scene.call(2, "chat");
  pass(scene, 44_999);
  assertEquals(scene.answers(), []);
  pass(scene, 1);
  assertEquals(scene.answers(), [[2, -31001]]);
});

test("Queue timeout: runs while the daemon does not read", () => {
  const scene = new Scene({ pingInterval: Infinity });
  scene.start();
  scene.do({ type: "backlog", epoch: 1, is: "full" });
  scene.call(1, "write");
  scene.pass(30_000);
  scene.do({ type: "backlog", epoch: 1, is: "read" });
  assertEquals(scene.written().at(-1).id, 1);
  scene.do({ type: "backlog", epoch: 1, is: "full" });
  scene.take();
  scene.call(2, "write");
  scene.pass(44_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], [2, -31001, "no"]);
  assertMatch(error.message, /not available: it does not read what is sent/);
});

test("Queue timeout: a connection that is ready before a late timer fires serves the request", () => {
  const scene = down();
  scene.call(1, "write");
  pass(scene, 44_000);
  scene.untilDial();
  scene.take();
  scene.open();
  const { id } = scene.written().find(({ method }) => method === "initialize")!;
  scene.now = 45_100; // no tick came at 45 s
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id, result });
  assertEquals(scene.written().at(-1).id, 1);
  assertEquals(scene.replies(), []);
});

test("Queue timeout: of a call that was sent once, the outcome is unknown", () => {
  const scene = new Scene({ retry: "always", pingInterval: Infinity });
  scene.start();
  scene.call(1, "write");
  scene.close();
  pass(scene, 44_900);
  assertEquals(scene.replies(), []);
  pass(scene, 200);
  const [{ error }] = scene.replies();
  assertEquals([error.code, error.data.delivered], [-31001, "unknown"]);
});

test("exai queue timeout: the sum of the waits for the main connection and for one of the pool", () => {
  const scene = new ExaiScene();
  scene.call(1, "chat");
  pass(scene, 30_000);
  scene.untilDial();
  const { now } = scene;
  scene.take();
  scene.greet();
  scene.pass(45_000 - now - 1);
  assertEquals(scene.answers(), []);
  scene.pass(1);
  assertEquals(scene.answers(), [[1, -31001]]);
});

for (const code of [1008, 1000, 1011, 4003]) {
  test(`Refusal: close code ${code} after requests were answered is an ordinary loss`, () => {
    const scene = new Scene();
    scene.start();
    scene.close(code);
    scene.call(1, "write");
    assertEquals(scene.replies(), []);
    scene.pass(250);
    scene.take();
    scene.again();
    assertEquals(scene.written().at(-1).id, 1);
    assertEquals(/token/.test(scene.log()), false);
  });
}

test("exai refusal: close code 4003 after requests were answered is an ordinary loss", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.close(4003, 1);
  scene.call(1, "chat");
  assertEquals(scene.answers(), []);
  scene.untilDial();
  scene.greet();
  assertEquals(scene.greet().map(({ op }) => op), ["call_tool"]);
});

/** The daemon says no to the dial that was made last. */
const REFUSALS: [
  what: string,
  scene: () => Scene,
  refuse: (s: Scene) => void,
][] = [
  ["mcp, 1008 before the first answer", down, (scene) => {
    scene.open();
    scene.close(1008);
  }],
  ["mcp, HTTP 401", down, (scene) => {
    const how = { code: 0, reason: "HTTP 401", status: 401, reached: true };
    scene.do({ type: "closed", epoch: scene.epoch, ...how });
  }],
  ["exai, unauthorized", () => {
    const scene = new ExaiScene();
    scene.take();
    return scene;
  }, (scene) => {
    scene.open();
    const no = { op: "hello_ack", ok: false, error: "unauthorized" };
    scene.daemon(JSON.stringify(no));
    if (scene.session.snapshot().standing.phase === "greeting") {
      scene.close(4003);
    }
  }],
];

for (const [what, start, refuse] of REFUSALS) {
  test(`Refusal (${what}): a request 5 s after the last dial makes one, and fails with its outcome`, () => {
    const scene = start();
    if (scene.session.snapshot().standing.phase === "waiting") {
      scene.untilDial();
    }
    refuse(scene);
    scene.take();
    const { length } = scene.dials;
    const at = scene.dials.at(-1)!.at;
    scene.pass(at + 4_900 - scene.now);
    scene.ask(1, "tools/list");
    assertEquals(scene.replies().map(({ error }) => error.data.reason), [
      "refused",
    ]);
    assertEquals(scene.dials.length, length);
    scene.take();
    scene.pass(100);
    for (const id of [2, 3]) scene.ask(id, "tools/list");
    assertEquals([scene.dials.length, scene.replies()], [length + 1, []]);
    refuse(scene);
    assertEquals(
      scene.replies().map(({ id, error }) => [id, error.data.reason]),
      [
        [2, "refused"],
        [3, "refused"],
      ],
    );
    scene.take();
    scene.pass(29_900);
    assertEquals(scene.dials.length, length + 1, "nobody asks: the cap");
  });
}

test("Refusal: when the token is right again, the next request 5 s later is answered", () => {
  const scene = new ExaiScene();
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  scene.pass(5_000);
  scene.take();
  scene.ask(1, "tools/list");
  assertEquals(scene.greet().map(({ op }) => op), ["list_tools"]);
  scene.say({ op: "list_tools_res", tools: [] });
  assertEquals(scene.replies().at(-1).id, 1);
});

test("exai refusal: one on a call's connection ends when the main connection is accepted again", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.call(1, "chat");
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(scene.answers(), [[1, -31001]]);
  scene.close(1006, 1);
  scene.call(2, "chat");
  scene.untilDial();
  scene.take();
  scene.greet();
  assertEquals(scene.greet().map(({ op }) => op), ["call_tool"]);
});

test("Refusal: ends with a dial that fails in another way", () => {
  const scene = down();
  scene.untilDial();
  scene.open();
  scene.close(1008);
  scene.pass(5_000);
  scene.take();
  scene.call(1, "write");
  scene.refuse();
  assertEquals(scene.replies(), []);
  pass(scene, 3_000);
  scene.take();
  scene.untilDial();
  scene.again();
  assertEquals(scene.written().at(-1).id, 1);
});

/** A scene whose connection answered a probe during a call, and is silent since; a second one is dialed. */
function suspected(): Scene {
  const scene = new Scene();
  scene.start();
  scene.call("long", "write");
  scene.pass(250);
  const { id } = scene.sent().findLast(({ method }) => method === "ping")!;
  scene.daemon({ id, result: {} });
  scene.pass(10_000);
  return scene;
}

test("Refusal: of a standby it concerns the standby alone", () => {
  const scene = suspected();
  assertEquals(scene.dials.length, 2);
  scene.call("new", "write");
  scene.open();
  scene.close(1008);
  assertEquals(scene.replies(), []);
});

test("Standby: one that the daemon closes is dialed ever less often", () => {
  const scene = suspected();
  scene.ask("waits", "resources/read");
  const start = scene.now;
  let dials = 0;
  for (let { length } = scene.dials; scene.now < start + 40_000;) {
    scene.open();
    scene.close(1000);
    scene.take();
    while (scene.dials.length === length && scene.now < start + 40_000) {
      scene.pass(50);
    }
    dials += scene.dials.length - length;
    length = scene.dials.length;
  }
  assert(dials <= 8, `${dials}`);
});

test("exai pool: a daemon that accepts no further connection is dialed by the backoff table only", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  scene.greet();
  scene.running(0);
  for (const id of [1, 2, 3]) scene.call(id, "chat");
  const start = scene.now;
  const { length } = scene.dials;
  const open = new Set<number>();
  while (scene.now < start + 60_000) {
    for (const effect of scene.take()) {
      if (effect.type === "dial") open.add(effect.epoch);
    }
    for (const epoch of open) {
      scene.open(epoch);
      scene.close(1008, epoch);
    }
    open.clear();
    scene.pass(50);
  }
  // Three links by the table: 0.25, 0.5, 1, 2, 4, 8, 16, 30 s.
  const dials = scene.dials.length - length;
  assert(dials > 3 && dials <= 3 * 9, `${dials}`);
});

test("Back-pressure: the log says that the next dial waits for the client to read", () => {
  const scene = new Scene();
  scene.start();
  scene.do({ type: "clogged" });
  assertMatch(scene.log(), /Reconnecting when the client has read\.$/);
  const { length } = scene.dials;
  scene.pass(60_000);
  assertEquals(scene.dials.length, length);
  scene.do({ type: "drained" });
  assertEquals(scene.dials.length, length + 1);
});

test("exai refusal: the checking dial goes on while the main connection is dialed again", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.call(1, "chat");
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  scene.pass(4_900);
  scene.health(1, "0:01:00");
  scene.pass(100);
  scene.take();
  scene.call(2, "chat");
  const { epoch } = scene;
  scene.close(1006, 1);
  scene.untilDial();
  scene.greet();
  scene.take();
  assertEquals(scene.greet(epoch).map(({ op }) => op), ["call_tool"]);
});

test("--give-up-after: does not run during a displacement, and starts with the next request", () => {
  const scene = displaced({ giveUpAfter: 20_000 });
  scene.pass(3_600_000);
  assertEquals(scene.exit(), undefined);
  scene.call(1, "write");
  assertEquals(scene.exit(), undefined);
  pass(scene, 19_999);
  assertEquals(scene.exit(), undefined);
  pass(scene, 1);
  assertEquals(scene.exit(), 1);
});

test("--give-up-after: starts with the first message of a silent client", () => {
  const scene = new Scene({ giveUpAfter: 20_000 });
  scene.open();
  scene.pass(60_000);
  scene.ask(0, "initialize", { protocolVersion: "2025-06-18" });
  assertEquals(scene.exit(), undefined);
  scene.daemon({ id: 0, result: {} });
  assertEquals(scene.replies().map(({ id }) => id), [0]);
});

test("Handshake: an initialize after other requests is answered from the cache, and still reaches the daemon", () => {
  const said = '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}';
  const remembered = { initialize: { "2025-06-18": said }, lists: {} };
  const scene = new Scene({ remembered });
  scene.refuse();
  scene.untilDial();
  scene.call(1, "write");
  scene.open();
  const [{ id }] = scene.sent();
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  assertEquals(scene.replies().map(({ id }) => id), ["init"]);
  scene.take();
  scene.daemon({ id, result: {} });
  const [hello, ...rest] = scene.sent();
  assertEquals([hello.method, rest], ["initialize", []]);
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: hello.id, result });
  assertEquals(scene.sent().at(-1).id, 1);
});
