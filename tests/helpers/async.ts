/**
 * The standard library's pauses, with the types that its npm package lacks, and
 * a time limit that is made of one.
 *
 * @module
 */

import { delay as stdDelay } from "@std/async/delay.js";

/** Waits so many milliseconds; rejects if the signal ends that. */
export const delay: (
  ms: number,
  options?: { readonly signal?: AbortSignal },
) => Promise<void> = stdDelay;

/** What a promise comes to, or `undefined` if that takes longer. */
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
