/**
 * Time limits of promises.
 *
 * @module
 */

/** Waits for a promise, but not longer than so many milliseconds. */
export async function waitAtMost(
  timeoutMs: number,
  promise: Promise<unknown>,
): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(() => timeout.resolve(), timeoutMs);
  try {
    await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
