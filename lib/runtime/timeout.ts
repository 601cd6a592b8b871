/**
 * Time limits of promises.
 *
 * @module
 */

/** Waits for a promise, but not longer than so many milliseconds. */
export async function atMost(
  ms: number,
  promise: Promise<unknown>,
): Promise<void> {
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(() => patience.resolve(), ms);
  try {
    await Promise.race([promise, patience.promise]);
  } finally {
    clearTimeout(timer);
  }
}
