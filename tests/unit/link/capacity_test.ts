/**
 * How many connections a daemon keeps for a client, as far as it is known.
 *
 * @module
 */

import { Capacity } from "../../../lib/link/capacity.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** A check that began at 1000 ms, after a handshake of 50 ms. */
function trying(): Capacity {
  const capacity = new Capacity("auto");
  capacity.begin(50, 1_000);
  return capacity;
}

test("Capacity: a setting is known from the start, and nothing overwrites it", () => {
  for (const setting of ["one", "many"] as const) {
    const capacity = new Capacity(setting);
    capacity.learn(setting === "one" ? "many" : "one");
    capacity.seconded(0);
    assertEquals(capacity.lostMain(true, 1), false);
    assertEquals([capacity.keeps, capacity.isUnknown], [setting, false]);
  }
});

test("Capacity: a check leaves 100 ms of its 450 ms to the main connection", () => {
  const capacity = trying();
  assertEquals([capacity.keeps, capacity.isUnknown], ["unknown", false]);
  assertEquals(capacity.deadline(), 1_300);
  capacity.trial!.step = "after";
  assertEquals(capacity.deadline(), 1_400);
  capacity.end();
  assertEquals([capacity.keeps, capacity.deadline()], ["one", Infinity]);
});

test("Capacity: a check is extended once", () => {
  const capacity = trying();
  assertEquals(capacity.extend(200), true);
  assertEquals(capacity.deadline(), 1_600);
  assertEquals(capacity.extend(200), false);
  assertEquals(capacity.deadline(), 1_600);
  assertEquals(new Capacity("auto").extend(1), false, "there is none");
});

test("Capacity: the end of no check changes nothing", () => {
  const capacity = new Capacity("auto");
  capacity.end();
  assertEquals(capacity.keeps, "unknown");
  capacity.learn("many");
  capacity.end();
  assertEquals(capacity.keeps, "many");
});

const LOSSES: [what: string, lostAt: number, isDisplaced: boolean][] = [
  ["2 s after the second opened", 2_000, true],
  ["later", 2_001, false],
];
for (const [what, lostAt, isDisplaced] of LOSSES) {
  test(`Capacity: a main connection that is closed ${what} is ${isDisplaced ? "" : "not "}displaced`, () => {
    const capacity = new Capacity("auto");
    capacity.learn("many");
    capacity.seconded(0);
    assertEquals(capacity.lostMain(true, lostAt), isDisplaced);
    assertEquals(capacity.keeps, isDisplaced ? "one" : "many");
    assertEquals(capacity.lostMain(true, 0), false, "the second counts once");
  });
}

test("Capacity: a second connection that is lost displaces nothing", () => {
  const capacity = new Capacity("auto");
  capacity.seconded(0);
  capacity.secondLost();
  assertEquals(capacity.lostMain(true, 1), false);
  assertEquals(capacity.isUnknown, true);
});

const CONFIRMED: [
  what: string,
  isClean: boolean,
  isTrying: boolean,
  readyMs: number,
  isRemembered: boolean,
][] = [
  ["after a close frame, within 1 s", true, false, 1_000, true],
  ["after more than 1 s", true, false, 1_001, false],
  ["after a cut without a close frame", false, false, 1, false],
  ["after a cut during a check", false, true, 1, true],
];
for (const [what, isClean, isTrying, readyMs, isRemembered] of CONFIRMED) {
  test(`Capacity: a reconnect ${what} shows a capacity of one that is ${isRemembered ? "" : "not "}cached`, () => {
    const capacity = isTrying ? trying() : new Capacity("auto");
    capacity.seconded(1_000);
    assertEquals(capacity.lostMain(isClean, 1_500), true);
    assertEquals(capacity.confirm(1_500 + readyMs), isRemembered);
    assertEquals(capacity.keeps, "one");
    assertEquals(capacity.confirm(1_501), false, "once");
  });
}

test("Capacity: a daemon that was away shows nothing", () => {
  for (const before of ["many", "one"] as const) {
    const capacity = new Capacity("auto");
    if (before === "many") capacity.learn("many");
    capacity.displaced(0, true);
    capacity.wasAway();
    assertEquals(capacity.keeps, before);
    assertEquals(capacity.confirm(1), false);
  }
});
