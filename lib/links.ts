/**
 * The set of links, keyed by epoch.
 *
 * @module
 */

import { Link, type LinkLimits, type Loss } from "./link.ts";

/** All links to the daemon, whatever state they are in. */
export class Links {
  readonly #limits: LinkLimits;
  readonly #random: () => number;
  readonly #byEpoch = new Map<number, Link>();
  #epochs = 0;

  /** One link, which wants to be dialed at once. */
  constructor(limits: LinkLimits, random: () => number, now: number) {
    this.#limits = limits;
    this.#random = random;
    this.open(now);
  }

  /** Adds a link, which wants to be dialed at once. */
  open(now: number): Link {
    const link = new Link(this.#limits, this.#random, ++this.#epochs, now);
    this.#byEpoch.set(link.epoch, link);
    return link;
  }

  /** The link of an epoch; `undefined` where that connection was left. */
  get(epoch: number | undefined): Link | undefined {
    return epoch === undefined ? undefined : this.#byEpoch.get(epoch);
  }

  /** Every link, also while links are lost. */
  [Symbol.iterator](): Iterator<Link> {
    return [...this.#byEpoch.values()].values();
  }

  /** Whether a link is ready. */
  get isUp(): boolean {
    return this.#some((link) => link.phase === "ready");
  }

  /** A link that the daemon refuses, if none is ready. */
  get refused(): Link | undefined {
    if (this.isUp) return undefined;
    return [...this].find((link) => link.refusal !== undefined);
  }

  /** The link that speaks for the daemon when people ask. */
  get first(): Link {
    const [link] = this;
    if (link === undefined) throw new Error("There is always a link");
    return link;
  }

  /** Since when no link is ready; `Infinity` while one is, or only waits for the client to speak. */
  get downSince(): number {
    if (this.isUp || this.#some((link) => link.isUngreeted)) return Infinity;
    return Math.max(...[...this].map((link) => link.downSince));
  }

  /** The connection of a link is over; the link waits under a new epoch. */
  lose(link: Link, loss: Loss, now: number): void {
    this.#byEpoch.delete(link.epoch);
    link.lost(now, loss, ++this.#epochs);
    this.#byEpoch.set(link.epoch, link);
  }

  #some(test: (link: Link) => boolean): boolean {
    for (const link of this.#byEpoch.values()) if (test(link)) return true;
    return false;
  }
}
