/**
 * Values that each have a deadline.
 *
 * @module
 */

import { DeadlineMap } from "../../../lib/requests/deadline_map.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Awaited: an entry is taken at its moment, which a sleep postpones", () => {
  const awaited = new DeadlineMap<{ until: number; word: string }>();
  awaited.set("1", { until: 20, word: "later" });
  awaited.set("2", { until: 10, word: "sooner" });
  awaited.set("3", { until: 5, word: "gone" });
  awaited.dropLeading((id) => id === "3");
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
  awaited.dropLeading((id) => id !== "3");
  assertEquals(awaited.earliest, 3);
  assertEquals(awaited.get("4"), { until: 4 });
});
