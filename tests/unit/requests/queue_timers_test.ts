/**
 * Which queued messages wait for a connection.
 *
 * @module
 */

import {
  NewlyQueuedEntries,
  updateQueueTimer,
} from "../../../lib/requests/queue_timers.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Waits: new messages are taken once", () => {
  const waits = new NewlyQueuedEntries();
  const [first, second] = [testEntry(1), testEntry(2)];
  waits.add(first);
  waits.add(second);
  assertEquals(waits.hasEntries, true);
  assertEquals(waits.take(), [first, second]);
  assertEquals([waits.hasEntries, waits.take()], [false, []]);
});

test("Waits: a wait starts without a connection and ends with one", () => {
  const it = testEntry(1);
  assertEquals(updateQueueTimer(it, 1_000, () => false), true);
  assertEquals(it.waitingSince, 1_000);
  assertEquals(updateQueueTimer(it, 4_000, () => true), false);
  assertEquals([it.waitingSince, it.queueTimeLeftMs], [undefined, 42_000]);
});

test("Waits: a message that was sent waits for nothing", () => {
  const it = testEntry(1);
  it.sentOnConnectionId = 1;
  assertEquals(updateQueueTimer(it, 1_000, () => false), false);
  assertEquals(it.waitingSince, undefined);
});

test("Waits: a message that opens the connection waits until it is ready", () => {
  const it = testEntry(1);
  it.sentOnConnectionId = 1;
  it.isHandshake = true;
  assertEquals(updateQueueTimer(it, 1_000, () => false), true);
});
