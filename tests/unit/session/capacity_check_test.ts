/**
 * Tests the capacity check: how the proxy learns whether a daemon keeps two
 * connections for a client, what waits meanwhile, and what is cached.
 *
 * @module
 */

import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
} from "../../../lib/cache/cache.ts";
import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

const SERVER = { name: "daemon", version: "7" };

const RESULT = {
  protocolVersion: "2025-06-18",
  capabilities: { tools: {} },
  serverInfo: SERVER,
};

const WEEK_MS = 7 * 24 * 3_600_000;

/**
 * Returns a session whose main connection has just become ready, after a
 * handshake of `handshakeMs`.
 */
function connectAfter(
  config: Partial<SessionConfig> = {},
  handshakeMs = 0,
): SessionDriver {
  const driver = new SessionDriver({
    connections: "auto",
    cachedResults: EMPTY_CACHED_RESULTS,
    ...config,
  });
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.advance(handshakeMs);
  driver.open();
  driver.fromDaemon({ id: "init", result: RESULT });
  driver.fromClient({ method: "notifications/initialized" });
  return driver;
}

function capacityOf(driver: SessionDriver): string {
  return driver.session.snapshot().connections;
}

/** Returns the messages sent on a connection, and takes all effects. */
function sentOn(driver: SessionDriver, connectionId: number): Json[] {
  return driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" && effect.connectionId === connectionId
      ? [JSON.parse(effect.text)]
      : []
  );
}

/** The id of the probe on the main connection, set by `openSecondConnection`. */
let main: string;

/**
 * Opens the second connection, and answers its handshake. Returns the id of the
 * probe on it.
 */
function openSecondConnection(driver: SessionDriver): Json {
  assertEquals(driver.connectionId, 2, "it was dialed");
  driver.takeEffects();
  driver.open();
  const [{ id, method }] = sentOn(driver, 2);
  assertEquals(method, "initialize");
  driver.fromDaemon({ id, result: RESULT });
  const sent = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon"
      ? [{ ...JSON.parse(effect.text), connectionId: effect.connectionId }]
      : []
  );
  assertEquals(sent.map(({ method, connectionId }) => [method, connectionId]), [
    ["ping", 2],
    ["ping", 1],
  ], "no notifications/initialized is sent");
  main = sent[1].id;
  return sent[0].id;
}

/** Opens the second connection, and answers every probe of the check. */
function answerOnBoth(driver: SessionDriver): void {
  driver.fromDaemon({ id: openSecondConnection(driver), result: {} });
  assertEquals(driver.isConnectionClosed(2), false);
  driver.fromDaemon({ id: main, result: {} }, 1);
  assertEquals(driver.isConnectionClosed(2), true);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.answerProbe(1);
}

/** Returns the cache that was saved last, if any, and takes all effects. */
function lastSavedCache(driver: SessionDriver): CachedResults | undefined {
  return driver.takeEffects().flatMap((effect) =>
    effect.type === "save-cache" ? [effect.results] : []
  ).at(-1);
}

test("Capacity check: a daemon that answers on both connections, and on the first after the second is closed, keeps many", () => {
  const driver = connectAfter();
  answerOnBoth(driver);
  assertEquals(capacityOf(driver), "many");
  assertEquals(
    lastSavedCache(driver)?.oneConnectionDaemons,
    undefined,
    "only `one` is cached",
  );
});

test("Capacity check: delays requests, but not notifications", () => {
  const driver = connectAfter();
  driver.request(1, "tools/list");
  driver.callTool(2, "write");
  assertEquals(driver.sentToDaemon().map(({ method }) => method), [
    "initialize",
    "notifications/initialized",
  ]);
  answerOnBoth(driver);
  driver.answerProbe(1); // This answers the probe before the call.
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1, 2]);
});

test("Capacity check: the check and the first handshake delay a request by at most 450 ms", () => {
  for (const handshakeMs of [0, 100, 150]) {
    const driver = connectAfter({}, handshakeMs);
    driver.callTool(1, "write");
    driver.open();
    driver.close(1013); // Now the main connection must answer.
    driver.advance(450 - handshakeMs - 1);
    assertEquals(driver.sentExceptProbes().some(({ id }) => id === 1), false);
    driver.advance(1);
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
    assertEquals(capacityOf(driver), "one");
  }
});

/**
 * What a daemon with a capacity of one does, whether the first connection stays
 * usable, and whether the capacity is cached.
 */
const KEEPS_ONE: [
  what: string,
  end: (driver: SessionDriver) => void,
  first: "lives" | "is closed",
  isCached: boolean,
][] = [
  [
    "nothing listens for a second one",
    (driver) => {
      driver.failDial();
      driver.answerProbe(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed with 1013",
    (driver) => {
      driver.open();
      driver.close(1013);
      driver.answerProbe(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed with 1008, which does not count as a refusal",
    (driver) => {
      driver.open();
      driver.close(1008);
      driver.answerProbe(1);
    },
    "lives",
    true,
  ],
  [
    "the second is closed after the first answer",
    (driver) => {
      openSecondConnection(driver);
      driver.close(1000);
      driver.answerProbe(1);
    },
    "lives",
    true,
  ],
  [
    "the second is silent",
    (driver) => {
      driver.open();
      driver.advance(350);
      driver.answerProbe(1);
    },
    "lives",
    false,
  ],
  [
    "no ping is answered on the second",
    (driver) => {
      openSecondConnection(driver);
      driver.advance(350);
      driver.answerProbe(1);
    },
    "lives",
    false,
  ],
  [
    "no ping is answered on either connection",
    (driver) => {
      openSecondConnection(driver);
      driver.advance(450);
    },
    "is closed",
    false,
  ],
  [
    "both are silent: the daemon may be busy or frozen",
    (driver) => {
      driver.open();
      driver.advance(450);
    },
    "lives",
    false,
  ],
  [
    "the first is closed when the second opens",
    (driver) => {
      driver.open();
      driver.close(1000, 1);
    },
    "is closed",
    true,
  ],
  [
    "the first is closed before the second opens",
    (driver) => {
      driver.close(4000, 1);
    },
    "is closed",
    true,
  ],
  [
    "the first is cut without a close frame",
    (driver) => {
      driver.open();
      driver.close(1006, 1);
    },
    "is closed",
    true,
  ],
  [
    "only the newest connection gets answers, and none once it is closed",
    (driver) => {
      driver.fromDaemon({ id: openSecondConnection(driver), result: {} });
      driver.advance(450);
    },
    "is closed",
    true,
  ],
  [
    "no ping is answered on the first once the second is closed",
    (driver) => {
      driver.fromDaemon({ id: openSecondConnection(driver), result: {} });
      driver.fromDaemon({ id: main, result: {} }, 1);
      driver.advance(450);
    },
    "is closed",
    false,
  ],
];

for (const [what, end, first, isCached] of KEEPS_ONE) {
  test(`Capacity check: the daemon keeps one: ${what}`, () => {
    const driver = connectAfter();
    driver.callTool(1, "write");
    end(driver);
    assertEquals(capacityOf(driver), "one");
    assertEquals(driver.isConnectionClosed(1), first === "is closed");
    assertEquals(driver.dials.length, first === "is closed" ? 3 : 2);
    assert(driver.now <= 500, "in time");
    if (first === "lives") driver.answerProbe(1);
    const effects = driver.takeEffects();
    if (first === "is closed") driver.reconnect();
    driver.answerProbe(3);
    effects.push(...driver.takeEffects());
    const texts = (type: string): string[] =>
      effects.flatMap((it) =>
        it.type === type && "text" in it ? [it.text] : []
      );
    assertEquals(
      texts("send-to-daemon").filter((it) => /"id":1,/.test(it)).length,
      1,
    );
    assertEquals(
      texts("send-to-client").some((it) => /"error"/.test(it)),
      false,
    );
    const warned = effects.some((it) =>
      it.type === "log" && it.level === "warn"
    );
    assertEquals(warned, false, "a user need not know it");
    const saved = effects.flatMap((it) =>
      it.type === "save-cache" ? [it.results] : []
    ).at(-1);
    assertEquals(
      saved?.oneConnectionDaemons,
      isCached ? { "daemon 7": WEEK_MS } : undefined,
    );
    driver.advance(300_000);
    const isOne = driver.dials.length <= (first === "is closed" ? 3 : 2);
    assert(isOne, "no second connection again");
  });
}

test("Capacity check: a cached result counts for a week, and for that version of the daemon", () => {
  const cachedResults = {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { "daemon 7": 60_000 },
  };
  assertEquals(connectAfter({ cachedResults }).dials.length, 1);
  assertEquals(capacityOf(connectAfter({ cachedResults })), "one");
  const other = {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { "daemon 6": 60_000 },
  };
  assertEquals(connectAfter({ cachedResults: other }).dials.length, 2);
  const brief = {
    ...EMPTY_CACHED_RESULTS,
    oneConnectionDaemons: { "daemon 7": 1_000 },
  };
  const driver = new SessionDriver({
    connections: "auto",
    cachedResults: brief,
  });
  driver.open();
  driver.advance(1_000);
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.fromDaemon({ id: "init", result: RESULT });
  assertEquals(driver.dials.length, 2, "too long ago");
});

const NOT_CHECKED: [what: string, driver: () => SessionDriver][] = [
  ["--connections one", () => connectAfter({ connections: "one" })],
  ["--connections many", () => connectAfter({ connections: "many" })],
  [
    "the daemon is slow: it may start a process for each connection",
    () => connectAfter({}, 151),
  ],
  ["probes are switched off", () => connectAfter({ pingInterval: Infinity })],
];

for (const [what, make] of NOT_CHECKED) {
  test(`Capacity check: not started: ${what}`, () => {
    const driver = make();
    driver.callTool(1, "write");
    driver.advance(400);
    assertEquals(driver.dials.length, 1);
    assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  });
}

test("Capacity check: not started after the first call, even after a reconnect; a list request is not a call", () => {
  for (
    const [method, dials] of [["tools/list", 3], ["tools/call", 2]] as const
  ) {
    const driver = new SessionDriver({
      connections: "auto",
      cachedResults: EMPTY_CACHED_RESULTS,
    });
    driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
    driver.advance(1_000);
    driver.open();
    driver.fromDaemon({ id: "init", result: RESULT });
    driver.request(1, method, { name: "x" });
    driver.fromDaemon({ id: 1, result: { tools: [] } });
    driver.close();
    driver.advanceToNextDial();
    driver.takeEffects();
    driver.reconnect();
    assertEquals(driver.dials.length, dials, method);
  }
});

test("Capacity check: has no result if the daemon goes away or freezes, and is not repeated in this process", () => {
  const away = connectAfter();
  away.open();
  away.close(1006, 1);
  away.close(1006, 2);
  away.failDial();
  away.advanceToNextDial();
  const still = connectAfter();
  still.fromDaemon({ id: openSecondConnection(still), result: {} });
  still.advance(1_451);
  assertEquals(still.isConnectionClosed(1), true);
  for (const driver of [away, still]) {
    assertEquals(lastSavedCache(driver)?.oneConnectionDaemons, undefined);
    driver.reconnect();
    assertEquals(capacityOf(driver), "one");
    assertEquals(lastSavedCache(driver)?.oneConnectionDaemons, undefined);
    const { length } = driver.dials;
    driver.advance(4_000);
    assertEquals(driver.dials.length, length);
  }
});

test("Capacity check: losing the daemon does not change a known capacity of many", () => {
  const driver = connectAfter();
  answerOnBoth(driver);
  driver.close(1006, 1);
  driver.advanceToNextDial();
  driver.failDial();
  assertEquals(capacityOf(driver), "many");
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  assertEquals(capacityOf(driver), "many");
});

test("Capacity check: a first connection that closes within 2 s of a standby's opening shows a capacity of one", () => {
  const driver = connectAfter();
  answerOnBoth(driver);
  driver.callTool("long", "write");
  driver.answerProbe(1);
  driver.advance(10_250);
  assertEquals(driver.connectionId, 3, "the standby");
  driver.takeEffects();
  driver.open();
  driver.advance(1_900);
  driver.close(1000, 1);
  assertEquals(capacityOf(driver), "one");
  assertEquals(driver.isConnectionClosed(3), true);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  assertEquals(lastSavedCache(driver)?.oneConnectionDaemons, {
    "daemon 7": WEEK_MS,
  });
});

test("Capacity check: a sleep ends the check without a result, and requests are sent", () => {
  const driver = connectAfter();
  driver.callTool(1, "write");
  driver.sleep(60_000);
  assertEquals(driver.isConnectionClosed(2), true);
  driver.answerProbe(1);
  driver.answerProbe(1);
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
  assertEquals(capacityOf(driver), "one");
  assertEquals(lastSavedCache(driver)?.oneConnectionDaemons, undefined);
});

test("Capacity check: when the client leaves, both connections are closed", () => {
  const driver = connectAfter();
  driver.open();
  driver.end();
  driver.advance(1_500);
  assertEquals([driver.isConnectionClosed(1), driver.isConnectionClosed(2)], [
    true,
    true,
  ]);
  assertEquals(driver.exitCode(), 0);
});

test("Capacity check: messages on its second connection do not reach the client", () => {
  const driver = connectAfter();
  driver.takeEffects();
  openSecondConnection(driver);
  driver.fromDaemon({ method: "notifications/message", params: {} }, 2);
  driver.fromDaemon({ method: "notifications/tools/list_changed" }, 2);
  assertEquals(driver.sentToClient(), []);
});

test("Capacity check: a second connection that closes does not make the first one suspect", () => {
  const driver = connectAfter();
  driver.callTool(1, "write");
  driver.open();
  driver.close(1013);
  driver.advance(450);
  assertEquals([
    driver.isConnectionClosed(1),
    driver.sentExceptProbes().at(-1).id,
  ], [false, 1]);
});

test("Capacity check: the log says that the daemon keeps one, and why", () => {
  const driver = connectAfter();
  driver.takeEffects();
  driver.open();
  driver.close(1000, 1);
  driver.takeEffects();
  driver.reconnect();
  assertMatch(driver.logText(), /keeps one connection for a client/);
});
