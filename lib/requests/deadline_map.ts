/**
 * What waits for a moment each, by the ids of requests.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";
import { IndexedMinHeap } from "./indexed_min_heap.ts";

/** A moment that something waits for, which a sleep puts off. */
export interface ExpiringValue {
  /** The moment. */
  until: number;
}

/** Those that wait. */
export class DeadlineMap<V extends ExpiringValue> {
  readonly #values = new Map<Id, V>();
  readonly #deadlines = new IndexedMinHeap<Id>();

  /** The first of the moments; infinite where nothing waits. */
  get earliest(): number {
    return this.#deadlines.minPriority;
  }

  /** What waits under an id. */
  get(id: Id): V | undefined {
    return this.#values.get(id);
  }

  /** Something waits, in the place of what waited under its id. */
  set(id: Id, value: V): void {
    this.#values.set(id, value);
    this.#deadlines.set(id, value.until);
  }

  /** It waits no longer. */
  delete(id: Id): void {
    this.#values.delete(id);
    this.#deadlines.delete(id);
  }

  /** Forgets what is over, as far as nothing that is not would come before it. */
  dropLeading(isOver: (id: Id, value: V) => boolean): void {
    for (;;) {
      const id = this.#deadlines.first;
      if (id === undefined || !isOver(id, this.#values.get(id)!)) return;
      this.delete(id);
    }
  }

  /** Takes out what has waited until a moment, the first first. */
  takeDue(now: number): (readonly [id: Id, value: V])[] {
    return this.#deadlines.takeUpTo(now).map((id) => {
      const value = this.#values.get(id)!;
      this.#values.delete(id);
      return [id, value];
    });
  }

  /** Every moment comes so much later: the program slept. */
  postpone(ms: number): void {
    for (const value of this.#values.values()) value.until += ms;
    this.#deadlines.addToAll(ms);
  }
}
