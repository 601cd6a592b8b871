/**
 * Registers tests of pure code, which run without any permission.
 *
 * @module
 */

import { test as limited } from "./time_limit.ts";

export function test(name: string, fn: () => void | Promise<void>): void {
  limited(name, fn, { permissions: "none" });
}
