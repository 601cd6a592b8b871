/**
 * The texts of log lines, and how often they appear.
 *
 * @module
 */

import {
  healthFileState,
  isAttemptLogged,
} from "../../../lib/session/log_messages.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";

test("Log: attempts 1, 5, 10, 20 and so on, and the success", () => {
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

test("Log: the first success", () => {
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

test("Log: a line has bounded length, whatever a peer sends", () => {
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
      isServerReached: true,
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

test("Log messages: attempts 1, 5, 10 and every tenth one are logged", () => {
  const logged = Array.from({ length: 71 }, (_, n) => n).slice(1).filter(
    isAttemptLogged,
  );
  assertEquals(logged, [1, 5, 10, 20, 30, 40, 50, 60, 70]);
});

const HEALTH: [
  what: string,
  ageMs: number,
  lostMs: number | undefined,
  says: RegExp,
][] = [
  [
    "fresh, and the daemon was never there",
    3_000,
    undefined,
    /fresh \(3\.0 s old\): the daemon ran then.*check EXAI_WS_HOST/,
  ],
  [
    "written before the crash",
    3_000,
    250,
    /from before the connection was lost: it says nothing about now/,
  ],
  [
    "written since the crash",
    3_000,
    60_000,
    /fresh \(3\.0 s old\).*check EXAI_WS_HOST/,
  ],
  [
    "stale",
    130_000,
    250,
    /stale \(130\.0 s old\): the daemon is down, or busy/,
  ],
];

for (const [what, ageMs, lostMs, says] of HEALTH) {
  test(`exai health file: what the log says of one that is ${what}`, () => {
    const { message } = healthFileState("/h", { ageMs }, lostMs);
    assertMatch(message, says);
    assertEquals(/seems to run/.test(message), false);
  });
}
