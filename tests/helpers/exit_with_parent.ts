/**
 * A daemon that a test has started must not outlive the test, however that ends.
 *
 * @module
 */

/** Tells a daemon that its stdin stays open for as long as the test runs. */
export const EXIT_WITH_PARENT_ENV = { STARTED_BY_TEST: "1" } as const;

/** Ends this process when its stdin ends, if a test has started it. */
export async function exitWithParent(): Promise<void> {
  if (Deno.env.get("STARTED_BY_TEST") === undefined) return;
  // Nothing is ever written to it.
  await Deno.stdin.readable.pipeTo(new WritableStream());
  Deno.exit(0);
}
