/**
 * Time limits of promises.
 *
 * @module
 */

import { waitAtMost } from "../../../lib/runtime/timeout.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Timeout: ends with the promise, and leaves no timer behind", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isOver = false;
  const waiting = waitAtMost(1e9, promise).then(() => isOver = true);
  await Promise.resolve();
  assertEquals(isOver, false);
  resolve();
  await waiting;
});

test("Timeout: ends without the promise when the time is over", async () => {
  await waitAtMost(1, new Promise(() => {}));
});

test("Timeout: a rejection reaches the caller, and leaves no timer behind", async () => {
  const why = await waitAtMost(1e9, Promise.reject(new Error("no")))
    .catch((error) => error.message);
  assertEquals(why, "no");
});
