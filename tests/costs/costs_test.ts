/**
 * Counts what a message costs, and fails if it costs more than the table in
 * `limits.ts` says. The clock is a number, so a busy machine changes nothing.
 *
 * @module
 */

import { assertEquals } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { COUNT_LIMITS, WAKE_UP_LIMITS } from "./limits.ts";
import { assertAccepted, countCosts, findViolations } from "./measure.ts";
import { wakeUpCosts } from "./wake_ups.ts";

test("Costs: a message costs what the table says", async () => {
  const costs = await countCosts();
  assertAccepted(costs, COUNT_LIMITS);
  // The open calls must not change what another call costs.
  for (const what of ["functions", "look-ups", "JSON texts"]) {
    assertEquals(
      costs[`session, call while 10,000 are open: ${what}`],
      costs[`session, call while 10 are open: ${what}`],
      what,
    );
  }
});

test("Costs: a proxy wakes up no more often than the table says", async () => {
  assertAccepted(await wakeUpCosts(), WAKE_UP_LIMITS);
}, { ignore: Deno.build.os !== "linux" });

test("Costs: more, much less and nothing are violations, a little less is none", () => {
  const limits = { a: { measured: 20, most: 21, least: 18 } };
  const violationsAt = (a: number): number =>
    findViolations({ a }, limits).length;
  assertEquals([17.9, 18, 21, 21.1].map(violationsAt), [1, 0, 0, 1]);
  assertEquals(findViolations({}, limits), ['"a" was not counted.']);
  assertEquals(findViolations({ a: 30 }, limits), [
    '"a" has grown from 20 to 30 (limit: 21).',
  ]);
});
