/**
 * A test of a pure room: it runs with no permission at all.
 *
 * @module
 */

/** Registers a test that may touch nothing. */
export function test(name: string, fn: () => void): void {
  Deno.test({ name, permissions: "none", fn });
}
