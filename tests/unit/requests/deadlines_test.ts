/**
 * Tests `IndexedMinHeap`, which orders keys by priority, and `DeadlineMap`,
 * whose values have a deadline each.
 *
 * @module
 */

import {
  DeadlineMap,
  IndexedMinHeap,
} from "../../../lib/requests/deadlines.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Ranked: the least number is first, and of equal ones the one that came first", () => {
  const ranked = new IndexedMinHeap<string>();
  for (const [key, value] of [["c", 3], ["b", 1], ["a", 1]] as const) {
    ranked.set(key, value);
  }
  assertEquals([ranked.first, ranked.minPriority, ranked.size], ["b", 1, 3]);
  assertEquals(ranked.takeUpTo(3), ["b", "a", "c"]);
  assertEquals([ranked.first, ranked.minPriority], [undefined, Infinity]);
});

test("Ranked: changed and deleted entries leave the others in order", () => {
  // A Lehmer generator gives the same numbers in every run.
  let seed = 1;
  const chance = (limit: number): number =>
    (seed = seed * 48_271 % 2_147_483_647) % limit;
  const ranked = new IndexedMinHeap<number>();
  const known = new Map<number, number>();
  for (let i = 0; i < 5_000; i++) {
    const [key, value] = [chance(200), chance(1_000)];
    if (chance(3) === 0) {
      ranked.delete(key);
      known.delete(key);
    } else {
      ranked.set(key, value);
      known.set(key, value);
    }
    assertEquals(ranked.minPriority, Math.min(Infinity, ...known.values()));
  }
  ranked.addToAll(10);
  const taken = ranked.takeUpTo(Infinity).map((key) => known.get(key)!);
  assertEquals(taken, [...known.values()].sort((a, b) => a - b));
});

test("Ranked: keeps nothing under an infinite number", () => {
  const ranked = new IndexedMinHeap<string>();
  ranked.set("a", 1);
  ranked.set("a", Infinity);
  assertEquals([ranked.size, ranked.takeUpTo(Infinity)], [0, []]);
});

test("Awaited: an entry is taken at its moment, which a sleep postpones", () => {
  const awaited = new DeadlineMap<{ until: number; word: string }>();
  awaited.set("1", { until: 20, word: "later" });
  awaited.set("2", { until: 10, word: "sooner" });
  awaited.set("3", { until: 5, word: "gone" });
  awaited.dropEarliestWhile((id) => id === "3");
  awaited.postpone(5);
  assertEquals([awaited.earliest, awaited.takeDue(14)], [15, []]);
  assertEquals(awaited.takeDue(15).map(([, { word }]) => word), ["sooner"]);
  assertEquals([awaited.get("2"), awaited.get("1")?.until], [undefined, 25]);
});

test("Awaited: an entry replaces the earlier one of its id, with its moment", () => {
  const awaited = new DeadlineMap<{ until: number }>();
  awaited.set("1", { until: 10 });
  awaited.set("1", { until: 30 });
  awaited.set("2", { until: 20 });
  assertEquals([awaited.earliest, awaited.takeDue(10)], [20, []]);
  awaited.delete("2");
  assertEquals(awaited.takeDue(30).map(([id]) => id), ["1"]);
  assertEquals(awaited.earliest, Infinity);
});

test("Deadline map: removes expired values at the front, and none behind an unexpired one", () => {
  const awaited = new DeadlineMap<{ until: number }>();
  for (const until of [1, 2, 3, 4]) awaited.set(`${until}`, { until });
  awaited.dropEarliestWhile((id) => id !== "3");
  assertEquals(awaited.earliest, 3);
  assertEquals(awaited.get("4"), { until: 4 });
});
