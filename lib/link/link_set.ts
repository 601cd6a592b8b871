/**
 * The set of all links, by connection id.
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
  /** How many connections the daemon keeps per client; `auto`: detect it. */
  readonly connections: ConnectionsSetting;
}

/** The id of the first connection. Later ones have larger ids. */
export const FIRST_CONNECTION_ID = 1;

/** All links to the daemon, in any state. */
export class LinkSet {
  /** Detects how many connections the daemon keeps per client. */
  readonly capacity: CapacityDetector;
  readonly #handshakeHistory: HandshakeHistory;
  readonly #byConnection = new Map<number, Link>();
  /** The same links. Each change makes a new array, so iterators stay valid. */
  #all: readonly Link[] = [];
  #lastConnectionId = FIRST_CONNECTION_ID - 1;
  #main: Link;

  /** Creates the set with a main link, which is due to be dialed at once. */
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

  /** True if there is no other link than the main link. */
  get isMainAlone(): boolean {
    return this.#all.length === 1;
  }

  /** The link that tests the daemon while the main link is silent, if any. */
  get standby(): Link | undefined {
    return this.#find("standby", () => true);
  }

  /** The second link of the running capacity check, if there is one. */
  get capacityCheck(): Link | undefined {
    return this.#find("capacity-check", () => true);
  }

  /** The number of replaced links that still have calls in flight. */
  get drainingCount(): number {
    return this.#all.filter(({ role }) => role === "draining").length;
  }

  /** Makes the standby the main link, and lets the old main link drain. */
  promote(standby: Link): void {
    this.#main.startDraining();
    standby.becomeMain();
    this.#main = standby;
  }

  /** Returns true if the link is in the set. */
  has(link: Link): boolean {
    return this.get(link.connectionId) === link;
  }

  /** Adds and returns a link, which is due to be dialed at once. */
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

  /** Removes a link from the set. */
  remove(link: Link): void {
    this.#byConnection.delete(link.connectionId);
    this.#onChange();
  }

  #onChange(): void {
    this.#all = [...this.#byConnection.values()];
  }

  /**
   * Ends the connection of a link, and gives the link a new connection id.
   *
   * @throws {Error} if the link is not in the set
   */
  disconnect(link: Link, cause: DisconnectCause, now: number): void {
    if (!this.has(link)) throw new Error("The link is not in the set");
    this.#byConnection.delete(link.connectionId);
    link.onDisconnect(now, cause, ++this.#lastConnectionId);
    this.#byConnection.set(link.connectionId, link);
    this.#onChange();
  }

  /** Returns the link with this connection id; `undefined` if it has ended. */
  get(connectionId: number | undefined): Link | undefined {
    return this.#byConnection.get(connectionId!);
  }

  /** Iterates over the current links, even if the set changes in the loop. */
  [Symbol.iterator](): Iterator<Link> {
    return this.#all.values();
  }

  /** True if messages may be written on the main link. */
  get isMainUsable(): boolean {
    return this.#main.isUsable;
  }

  /** Returns a usable link with this role that passes `test`, if any. */
  findUsable(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#find(role, (link) => link.isUsable && test(link));
  }

  /** Returns true if a link with this role is usable, even if it is busy. */
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
    // Pool links open only while the main link is usable.
    if (isMain || !this.isMainUsable) return this.standby ?? this.main;
    return this.#find(role, ({ refusal }) => refusal !== undefined) ??
      this.#find(role, ({ lastFailure }) => lastFailure !== undefined) ??
      this.#find(role, () => true);
  }

  /** True while the daemon refuses the main link. */
  get isMainRefused(): boolean {
    return this.#main.refusal !== undefined;
  }

  /** When the main link's outage began; `Infinity` if usable or unneeded. */
  get downSince(): number {
    const { main } = this;
    const isUnneeded = main.isHandshakeUnsent || main.isDisplaced;
    return this.isMainUsable || isUnneeded ? Infinity : main.downSince;
  }

  /** Like `downSince`, but `Infinity` while suspect or unverified, too. */
  get disconnectedSince(): number {
    return this.main.phase === "ready" ? Infinity : this.downSince;
  }
}
