/**
 * What waits for a moment each, by the ids of requests.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";
import { Ranked } from "./ranked.ts";

/** A moment that something waits for, which a sleep puts off. */
export interface Until {
  /** The moment. */
  until: number;
}

/** Those that wait. */
export class Awaited<V extends Until> {
  readonly #values = new Map<Id, V>();
  readonly #moments = new Ranked<Id>();

  /** The first of the moments; infinite where nothing waits. */
  get earliest(): number {
    return this.#moments.least;
  }

  /** What waits under an id. */
  get(id: Id): V | undefined {
    return this.#values.get(id);
  }

  /** Something waits, in the place of what waited under its id. */
  set(id: Id, value: V): void {
    this.#values.set(id, value);
    this.#moments.set(id, value.until);
  }

  /** It waits no longer. */
  delete(id: Id): void {
    this.#values.delete(id);
    this.#moments.delete(id);
  }

  /** Forgets what is over, as far as nothing that is not would come before it. */
  forget(isOver: (id: Id, value: V) => boolean): void {
    for (;;) {
      const id = this.#moments.first;
      if (id === undefined || !isOver(id, this.#values.get(id)!)) return;
      this.delete(id);
    }
  }

  /** Takes out what has waited until a moment, the first first. */
  take(now: number): (readonly [id: Id, value: V])[] {
    return this.#moments.take(now).map((id) => {
      const value = this.#values.get(id)!;
      this.#values.delete(id);
      return [id, value];
    });
  }

  /** Every moment comes so much later: the program slept. */
  shift(ms: number): void {
    for (const value of this.#values.values()) value.until += ms;
    this.#moments.shift(ms);
  }
}
