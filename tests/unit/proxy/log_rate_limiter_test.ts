/**
 * Many log lines of one kind: the first are written, the others are counted.
 *
 * @module
 */

import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import type { LogEffect } from "../../../lib/events.ts";
import { LogRateLimiter } from "../../../lib/proxy/log_rate_limiter.ts";

function line(event: string, message: string): LogEffect {
  return { type: "log", level: "warn", event, message };
}

/** How many of so many lines are written at a moment. */
function countWritten(
  repeats: LogRateLimiter,
  count: number,
  now: number,
  event = "bad",
): number {
  let sum = 0;
  for (let i = 1; i <= count; i++) {
    if (repeats.shouldWrite(line(event, `${event} ${i}`), now)) sum++;
  }
  return sum;
}

function takeLines(repeats: LogRateLimiter, now: number): string[] {
  return repeats.takeSummaries(now).map(({ message }) => message);
}

test("Log limit: the first ten lines of a kind are written, and then one a second", () => {
  const repeats = new LogRateLimiter();
  assertEquals(repeats.nextSummaryAt, Infinity);
  assertEquals(countWritten(repeats, 1000, 5), 10);
  assertEquals(repeats.nextSummaryAt, 1005);
  assertEquals(takeLines(repeats, 1004), []);
  assertEquals(takeLines(repeats, 1005), ["bad 1000 (and 989 more like it)"]);
  assertEquals(countWritten(repeats, 1000, 1500), 0);
  assertEquals(repeats.nextSummaryAt, 2005);
  assertEquals(takeLines(repeats, 2005), ["bad 1000 (and 999 more like it)"]);
});

test("Log limit: a kind without lines for a second begins anew", () => {
  const repeats = new LogRateLimiter();
  assertEquals(countWritten(repeats, 11, 0), 10);
  assertEquals(takeLines(repeats, 1000), ["bad 11"]);
  assertEquals(takeLines(repeats, 2000), []);
  assertEquals(repeats.nextSummaryAt, Infinity);
  assertEquals(countWritten(repeats, 11, 2001), 10);
});

test("Log limit: each kind is counted for itself, and the last counts are written at the end", () => {
  const repeats = new LogRateLimiter();
  assertEquals(countWritten(repeats, 12, 0), 10);
  assertEquals(countWritten(repeats, 13, 0, "worse"), 10);
  assertEquals(takeLines(repeats, Infinity), [
    "bad 12 (and 1 more like it)",
    "worse 13 (and 2 more like it)",
  ]);
});
