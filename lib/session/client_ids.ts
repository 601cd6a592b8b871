/**
 * Finds the client's request that an id from the daemon refers to. Some
 * daemons return a number as a string, or a string as a number. Such an id
 * matches only while all ids of this client have one JSON type.
 *
 * @module
 */

import type { ClientIdAccess } from "../dialects/dialect.ts";
import { ObservedIdTypes, toOtherIdType } from "../protocol/id_types.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import type { RequestTracker } from "../requests/tracker.ts";

/** The ids of the client's requests. */
export class ClientIds implements ClientIdAccess {
  readonly #types = new ObservedIdTypes();
  #hasRetypedIds = false;

  /** Creates a lookup that has seen no id yet. */
  constructor(private readonly tracker: RequestTracker) {}

  /** Records the id of a request from the client. */
  observe(id: Id): void {
    this.#types.observe(id);
  }

  guessClientId(id: Id): Id | undefined {
    return this.#types.guessClientId(id);
  }

  recordRetypedId(): void {
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

  /** Returns the request in flight that an id from the daemon refers to. */
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
    if (meant !== undefined) this.recordRetypedId();
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

  /** Returns true if a late response may be mistaken for this id's response. */
  mayGetLateResponse(id: Id): boolean {
    const { lateResponses } = this.tracker;
    if (lateResponses.isEmpty) return false;
    const confusable = this.#confusableIdOf(id);
    return lateResponses.has(id) ||
      confusable !== undefined && lateResponses.has(confusable);
  }

  /** Returns true if the daemon may confuse this id with one in flight. */
  mayBeConfusedWithInFlight(id: Id): boolean {
    if (!this.#hasRetypedIds) return false;
    const confusable = this.#confusableIdOf(id);
    return confusable !== undefined &&
      this.tracker.find(confusable)?.sentOnConnectionId !== undefined;
  }

  /** Returns the id as the other JSON type, if the daemon may confuse both. */
  #confusableIdOf(id: Id): Id | undefined {
    const isConfused = this.#hasRetypedIds && this.#types.isMixed;
    return isConfused ? toOtherIdType(id) : undefined;
  }
}
