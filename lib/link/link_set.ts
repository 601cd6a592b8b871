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

  /** Creates the set with the main link, which is due to be dialed at once. */
  constructor(config: LinkConfig, random: () => number, now: number) {
    this.#config = config;
    this.#random = random;
    this.#handshakeHistory = new HandshakeHistory(config.handshakeTimeout);
    this.#main = this.add("main", now);
  }

  /** The main link. Its state is reported as the state of the daemon. */
  get main(): Link {
    return this.#main;
  }

  /**
   * Makes the standby the main link. The old main link keeps the calls in
   * flight on it and is returned.
   */
  promote(standby: Link): Link {
    const old = this.#main;
    old.role = "draining";
    standby.role = "main";
    this.#main = standby;
    return old;
  }

  /**
   * The standby, which shows whether the daemon is alive while the main link is
   * silent, if there is one.
   */
  get standby(): Link | undefined {
    return this.#firstOf("standby");
  }

  /** The second link of a running capacity check, if there is one. */
  get capacityCheck(): Link | undefined {
    return this.#firstOf("capacity-check");
  }

  #firstOf(role: LinkRole): Link | undefined {
    for (const link of this.#byConnection.values()) {
      if (link.role === role) return link;
    }
    return undefined;
  }

  /** How many links only keep the calls in flight on them. */
  get drainingCount(): number {
    return [...this].filter(({ role }) => role === "draining").length;
  }

  /** Whether a link is in the set. */
  has(link: Link): boolean {
    return this.get(link.connectionId) === link;
  }

  /** Adds a link, which is due to be dialed at once. */
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

  /** Removes a link. */
  remove(link: Link): void {
    this.#byConnection.delete(link.connectionId);
  }

  /**
   * Returns the link with this connection id; `undefined` if that connection
   * has ended.
   */
  get(connectionId: number | undefined): Link | undefined {
    return connectionId === undefined
      ? undefined
      : this.#byConnection.get(connectionId);
  }

  /** Iterates over a copy, so that links may disconnect meanwhile. */
  [Symbol.iterator](): Iterator<Link> {
    return [...this.#byConnection.values()].values();
  }

  /** Whether the main link can be used. */
  get isMainUsable(): boolean {
    return this.main.isUsable;
  }

  /** Finds a usable link with this role that passes a test. */
  findUsable(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#find(role, (link) => link.isUsable && test(link));
  }

  /** Whether a link with this role is usable, busy or not. */
  hasUsable(role: LinkRole): boolean {
    return this.findUsable(role, () => true) !== undefined;
  }

  /**
   * Returns the link that messages for this role are waiting for, if none with
   * the role is usable. Without a main link there is no pool.
   */
  blockingLink(role: LinkRole): Link | undefined {
    if (this.hasUsable(role)) return undefined;
    if (role === "main" || !this.isMainUsable) return this.standby ?? this.main;
    return this.#find(role, ({ refusal }) => refusal !== undefined) ??
      this.#find(role, ({ lastFailure }) => lastFailure !== undefined) ??
      this.#find(role, () => true);
  }

  /**
   * Since when the main link has been unusable. It is `Infinity` while the link
   * is usable, or only waits for a message or a request from the client.
   */
  get downSince(): number {
    const { main } = this;
    const isWaiting = main.isHandshakeUnsent || main.isDisplaced;
    return this.isMainUsable || isWaiting ? Infinity : main.downSince;
  }

  /**
   * Since when the main link has been disconnected; a suspect link counts as
   * connected.
   */
  get disconnectedSince(): number {
    return this.main.phase === "ready" ? Infinity : this.downSince;
  }

  /**
   * Ends the connection of a link; the link waits under a new connection id.
   */
  disconnect(link: Link, cause: DisconnectCause, now: number): void {
    if (!this.has(link)) throw new Error("The link is not in the set");
    this.#byConnection.delete(link.connectionId);
    link.onDisconnect(now, cause, ++this.#lastConnectionId);
    this.#byConnection.set(link.connectionId, link);
  }

  #find(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    if (role === "main") return test(this.main) ? this.main : undefined;
    return [...this].find((link) => link.role === role && test(link));
  }
}
