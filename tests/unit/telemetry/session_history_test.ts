/**
 * Tests the history of whole sessions: what a session logs must be counted once,
 * and belong to the outage that caused it.
 *
 * @module
 */

import type { History } from "../../../lib/telemetry/history.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import type { CheckedSession } from "../../helpers/session/checked_session.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import { refuseDial } from "../../helpers/session/outage.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";
import {
  answerPingsFor,
  malformedResponse,
  startTwoToolSession,
} from "../../helpers/session/two_tool_session.ts";

function historyOf({ session }: SessionDriver): History {
  return (session as CheckedSession).history.snapshot();
}

test("History of a session: a repeated request that gets an unreadable answer is repeated once", () => {
  const driver = startTwoToolSession();
  driver.request(1, "resources/read", { uri: "x" });
  driver.answerProbe();
  driver.close();
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  driver.answerProbe();
  for (let i = 0; i < 2; i++) driver.fromDaemon(malformedResponse(1));
  answerPingsFor(driver, 4_000);
  assertEquals(historyOf(driver).repeatedCount, 1);
});

test("History of a session: a repeated call that a full exai daemon sends back is repeated once", () => {
  const driver = new ExaiDriver({ retry: "always" });
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.close(1006, call.connectionId);
  driver.advanceToNextDial();
  const frames: Json[] = driver.openAndAcknowledgeHello();
  for (let i = 0; i < 12; i++) {
    for (const frame of [...driver.takeFrames(), ...i === 0 ? frames : []]) {
      const { op, request_id, connectionId } = frame;
      if (op === "health") driver.returnHealth(connectionId, "100");
      if (op !== "call_tool") continue;
      const error = { code: "OVER_CAPACITY", message: "x" };
      const response = { op: "call_tool_res", request_id, error };
      driver.frameFromDaemon(response, connectionId);
    }
    driver.advance(1_000);
  }
  assertEquals(historyOf(driver).repeatedCount, 1);
});

test("History of a session: requests that a refusal fails belong to its outage", () => {
  const driver = new SessionDriver();
  driver.request("init", "initialize", { protocolVersion: "2025-06-18" });
  driver.callTool(1, "x");
  refuseDial(driver);
  const [outage, ...others] = historyOf(driver).outages;
  assertEquals(others, []);
  assertEquals([outage!.cause, outage!.failedCount], ["unreachable", 2]);
});

test("History of a session: the time in which nobody needed an open WebSocket is no downtime", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.advance(3_600_000);
  driver.close(1013);
  const [outage] = historyOf(driver).outages;
  assertEquals(outage!.lostAt, 1_000_000 + driver.now);
  assertEquals(driver.session.snapshot().circuit, "closed");
});

test("History of a session: a sleep before the first failed attempt is no downtime", () => {
  const driver = new SessionDriver();
  driver.sleep(3_600_000);
  driver.failDial();
  const { downSince = -Infinity } = historyOf(driver);
  assertEquals(driver.now - downSince < 1_000, true);
});

test("History of a session: a line that is too long fails its request", () => {
  const driver = new SessionDriver();
  driver.handle({
    ...{ type: "line-too-long", bytes: 1e9 },
    ...{ head: '{"jsonrpc":"2.0","id":7,"method":"tools/call"', tail: "}" },
  });
  const [{ id, error }] = driver.sentToClient() as [Json];
  assertEquals([id, error.code, error.data], [7, -31005, {
    ...{ reason: "too_large", delivered: "no", retryable: false },
  }]);
  assertEquals(historyOf(driver).failedRequests, { too_large: 1 });
});

test("History of a session: long words are cut, and secrets in them are removed before that", () => {
  const secret = "s3cret-token-of-some-length";
  const driver = new SessionDriver({ secrets: [secret] });
  driver.failDial();
  const word = "x".repeat(70) + secret + "y".repeat(1_000_000);
  driver.request(1, word);
  driver.callTool(2, word);
  driver.advance(45_000);
  const [outage] = historyOf(driver).outages;
  assertEquals(outage!.failedCount, 2);
  const text = JSON.stringify(outage);
  assertEquals([text.length < 1_000, text.includes("s3c")], [true, false]);
  assertEquals(driver.logText().includes("s3c"), false);
});
