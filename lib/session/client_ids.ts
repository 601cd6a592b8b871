/**
 * The ids of the client's requests, and which of them an id of the daemon's
 * means: the same id; else the same as the other JSON type, while all ids of
 * this client have one type.
 *
 * @module
 */

import type { ClientIdLookup } from "../dialects/dialect.ts";
import { ObservedIdTypes, toOtherIdType } from "../protocol/id_types.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { RequestTracker } from "../requests/tracker.ts";

/** The ids of the client's requests. */
export class ClientIds implements ClientIdLookup {
  readonly #tracker: RequestTracker;
  readonly #types = new ObservedIdTypes();
  /** The daemon has answered an id as the other JSON type. */
  #hasRetypedIds = false;

  /** Nothing has come from the client yet. */
  constructor(tracker: RequestTracker) {
    this.#tracker = tracker;
  }

  /** The client has used an id. */
  observe(id: Id): void {
    this.#types.observe(id);
  }

  guessClientId(id: Id): Id | undefined {
    return this.#types.guessClientId(id);
  }

  recordRetyped(): void {
    this.#hasRetypedIds = true;
  }

  isInUse(id: Id): boolean {
    const other = toOtherIdType(id);
    return [id, other].some((it) =>
      it !== undefined &&
      (this.#tracker.find(it) !== undefined ||
        this.#tracker.lateResponses.has(it))
    );
  }

  /** The id of the request in flight on a link that the daemon means by an id; takes note of one that was retyped. */
  resolve(id: Id | undefined, connectionId: number): Id | undefined {
    if (id === undefined || this.#tracker.isInFlight(id, connectionId)) {
      return id;
    }
    const clientId = this.guessClientId(id);
    if (
      clientId === undefined ||
      !this.#tracker.isInFlight(clientId, connectionId)
    ) {
      return undefined;
    }
    this.recordRetyped();
    return clientId;
  }

  /** An answer came on a link that nobody waits for any more. */
  onLateResponse(id: Id, connectionId: number): void {
    this.#tracker.lateResponses.onResponse(id, connectionId);
    const clientId = this.guessClientId(id);
    if (clientId !== undefined) {
      this.#tracker.lateResponses.onResponse(clientId, connectionId);
    }
  }

  /** Whether a late answer may come that would be taken for the one to a request of this id. */
  mayGetLateResponse(id: Id): boolean {
    const { lateResponses } = this.#tracker;
    const confusable = this.#confusableOf(id);
    return lateResponses.has(id) ||
      confusable !== undefined && lateResponses.has(confusable);
  }

  /** Whether a request is in flight whose answer may be taken for the one to a request of this id. */
  hasConfusableInFlight(id: Id): boolean {
    const confusable = this.#confusableOf(id);
    return confusable !== undefined &&
      this.#tracker.find(confusable)?.sentOnConnectionId !== undefined;
  }

  /** The same id as the other JSON type, if the client has ids of both types, and the daemon confuses them. */
  #confusableOf(id: Id): Id | undefined {
    const isConfused = this.#hasRetypedIds && this.#types.isMixed;
    return isConfused ? toOtherIdType(id) : undefined;
  }
}
