/**
 * Limits what is kept for a client or a daemon that does not read.
 *
 * @module
 */

import type { SessionEvent } from "../events.ts";

/** The most that is kept for a reader: a WebSocket has no back-pressure. */
export const MAX_UNREAD: number = 64 * 1024 * 1024;

/** Who reads what is written: the client, or a daemon (a connection). */
export interface Reader {
  /** How much is written and not read. */
  readonly backlog: number;
}

/** Tells the session who does not read, and who reads again. */
export class BackPressure {
  readonly #emit: (event: SessionEvent) => void;
  /** What to report when a full reader has read. */
  readonly #full = new Map<Reader, SessionEvent>();

  /** Creates an object that reports to `emit`. */
  constructor(emit: (event: SessionEvent) => void) {
    this.#emit = emit;
  }

  /** True while a reader does not read, and `checkAgain` is to be called. */
  get isWaiting(): boolean {
    return this.#full.size > 0;
  }

  /** Looks at a connection, or at stdout, after something was written to it. */
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

  /** Looks again at the readers that did not read. */
  checkAgain(): void {
    for (const [reader, drained] of this.#full) {
      if (reader.backlog >= MAX_UNREAD / 8) continue;
      this.#full.delete(reader);
      this.#emit(drained);
    }
  }
}
