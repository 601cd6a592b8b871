/**
 * Limits the output that is buffered for a slow client or a slow daemon. A
 * WebSocket has no back-pressure of its own.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** The limit of unread output, in bytes (daemon) or UTF-16 units (client). */
export const MAX_UNREAD: number = 64 * 1024 * 1024;

/** A reader of our output: the client (stdout) or a daemon (a connection). */
export interface Reader {
  /** The amount of output that the reader has not read yet. */
  readonly backlog: number;
}

/** Reports when a reader has too much unread output, and when it recovers. */
export class BackPressure {
  readonly #emit: (event: SessionEvent) => void;
  /** The full readers, each with the event that reports its recovery. */
  readonly #full = new Map<Reader, SessionEvent>();

  /** Creates the object; `emit` receives its events. */
  constructor(emit: (event: SessionEvent) => void) {
    this.#emit = emit;
  }

  /** True while a reader is full; `checkAgain` must then be called often. */
  get hasFullReader(): boolean {
    return this.#full.size > 0;
  }

  /** Checks a reader after a write; `connectionId` is undefined for stdout. */
  check(reader: Reader, connectionId?: number): void {
    if (reader.backlog <= MAX_UNREAD || this.#full.has(reader)) return;
    if (connectionId === undefined) {
      this.#full.set(reader, { type: "stdout-drained" });
      this.#emit({ type: "stdout-full" });
    } else {
      const type = "backlog";
      this.#full.set(reader, { type, connectionId, state: "drained" });
      this.#emit({ type, connectionId, state: "full" });
    }
  }

  /** Reports readers whose backlog has fallen below an eighth of the limit. */
  checkAgain(): void {
    for (const [reader, drained] of this.#full) {
      if (reader.backlog >= MAX_UNREAD / 8) continue;
      this.#full.delete(reader);
      this.#emit(drained);
    }
  }
}
