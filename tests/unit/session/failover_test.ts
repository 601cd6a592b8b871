/**
 * Tests failover: a connection is silent while calls are in flight on it. The
 * daemon's answers on a standby decide what happens to the first connection.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  answerPing,
  answerTwiceOnStandby,
  openStandby,
  pingIds,
  startWithCall,
  startWithFourDraining,
} from "../../helpers/session/silent_connection.ts";

/**
 * Returns a session whose connection froze while it was idle. Then a call
 * arrived, which waits for the answer to its leading probe.
 */
function startFrozen(config: Partial<SessionConfig> = {}): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  driver.advance(5_000);
  answerPing(driver, pingIds(driver, 1)[0], 1);
  driver.advance(2_000);
  driver.callTool("waits", "write");
  assertEquals(driver.sentToDaemon().map(({ method }) => method), ["ping"]);
  return driver;
}

function responsesToClient(driver: SessionDriver): Json[] {
  return driver.sentToClient().map(({ id, error }) => [id, error?.code]);
}

test("Failover: silence during a call leads to probes after 0.25, 5 and 10 s, and then to a standby", () => {
  const driver = startWithCall("serial");
  assertEquals(pingIds(driver, 1).length, 0);
  driver.advance(4_749);
  assertEquals(driver.sentToDaemon(), []);
  driver.advance(1);
  assertEquals(pingIds(driver, 1).length, 1);
  driver.advance(4_999);
  assertEquals(driver.dials.length, 1);
  driver.advance(1);
  assertEquals([driver.dials.length, driver.sentToClient()], [2, []]);
  assertEquals(pingIds(driver, 1).length, 1);
});

test("Failover: a connection becomes suspect after --ping-interval plus --ping-timeout, even between two probes", () => {
  const driver = startWithCall("serial", { pingTimeout: 3_000 });
  driver.advance(7_749);
  assertEquals(driver.dials.length, 1);
  driver.advance(1);
  assertEquals(driver.dials.length, 2);
});

test("Failover: a daemon that keeps one connection gets no standby, and no call is ended", () => {
  for (const connections of ["one", "auto"] as const) {
    const driver = new SessionDriver({ connections });
    driver.open();
    driver.advance(200);
    driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
    driver.advance(200); // This handshake is too slow for a capacity check.
    driver.fromDaemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities: {} },
    });
    driver.callTool("long", "write");
    driver.advance(599_000);
    assertEquals([driver.dials.length, responsesToClient(driver)], [1, [[
      "init",
      void 0,
    ]]]);
    driver.fromDaemon({ id: "long", result: 1 });
    assertEquals(responsesToClient(driver).at(-1), ["long", undefined]);
  }
});

test("Failover: a connection that answered a probe during the call is lost within 18 s, and its calls end", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.callTool("new", "write");
  assertEquals(driver.sentExceptProbes(), [], "it waits");
  answerTwiceOnStandby(driver);
  assertEquals(driver.isConnectionClosed(1), true);
  assertEquals(responsesToClient(driver), [["long", -31002]]);
  assertEquals(driver.sentToDaemon().map(({ method }) => method), [
    "notifications/initialized",
    "ping",
  ]);
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().at(-1).id, "new");
  assertMatch(driver.logText(), /is silent, and the daemon answers on another/);
  assertMatch(driver.logText(), /Reconnected/);
  assert(driver.now < 18_000);
  driver.takeEffects();
  driver.fromDaemon({ id: "new", result: 1 });
  driver.fromDaemon({ id: "long", result: 2 }, 1);
  assertEquals(responsesToClient(driver), [["new", undefined]]);
});

test("Failover: a call whose leading probe is not answered moves to the standby", () => {
  const driver = startFrozen();
  driver.callTool("second", "write");
  driver.advance(4_999);
  assertEquals(driver.dials.length, 1);
  driver.advance(1);
  assertEquals(driver.dials.length, 2);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(
    driver.isConnectionClosed(1),
    true,
    "nothing was in flight on it",
  );
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().slice(-2).map(({ id }) => id), [
    "waits",
    "second",
  ]);
  assertEquals(driver.sentToClient(), []);
  assertEquals(driver.now, 12_000);
});

test("Failover: the timeout of a probe that was sent before the call is not restarted by the call", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  answerPing(driver, pingIds(driver, 1)[0], 1);
  driver.advance(8_000);
  assertEquals(pingIds(driver, 1).length, 1);
  driver.callTool("waits", "write");
  driver.advance(2_000);
  assertEquals([driver.dials.length, driver.isConnectionClosed(1)], [2, false]);
});

test("Failover: a silent connection without a waiting call is lost like an idle one", () => {
  const driver = startFrozen();
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: "waits" },
  });
  driver.advance(10_000);
  assertEquals(driver.isConnectionClosed(1), true);
});

const ALIVE: [what: string, answer: (driver: SessionDriver) => void][] = [
  ["the probe is answered", (driver) => driver.answerProbe(1)],
  ["another message arrives", (driver) => {
    driver.fromDaemon({ method: "notifications/message", params: {} }, 1);
  }],
];

for (const [what, answer] of ALIVE) {
  test(`Failover: while the standby opens, ${what}: the call is sent on the first connection`, () => {
    const driver = startFrozen();
    driver.advance(5_500);
    driver.open();
    answer(driver);
    assertEquals([driver.isConnectionClosed(1), driver.isConnectionClosed(2)], [
      false,
      true,
    ]);
    assertEquals(driver.sentExceptProbes().at(-1).id, "waits");
  });
}

test("Failover: when the standby hangs, too, the call is sent on the first connection, and keeps its full timeout", () => {
  const driver = startFrozen();
  driver.advance(19_999);
  assertEquals(
    driver.sentExceptProbes().some(({ id }) => id === "waits"),
    false,
  );
  driver.advance(1);
  const at = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" && /"waits"/.test(effect.text)
      ? [effect.connectionId]
      : []
  );
  assertEquals(at, [1]);
  for (let n = 0; n < 100; n++) {
    driver.advance(1_000);
    if (driver.connectionId > 2) break;
  }
  answerTwiceOnStandby(driver);
  assertEquals([driver.isConnectionClosed(1), responsesToClient(driver)], [
    false,
    [],
  ], "no evidence");
  driver.fromDaemon({ id: "waits", result: 1 }, 1);
  assertEquals(responsesToClient(driver), [["waits", undefined]]);
});

test("Failover: when the standby's dial finds no listener, the first connection is lost, and the call waits", () => {
  const driver = startFrozen();
  driver.advance(5_000);
  driver.failDial();
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    true,
    [],
  ]);
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().at(-1).id, "waits");
});

test("Failover: with a daemon that keeps one connection, a call waits 250 ms for its probe", () => {
  const driver = startFrozen({ connections: "one" });
  driver.advance(249);
  assertEquals(driver.sentExceptProbes(), []);
  driver.advance(1);
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), ["waits"]);
  driver.advance(500_000);
  assertEquals([driver.dials.length, driver.sentToClient()], [1, []]);
});

test("Failover: a read-only call is repeated on the standby", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("r", "resources/read", { uri: "a" });
  driver.advance(250);
  answerPing(driver, pingIds(driver, 1).at(-1), 1);
  driver.advance(10_000);
  answerTwiceOnStandby(driver);
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().at(-1).id, "r");
  driver.fromDaemon({ id: "r", result: 1 });
  assertEquals(responsesToClient(driver), [["r", undefined]]);
});

test("Draining: without evidence the connection keeps its calls, and new ones go to the standby", () => {
  const driver = startWithCall("serial");
  driver.callTool("early", "write");
  driver.advance(9_750);
  driver.callTool("meanwhile", "write");
  assertEquals(
    driver.sentExceptProbes().some(({ id }) => id === "meanwhile"),
    false,
  );
  answerTwiceOnStandby(driver);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  assertMatch(driver.logText(), /new messages use a second connection/);
  driver.callTool("new", "write");
  driver.answerProbe(2);
  const at = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" && effect.text.includes('"new"')
      ? [effect.connectionId]
      : []
  );
  assertEquals(at, [2]);
  driver.advance(200);
  for (const id of ["meanwhile", "new"]) driver.fromDaemon({ id, result: 1 });
  driver.fromDaemon({ id: "long", result: 2 }, 1);
  driver.fromDaemon({ id: "early", result: 3 }, 1);
  assertEquals(driver.sentToClient().map(({ id }) => id), [
    ...["meanwhile", "new", "long", "early"],
  ]);
  assertEquals(
    driver.isConnectionClosed(1),
    true,
    "nothing is in flight on it",
  );
});

const NO_EVIDENCE: [what: string, driver: () => SessionDriver][] = [
  ["the connection has never answered a probe", () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.callTool("long", "write");
    driver.advance(10_000);
    return driver;
  }],
  [
    "a probe was answered during an earlier call, but not during this one",
    () => {
      const driver = startWithCall("concurrent");
      driver.callTool("second", "write");
      driver.advance(10_000);
      return driver;
    },
  ],
  ["the call came less than a second after a call with a leading probe", () => {
    const driver = new SessionDriver();
    driver.connect();
    driver.callTool("short", "write");
    answerPing(driver, pingIds(driver, 1)[0], 1);
    driver.fromDaemon({ id: "short", result: 1 });
    driver.advance(500);
    driver.takeEffects();
    driver.callTool("long", "write");
    driver.advance(10_000);
    return driver;
  }],
];

for (const [what, make] of NO_EVIDENCE) {
  test(`Failover: no evidence: ${what}`, () => {
    const driver = make();
    driver.takeEffects();
    assertEquals(driver.connectionId, 2, "the standby");
    answerTwiceOnStandby(driver);
    assertEquals([driver.isConnectionClosed(1), responsesToClient(driver)], [
      false,
      [],
    ]);
    driver.fromDaemon({ id: "long", result: 1 }, 1);
    assertEquals(responsesToClient(driver), [["long", undefined]]);
  });
}

test("Failover: a connection that answers before the standby's second pong is kept", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  const [first] = pingIds(driver, 1);
  answerPing(driver, openStandby(driver), 2);
  driver.advance(4_900);
  answerPing(driver, first, 1);
  assertEquals(
    driver.isConnectionClosed(2),
    true,
    "it is not needed any more",
  );
  driver.advance(2_000);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromDaemon({ id: "long", result: 1 }, 1);
  assertEquals(driver.sentToClient().map(({ id }) => id), ["long"]);
});

test("Draining: a connection that closes fails only its own calls", () => {
  const driver = startWithCall("serial");
  driver.advance(9_750);
  answerTwiceOnStandby(driver);
  driver.callTool("new", "write");
  driver.takeEffects();
  driver.close(1006, 1);
  assertEquals(responsesToClient(driver), [["long", -31002]]);
  assertEquals(driver.dials.length, 2, "the main link stays");
});

test("Draining: a silent connection is probed", () => {
  const driver = startWithCall("serial");
  driver.advance(9_750);
  answerTwiceOnStandby(driver);
  driver.takeEffects();
  driver.advance(11_000);
  assertEquals(pingIds(driver, 1).length, 2);
});

test("Failover: when no standby answers, the call keeps its full timeout, and standbys are dialed by the backoff table", () => {
  for (const habit of ["concurrent", "serial"] as const) {
    const driver = startWithCall(habit);
    driver.advance(590_000);
    assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
      false,
      [],
    ]);
    driver.fromDaemon({ id: "long", result: 1 }, 1);
    assertEquals(driver.sentToClient().map(({ id }) => id), ["long"]);
    assert(driver.dials.length > 10, "it keeps dialing");
    assert(driver.dials.length < 40, "by the backoff table");
  }
});

test("Failover: a standby that answers initialize but no ping proves nothing", () => {
  const driver = startWithCall("serial");
  driver.advance(9_750);
  openStandby(driver);
  driver.advance(5_000);
  assertEquals(driver.isConnectionClosed(2), true);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromDaemon({ id: "long", result: 1 }, 1);
  assertEquals(driver.sentToClient().map(({ id }) => id), ["long"]);
});

test("Failover: any message on the suspect connection clears the suspicion", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.open();
  driver.fromDaemon({ method: "notifications/message", params: {} }, 1);
  assertEquals(driver.isConnectionClosed(2), true);
  driver.takeEffects();
  driver.callTool("new", "write");
  assertEquals(driver.sentToDaemon().map(({ id }) => id), ["new"]);
});

test("Failover: when the suspect connection closes, the standby is closed and one dial is made", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.open();
  driver.advance(2_001);
  driver.close(1006, 1);
  assertEquals(driver.isConnectionClosed(2), true);
  assertEquals(driver.sentToClient()[0].error.code, -31002);
  driver.advanceToNextDial();
  assertEquals(driver.connectionId, 3);
});

test("Failover: with evidence, new calls wait while the standby is refused, 45 s at most, and fail as not delivered", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.takeEffects();
  driver.callTool("new", "write");
  const until = driver.now + 44_999;
  while (driver.now < until) {
    driver.failDial();
    driver.advance(Math.min(until - driver.now, 500));
  }
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  const [{ id, error }] = driver.sentToClient();
  assertEquals([id, error.code, error.data.delivered], ["new", -31001, "no"]);
});

test("Failover: a call that came during the silence does not weaken the evidence", () => {
  const driver = startWithCall("concurrent");
  driver.advance(9_000);
  driver.callTool("late", "write");
  driver.advance(1_000);
  answerTwiceOnStandby(driver);
  assertEquals(responsesToClient(driver), []);
  driver.fromDaemon({ id: "late", result: 1 }, 1);
  assertEquals(responsesToClient(driver), [["late", undefined]]);
});

test("Failover: when the standby is refused without evidence, new calls are sent on the first connection", () => {
  const driver = startWithCall("serial");
  driver.advance(9_750);
  driver.callTool("new", "write");
  driver.open();
  driver.close(1013);
  assertEquals(driver.sentExceptProbes().at(-1).id, "new");
});

test("Failover: when the standby hangs, new calls are sent on the first connection", () => {
  const driver = startWithCall("concurrent");
  driver.advance(10_000);
  driver.callTool("new", "write");
  driver.advance(14_999);
  assertEquals(driver.sentExceptProbes().some(({ id }) => id === "new"), false);
  driver.advance(1);
  assertEquals(driver.sentExceptProbes().at(-1).id, "new");
  driver.advance(60_000);
  assertEquals(driver.sentToClient(), []);
  driver.fromDaemon({ id: "new", result: 1 }, 1);
  assertEquals(responsesToClient(driver), [["new", undefined]]);
});

test("Wait progress: clients are notified while their connection is suspect", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("flight", "write", { progressToken: 1 });
  driver.callTool("silent", "write");
  driver.advance(250);
  answerPing(driver, pingIds(driver, 1).at(-1), 1);
  driver.advance(10_000);
  driver.callTool("queue", "write", { progressToken: 2 });
  driver.advance(1_000);
  const notices = driver.sentToClient().map(({ method, params }) => {
    assertEquals(method, "notifications/progress");
    return [params.progressToken, params.message];
  });
  assertEquals(notices.map(([token]) => token), [1, 2]);
  for (const [, message] of notices) {
    assertMatch(message, /silent\. A second connection checks whether/);
  }
  driver.takeEffects();
  driver.advance(5_000);
  assertEquals(
    driver.sentToClient().map(({ params }) => params.progressToken).toSorted(),
    [1, 2],
  );
  const [{ params: { progress } }] = driver.sentToClient();
  assert(
    progress > 0 && progress < 0.001,
    "the daemon's own progress is higher",
  );
});

test("Draining: at most sixteen connections; then no standby is opened, and no call is lost", () => {
  const driver = new SessionDriver();
  driver.connect();
  for (let n = 1; n <= 16; n++) {
    driver.callTool(n, "write");
    driver.answerProbe();
    driver.advance(10_000);
    assertEquals([driver.connectionId, driver.sentToClient()], [n + 1, []]);
    answerTwiceOnStandby(driver);
  }
  driver.callTool(17, "write");
  driver.answerProbe();
  driver.advance(60_000);
  assertEquals([driver.connectionId, driver.sentToClient()], [17, []]);
  driver.fromDaemon({ id: 1, result: 1 }, 1);
  driver.advance(0);
  assertEquals([driver.connectionId, driver.sentToClient().length], [18, 1]);
});

test("Failover: after a sleep, a daemon that answers no ping gets new calls, and is dialed less and less often", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(1_000);
  driver.sleep(7_000);
  driver.callTool(2, "write");
  const written = (): boolean =>
    driver.sentToDaemon().some(({ id }) => id === 2);
  let connectionId = 1;
  while (driver.now < 120_000) {
    driver.advance(100);
    if (driver.connectionId === connectionId) continue;
    connectionId = driver.connectionId;
    driver.open();
    const { id } = driver.sentToDaemon().findLast((it) =>
      it.method === "initialize"
    );
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    driver.fromDaemon({ id, result });
  }
  assert(written());
  assertEquals(driver.sentToClient(), []);
  assert(driver.dials.length <= 12, `${driver.dials.length}`);
});

test("Failover: for a client that never initialized, a ping serves as the standby's handshake", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(1, "vendor/long");
  const [{ id: opening }] = driver.sentToDaemon();
  driver.fromDaemon({ id: opening, result: {} });
  driver.advance(10_000);
  driver.takeEffects();
  driver.open();
  driver.answerProbe();
  driver.answerProbe();
  driver.advance(5_000);
  driver.answerProbe();
  driver.takeEffects();
  driver.request(2, "vendor/short");
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [2]);
  driver.fromDaemon({ id: 2, result: 1 });
  driver.fromDaemon({ id: 1, result: 1 }, 1);
  assertEquals(driver.sentToClient().map(({ id }) => id), [2, 1]);
});

test("--give-up-after: does not end the call of a busy daemon", () => {
  const driver = startWithCall("concurrent", { giveUpAfter: 60_000 });
  driver.advance(80_000);
  assertEquals([driver.exitCode(), driver.sentToClient()], [undefined, []]);
});

test("Failover: a dead connection is found with a ping interval below 1 s", () => {
  const driver = startWithCall("concurrent", {
    pingInterval: 500,
    pingTimeout: 500,
  });
  driver.advance(1_000);
  driver.fromDaemon({ id: openStandby(driver), result: {} });
  driver.takeEffects();
  for (let n = 0; n < 40 && !driver.isConnectionClosed(1); n++) {
    driver.advance(500);
    const last = driver.sentToDaemon().findLast((it) => it.method === "ping");
    if (last) driver.fromDaemon({ id: last.id, result: {} }, 2);
  }
  assert(driver.isConnectionClosed(1), `not in ${driver.now} ms`);
});

test("Failover: a call's timeout and the standby's handshake timeout at the same time cause one dial", () => {
  const driver = startWithCall("concurrent", { requestTimeout: 25_250 });
  driver.advance(25_000);
  const { length } = driver.dials;
  driver.advance(300);
  assertEquals(driver.dials.length, length + 1);
});

test("Draining: a broadcast from both connections reaches the client once", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("long", "write");
  driver.advance(10_000);
  answerTwiceOnStandby(driver);
  driver.takeEffects();
  for (const connectionId of [1, 2]) {
    driver.fromDaemon(
      { method: "notifications/tools/list_changed" },
      connectionId,
    );
  }
  assertEquals(driver.sentToClient().length, 1);
});

test("Failover: another standby is dialed while four connections drain", () => {
  const driver = startWithFourDraining();
  driver.advance(60_000);
  assert(driver.dials.length > 5, "another standby");
});
