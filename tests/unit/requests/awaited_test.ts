/**
 * Entries that each wait for a moment.
 *
 * @module
 */

import { Awaited } from "../../../lib/requests/awaited.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

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

test("Awaited: an entry replaces the earlier one of its id, with its moment", () => {
  const awaited = new Awaited<{ until: number }>();
  awaited.set("1", { until: 10 });
  awaited.set("1", { until: 30 });
  awaited.set("2", { until: 20 });
  assertEquals([awaited.earliest, awaited.take(10)], [20, []]);
  awaited.delete("2");
  assertEquals(awaited.take(30).map(([id]) => id), ["1"]);
  assertEquals(awaited.earliest, Infinity);
});

test("Awaited: forgets what is over in front, and nothing behind what is not", () => {
  const awaited = new Awaited<{ until: number }>();
  for (const until of [1, 2, 3, 4]) awaited.set(`${until}`, { until });
  awaited.forget((id) => id !== "3");
  assertEquals(awaited.earliest, 3);
  assertEquals(awaited.get("4"), { until: 4 });
});
