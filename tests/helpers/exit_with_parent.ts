/**
 * Ends a test's daemon when the test ends, even if the test is killed.
 *
 * @module
 */

/** Makes a daemon exit when its stdin, a pipe from the test, ends. */
export const EXIT_WITH_PARENT_ENV = { STARTED_BY_TEST: "1" } as const;

/** Waits for the end of stdin and exits, if a test started this process. */
export async function exitWithParent(): Promise<void> {
  if (Deno.env.get("STARTED_BY_TEST") === undefined) return;
  // The test never writes to stdin.
  await Deno.stdin.readable.pipeTo(new WritableStream());
  Deno.exit(0);
}
