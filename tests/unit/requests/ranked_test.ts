/**
 * Things by a number each: what is least, and what waits for a moment.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { Awaited } from "../../../lib/requests/awaited.ts";
import { Ranked } from "../../../lib/requests/ranked.ts";

test("Ranked: the least number is first, and of equal ones the one that came first", () => {
  const ranked = new Ranked<string>();
  for (const [key, value] of [["c", 3], ["b", 1], ["a", 1]] as const) {
    ranked.set(key, value);
  }
  assertEquals([ranked.first, ranked.least, ranked.size], ["b", 1, 3]);
  assertEquals(ranked.take(3), ["b", "a", "c"]);
  assertEquals([ranked.first, ranked.least], [undefined, Infinity]);
});

test("Ranked: changed and deleted entries leave the others in order", () => {
  // A generator of Lehmer's: every run is the same.
  let seed = 1;
  const chance = (limit: number): number =>
    (seed = seed * 48_271 % 2_147_483_647) % limit;
  const ranked = new Ranked<number>();
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
    assertEquals(ranked.least, Math.min(Infinity, ...known.values()));
  }
  ranked.shift(10);
  const taken = ranked.take(Infinity).map((key) => known.get(key)!);
  assertEquals(taken, [...known.values()].sort((a, b) => a - b));
});

test("Ranked: keeps nothing under an infinite number", () => {
  const ranked = new Ranked<string>();
  ranked.set("a", 1);
  ranked.set("a", Infinity);
  assertEquals([ranked.size, ranked.take(Infinity)], [0, []]);
});

test("Awaited: an entry is taken at its moment, which a sleep postpones", () => {
  const awaited = new Awaited<{ until: number; word: string }>();
  awaited.set("1", { until: 20, word: "later" });
  awaited.set("2", { until: 10, word: "sooner" });
  awaited.set("3", { until: 5, word: "gone" });
  awaited.forget((id) => id === "3");
  awaited.shift(5);
  assertEquals([awaited.earliest, awaited.take(14)], [15, []]);
  assertEquals(awaited.take(15).map(([, { word }]) => word), ["sooner"]);
  assertEquals([awaited.get("2"), awaited.get("1")?.until], [undefined, 25]);
});
