/**
 * The ids of the client's requests, and which of them an id from the daemon
 * refers to: the same id, or the same id as the other JSON type as long as all
 * ids of this client have one type.
 *
 * @module
 */

import type { ClientIdLookup } from "../dialects/dialect.ts";
import { ObservedIdTypes, toOtherIdType } from "../protocol/id_types.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import type { RequestTracker } from "../requests/tracker.ts";

/** Tracks the ids of the client's requests. */
export class ClientIds implements ClientIdLookup {
  readonly #types = new ObservedIdTypes();
  #hasRetypedIds = false;

  /** Creates the lookup before the client has sent anything. */
  constructor(private readonly tracker: RequestTracker) {}

  /** Records an id that the client has used. */
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
    const { lateResponses } = this.tracker;
    return [id, other].some((it) =>
      it !== undefined &&
      (this.tracker.find(it) !== undefined || lateResponses.has(it))
    );
  }

  /** The request in flight there that the daemon means, maybe by another type. */
  findInFlight(
    id: Id | undefined,
    connectionId: number,
  ): PendingRequest | undefined {
    if (id === undefined) return undefined;
    const exact = this.tracker.findInFlight(id, connectionId);
    if (exact !== undefined) return exact;
    const clientId = this.guessClientId(id);
    if (clientId === undefined) return undefined;
    const meant = this.tracker.findInFlight(clientId, connectionId);
    if (meant !== undefined) this.recordRetyped();
    return meant;
  }

  /** Records a response to a request that is no longer pending. */
  onLateResponse(id: Id, connectionId: number): void {
    this.tracker.lateResponses.onResponse(id, connectionId);
    const clientId = this.guessClientId(id);
    if (clientId !== undefined) {
      this.tracker.lateResponses.onResponse(clientId, connectionId);
    }
  }

  /** Whether a late response could be mistaken for the response to this id. */
  mayGetLateResponse(id: Id): boolean {
    const { lateResponses } = this.tracker;
    const confusable = this.#confusableOf(id);
    return lateResponses.has(id) ||
      confusable !== undefined && lateResponses.has(confusable);
  }

  /** Whether the response to a request in flight could be mistaken for it. */
  hasConfusableInFlight(id: Id): boolean {
    const confusable = this.#confusableOf(id);
    return confusable !== undefined &&
      this.tracker.find(confusable)?.sentOnConnectionId !== undefined;
  }

  /** The id as the other type, if the daemon confuses the client's two. */
  #confusableOf(id: Id): Id | undefined {
    const isConfused = this.#hasRetypedIds && this.#types.isMixed;
    return isConfused ? toOtherIdType(id) : undefined;
  }
}
