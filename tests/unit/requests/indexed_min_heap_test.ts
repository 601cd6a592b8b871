/**
 * Keys with a number each, the smallest first.
 *
 * @module
 */

import { IndexedMinHeap } from "../../../lib/requests/indexed_min_heap.ts";
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
  // A Lehmer generator: every run is the same.
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
