/**
 * The set of links, keyed by epoch.
 *
 * @module
 */

import { Handshakes } from "./handshakes.ts";
import { Link, type LinkLimits, type LinkRole, type Loss } from "./link.ts";

/** All links to the daemon, whatever state they are in. */
export class Links {
  readonly #limits: LinkLimits;
  readonly #random: () => number;
  readonly #handshakes: Handshakes;
  readonly #byEpoch = new Map<number, Link>();
  #epochs = 0;
  #main: Link;

  /** The main link, which wants to be dialed at once. */
  constructor(limits: LinkLimits, random: () => number, now: number) {
    this.#limits = limits;
    this.#random = random;
    this.#handshakes = new Handshakes(limits.handshakeTimeout);
    this.#main = this.open("main", now);
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
    return this.#one("standby");
  }

  /** The link that shows whether the daemon keeps two connections, while that is tried. */
  get trial(): Link | undefined {
    return this.#one("trial");
  }

  #one(role: LinkRole): Link | undefined {
    for (const link of this.#byEpoch.values()) {
      if (link.role === role) return link;
    }
    return undefined;
  }

  /** How many links only keep calls that are in flight on them. */
  get draining(): number {
    return [...this].filter(({ role }) => role === "draining").length;
  }

  /** Whether a link is in the set. */
  has(link: Link): boolean {
    return this.get(link.epoch) === link;
  }

  /** Adds a link, which wants to be dialed at once. */
  open(role: LinkRole, now: number): Link {
    const epoch = ++this.#epochs;
    const link = new Link(
      this.#limits,
      this.#random,
      epoch,
      now,
      role,
      this.#handshakes,
    );
    this.#byEpoch.set(epoch, link);
    return link;
  }

  /** Takes a link out of the set. */
  remove(link: Link): void {
    this.#byEpoch.delete(link.epoch);
  }

  /** The link of an epoch; `undefined` where that connection was left. */
  get(epoch: number | undefined): Link | undefined {
    return epoch === undefined ? undefined : this.#byEpoch.get(epoch);
  }

  /** Every link, also while links are lost. */
  [Symbol.iterator](): Iterator<Link> {
    return [...this.#byEpoch.values()].values();
  }

  /** Whether the main link can be used. */
  get isUp(): boolean {
    return this.main.isUsable;
  }

  /** A link of that role that can be used and passes a test. */
  ready(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    return this.#find(role, (link) => link.isUsable && test(link));
  }

  /** Whether a link of that role is ready, free or not. */
  hasReady(role: LinkRole): boolean {
    return this.ready(role, () => true) !== undefined;
  }

  /** The link that keeps what belongs on that role waiting, if none of them is ready: without a main link there is no pool. */
  missing(role: LinkRole): Link | undefined {
    if (this.hasReady(role)) return undefined;
    if (role === "main" || !this.isUp) return this.standby ?? this.main;
    return this.#find(role, ({ refusal }) => refusal !== undefined) ??
      this.#find(role, ({ lastFailure }) => lastFailure !== undefined) ??
      this.#find(role, () => true);
  }

  /** Since when the main link cannot be used; `Infinity` while it can, or only waits for the client to speak or to ask for something. */
  get downSince(): number {
    const { main } = this;
    const isWaiting = main.isUngreeted || main.isDisplaced;
    return this.isUp || isWaiting ? Infinity : main.downSince;
  }

  /** Since when the main link is not ready; under suspicion it still is. */
  get goneSince(): number {
    return this.main.phase === "ready" ? Infinity : this.downSince;
  }

  /** The connection of a link is over; the link waits under a new epoch. */
  lose(link: Link, loss: Loss, now: number): void {
    if (!this.has(link)) throw new Error("A link that was left is lost");
    this.#byEpoch.delete(link.epoch);
    link.lost(now, loss, ++this.#epochs);
    this.#byEpoch.set(link.epoch, link);
  }

  #find(role: LinkRole, test: (link: Link) => boolean): Link | undefined {
    if (role === "main") return test(this.main) ? this.main : undefined;
    return [...this].find((link) => link.role === role && test(link));
  }
}
