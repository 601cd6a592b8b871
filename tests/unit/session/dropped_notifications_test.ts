/**
 * Dropped notifications: the log reports few of many, and how many there were.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import {
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

const NOTE: Json = { method: "notifications/x" };

/** The counts in the log since `takeEffects`; 1 for a line without one. */
function droppedCounts(driver: SessionDriver): string[] {
  return driver.takeEffects().flatMap((effect) => {
    if (effect.type !== "log" || effect.event !== "dropped-notification") {
      return [];
    }
    assert(effect.message.startsWith("Dropped notifications/x: "));
    return [/\((.*)\)$/.exec(effect.message)?.[1] ?? "1"];
  });
}

/** A session whose daemon is away and whose queue is full. */
function startWithFullQueue(): SessionDriver {
  const driver = new SessionDriver({ queueLimit: 2 });
  driver.connect();
  driver.close();
  for (let i = 0; i < 2; i++) driver.fromClient(NOTE);
  driver.takeEffects();
  return driver;
}

test("Dropped notifications: 20,000 give five log lines, the last one with the count at the end", () => {
  const driver = startWithFullQueue();
  for (let i = 0; i < 20_000; i++) driver.fromClient(NOTE);
  const tens = [10, 100, 1000, 10_000].map((it) =>
    `${it} notifications so far`
  );
  assertEquals(droppedCounts(driver), ["1", ...tens]);
  driver.end("signal");
  driver.end("signal");
  assertEquals(droppedCounts(driver), ["20000 notifications in all"]);
});

test("Dropped notifications: once the queue is sent, the count is logged and starts anew", () => {
  const driver = startWithFullQueue();
  for (let i = 0; i < 3; i++) driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["1"]);
  driver.advance(1_000);
  driver.reconnect();
  driver.fromClient(NOTE);
  assertEquals(droppedCounts(driver), ["3 notifications in all"]);
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
