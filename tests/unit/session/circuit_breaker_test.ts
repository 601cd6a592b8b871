/**
 * Tests the circuit breaker: its states, how long a request may wait in each,
 * and what the log says.
 *
 * @module
 */

import type { CircuitState } from "../../../lib/events.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  advanceWhileDialsFail,
  refuseDial,
  startDown,
} from "../../helpers/session/outage.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

function stateOf({ session }: SessionDriver): CircuitState {
  return session.snapshot().circuit;
}

/** Returns the logged states since the effects were last taken. */
function loggedStates(driver: SessionDriver): CircuitState[] {
  return driver.takeEffects().flatMap((effect) =>
    effect.type === "log" && effect.fact?.type === "circuit"
      ? [effect.fact.state]
      : []
  );
}

function errorsOf(driver: SessionDriver): Json[] {
  return driver.sentToClient().filter(({ error }) => error);
}

test("Circuit breaker: opens when the daemon was away for the queue timeout, and closes when it is back", () => {
  const driver = startDown();
  advanceWhileDialsFail(driver, 44_999);
  assertEquals(stateOf(driver), "closed");
  assertEquals(loggedStates(driver), []);
  advanceWhileDialsFail(driver, 1);
  assertEquals(stateOf(driver), "open");
  assertMatch(driver.logText(), /circuit breaker is open: .*at most/);
  assertEquals(loggedStates(driver), ["open"]);
  driver.advanceToNextDial();
  driver.reconnect();
  assertEquals(stateOf(driver), "closed");
  assertEquals(loggedStates(driver), ["closed"]);
  // Nothing else is due when it opens for the second time.
  driver.close();
  advanceWhileDialsFail(driver, 45_000);
  assertEquals(loggedStates(driver), ["open"]);
});

test("Circuit breaker: a request makes it half-open, gets an attempt at once, and waits for 20 s", () => {
  const driver = startDown();
  advanceWhileDialsFail(driver, 100_000);
  driver.takeEffects();
  const arrivedAt = driver.now;
  const { length } = driver.dials;
  driver.request(1, "tools/call", { name: "x" });
  assertEquals(stateOf(driver), "half-open");
  assertEquals(driver.dials.length, length + 1);
  driver.failDial();
  advanceWhileDialsFail(driver, arrivedAt + 19_999 - driver.now);
  assertEquals([stateOf(driver), errorsOf(driver)], ["half-open", []]);
  advanceWhileDialsFail(driver, 1);
  assertEquals(errorsOf(driver).map(({ id, error }) => [id, error.code]), [
    [1, -31001],
  ]);
  assertEquals(stateOf(driver), "open");
  assertEquals(loggedStates(driver), ["half-open", "open"]);
});

test("Circuit breaker: half-open, it closes with the first success, and the request is answered", () => {
  const driver = startDown();
  advanceWhileDialsFail(driver, 60_000);
  driver.request(1, "tools/call", { name: "x" });
  driver.advanceToNextDial();
  driver.takeEffects();
  driver.reconnect();
  assertEquals(stateOf(driver), "closed");
  driver.answerProbe();
  driver.fromDaemon({ id: 1, result: {} });
  assertEquals(
    driver.sentToClient().filter(({ id }) => id === 1).map(({ result }) =>
      result
    ),
    [{}],
  );
  assertEquals(loggedStates(driver), ["closed"]);
});

test("Circuit breaker: a request that waits when it opens makes it half-open", () => {
  const driver = startDown();
  advanceWhileDialsFail(driver, 30_000);
  driver.request(1, "tools/call", { name: "x" });
  driver.takeEffects();
  advanceWhileDialsFail(driver, 15_000);
  assertEquals(stateOf(driver), "half-open");
  // This request came before, so it may wait for the whole queue timeout.
  advanceWhileDialsFail(driver, 29_999);
  assertEquals(errorsOf(driver), []);
  advanceWhileDialsFail(driver, 1);
  assertEquals(errorsOf(driver).length, 1);
  assertEquals(loggedStates(driver), ["half-open", "open"]);
});

test("Circuit breaker: a refusal opens it at once; a request fails, or gets one attempt if the last is 5 s old", () => {
  const driver = startDown();
  driver.advanceToNextDial();
  driver.takeEffects();
  refuseDial(driver);
  driver.handle({ type: "tick" });
  assertEquals(stateOf(driver), "open");
  assertMatch(driver.logText(), /circuit breaker is open: .*refuses/);
  assertEquals(loggedStates(driver), ["open"]);
  driver.request(1, "tools/call", { name: "x" });
  assertEquals(errorsOf(driver).length, 1);
  assertEquals(stateOf(driver), "open");
  advanceWhileDialsFail(driver, 5_000, refuseDial);
  driver.takeEffects();
  const { length } = driver.dials;
  driver.request(2, "tools/call", { name: "x" });
  assertEquals(stateOf(driver), "half-open");
  assertEquals(driver.dials.length, length + 1);
  refuseDial(driver);
  assertEquals(errorsOf(driver).map(({ id }) => id), [2]);
  driver.handle({ type: "tick" });
  assertEquals(stateOf(driver), "open");
  assertEquals(loggedStates(driver), ["half-open", "open"]);
});

test("Circuit breaker: without a queue timeout, only a refusal opens it", () => {
  const driver = startDown({ queueTimeout: Infinity });
  advanceWhileDialsFail(driver, 3_600_000);
  assertEquals(stateOf(driver), "closed");
  driver.advanceToNextDial();
  refuseDial(driver);
  assertEquals(stateOf(driver), "open");
});

test("Circuit breaker: before the client's first message, an open WebSocket is no outage", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.advance(3_600_000);
  assertEquals(stateOf(driver), "closed");
});

test("Circuit breaker: the time asleep is no outage", () => {
  const driver = startDown();
  driver.sleep(3_600_000);
  assertEquals(stateOf(driver), "closed");
});
