/**
 * Detects whether another client takes over the connection of a daemon that
 * keeps only one.
 *
 * @module
 */

/**
 * The longest lifetime of the second of two displaced connections that counts
 * as a recurrence, in milliseconds.
 */
const MAX_RECURRENCE_LIFETIME_MS = 10_000;
/**
 * How long a connection must last for the displacement to be over, in
 * milliseconds.
 */
const STABLE_LIFETIME_MS = 60_000;

/**
 * Tracks how the daemon closed the last connections. One displacement may be an
 * accident. If the next connection is displaced soon, the other client redials
 * as often as this one does. The delay between the two does not count, because
 * it grows.
 */
export class DisplacementTracker {
  #wasDisplaced = false;
  #isRecurring = false;

  /** Whether two clients would displace each other forever if both redialed. */
  get isRecurring(): boolean {
    return this.#isRecurring;
  }

  /**
   * Records that the daemon displaced a connection that had been ready since
   * `readySince`.
   */
  onDisplaced(now: number, readySince: number): void {
    const lastedMs = now - readySince;
    this.#isRecurring = this.#isRecurring
      ? lastedMs < STABLE_LIFETIME_MS
      : this.#wasDisplaced && lastedMs <= MAX_RECURRENCE_LIFETIME_MS;
    this.#wasDisplaced = true;
  }

  /**
   * Records that a dial failed or a connection ended in another way: the daemon
   * itself was down.
   */
  reset(): void {
    this.#wasDisplaced = false;
    this.#isRecurring = false;
  }
}

/**
 * Returns whether a daemon that keeps running may close a connection with this
 * code in favor of another client (RFC 6455 section 7.4). The other codes mean
 * that the daemon ends, an error, "try again later", or (4003, exai) the token.
 *
 * @param code 0 or 1006 where there was no close frame
 */
export function mayMeanDisplacement(code: number): boolean {
  return code === 1000 || code === 1005 || code === 1008 ||
    code >= 3000 && code !== 4003;
}
