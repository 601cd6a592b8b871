/**
 * Tests the time limit of a promise.
 *
 * @module
 */

import { waitAtMost } from "../../../lib/runtime/timeout.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Timeout: ends when the promise settles, and leaves no timer", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isOver = false;
  const waiting = waitAtMost(1e9, promise).then(() => isOver = true);
  await Promise.resolve();
  assertEquals(isOver, false);
  resolve();
  await waiting;
});

test("Timeout: ends when the time is over, even if the promise is pending", async () => {
  await waitAtMost(1, new Promise(() => {}));
});

test("Timeout: a rejection reaches the caller, and leaves no timer", async () => {
  const why = await waitAtMost(1e9, Promise.reject(new Error("no")))
    .catch((error) => error.message);
  assertEquals(why, "no");
});
