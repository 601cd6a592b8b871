/**
 * Tracks the proxy's own pending requests to an MCP daemon, by their ids.
 *
 * @module
 */

import { MAX_UNANSWERED_PROBES } from "../../link/liveness.ts";
import { toOtherIdType } from "../../protocol/id_types.ts";
import type { Id } from "../../protocol/jsonrpc.ts";
import type { ListKind } from "../../protocol/methods.ts";
import type { Method } from "../../protocol/mcp_types.ts";

/** The purpose of one of the proxy's own requests. */
export type Purpose =
  | { readonly kind: "initialize" }
  | { readonly kind: "handshake-probe" }
  | { readonly kind: "probe" }
  | { readonly kind: "replay"; readonly method: Method }
  | {
    readonly kind: "list";
    readonly list: ListKind;
    readonly cursor: string | undefined;
  };

/** One of the proxy's own requests. */
export interface OwnRequest {
  /** The id of the request. */
  readonly id: Id;
  /** The connection that the request was sent on. */
  readonly connectionId: number;
  /** The purpose of the request, which decides how a response is handled. */
  readonly purpose: Purpose;
  /** True once the daemon has answered a later probe. */
  isSuperseded: boolean;
}

/** The ids are from 2^30 to 2^31 - 1. */
const MIN_OWN_ID = 2 ** 30;
const OWN_ID_COUNT = 2 ** 30;

/** The proxy's own pending requests, oldest first. */
export class OwnRequests {
  #idCount = 0;
  readonly #pending = new Map<Id, OwnRequest>();

  /** Creates an empty list. Random ids rarely clash with the client's ids. */
  constructor(
    private readonly random: () => number,
    private readonly isClientId: (id: Id) => boolean,
  ) {}

  /**
   * Adds a request and returns its new id. The id is an integer of 31 bits,
   * because some bridges truncate larger numbers and misread strings. The
   * counter makes the loop end, whatever `random` returns.
   */
  add(connectionId: number, purpose: Purpose): Id {
    let id: Id;
    do {
      const offset = Math.floor(this.random() * OWN_ID_COUNT);
      id = `${MIN_OWN_ID + (offset + this.#idCount++) % OWN_ID_COUNT}`;
    } while (this.#pending.has(id) || this.isClientId(id));
    this.adopt(id, connectionId, purpose);
    return id;
  }

  /** Adds a probe. If too many have no response, drops the oldest one first. */
  addProbe(connectionId: number): Id {
    const probes = this.#probesOn(connectionId);
    if (probes.length >= MAX_UNANSWERED_PROBES) {
      this.#pending.delete(probes[0]!.id);
    }
    return this.add(connectionId, { kind: "probe" });
  }

  /** Adds a request that came from the client, under the client's id. */
  adopt(id: Id, connectionId: number, purpose: Purpose): void {
    const request = { id, connectionId, purpose, isSuperseded: false };
    this.#pending.set(id, request);
  }

  /** Returns the request with an id, or with that id as the other JSON type. */
  find(id: Id | undefined): OwnRequest | undefined {
    if (id === undefined || this.#pending.size === 0) return undefined;
    return this.#pending.get(id) ?? this.#pending.get(toOtherIdType(id) ?? id);
  }

  /** Removes and returns the request that a response belongs to. */
  complete(id: Id | undefined, connectionId: number): OwnRequest | undefined {
    const request = this.find(id);
    if (request?.connectionId !== connectionId) return undefined;
    if (request.purpose.kind === "probe") {
      for (const earlier of this.#probesOn(connectionId)) {
        if (earlier === request) break;
        earlier.isSuperseded = true;
      }
    }
    this.#pending.delete(request.id);
    return request;
  }

  /** Returns true if a request other than a probe is pending. */
  hasPending(connectionId: number): boolean {
    for (const { connectionId: on, purpose } of this.#pending.values()) {
      if (on === connectionId && purpose.kind !== "probe") return true;
    }
    return false;
  }

  /** Returns the ids of the pending requests, except superseded probes. */
  pendingIds(connectionId: number): Id[] {
    return this.#pendingOn(connectionId).filter((it) => !it.isSuperseded)
      .map(({ id }) => id);
  }

  /** Forgets the requests on a closed connection. */
  onDisconnect(connectionId: number): void {
    for (const { id } of this.#pendingOn(connectionId)) {
      this.#pending.delete(id);
    }
  }

  #probesOn(connectionId: number): OwnRequest[] {
    return this.#pendingOn(connectionId).filter((it) =>
      it.purpose.kind === "probe"
    );
  }

  #pendingOn(connectionId: number): OwnRequest[] {
    return [...this.#pending.values()]
      .filter((it) => it.connectionId === connectionId);
  }
}
