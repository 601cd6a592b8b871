/**
 * Which queued messages wait for a connection.
 *
 * @module
 */

import { updateWait, Waits } from "../../../lib/requests/waits.ts";
import { account } from "../../helpers/account.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Waits: new messages are taken once", () => {
  const waits = new Waits();
  const [first, second] = [account(1), account(2)];
  waits.add(first);
  waits.add(second);
  assertEquals(waits.hasNew, true);
  assertEquals(waits.take(), [first, second]);
  assertEquals([waits.hasNew, waits.take()], [false, []]);
});

test("Waits: a wait starts without a connection and ends with one", () => {
  const it = account(1);
  assertEquals(updateWait(it, 1_000, () => false), true);
  assertEquals(it.waitsSince, 1_000);
  assertEquals(updateWait(it, 4_000, () => true), false);
  assertEquals([it.waitsSince, it.queueLeft], [undefined, 42_000]);
});

test("Waits: a message that was sent waits for nothing", () => {
  const it = account(1);
  it.sentOn = 1;
  assertEquals(updateWait(it, 1_000, () => false), false);
  assertEquals(it.waitsSince, undefined);
});

test("Waits: a message that opens the connection waits until it is ready", () => {
  const it = account(1);
  it.sentOn = 1;
  it.isGreeting = true;
  assertEquals(updateWait(it, 1_000, () => false), true);
});
