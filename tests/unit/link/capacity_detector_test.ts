/**
 * How many connections a daemon keeps for a client, as far as the proxy knows.
 *
 * @module
 */

import { CapacityDetector } from "../../../lib/link/capacity_detector.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** A check that began at 1000 ms, after a handshake of 50 ms. */
function startCheck(): CapacityDetector {
  const capacity = new CapacityDetector("auto");
  capacity.startCheck(50, 1_000);
  return capacity;
}

test("Capacity: a setting is known from the start, and nothing overwrites it", () => {
  for (const setting of ["one", "many"] as const) {
    const capacity = new CapacityDetector(setting);
    capacity.record(setting === "one" ? "many" : "one");
    capacity.onSecondConnection(0);
    assertEquals(capacity.onMainConnectionClosed(true, 1), false);
    assertEquals([capacity.connectionCapacity, capacity.isUnknown], [
      setting,
      false,
    ]);
  }
});

test("Capacity: a check leaves 100 ms of its 450 ms to the main connection", () => {
  const capacity = startCheck();
  assertEquals([capacity.connectionCapacity, capacity.isUnknown], [
    "unknown",
    false,
  ]);
  assertEquals(capacity.deadline(), 1_300);
  capacity.check!.step = "main-only";
  assertEquals(capacity.deadline(), 1_400);
  capacity.abandonCheck();
  assertEquals([capacity.connectionCapacity, capacity.deadline()], [
    "one",
    Infinity,
  ]);
});

test("Capacity: a check is extended once", () => {
  const capacity = startCheck();
  assertEquals(capacity.extendCheck(200), true);
  assertEquals(capacity.deadline(), 1_600);
  assertEquals(capacity.extendCheck(200), false);
  assertEquals(capacity.deadline(), 1_600);
  assertEquals(
    new CapacityDetector("auto").extendCheck(1),
    false,
    "there is none",
  );
});

test("Capacity: the end of no check changes nothing", () => {
  const capacity = new CapacityDetector("auto");
  capacity.abandonCheck();
  assertEquals(capacity.connectionCapacity, "unknown");
  capacity.record("many");
  capacity.abandonCheck();
  assertEquals(capacity.connectionCapacity, "many");
});

const LOSSES: [what: string, lostAt: number, isDisplaced: boolean][] = [
  ["2 s after the second opened", 2_000, true],
  ["later", 2_001, false],
];
for (const [what, lostAt, isDisplaced] of LOSSES) {
  test(`Capacity: a main connection that is closed ${what} is ${isDisplaced ? "" : "not "}displaced`, () => {
    const capacity = new CapacityDetector("auto");
    capacity.record("many");
    capacity.onSecondConnection(0);
    assertEquals(capacity.onMainConnectionClosed(true, lostAt), isDisplaced);
    assertEquals(capacity.connectionCapacity, isDisplaced ? "one" : "many");
    assertEquals(
      capacity.onMainConnectionClosed(true, 0),
      false,
      "the second counts once",
    );
  });
}

test("Capacity: a second connection that is lost displaces nothing", () => {
  const capacity = new CapacityDetector("auto");
  capacity.onSecondConnection(0);
  capacity.onSecondConnectionClosed();
  assertEquals(capacity.onMainConnectionClosed(true, 1), false);
  assertEquals(capacity.isUnknown, true);
});

const CONFIRMED: [
  what: string,
  isClean: boolean,
  isTrying: boolean,
  readyMs: number,
  isCached: boolean,
][] = [
  ["after a close frame, within 1 s", true, false, 1_000, true],
  ["after more than 1 s", true, false, 1_001, false],
  ["after a cut without a close frame", false, false, 1, false],
  ["after a cut during a check", false, true, 1, true],
];
for (const [what, isClean, isTrying, readyMs, isCached] of CONFIRMED) {
  test(`Capacity: a reconnect ${what} shows a capacity of one that is ${isCached ? "" : "not "}cached`, () => {
    const capacity = isTrying ? startCheck() : new CapacityDetector("auto");
    capacity.onSecondConnection(1_000);
    assertEquals(capacity.onMainConnectionClosed(isClean, 1_500), true);
    assertEquals(capacity.onMainConnectionReady(1_500 + readyMs), isCached);
    assertEquals(capacity.connectionCapacity, "one");
    assertEquals(capacity.onMainConnectionReady(1_501), false, "once");
  });
}

test("Capacity: a daemon that was away shows nothing", () => {
  for (const before of ["many", "one"] as const) {
    const capacity = new CapacityDetector("auto");
    if (before === "many") capacity.record("many");
    capacity.markMainDisplaced(0, true);
    capacity.onDaemonDown();
    assertEquals(capacity.connectionCapacity, before);
    assertEquals(capacity.onMainConnectionReady(1), false);
  }
});
