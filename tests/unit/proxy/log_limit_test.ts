/**
 * Many log lines of one kind: the first are written, the others are counted.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import type { LogEffect } from "../../../lib/events.ts";
import { Repeats } from "../../../lib/proxy/log_limit.ts";

function line(event: string, message: string): LogEffect {
  return { type: "log", level: "warn", event, message };
}

/** How many of so many lines are written at a moment. */
function written(
  repeats: Repeats,
  count: number,
  now: number,
  event = "bad",
): number {
  let sum = 0;
  for (let i = 1; i <= count; i++) {
    if (repeats.admits(line(event, `${event} ${i}`), now)) sum++;
  }
  return sum;
}

function taken(repeats: Repeats, now: number): string[] {
  return repeats.take(now).map(({ message }) => message);
}

test("Log limit: the first ten lines of a kind are written, and then one a second", () => {
  const repeats = new Repeats();
  assertEquals(repeats.dueAt, Infinity);
  assertEquals(written(repeats, 1000, 5), 10);
  assertEquals(repeats.dueAt, 1005);
  assertEquals(taken(repeats, 1004), []);
  assertEquals(taken(repeats, 1005), ["bad 1000 (and 989 more like it)"]);
  assertEquals(written(repeats, 1000, 1500), 0);
  assertEquals(repeats.dueAt, 2005);
  assertEquals(taken(repeats, 2005), ["bad 1000 (and 999 more like it)"]);
});

test("Log limit: a kind without lines for a second begins anew", () => {
  const repeats = new Repeats();
  assertEquals(written(repeats, 11, 0), 10);
  assertEquals(taken(repeats, 1000), ["bad 11"]);
  assertEquals(taken(repeats, 2000), []);
  assertEquals(repeats.dueAt, Infinity);
  assertEquals(written(repeats, 11, 2001), 10);
});

test("Log limit: each kind is counted for itself, and the last counts are written at the end", () => {
  const repeats = new Repeats();
  assertEquals(written(repeats, 12, 0), 10);
  assertEquals(written(repeats, 13, 0, "worse"), 10);
  assertEquals(taken(repeats, Infinity), [
    "bad 12 (and 1 more like it)",
    "worse 13 (and 2 more like it)",
  ]);
});
