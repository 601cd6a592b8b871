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
