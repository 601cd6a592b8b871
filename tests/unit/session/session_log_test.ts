/**
 * Tests the texts of a session's log lines, and how often they appear.
 *
 * @module
 */

import { isAttemptLogged } from "../../../lib/session/session_log.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

test("Log: shows attempts 1, 5, 10, 20 and so on, and the reconnection", () => {
  const driver = new SessionDriver();
  for (let i = 0; i < 60; i++) {
    driver.failDial();
    driver.advanceToNextDial();
  }
  const shown = driver.takeEffects().flatMap((effect) =>
    effect.type === "log" && effect.level === "warn"
      ? [Number(/\d+/.exec(effect.message))]
      : []
  );
  assertEquals(shown, [1, 5, 10, 20, 30, 40, 50, 60]);
  driver.connect();
  driver.advance(4_000);
  driver.close();
  driver.advanceToNextDial();
  driver.failDial();
  driver.advanceToNextDial();
  driver.reconnect();
  const [lost, first, opened, again] = driver.logText().split("\n");
  assertMatch(
    lost!,
    /^Lost the WebSocket daemon at ws:\/\/daemon\/: the connection was closed without a close frame\. /,
  );
  assertMatch(
    first!,
    /^Attempt 1 .*: nothing listens there\. Next attempt in 0\.5 s\.$/,
  );
  assertMatch(opened!, /is open/);
  assertMatch(
    again!,
    /^Reconnected to WebSocket daemon at ws:\/\/daemon\/ after 2 attempts \(down 0\.8 s\)$/,
  );
});

test("Log: shows the first connection", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(0, "initialize", {});
  driver.fromDaemon({ id: 0, result: {} });
  const last = driver.logText().split("\n").at(-1);
  assertEquals(
    last,
    "Successfully connected to WebSocket daemon at ws://daemon/",
  );
});

test("Log: a line has a limited length, whatever the daemon sends", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  driver.advance(260);
  driver.takeEffects();
  driver.open();
  const [{ id }] = driver.sentExceptProbes();
  const message = `no\n2026-01-01 ERROR forged${"x".repeat(5_000)}`;
  driver.fromDaemon({ id, error: { code: 1, message } });
  const texts = driver.takeEffects().flatMap((effect) =>
    effect.type === "log" ? [effect.message] : []
  );
  assert(texts.some((text) => text.includes("forged")));
  for (const text of texts) assert(!text.includes("\n") && text.length < 1_100);
});

test("Log: invalid frames of a daemon that works are each logged", () => {
  const driver = new SessionDriver();
  driver.connect();
  for (let n = 0; n < 3; n++) driver.fromDaemon("garbage");
  driver.handle({
    type: "binary",
    connectionId: driver.connectionId,
    bytes: 3,
  });
  assertEquals(driver.logEvents(), [
    "invalid-from-daemon",
    "invalid-from-daemon",
    "invalid-from-daemon",
    "binary-frame",
  ]);
});

test("Log: the line for a lost connection says when the next dial comes", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  assertMatch(driver.logText(), /Reconnecting in 0\.3 s\.$/);
  driver.advanceToNextDial();
  driver.reconnect();
  driver.takeEffects();
  driver.close();
  assertMatch(driver.logText(), /Reconnecting in 0\.5 s\.$/m);
});

test("Log: a daemon of another kind is logged at attempts 1, 5 and 10 only", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.close();
  driver.callTool(1, "write");
  const logged: string[] = [];
  for (let attempt = 1; attempt <= 12; attempt++) {
    driver.advanceToNextDial();
    driver.open();
    driver.fromDaemon('{"op":"hello_ack"}');
    driver.handle({
      type: "binary",
      connectionId: driver.connectionId,
      bytes: 3,
    });
    const reason = "missing hello";
    const how = {
      code: 4001,
      reason,
      closeFrameReason: reason,
      mayHaveReachedServer: true,
    };
    driver.handle({
      type: "closed",
      connectionId: driver.connectionId,
      ...how,
    });
    logged.push(...driver.logEvents());
    driver.takeEffects();
  }
  const of = (event: string): number =>
    logged.filter((it) => it === event).length;
  assertEquals(
    ["invalid-from-daemon", "binary-frame", "attempt-failed"].map(of),
    [3, 3, 3],
  );
});

test("Log: attempts 1, 5, 10 and every tenth one are logged", () => {
  const logged = Array.from({ length: 71 }, (_, n) => n).slice(1).filter(
    isAttemptLogged,
  );
  assertEquals(logged, [1, 5, 10, 20, 30, 40, 50, 60, 70]);
});

const NOTE: Json = { method: "notifications/x" };

/**
 * Returns the counts in the log lines about dropped notifications, and takes
 * all effects. A line without a count gives `1`.
 */
function droppedCounts(driver: SessionDriver): string[] {
  return driver.takeEffects().flatMap((effect) => {
    if (effect.type !== "log" || effect.event !== "dropped-notification") {
      return [];
    }
    assert(effect.message.startsWith("Dropped notifications/x: "));
    return [/; (.*)\.$/.exec(effect.message)?.[1] ?? "1"];
  });
}

/** Returns a session whose daemon is away and whose queue is full. */
function startWithFullQueue(): SessionDriver {
  const driver = new SessionDriver({ queueLimit: 2 });
  driver.connect();
  driver.close();
  for (let i = 0; i < 2; i++) driver.fromClient(NOTE);
  driver.takeEffects();
  return driver;
}

test("Dropped notifications: 20,000 give five log lines, and one with the total at the end", () => {
  const driver = startWithFullQueue();
  for (let i = 0; i < 20_000; i++) driver.fromClient(NOTE);
  const tens = [10, 100, 1000, 10_000].map((it) =>
    `${it} notifications so far`
  );
  assertEquals(droppedCounts(driver), ["1", ...tens]);
  driver.end("signal");
  driver.end("signal");
  assertEquals(droppedCounts(driver), ["20000 notifications in total"]);
});

test("Dropped notifications: once the queue is sent, the count is logged and starts anew", () => {
  const driver = startWithFullQueue();
  for (let i = 0; i < 3; i++) driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["1"]);
  driver.advance(1_000);
  driver.reconnect();
  driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["3 notifications in total"]);
  driver.close();
  for (let i = 0; i < 3; i++) driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["1"]);
});

test("Dropped notifications: a single one gives one log line", () => {
  const driver = startWithFullQueue();
  driver.fromClient(NOTE);
  driver.advance(1_000);
  driver.reconnect();
  driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["1"]);
});

test("Dropped notifications: those that exceed the queue timeout are logged in the same way", () => {
  const driver = new SessionDriver({ queueLimit: Infinity });
  driver.connect();
  driver.close();
  for (let i = 0; i < 1_000; i++) driver.fromClient(NOTE);
  driver.takeEffects();
  driver.advance(100_000);
  assertEquals(droppedCounts(driver), [
    "1",
    "10 notifications so far",
    "100 notifications so far",
    "1000 notifications so far",
  ]);
});
