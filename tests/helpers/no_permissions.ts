/**
 * Tests of pure code: they run with no permission at all.
 *
 * @module
 */

import { test as limited } from "./time_limit.ts";

/** Registers a test without permissions. */
export function test(name: string, fn: () => void | Promise<void>): void {
  limited(name, fn, { permissions: "none" });
}
