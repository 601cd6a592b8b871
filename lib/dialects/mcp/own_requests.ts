/**
 * The proxy's own requests to an MCP daemon that are pending, by their ids.
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

/** A request of the proxy's own. */
export interface OwnRequest {
  /** Its id. */
  readonly id: Id;
  /** The connection that it was sent on. */
  readonly connectionId: number;
  /** What it is for. */
  readonly purpose: Purpose;
  /** True once a later probe was answered. */
  isSuperseded: boolean;
}

/** The ids start at 2^30, and there are 2^30 of them. */
const MIN_OWN_ID = 2 ** 30;
const OWN_ID_COUNT = 2 ** 30;

/** The proxy's own pending requests, the oldest first. */
export class OwnRequests {
  #idCount = 0;
  readonly #pending = new Map<Id, OwnRequest>();

  /** Ids are random, so that they hardly ever meet a client's id. */
  constructor(
    private readonly random: () => number,
    private readonly isClientId: (id: Id) => boolean,
  ) {}

  /**
   * Adds a request under a new id: a whole number of 31 bits, because bridges
   * read ids as numbers, truncate them, and misread strings. The counter ends
   * the loop whatever `random` returns.
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

  /** Adds a probe. A daemon may never answer any, so their number is limited. */
  addProbe(connectionId: number): Id {
    const probes = this.#probesOn(connectionId);
    if (probes.length >= MAX_UNANSWERED_PROBES) {
      this.#pending.delete(probes[0]!.id);
    }
    return this.add(connectionId, { kind: "probe" });
  }

  /** Adds a request that was the client's, under its id. */
  adopt(id: Id, connectionId: number, purpose: Purpose): void {
    const request = { id, connectionId, purpose, isSuperseded: false };
    this.#pending.set(id, request);
  }

  /** Returns the request that an id means, also as the other JSON type. */
  find(id: Id | undefined): OwnRequest | undefined {
    if (id === undefined || this.#pending.size === 0) return undefined;
    return this.#pending.get(id) ?? this.#pending.get(toOtherIdType(id) ?? id);
  }

  /** Removes and returns the request that a response answers. */
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

  /** Returns whether a request other than a probe is pending. */
  hasPending(connectionId: number): boolean {
    for (const { connectionId: on, purpose } of this.#pending.values()) {
      if (on === connectionId && purpose.kind !== "probe") return true;
    }
    return false;
  }

  /** Returns the ids of the pending requests without superseded probes. */
  pendingIds(connectionId: number): Id[] {
    return this.#on(connectionId).filter((it) => !it.isSuperseded)
      .map(({ id }) => id);
  }

  /** Forgets the requests on a closed connection. */
  onDisconnect(connectionId: number): void {
    for (const { id } of this.#on(connectionId)) this.#pending.delete(id);
  }

  #probesOn(connectionId: number): OwnRequest[] {
    return this.#on(connectionId).filter((it) => it.purpose.kind === "probe");
  }

  #on(connectionId: number): OwnRequest[] {
    return [...this.#pending.values()]
      .filter((it) => it.connectionId === connectionId);
  }
}
