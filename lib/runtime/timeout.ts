/**
 * Implements pauses and time limits with the standard library's `delay`.
 *
 * @module
 */

import { delay as stdDelay } from "npm:/deno-std@1.3.4/async/delay.js";

/**
 * Waits `ms` milliseconds. Rejects with the signal's reason if the signal is
 * aborted earlier.
 */
// The package has no types, so the type is declared here.
export const delay: (
  ms: number,
  options?: { readonly signal?: AbortSignal },
) => Promise<void> = stdDelay;

/** Waits for a promise, but resolves with `undefined` after `timeoutMs`. */
export async function waitAtMost<T>(
  timeoutMs: number,
  promise: Promise<T>,
): Promise<T | undefined> {
  // The library's `deadline` would let Node exit before the timeout.
  const stop = new AbortController();
  const timeout = delay(timeoutMs, { signal: stop.signal });
  try {
    return await Promise.race([promise, timeout.then(() => undefined)]);
  } finally {
    stop.abort();
  }
}
