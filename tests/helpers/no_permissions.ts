/**
 * A test of a pure room: it runs with no permission at all.
 *
 * @module
 */

import { test as limited } from "./time_limit.ts";

/** Registers a test that may touch nothing. */
export function test(name: string, fn: () => void | Promise<void>): void {
  limited(name, fn, { permissions: "none" });
}
