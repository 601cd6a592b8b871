/**
 * The ids of the client's requests, and which of them an id of the daemon's
 * means: the same id; else the same as the other JSON type, while all ids of
 * this client have one type.
 *
 * @module
 */

import type { ClientIdRules } from "../dialects/dialect.ts";
import { IdTypes, otherType } from "../protocol/id_types.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { Ledger } from "../requests/tracker.ts";

/** The ids of the client's requests. */
export class ClientIds implements ClientIdRules {
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

  meant(id: Id): Id | undefined {
    return this.#types.meant(id);
  }

  sawRetyped(): void {
    this.#isRetyping = true;
  }

  isOpen(id: Id): boolean {
    const other = otherType(id);
    return [id, other].some((it) =>
      it !== undefined &&
      (this.#ledger.find(it) !== undefined || this.#ledger.late.has(it))
    );
  }

  /** The id of the request in flight on a link that the daemon means by an id; takes note of one that was retyped. */
  resolve(id: Id | undefined, epoch: number): Id | undefined {
    if (id === undefined || this.#ledger.isInFlight(id, epoch)) return id;
    const meant = this.meant(id);
    if (meant === undefined || !this.#ledger.isInFlight(meant, epoch)) {
      return undefined;
    }
    this.sawRetyped();
    return meant;
  }

  /** An answer came on a link that nobody waits for any more. */
  came(id: Id, epoch: number): void {
    this.#ledger.late.came(id, epoch);
    const meant = this.meant(id);
    if (meant !== undefined) this.#ledger.late.came(meant, epoch);
  }

  /** Whether a late answer may come that would be taken for the one to a request of this id. */
  isLate(id: Id): boolean {
    const { late } = this.#ledger;
    const twin = this.#twinOf(id);
    return late.has(id) || twin !== undefined && late.has(twin);
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
