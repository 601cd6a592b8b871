/**
 * Tracks messages that get no response: notifications, and responses to the
 * daemon's own requests. A daemon that answers something written later has
 * received them. Before that, an error without an id may be about them.
 *
 * @module
 */

/** Write numbers on one connection. */
interface LastWriteNumbers {
  /** The last message that gets no response. */
  lastOneWay?: number;
  /** The last request that was answered. */
  lastAnswered: number;
}

/** The write numbers by connection id. */
export class OneWayMessages {
  readonly #numbers = new Map<number, LastWriteNumbers>();

  /** Records the write of a message that gets no response. */
  onWrite(connectionId: number, writeNumber: number): void {
    this.#numbersOf(connectionId).lastOneWay = writeNumber;
  }

  /** Records the response to the request with this write number. */
  onResponse(connectionId: number, writeNumber: number): void {
    const numbers = this.#numbersOf(connectionId);
    numbers.lastAnswered = Math.max(numbers.lastAnswered, writeNumber);
  }

  /** Whether the daemon has received all messages that get no response. */
  isAllReceived(connectionId: number): boolean {
    const { lastOneWay, lastAnswered } = this.#numbersOf(connectionId);
    return lastOneWay === undefined || lastOneWay < lastAnswered;
  }

  /** Forgets a connection that ended. */
  onDisconnect(connectionId: number): void {
    this.#numbers.delete(connectionId);
  }

  #numbersOf(connectionId: number): LastWriteNumbers {
    const numbers = this.#numbers.get(connectionId) ?? { lastAnswered: 0 };
    this.#numbers.set(connectionId, numbers);
    return numbers;
  }
}
