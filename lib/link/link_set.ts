/**
 * The set of links, keyed by connection id.
 *
 * @module
 */

import { HandshakeHistory } from "./handshake_history.ts";
import {
  type DisconnectCause,
  Link,
  type LinkConfig,
  type LinkRole,
} from "./link.ts";

/** All links to the daemon, whatever state they are in. */
export class LinkSet {
  readonly #config: LinkConfig;
  readonly #random: () => number;
  readonly #handshakeHistory: HandshakeHistory;
  readonly #byConnection = new Map<number, Link>();
  #lastConnectionId = 0;
  #main: Link;

  /** The main link, which wants to be dialed at once. */
  constructor(config: LinkConfig, random: () => number, now: number) {
    this.#config = config;
    this.#random = random;
    this.#handshakeHistory = new HandshakeHistory(config.handshakeTimeout);
    this.#main = this.add("main", now);
  }

  /** The link that speaks for the daemon when people ask. */
  get main(): Link {
    return this.#main;
  }

  /** The standby takes over, and the main link keeps the calls that are in flight on it; gives that one. */
  promote(standby: Link): Link {
    const old = this.#main;
    old.role = "draining";
    standby.role = "main";
    this.#main = standby;
    return old;
  }

  /** The link that shows whether the daemon lives while the main one is silent, if there is one. */
  get standby(): Link | undefined {
    return this.#firstOf("standby");
  }

  /** The link that shows whether the daemon keeps two connections, while that is tried. */
  get capacityCheck(): Link | undefined {
    return this.#firstOf("capacity-check");
  }

  #firstOf(role: LinkRole): Link | undefined {
    for (const link of this.#byConnection.values()) {
      if (link.role === role) return link;
    }
    return undefined;
  }

  /** How many links only keep calls that are in flight on them. */
  get drainingCount(): number {
    return [...this].filter(({ role }) => role === "draining").length;
  }

  /** Whether a link is in the set. */
  has(link: Link): boolean {
    return this.get(link.connectionId) === link;
  }

  /** Adds a link, which wants to be dialed at once. */
  add(role: LinkRole, now: number): Link {
    const connectionId = ++this.#lastConnectionId;
    const link = new Link(
      this.#config,
      this.#random,
      connectionId,
      now,
      role,
      this.#handshakeHistory,
    );
    this.#byConnection.set(connectionId, link);
    return link;
  }

  /** Takes a link out of the set. */
  remove(link: Link): void {
    this.#byConnection.delete(link.connectionId);
  }

  /** The link of an connection id; `undefined` where that connection was left. */
  get(connectionId: number | undefined): Link | undefined {
    return connectionId === undefined
      ? undefined
      : this.#byConnection.get(connectionId);
  }

  /** Every link, also while links are lost. */
  [Symbol.iterator](): Iterator<Link> {
    return [...this.#byConnection.values()].values();
  }

  /** Whether the main link can be used. */
  get isMainUsable(): boolean {
    return this.main.isUsable;
  }

  /** A link of that role that can be used and passes a test. */
  findUsable(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#find(role, (link) => link.isUsable && test(link));
  }

  /** Whether a link of that role is ready, free or not. */
  hasUsable(role: LinkRole): boolean {
    return this.findUsable(role, () => true) !== undefined;
  }

  /** The link that keeps what belongs on that role waiting, if none of them is ready: without a main link there is no pool. */
  blockingLink(role: LinkRole): Link | undefined {
    if (this.hasUsable(role)) return undefined;
    if (role === "main" || !this.isMainUsable) return this.standby ?? this.main;
    return this.#find(role, ({ refusal }) => refusal !== undefined) ??
      this.#find(role, ({ lastFailure }) => lastFailure !== undefined) ??
      this.#find(role, () => true);
  }

  /** Since when the main link cannot be used; `Infinity` while it can, or only waits for the client to speak or to ask for something. */
  get downSince(): number {
    const { main } = this;
    const isWaiting = main.isHandshakeUnsent || main.isDisplaced;
    return this.isMainUsable || isWaiting ? Infinity : main.downSince;
  }

  /** Since when the main link is not ready; under suspicion it still is. */
  get disconnectedSince(): number {
    return this.main.phase === "ready" ? Infinity : this.downSince;
  }

  /** The connection of a link is over; the link waits under a new connection id. */
  disconnect(link: Link, cause: DisconnectCause, now: number): void {
    if (!this.has(link)) throw new Error("A link that was left is lost");
    this.#byConnection.delete(link.connectionId);
    link.onDisconnect(now, cause, ++this.#lastConnectionId);
    this.#byConnection.set(link.connectionId, link);
  }

  #find(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    if (role === "main") return test(this.main) ? this.main : undefined;
    return [...this].find((link) => link.role === role && test(link));
  }
}
