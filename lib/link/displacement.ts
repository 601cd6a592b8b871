/**
 * Whether another client takes the connection of a daemon that keeps one only.
 *
 * @module
 */

/** How long the second of two connections that were displaced lasted at most, in milliseconds. */
const MAX_RECURRENCE_LIFETIME_MS = 10_000;
/** How long a connection must last for the displacement to be over, in milliseconds. */
const STABLE_LIFETIME_MS = 60_000;

/**
 * How the daemon has ended the last connections. One that is displaced may be an
 * accident. If the next one is displaced soon, the other client dials as often
 * as this one does. The pause between the two does not count, because it grows.
 */
export class DisplacementTracker {
  #wasDisplaced = false;
  #isRecurring = false;

  /** Whether two clients would displace each other for ever if both dialed. */
  get isRecurring(): boolean {
    return this.#isRecurring;
  }

  /** The daemon displaced a connection that had been ready since a moment. */
  onDisplaced(now: number, readySince: number): void {
    const lastedMs = now - readySince;
    this.#isRecurring = this.#isRecurring
      ? lastedMs < STABLE_LIFETIME_MS
      : this.#wasDisplaced && lastedMs <= MAX_RECURRENCE_LIFETIME_MS;
    this.#wasDisplaced = true;
  }

  /** A dial failed, or a connection ended in another way: the daemon itself was away. */
  reset(): void {
    this.#wasDisplaced = false;
    this.#isRecurring = false;
  }
}

/**
 * Whether a daemon that goes on running may close a connection with this code
 * for another client (RFC 6455 section 7.4). The other codes speak of the
 * daemon's end, of an error, of a later time, or (4003, exai) of the token.
 *
 * @param code 0 or 1006 where there was no close frame
 */
export function mayMeanDisplacement(code: number): boolean {
  return code === 1000 || code === 1005 || code === 1008 ||
    code >= 3000 && code !== 4003;
}
