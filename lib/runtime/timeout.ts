/**
 * Pauses and time limits, made of the standard library's `delay`.
 *
 * @module
 */

import { delay as stdDelay } from "npm:/deno-std@1.3.4/async/delay.js";

/**
 * Waits `ms` milliseconds. Rejects with the signal's reason if the signal is
 * aborted before.
 */
// The package has no types.
export const delay: (
  ms: number,
  options?: { readonly signal?: AbortSignal },
) => Promise<void> = stdDelay;

/** Waits for a promise; resolves with `undefined` after `timeoutMs`. */
export async function waitAtMost<T>(
  timeoutMs: number,
  promise: Promise<T>,
): Promise<T | undefined> {
  // `deadline` of the same library does not keep Node alive until the timeout.
  const stop = new AbortController();
  const timeout = delay(timeoutMs, { signal: stop.signal });
  try {
    return await Promise.race([promise, timeout.then(() => undefined)]);
  } finally {
    stop.abort();
  }
}
