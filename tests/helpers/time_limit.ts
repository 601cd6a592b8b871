/**
 * Time limits for tests. Each limit is at least eight times as long as the test
 * takes on two idle cores, so that a busy machine does not reach it.
 *
 * @module
 */

/** The time limit of a test, in milliseconds. The slowest test takes 36 s. */
const TEST_LIMIT_MS = 400_000;

/** The time limit of a wait, in milliseconds. The slowest wait takes 25 s. */
export const WAIT_LIMIT_MS = 240_000;

/** Registers a test with the common time limit. */
export function test(
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
  options: Partial<Deno.TestDefinition> = {},
): void {
  Deno.test({ name, fn, timeout: TEST_LIMIT_MS, ...options });
}

/**
 * Returns the value of a promise. Throws after {@linkcode WAIT_LIMIT_MS}; the
 * message names `what`.
 */
export async function withWaitLimit<T>(
  promise: Promise<T>,
  what: string,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(new Error(`Waited ${WAIT_LIMIT_MS / 1000} s for ${what}`)),
    WAIT_LIMIT_MS,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets a test wait for a condition, which is checked at every change. */
export class Changes {
  #next = Promise.withResolvers<void>();

  /** Makes all waiting tests check their conditions. */
  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** Waits until a condition is true. Throws if no change comes in time. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await withWaitLimit(this.#next.promise, what);
  }
}
