/**
 * Whether a daemon keeps two connections for a client: how the proxy learns it,
 * what waits meanwhile, and what the cache keeps of it.
 *
 * @module
 */

import { NOTHING, type Remembered } from "../../../lib/cache/cache.ts";
import type { SessionConfig } from "../../../lib/session/context.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const SERVER = { name: "daemon", version: "7" };

const RESULT = {
  protocolVersion: "2025-06-18",
  capabilities: { tools: {} },
  serverInfo: SERVER,
};

const WEEK_MS = 7 * 24 * 3_600_000;

/** A scene whose main connection has just become ready, after a handshake of some milliseconds. */
function ready(
  config: Partial<SessionConfig> = {},
  handshakeMs = 0,
): Scene {
  const scene = new Scene({
    connections: "auto",
    remembered: NOTHING,
    ...config,
  });
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.pass(handshakeMs);
  scene.open();
  scene.daemon({ id: "init", result: RESULT });
  scene.client({ method: "notifications/initialized" });
  return scene;
}

function keeps(scene: Scene): string {
  return scene.session.snapshot().connections;
}

/** What was sent on a connection since the last look. */
function sentOn(scene: Scene, epoch: number): Json[] {
  return scene.take().flatMap((effect) =>
    effect.type === "send" && effect.epoch === epoch
      ? [JSON.parse(effect.text)]
      : []
  );
}

/** The id of the probe on the main connection. */
let main: string;

/** The second connection opens, and is answered; gives the id of the probe on it. */
function second(scene: Scene): Json {
  assertEquals(scene.epoch, 2, "it was dialed");
  scene.take();
  scene.open();
  const [{ id, method }] = sentOn(scene, 2);
  assertEquals(method, "initialize");
  scene.daemon({ id, result: RESULT });
  const sent = scene.take().flatMap((effect) =>
    effect.type === "send"
      ? [{ ...JSON.parse(effect.text), epoch: effect.epoch }]
      : []
  );
  assertEquals(sent.map(({ method, epoch }) => [method, epoch]), [
    ["ping", 2],
    ["ping", 1],
  ], "no initialized");
  main = sent[1].id;
  return sent[0].id;
}

/** The answers that show that the daemon keeps two. */
function both(scene: Scene): void {
  scene.daemon({ id: second(scene), result: {} });
  assertEquals(scene.isLeft(2), false);
  scene.daemon({ id: main, result: {} }, 1);
  assertEquals(scene.isLeft(2), true);
  assertEquals(scene.isLeft(1), false);
  scene.pong(1);
}

/** What is remembered since, if anything is. */
function learned(scene: Scene): Remembered | undefined {
  return scene.take().flatMap((effect) =>
    effect.type === "remember" ? [effect.learned] : []
  ).at(-1);
}

test("Capacity check: a daemon that answers on both connections, and on the first after the second is closed, keeps many", () => {
  const scene = ready();
  both(scene);
  assertEquals(keeps(scene), "many");
  assertEquals(learned(scene)?.one, undefined, "only `one` is remembered");
});

test("Capacity check: requests wait for it, notifications do not", () => {
  const scene = ready();
  scene.ask(1, "tools/list");
  scene.call(2, "write");
  assertEquals(scene.sent().map(({ method }) => method), [
    "initialize",
    "notifications/initialized",
  ]);
  both(scene);
  scene.pong(1); // before the first call
  assertEquals(scene.written().map(({ id }) => id), [1, 2]);
});

test("Capacity check: delays a request by 450 ms at most, with the handshake of the first connection", () => {
  for (const handshakeMs of [0, 100, 150]) {
    const scene = ready({}, handshakeMs);
    scene.call(1, "write");
    scene.open();
    scene.close(1013); // the first one must answer now
    scene.pass(450 - handshakeMs - 1);
    assertEquals(scene.written().some(({ id }) => id === 1), false);
    scene.pass(1);
    assertEquals(scene.written().at(-1).id, 1);
    assertEquals(keeps(scene), "one");
  }
});

/** How a daemon keeps one connection; whether the first one is of use after that, and whether that is remembered. */
const ONE: [
  what: string,
  end: (scene: Scene) => void,
  first: "lives" | "is left",
  isRemembered: boolean,
][] = [
  [
    "nothing listens for a second one",
    (scene) => {
      scene.refuse();
      scene.pong(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed with 1013",
    (scene) => {
      scene.open();
      scene.close(1013);
      scene.pong(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed with 1008, which concerns it alone",
    (scene) => {
      scene.open();
      scene.close(1008);
      scene.pong(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed after the first answer",
    (scene) => {
      second(scene);
      scene.close(1000);
      scene.pong(1);
    },
    "lives",
    true,
  ],
  [
    "the second is silent",
    (scene) => {
      scene.open();
      scene.pass(350);
      scene.pong(1);
    },
    "lives",
    false,
  ],
  [
    "the second answers no ping",
    (scene) => {
      second(scene);
      scene.pass(350);
      scene.pong(1);
    },
    "lives",
    false,
  ],
  [
    "no ping is answered, neither here nor there",
    (scene) => {
      second(scene);
      scene.pass(450);
    },
    "is left",
    false,
  ],
  [
    "both are silent: the daemon may be busy or frozen",
    (scene) => {
      scene.open();
      scene.pass(450);
    },
    "lives",
    false,
  ],
  [
    "the first is closed when the second opens",
    (scene) => {
      scene.open();
      scene.close(1000, 1);
    },
    "is left",
    true,
  ],
  [
    "the first is closed before the second opens",
    (scene) => {
      scene.close(4000, 1);
    },
    "is left",
    true,
  ],
  [
    "the first is cut without a close frame",
    (scene) => {
      scene.open();
      scene.close(1006, 1);
    },
    "is left",
    true,
  ],
  [
    "the answers go to the newest connection, and then to nobody",
    (scene) => {
      scene.daemon({ id: second(scene), result: {} });
      scene.pass(450);
    },
    "is left",
    true,
  ],
  [
    "the first is deaf once the second is closed",
    (scene) => {
      scene.daemon({ id: second(scene), result: {} });
      scene.daemon({ id: main, result: {} }, 1);
      scene.pass(450);
    },
    "is left",
    false,
  ],
];

for (const [what, end, first, isRemembered] of ONE) {
  test(`Capacity check: the daemon keeps one: ${what}`, () => {
    const scene = ready();
    scene.call(1, "write");
    end(scene);
    assertEquals(keeps(scene), "one");
    assertEquals(scene.isLeft(1), first === "is left");
    assertEquals(scene.dials.length, first === "is left" ? 3 : 2);
    assert(scene.now <= 500, "in time");
    if (first === "lives") scene.pong(1);
    const effects = scene.take();
    if (first === "is left") scene.again();
    scene.pong(3);
    effects.push(...scene.take());
    const texts = (type: string): string[] =>
      effects.flatMap((it) =>
        it.type === type && "text" in it ? [it.text] : []
      );
    assertEquals(texts("send").filter((it) => /"id":1,/.test(it)).length, 1);
    assertEquals(texts("reply").some((it) => /"error"/.test(it)), false);
    const warned = effects.some((it) =>
      it.type === "log" && it.level === "warn"
    );
    assertEquals(warned, false, "it is nothing that a user must know");
    const kept = effects.flatMap((it) =>
      it.type === "remember" ? [it.learned] : []
    ).at(-1);
    assertEquals(kept?.one, isRemembered ? { "daemon 7": WEEK_MS } : undefined);
    scene.pass(300_000);
    const isOne = scene.dials.length <= (first === "is left" ? 3 : 2);
    assert(isOne, "no second connection again");
  });
}

test("Capacity check: a cached result counts for a week, and for that version of the daemon", () => {
  const remembered = { ...NOTHING, one: { "daemon 7": 60_000 } };
  assertEquals(ready({ remembered }).dials.length, 1);
  assertEquals(keeps(ready({ remembered })), "one");
  const other = { ...NOTHING, one: { "daemon 6": 60_000 } };
  assertEquals(ready({ remembered: other }).dials.length, 2);
  const brief = { ...NOTHING, one: { "daemon 7": 1_000 } };
  const scene = new Scene({ connections: "auto", remembered: brief });
  scene.open();
  scene.pass(1_000);
  scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
  scene.daemon({ id: "init", result: RESULT });
  assertEquals(scene.dials.length, 2, "too long ago");
});

const UNTRIED: [what: string, scene: () => Scene][] = [
  ["--connections one", () => ready({ connections: "one" })],
  ["--connections many", () => ready({ connections: "many" })],
  [
    "the daemon is slow: it may start a process for each connection",
    () => ready({}, 151),
  ],
  ["probes are switched off", () => ready({ pingInterval: Infinity })],
];

for (const [what, make] of UNTRIED) {
  test(`Capacity check: left out: ${what}`, () => {
    const scene = make();
    scene.call(1, "write");
    scene.pass(400);
    assertEquals(scene.dials.length, 1);
    assertEquals(scene.written().at(-1).id, 1);
  });
}

test("Capacity check: left out after the first call, also after a reconnect; a list is no call", () => {
  for (
    const [method, dials] of [["tools/list", 3], ["tools/call", 2]] as const
  ) {
    const scene = new Scene({ connections: "auto", remembered: NOTHING });
    scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
    scene.pass(1_000);
    scene.open();
    scene.daemon({ id: "init", result: RESULT });
    scene.ask(1, method, { name: "x" });
    scene.daemon({ id: 1, result: { tools: [] } });
    scene.close();
    scene.untilDial();
    scene.take();
    scene.again();
    assertEquals(scene.dials.length, dials, method);
  }
});

test("Capacity check: shows nothing where the daemon goes away or freezes, and is not repeated in this process", () => {
  const away = ready();
  away.open();
  away.close(1006, 1);
  away.close(1006, 2);
  away.refuse();
  away.untilDial();
  const still = ready();
  still.daemon({ id: second(still), result: {} });
  still.pass(1_451);
  assertEquals(still.isLeft(1), true);
  for (const scene of [away, still]) {
    assertEquals(learned(scene)?.one, undefined);
    scene.again();
    assertEquals(keeps(scene), "one");
    assertEquals(learned(scene)?.one, undefined);
    const { length } = scene.dials;
    scene.pass(4_000);
    assertEquals(scene.dials.length, length);
  }
});

test("Capacity check: a loss of the daemon does not change a known capacity of two", () => {
  const scene = ready();
  both(scene);
  scene.close(1006, 1);
  scene.untilDial();
  scene.refuse();
  assertEquals(keeps(scene), "many");
  scene.untilDial();
  scene.take();
  scene.again();
  assertEquals(keeps(scene), "many");
});

test("Capacity check: a first connection that closes within 2 s of a standby's opening shows a capacity of one", () => {
  const scene = ready();
  both(scene);
  scene.call("long", "write");
  scene.pong(1);
  scene.pass(10_250);
  assertEquals(scene.epoch, 3, "the standby");
  scene.take();
  scene.open();
  scene.pass(1_900);
  scene.close(1000, 1);
  assertEquals(keeps(scene), "one");
  assertEquals(scene.isLeft(3), true);
  scene.untilDial();
  scene.take();
  scene.again();
  assertEquals(learned(scene)?.one, { "daemon 7": WEEK_MS });
});

test("Capacity check: a sleep ends it without a result, and requests go on", () => {
  const scene = ready();
  scene.call(1, "write");
  scene.sleep(60_000);
  assertEquals(scene.isLeft(2), true);
  scene.pong(1);
  scene.pong(1);
  assertEquals(scene.written().at(-1).id, 1);
  assertEquals(keeps(scene), "one");
  assertEquals(learned(scene)?.one, undefined);
});

test("Capacity check: when the client leaves, both connections are closed", () => {
  const scene = ready();
  scene.open();
  scene.end();
  scene.pass(1_500);
  assertEquals([scene.isLeft(1), scene.isLeft(2)], [true, true]);
  assertEquals(scene.exit(), 0);
});

test("Capacity check: messages on its second connection do not reach the client", () => {
  const scene = ready();
  scene.take();
  second(scene);
  scene.daemon({ method: "notifications/message", params: {} }, 2);
  scene.daemon({ method: "notifications/tools/list_changed" }, 2);
  assertEquals(scene.replies(), []);
});

test("Capacity check: a second connection that closes does not make the first one suspect", () => {
  const scene = ready();
  scene.call(1, "write");
  scene.open();
  scene.close(1013);
  scene.pass(450);
  assertEquals([scene.isLeft(1), scene.written().at(-1).id], [false, 1]);
});

test("Capacity check: the log says that the daemon keeps one, and why", () => {
  const scene = ready();
  scene.take();
  scene.open();
  scene.close(1000, 1);
  scene.take();
  scene.again();
  assertMatch(scene.log(), /keeps one connection for a client/);
});
