/**
 * Tests what a sleep of the machine changes, and what it does not change.
 *
 * @module
 */

import { SleepDetector } from "../../../lib/proxy/sleep_detector.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import { startDown } from "../../helpers/session/outage.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";
import {
  answerTwiceOnStandby,
  pingIds,
  startWithFourDraining,
} from "../../helpers/session/silent_connection.ts";

/**
 * Returns a session whose machine slept during a call. A new call arrived after
 * the sleep, and the connection did not answer the probe in time.
 */
function sleptDuringCall(): SessionDriver {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool("old", "write");
  driver.advance(100);
  driver.sleep(60_000);
  driver.callTool("new", "write");
  driver.advance(1_000);
  return driver;
}

test("exai sleep: with calls on connections that died, the next dial comes within 2 s", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.sleep(60_000);
  const { now } = driver;
  driver.callTool(2, "chat");
  driver.advanceToNextDial();
  assert(
    driver.now - now <= 2_000,
    `${driver.now - now} ms, ${JSON.stringify(driver.responsesToClient())}`,
  );
});

test("exai sleep: after a sleep of 4 s during a call, tools/list and new calls are sent", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.sleep(4_000);
  const [{ op, connectionId }] = driver.takeFrames();
  assertEquals([op, connectionId], ["health", 1]);
  driver.returnHealth(1, "1:00:00");
  driver.request("list", "tools/list");
  driver.callTool(2, "chat");
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
  assertEquals(driver.openAndAcknowledgeHello().map(({ name }) => name), [
    "chat",
  ]);
  driver.advance(46_000);
  assertEquals(driver.responsesToClient(), []);
});

test("Sleep: initialized reaches the daemon as soon as its connection answers the probe", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  driver.fromDaemon({ id: "init", result });
  driver.sleep(4_000);
  const id = pingIds(driver, 1).at(-1);
  driver.fromClient({ method: "notifications/initialized" });
  driver.fromDaemon({ id, result: {} });
  driver.callTool(1, "write");
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().map((it) => it.method), [
    "notifications/initialized",
    "tools/call",
  ]);
});

test("Sleep: a request whose timeout is the next deadline does not lose time", () => {
  const driver = new SessionDriver({
    requestTimeout: 3_000,
    pingInterval: Infinity,
  });
  driver.connect();
  driver.advance(4_000);
  const detector = new SleepDetector(0, 0);
  driver.callTool(1, "write");
  detector.detect(driver.now, driver.now, Infinity);
  const due = driver.session.deadline();
  driver.now += 60_000; // The process stopped right after the call.
  driver.handle(detector.detect(driver.now, driver.now, due)!);
  assertEquals(driver.sentToClient(), []);
});

test("Sleep: a connection whose session is being restored is probed at once", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request("l", "tools/list");
  driver.fromDaemon({ id: "l", result: { tools: [] } });
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect(); // The proxy requests the tool list.
  driver.takeEffects();
  driver.sleep(10_000);
  assertEquals(driver.sentToDaemon().map((it) => it.method), ["ping"]);
});

test("Sleep: with four draining connections, the main one is probed", () => {
  const driver = startWithFourDraining();
  driver.takeEffects();
  driver.sleep(5_000);
  const pinged = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" ? [effect.connectionId] : []
  );
  assertEquals(pinged.toSorted(), [1, 2, 3, 4, 5]);
});

test("Sleep: a call after the sleep is not sent on a connection that fails its probe", () => {
  const driver = sleptDuringCall();
  assertEquals(driver.sentToDaemon().some((it) => it.id === "new"), false);
  answerTwiceOnStandby(driver);
  driver.answerProbe();
  assert(driver.sentToDaemon().some((it) => it.id === "new"));
});

test("Sleep: a handshake in progress is given up within 2 s", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.advance(100);
  driver.sleep(60_000);
  const { now } = driver;
  driver.advanceToNextDial();
  assert(driver.now - now <= 2_000, `${driver.now - now}`);
});

test("exai sleep: traffic on another connection does not keep one that answers no probe", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const calls = [driver.startCall(1), driver.startCall(2)];
  driver.returnResult(calls[1], "done");
  driver.sleep(60_000);
  driver.returnHealth(1, "1:00:00");
  driver.takeEffects();
  for (let n = 0; n < 20; n++) {
    const { request_id, connectionId } = calls[0];
    driver.frameFromDaemon({ op: "progress", request_id }, connectionId);
    driver.advance(100);
  }
  assertEquals(driver.isConnectionClosed(3), true);
});

test("Sleep: a call after the sleep is not sent on a connection that fails its probe, even if the standby fails", () => {
  const driver = sleptDuringCall();
  driver.takeEffects();
  driver.failDial();
  assertEquals(driver.sentToDaemon().some(({ id }) => id === "new"), false);
  driver.advanceToNextDial();
  answerTwiceOnStandby(driver);
  driver.answerProbe();
  assert(driver.sentToDaemon().some(({ id }) => id === "new"));
});

test("Sleep: time asleep is not part of the waiting time in an error", () => {
  const driver = new SessionDriver({ requestTimeout: 15_000 });
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(5_000);
  driver.sleep(60_000);
  driver.advance(10_000);
  const { error } = driver.sentToClient().at(-1);
  assertEquals(/timed out after 15\.0 s/.test(error.message), true);
});

test("Sleep: postpones all timeouts, and the connection is probed at once", () => {
  const driver = new SessionDriver({ requestTimeout: 60_000 });
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(10_000);
  driver.takeEffects();
  driver.sleep(8 * 3_600_000);
  assertEquals(driver.sentToClient(), []);
  const [{ id, method }] = driver.sentToDaemon();
  assertEquals(method, "ping");
  driver.fromDaemon({ id, result: {} }, 1);
  driver.advance(49_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  assertEquals(driver.sentToClient()[0].error.code, -31003);
});

test("Sleep: buffered messages are forwarded, but do not show that the connection is alive", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(1, "write");
  driver.advance(5_000);
  const old = driver.sentToDaemon().at(-1);
  assertEquals(old.method, "ping");
  driver.takeEffects();
  driver.sleep(60_000);
  const { id, method } = driver.sentToDaemon().at(-1);
  assertEquals([method, id === old.id], ["ping", false]);
  driver.takeEffects();
  driver.fromDaemon({ id: old.id, result: {} });
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
  driver.callTool(2, "write");
  assertEquals(driver.sentToDaemon(), []);
  const dials = driver.dials.length;
  driver.advance(1_300);
  assertEquals(driver.dials.length, dials + 1);
});

test("exai sleep: the answer to a probe from before the sleep does not show that the connection is alive", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const main = driver.connectionId;
  driver.returnHealth(main, "0:01:00");
  driver.advance(5_000);
  const isProbe = driver.takeFrames().some(({ op }) => op === "health");
  assert(isProbe);
  driver.sleep(60_000);
  driver.returnHealth(main, "0:03:00");
  driver.takeEffects();
  driver.request(1, "tools/list");
  assertEquals(driver.takeFrames(), []);
  const dials = driver.dials.length;
  driver.advance(1_300);
  assertEquals(driver.dials.length, dials + 1);
});

test("Sleep: the next message on a suspect connection clears the suspicion", () => {
  const driver = new SessionDriver();
  driver.connect();
  const { connectionId } = driver;
  driver.callTool(1, "write");
  driver.sleep(60_000);
  driver.advance(1_000);
  assertMatch(driver.logText(), /a second connection will show/);
  driver.takeEffects();
  driver.callTool(2, "write");
  assertEquals(driver.sentToDaemon(), []);
  driver.fromDaemon(
    { method: "notifications/message", params: {} },
    connectionId,
  );
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [2]);
});

test("Sleep: nothing is sent before the connection has answered a probe", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.advance(1_000);
  driver.takeEffects();
  driver.sleep(60_000);
  const [{ id }] = driver.sentToDaemon();
  driver.takeEffects();
  driver.callTool(1, "write");
  driver.request(2, "ping");
  assertEquals(driver.sentToDaemon(), []);
  assertEquals(driver.sentToClient().map(({ id }) => id), [2]);
  driver.fromDaemon({ id, result: {} });
  driver.answerProbe();
  assertEquals(driver.sentExceptProbes().map(({ id }) => id), [1]);
});

test("Sleep: a dead idle connection is lost after 1 s, and the daemon is dialed again", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.takeEffects();
  driver.sleep(60_000);
  driver.callTool(1, "write");
  const { now } = driver;
  driver.advanceToNextDial();
  assert(driver.now - now <= 1_300, `${driver.now - now}`);
  driver.takeEffects();
  driver.reconnect();
  assertEquals(driver.sentExceptProbes().at(-1).id, 1);
});

test("Sleep: a dead connection with calls is suspect after 1 s", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.callTool(1, "write");
  driver.takeEffects();
  driver.sleep(60_000);
  driver.advance(1_000);
  assertEquals([driver.dials.length, driver.sentToClient()], [2, []]);
});

test("Sleep: ends a pause between dials, except after a refusal", () => {
  for (const refused of [false, true]) {
    const driver = startDown();
    for (let n = 0; n < 6; n++) {
      driver.advanceToNextDial();
      driver.failDial();
    }
    driver.advanceToNextDial();
    if (refused) {
      driver.open();
      driver.close(1008);
    } else driver.failDial();
    const { length } = driver.dials;
    driver.sleep(4_000);
    assertEquals(driver.dials.length, refused ? length : length + 1);
  }
});

test("exai sleep: a daemon that started during the sleep counts as another process", () => {
  for (const slept of [0, 8 * 3_600_000]) {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const call = driver.startCall(1);
    driver.advance(3_000);
    driver.handle({ type: "resumed", monotonicGapMs: 0, suspendedMs: slept });
    driver.loseBothAndReconnect(call);
    driver.returnHealth(driver.connectionId, "4:00:00", 1_700_000_000);
    const sent = driver.takeFrames().map(({ op }) => op);
    assertEquals(sent, slept === 0 ? ["call_tool"] : []);
  }
});
