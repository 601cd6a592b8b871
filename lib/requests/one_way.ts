/**
 * What was written on connections that no answer comes to: notifications, and
 * answers to the daemon's own requests. A daemon that answers something written
 * later has taken them; before that, an error without an id may be about them.
 *
 * @module
 */

/** Places in the order of what was written on one connection. */
interface Places {
  /** The last of what no answer comes to. */
  written?: number;
  /** The last request that was answered. */
  answered: number;
}

/** The places by the epochs of the connections. */
export class OneWay {
  readonly #places = new Map<number, Places>();

  /** Something that no answer comes to was written at a place. */
  wrote(epoch: number, place: number): void {
    this.#of(epoch).written = place;
  }

  /** The request at a place was answered. */
  answered(epoch: number, place: number): void {
    const places = this.#of(epoch);
    places.answered = Math.max(places.answered, place);
  }

  /** Whether the daemon has taken all that no answer comes to. */
  isTaken(epoch: number): boolean {
    const { written, answered } = this.#of(epoch);
    return written === undefined || written < answered;
  }

  /** A connection is over. */
  lost(epoch: number): void {
    this.#places.delete(epoch);
  }

  #of(epoch: number): Places {
    const places = this.#places.get(epoch) ?? { answered: 0 };
    this.#places.set(epoch, places);
    return places;
  }
}
