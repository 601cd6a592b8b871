/**
 * Time limits for tests. Each limit is at least eight times the measured time
 * on two idle cores, so that a busy machine does not reach it.
 *
 * @module
 */

/** How long one test may take, in milliseconds: the slowest takes 36 s. */
const TEST_LIMIT_MS = 400_000;

/** How long a test waits for one thing, in milliseconds: the slowest takes 25 s. */
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
 * Returns the value of a promise. Throws, with `what` in the message, after
 * `WAIT_LIMIT_MS`.
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

/** Wakes those who wait until a condition holds, at every change. */
export class Changes {
  #next = Promise.withResolvers<void>();

  /** Something has changed. */
  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** Resolves as soon as the condition holds. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await withWaitLimit(this.#next.promise, what);
  }
}
