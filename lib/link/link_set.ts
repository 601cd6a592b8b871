/**
 * The set of links, keyed by connection id.
 *
 * @module
 */

import { HandshakeHistory } from "./backoff.ts";
import {
  CapacityDetector,
  type ConnectionsSetting,
} from "./capacity_detector.ts";
import {
  type DisconnectCause,
  Link,
  type LinkConfig,
  type LinkRole,
} from "./link.ts";

/** The settings of the links. */
export interface LinkSetConfig extends LinkConfig {
  /** How many connections the daemon keeps for a client, if configured. */
  readonly connections: ConnectionsSetting;
}

/** All links to the daemon, whatever state they are in. */
export class LinkSet {
  /** Detects how many connections the daemon keeps for a client. */
  readonly capacity: CapacityDetector;
  readonly #handshakeHistory: HandshakeHistory;
  readonly #byConnection = new Map<number, Link>();
  /** The same links; another array after each change, so that none is copied. */
  #all: readonly Link[] = [];
  #lastConnectionId = 0;
  #main: Link;

  /** Creates the set with the main link, which is due to be dialed at once. */
  constructor(
    private readonly config: LinkSetConfig,
    private readonly random: () => number,
    now: number,
  ) {
    this.capacity = new CapacityDetector(config.connections);
    this.#handshakeHistory = new HandshakeHistory(config.handshakeTimeout);
    this.#main = this.add("main", now);
  }

  /** The main link. Its state is reported as the state of the daemon. */
  get main(): Link {
    return this.#main;
  }

  /** The link that shows whether the daemon lives while the main is silent. */
  get standby(): Link | undefined {
    return this.#find("standby", () => true);
  }

  /** The second link of a running capacity check. */
  get capacityCheck(): Link | undefined {
    return this.#find("capacity-check", () => true);
  }

  /** How many links only keep the calls in flight on them. */
  get drainingCount(): number {
    return this.#all.filter(({ role }) => role === "draining").length;
  }

  /** Makes the standby the main link; the old one is draining. */
  promote(standby: Link): void {
    this.#main.startDraining();
    standby.becomeMain();
    this.#main = standby;
  }

  /** Whether a link is in the set. */
  has(link: Link): boolean {
    return this.get(link.connectionId) === link;
  }

  /** Adds a link, which is due to be dialed at once. */
  add(role: LinkRole, now: number): Link {
    const link = new Link(
      this.config,
      this.random,
      ++this.#lastConnectionId,
      now,
      role,
      this.#handshakeHistory,
    );
    this.#byConnection.set(link.connectionId, link);
    this.#onChange();
    return link;
  }

  /** Removes a link. */
  remove(link: Link): void {
    this.#byConnection.delete(link.connectionId);
    this.#onChange();
  }

  #onChange(): void {
    this.#all = [...this.#byConnection.values()];
  }

  /** Ends the connection of a link, which waits under a new connection id. */
  disconnect(link: Link, cause: DisconnectCause, now: number): void {
    if (!this.has(link)) throw new Error("The link is not in the set");
    this.#byConnection.delete(link.connectionId);
    link.onDisconnect(now, cause, ++this.#lastConnectionId);
    this.#byConnection.set(link.connectionId, link);
    this.#onChange();
  }

  /** Finds a link by its connection id; `undefined` if that has ended. */
  get(connectionId: number | undefined): Link | undefined {
    return this.#byConnection.get(connectionId!);
  }

  /** Iterates over the links of this moment; they may disconnect meanwhile. */
  [Symbol.iterator](): Iterator<Link> {
    return this.#all.values();
  }

  /** Whether the main link can be used. */
  get isMainUsable(): boolean {
    return this.#main.isUsable;
  }

  /** Finds a usable link with this role that passes a test. */
  findUsable(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#find(role, (link) => link.isUsable && test(link));
  }

  /** Whether a link with this role is usable, busy or not. */
  hasUsable(role: LinkRole): boolean {
    return this.findUsable(role, () => true) !== undefined;
  }

  #find(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#all.find((link) => link.role === role && test(link));
  }

  /** Returns the link that messages for a role wait for, if none is usable. */
  blockingLink(role: LinkRole): Link | undefined {
    const isMain = role === "main";
    if (isMain ? this.isMainUsable : this.hasUsable(role)) return undefined;
    // Without a main link there is no pool.
    if (isMain || !this.isMainUsable) return this.standby ?? this.main;
    return this.#find(role, ({ refusal }) => refusal !== undefined) ??
      this.#find(role, ({ lastFailure }) => lastFailure !== undefined) ??
      this.#find(role, () => true);
  }

  /** Since when the main link is unusable, unless it waits for the client. */
  get downSince(): number {
    const { main } = this;
    const isWaiting = main.isHandshakeUnsent || main.isDisplaced;
    return this.isMainUsable || isWaiting ? Infinity : main.downSince;
  }

  /** Since when the main link has been disconnected; a suspect one is not. */
  get disconnectedSince(): number {
    return this.main.phase === "ready" ? Infinity : this.downSince;
  }
}
