/**
 * Which request of the client's an id of the daemon's means. It means the
 * request of just that id; else the one of the same id as the other JSON type,
 * while all ids of this client have one type.
 *
 * @module
 */

import type { ClientIds } from "./dialect.ts";
import { IdTypes, otherType } from "./ids.ts";
import type { Id } from "./jsonrpc.ts";
import type { Ledger } from "./ledger.ts";

/** The ids of the client's requests. */
export class Matching implements ClientIds {
  readonly #ledger: Ledger;
  readonly #types = new IdTypes();
  /** The daemon has answered an id as the other JSON type. */
  #isRetyping = false;

  /** Nothing has come from the client yet. */
  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** The client has used an id. */
  note(id: Id): void {
    this.#types.note(id);
  }

  /** The client's id that the daemon may have meant by another one. */
  meant(id: Id): Id | undefined {
    return this.#types.meant(id);
  }

  /** An id came back as the other JSON type. */
  sawRetyped(): void {
    this.#isRetyping = true;
  }

  /** Whether a request of this id, or of the same as the other JSON type, is open or may be answered late. */
  isOpen(id: Id): boolean {
    const other = otherType(id);
    return [id, other].some((it) =>
      it !== undefined &&
      (this.#ledger.find(it) !== undefined || this.#ledger.late.isDue(it))
    );
  }

  /** Whether a late answer may come that would be taken for the one to a request of this id. */
  isLate(id: Id): boolean {
    const { late } = this.#ledger;
    const twin = this.#twinOf(id);
    return late.isDue(id) || twin !== undefined && late.isDue(twin);
  }

  /** The id of the request in flight on a link that the daemon means by an id. */
  inFlight(id: Id | undefined, epoch: number): Id | undefined {
    if (id === undefined || this.#ledger.isInFlight(id, epoch)) return id;
    const meant = this.meant(id);
    const isMeant = meant !== undefined &&
      this.#ledger.isInFlight(meant, epoch);
    this.#isRetyping ||= isMeant;
    return isMeant ? meant : undefined;
  }

  /** Whether a request is in flight whose answer may be taken for the one to a request of this id. */
  hasTwin(id: Id): boolean {
    const twin = this.#twinOf(id);
    return twin !== undefined && this.#ledger.find(twin)?.sentOn !== undefined;
  }

  /** The same id as the other JSON type, if the client has ids of both types, and the daemon confuses them. */
  #twinOf(id: Id): Id | undefined {
    const isConfused = this.#isRetyping && this.#types.isMixed;
    return isConfused ? otherType(id) : undefined;
  }
}
