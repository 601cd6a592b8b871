/**
 * The standard library's delays, with the types that its npm package lacks, and
 * a time limit based on one.
 *
 * @module
 */

import { delay as stdDelay } from "@std/async/delay.js";

/** Waits so many milliseconds. Rejects if the signal aborts it. */
export const delay: (
  ms: number,
  options?: { readonly signal?: AbortSignal },
) => Promise<void> = stdDelay;

/** The value of a promise, or `undefined` if that takes longer. */
export async function valueWithin<T>(
  promise: Promise<T>,
  ms: number,
): Promise<T | undefined> {
  const stop = new AbortController();
  const late = delay(ms, { signal: stop.signal });
  try {
    return await Promise.race([promise, late.then(() => undefined)]);
  } finally {
    stop.abort();
  }
}
