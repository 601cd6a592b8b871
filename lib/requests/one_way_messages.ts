/**
 * What was written on connections that no answer comes to: notifications, and
 * answers to the daemon's own requests. A daemon that answers something written
 * later has taken them; before that, an error without an id may be about them.
 *
 * @module
 */

/** Places in the order of what was written on one connection. */
interface LastWriteNumbers {
  /** The last of what no answer comes to. */
  lastOneWay?: number;
  /** The last request that was answered. */
  lastAnswered: number;
}

/** The places by the connection ids of the connections. */
export class OneWayMessages {
  readonly #numbers = new Map<number, LastWriteNumbers>();

  /** Something that no answer comes to was written at a place. */
  onWrite(connectionId: number, writeNumber: number): void {
    this.#numbersOf(connectionId).lastOneWay = writeNumber;
  }

  /** The request at a place was answered. */
  onResponse(connectionId: number, writeNumber: number): void {
    const numbers = this.#numbersOf(connectionId);
    numbers.lastAnswered = Math.max(numbers.lastAnswered, writeNumber);
  }

  /** Whether the daemon has taken all that no answer comes to. */
  isAllReceived(connectionId: number): boolean {
    const { lastOneWay, lastAnswered } = this.#numbersOf(connectionId);
    return lastOneWay === undefined || lastOneWay < lastAnswered;
  }

  /** A connection is over. */
  onDisconnect(connectionId: number): void {
    this.#numbers.delete(connectionId);
  }

  #numbersOf(connectionId: number): LastWriteNumbers {
    const numbers = this.#numbers.get(connectionId) ?? { lastAnswered: 0 };
    this.#numbers.set(connectionId, numbers);
    return numbers;
  }
}
