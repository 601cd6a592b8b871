/**
 * When a connection is probed, and when its silence counts.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  answerPing,
  answerTwiceOnSecond,
  pingIds,
  startCall,
} from "../../helpers/session/silent_connection.ts";

/**
 * A call was cancelled after 20 s of silence. A probe preceded it, and there is
 * no evidence that the connection is dead.
 */
function startWithCancelledCall(): SessionDriver {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.advance(20_000);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  return driver;
}

test("Liveness: a daemon that may still work on a cancelled call keeps the connection for the next one", () => {
  const driver = startWithCancelledCall();
  driver.advance(12_000);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.takeEffects();
  driver.callTool(2, "write");
  assertEquals(driver.sentExceptProbes().at(-1).id, 2);
  driver.advance(120_000);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromDaemon({ id: 2, result: 1 });
  assertEquals(driver.sentToClient().map(({ id }) => id), [2]);
});

test("Liveness: a connection that is silent for a minute after a cancelled call is lost", () => {
  const driver = startWithCancelledCall();
  driver.advance(59_999);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: the late response to a cancelled call ends that minute", () => {
  const driver = startWithCancelledCall();
  driver.fromDaemon({ id: 1, result: 1 });
  driver.advance(9_999);
  assertEquals(driver.isConnectionClosed(1), false);
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: traffic after a probe keeps the connection when its last call is cancelled", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write"); // its probe is never answered
  driver.advance(6_000);
  driver.fromDaemon({ method: "notifications/message", params: {} });
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  assertEquals(driver.isConnectionClosed(1), false);
});

test("Liveness: a silent connection with evidence is lost when its last call is cancelled", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write"); // its probe is never answered
  driver.advance(60_000);
  assertEquals([driver.isConnectionClosed(1), driver.sentToClient()], [
    false,
    [],
  ]);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: the client's own ping finds a dead idle connection", () => {
  const driver = new SessionDriver({ pingInterval: 3_600_000 });
  driver.connect();
  driver.advance(60_000);
  driver.request(1, "ping");
  driver.advance(3_000);
  driver.request(2, "ping");
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 2 },
  });
  driver.advance(1_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(driver.sentToClient().map(({ id, result }) => [id, result]), [[
    1,
    {},
  ]]);
  driver.advance(250);
  assertEquals(driver.dials.length, 2);
});

test("Liveness: with --ping-interval off a client's ping loses no connection", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.connect();
  driver.request(1, "ping");
  driver.callTool(2, "write");
  driver.advance(60_000);
  assertEquals(driver.sentToClient(), []);
});

test("Liveness: a dead connection is lost after a cancelled call, even if the client pings", () => {
  const driver = new SessionDriver({ connections: "one" });
  driver.connect();
  driver.advance(5_000);
  driver.answerProbe();
  driver.callTool(1, "write");
  driver.advance(60_000);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.request(2, "ping");
  driver.advance(1);
  assertEquals(driver.isConnectionClosed(1), true);
});

test("Liveness: a pong after the response does not show that the daemon answers during calls", () => {
  const driver = startCall("serial");
  driver.fromDaemon({ id: "long", result: 1 });
  assertEquals(driver.session.snapshot().answersDuringCalls, undefined);
  driver.callTool(2, "write");
  driver.advance(2_000);
  driver.fromDaemon({ id: 2, result: 1 });
  assertEquals(driver.session.snapshot().answersDuringCalls, false);
});

test("Liveness: a pong during a call shows that the daemon answers during calls", () => {
  const driver = startCall("concurrent");
  assertEquals(driver.session.snapshot().answersDuringCalls, true);
});

test("Liveness: with probes off no connection is suspect", () => {
  const driver = new SessionDriver({ pingInterval: Infinity });
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(599_999);
  assertEquals([driver.dials.length, driver.sentToDaemon().length], [1, 1]);
});

test("exai liveness: a connection with a call is neither probed nor suspect", () => {
  const driver = new ExaiDriver();
  driver.acknowledgeHello();
  driver.startCall(1);
  driver.advance(180_000);
  assertEquals(driver.takeFrames(), []);
  assertEquals(driver.dials.length, 2);
});

/** A link that has answered a probe. */
function connectAndAnswerProbe(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(5_000);
  answerPing(driver, pingIds(driver, 1)[0], 1);
  return driver;
}

function writtenIds(driver: SessionDriver): Json[] {
  return driver.sentToDaemon().map(({ id, method }) =>
    method === "ping" ? "ping" : id
  );
}

test("Leading probe: a call waits for its pong, and later requests wait behind it", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.request(2, "tools/list");
  assertEquals(writtenIds(driver), ["ping"]);
  driver.answerProbe();
  assertEquals(writtenIds(driver), ["ping", 1, 2]);
});

test("Leading probe: does not delay the call where the daemon has never answered one", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(1_000);
  driver.callTool(1, "write");
  assertEquals(writtenIds(driver), ["ping", 1]);
});

test("Leading probe: left out just after a handshake", () => {
  const driver = connectAndAnswerProbe();
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.advance(99);
  driver.callTool(1, "write");
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
});

test("Leading probe: a call that comes while one is open waits for that one", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.advance(300);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: 1 },
  });
  driver.callTool(2, "write");
  assertEquals(writtenIds(driver), ["ping"]);
  driver.advance(4_700);
  assertEquals(driver.dials.length, 2, "the first probe's time counts");
});

test("Leading probe: at most one a second, and none while other calls are in flight", () => {
  const driver = connectAndAnswerProbe();
  driver.callTool(1, "write");
  driver.answerProbe();
  driver.advance(200);
  driver.fromDaemon({ id: 1, result: 1 });
  driver.callTool(2, "write");
  driver.callTool(3, "write");
  assertEquals(writtenIds(driver), ["ping", 1, 2, 3]);
  driver.fromDaemon({ id: 2, result: 1 });
  driver.fromDaemon({ id: 3, result: 1 });
  driver.advance(800);
  driver.callTool(4, "write");
  assertEquals(writtenIds(driver).slice(4), ["ping"]);
});

test("Leading probe: none for a client's ping or subscription", () => {
  const driver = connectAndAnswerProbe();
  driver.request(1, "ping");
  driver.request(2, "subscriptions/listen");
  const ids = driver.sentToDaemon().map(({ id }) => id);
  assertEquals(ids, [1, 2]);
});

test("Leading probe: a burst that would fill the queue does not wait for it", () => {
  const driver = connectAndAnswerProbe();
  const batch = Array.from(
    { length: 1500 },
    (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }),
  );
  driver.fromClient(JSON.stringify(batch));
  driver.answerProbe();
  assertEquals(
    [driver.sentExceptProbes().length, driver.sentToClient().length],
    [1500, 0],
  );
});

test("Liveness: each call that finds none in flight is probed during the call", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("l", "tools/list");
  driver.advance(5);
  driver.fromDaemon({ id: "l", result: { tools: [] } });
  driver.advance(500);
  driver.takeEffects();
  driver.callTool("long", "write");
  for (let ms = 0; ms <= 300; ms++) { // the daemon answers every ping at once
    const id = pingIds(driver, 1).at(-1);
    if (id !== undefined) driver.fromDaemon({ id, result: {} });
    driver.advance(1);
  }
  driver.advance(10_000); // black hole
  answerTwiceOnSecond(driver);
  assert(driver.isConnectionClosed(1), "within 20 s");
});

test("Liveness: after a cancelled call the idle connection has 10 s of silence", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("long", "write");
  driver.advance(300);
  driver.fromClient({
    method: "notifications/cancelled",
    params: { requestId: "long" },
  });
  driver.advance(7_000);
  assertEquals(driver.isConnectionClosed(1), false);
});
