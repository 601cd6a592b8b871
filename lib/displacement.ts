/**
 * Does another client take the connection, from a daemon that keeps one only.
 *
 * @module
 */

/** How long the second of two connections that are taken away has lasted at most, in milliseconds. */
const TWICE_MS = 10_000;
/** How long a connection must last for that to be over, in milliseconds. */
const OVER_MS = 60_000;

/** How the daemon has ended the last connections. */
export class Displacement {
  #isTaken = false;
  #isOn = false;

  /** Whether each of two clients takes the connection from the other if both dial. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /**
   * A connection that had been ready since a moment was ended as if for another
   * client. Once is an accident; when the next one is taken soon, the other
   * client dials whenever it loses the connection, as this one does. How long
   * the pause between them was does not count: it grows.
   */
  taken(now: number, readySince: number): void {
    const lastedMs = now - readySince;
    this.#isOn = this.#isOn
      ? lastedMs < OVER_MS
      : this.#isTaken && lastedMs <= TWICE_MS;
    this.#isTaken = true;
  }

  /** A dial has failed, or a connection ended in another way: the daemon itself was away. */
  reset(): void {
    this.#isTaken = false;
    this.#isOn = false;
  }
}

/**
 * Whether a daemon that goes on may end a connection with a close code, because
 * another client has come (RFC 6455 section 7.4): not with one that speaks of an
 * end of the daemon, of an error, or of a later time.
 *
 * @param code 0 or 1006 where there was no close frame
 */
export function mayBeTaken(code: number): boolean {
  return code === 1000 || code === 1005 || code === 1008 || code >= 3000;
}
