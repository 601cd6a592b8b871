/**
 * A test of a pure room: it runs with no permission at all.
 *
 * @module
 */

import { TEST_LIMIT_MS } from "./limit.ts";

/** Registers a test that may touch nothing. */
export function test(name: string, fn: () => void): void {
  Deno.test({ name, permissions: "none", timeout: TEST_LIMIT_MS, fn });
}
