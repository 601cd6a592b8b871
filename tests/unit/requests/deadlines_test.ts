/**
 * Tests `IndexedMinHeap`, which orders keys by priority, `MostlyFarDeadlines`,
 * which looks at far deadlines only when they come near, and `DeadlineMap`,
 * whose values have a deadline each.
 *
 * @module
 */

import {
  DeadlineMap,
  IndexedMinHeap,
  MostlyFarDeadlines,
} from "../../../lib/requests/deadlines.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Indexed min heap: the smallest priority is first, and of equal ones the key that was added first", () => {
  const heap = new IndexedMinHeap<string>();
  for (const [key, value] of [["c", 3], ["b", 1], ["a", 1]] as const) {
    heap.set(key, value);
  }
  assertEquals([heap.first, heap.minPriority, heap.size], ["b", 1, 3]);
  assertEquals(heap.takeUpTo(3), ["b", "a", "c"]);
  assertEquals([heap.first, heap.minPriority], [undefined, Infinity]);
});

test("Indexed min heap: changed and deleted keys leave the others in order", () => {
  // A Lehmer generator gives the same numbers in every run.
  let seed = 1;
  const randomBelow = (limit: number): number =>
    (seed = seed * 48_271 % 2_147_483_647) % limit;
  const heap = new IndexedMinHeap<number>();
  const known = new Map<number, number>();
  for (let i = 0; i < 5_000; i++) {
    const [key, value] = [randomBelow(200), randomBelow(1_000)];
    if (randomBelow(3) === 0) {
      heap.delete(key);
      known.delete(key);
    } else {
      heap.set(key, value);
      known.set(key, value);
    }
    assertEquals(heap.minPriority, Math.min(Infinity, ...known.values()));
  }
  heap.addToAll(10);
  const taken = heap.takeUpTo(Infinity).map((key) => known.get(key)!);
  assertEquals(taken, [...known.values()].sort((a, b) => a - b));
});

test("Indexed min heap: an infinite priority removes the key", () => {
  const heap = new IndexedMinHeap<string>();
  heap.set("a", 1);
  heap.set("a", Infinity);
  assertEquals([heap.size, heap.takeUpTo(Infinity)], [0, []]);
});

test("Mostly far deadlines: values are taken at their deadlines, and none is missed", () => {
  // A Lehmer generator gives the same numbers in every run.
  let seed = 7;
  const randomBelow = (limit: number): number =>
    (seed = seed * 48_271 % 2_147_483_647) % limit;
  const values = new Set<{ deadline: number }>();
  const deadlines = new MostlyFarDeadlines(values);
  let now = 0;
  for (let i = 0; i < 5_000; i++) {
    now += randomBelow(100);
    const value = [...values][randomBelow(20)] ?? { deadline: 0 };
    switch (randomBelow(4)) {
      case 0:
        values.delete(value);
        deadlines.delete(value);
        break;
      case 1:
        for (const it of values) it.deadline += 50;
        deadlines.postpone(50);
        break;
      default:
        values.add(value);
        value.deadline = randomBelow(5) === 0
          ? Infinity
          : now + randomBelow(4_000);
        deadlines.update(value, now);
    }
    const all = [...values].map(({ deadline }) => deadline);
    assert(deadlines.earliest <= Math.min(Infinity, ...all));
    const due = all.filter((deadline) => deadline <= now);
    const taken = deadlines.takeDue(now);
    for (const it of taken) values.delete(it);
    assertEquals(
      taken.map(({ deadline }) => deadline),
      due.sort((a, b) => a - b),
    );
  }
});

test("Mostly far deadlines: deadlines that are far away are looked through once a second", () => {
  let scans = 0;
  const values: { deadline: number }[] = [];
  const deadlines = new MostlyFarDeadlines({
    [Symbol.iterator]: () => {
      scans++;
      return values.values();
    },
  });
  for (let now = 0; now < 10_000; now++) {
    const value = { deadline: now + 1_500 };
    values.push(value);
    deadlines.update(value, now);
    deadlines.takeDue(now);
    if (values[0]!.deadline <= now) values.shift();
  }
  assert(scans >= 8 && scans <= 10, `${scans} times in 10 s`);
});

test("Deadline map: a value is taken at its deadline, which a sleep postpones", () => {
  const map = new DeadlineMap<{ until: number; word: string }>();
  map.set("1", { until: 20, word: "later" });
  map.set("2", { until: 10, word: "sooner" });
  map.set("3", { until: 5, word: "gone" });
  map.dropEarliestWhile((id) => id === "3");
  map.postpone(5);
  assertEquals([map.earliest, map.takeDue(14)], [15, []]);
  assertEquals(map.takeDue(15).map(([, { word }]) => word), ["sooner"]);
  assertEquals([map.get("2"), map.get("1")?.until], [undefined, 25]);
});

test("Deadline map: a value replaces the earlier value with the same id, and the earlier deadline", () => {
  const map = new DeadlineMap<{ until: number }>();
  map.set("1", { until: 10 });
  map.set("1", { until: 30 });
  map.set("2", { until: 20 });
  assertEquals([map.earliest, map.takeDue(10)], [20, []]);
  map.delete("2");
  assertEquals(map.takeDue(30).map(([id]) => id), ["1"]);
  assertEquals(map.earliest, Infinity);
});

test("Deadline map: dropEarliestWhile stops at the first value for which its condition is false", () => {
  const map = new DeadlineMap<{ until: number }>();
  for (const until of [1, 2, 3, 4]) map.set(`${until}`, { until });
  map.dropEarliestWhile((id) => id !== "3");
  assertEquals(map.earliest, 3);
  assertEquals(map.get("4"), { until: 4 });
});
