/**
 * Values with one deadline each, keyed by request id.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";
import { IndexedMinHeap } from "./indexed_min_heap.ts";

/** A value with a deadline, which a sleep postpones. */
export interface ExpiringValue {
  /** The deadline. */
  until: number;
}

/** The values and their deadlines. */
export class DeadlineMap<V extends ExpiringValue> {
  readonly #values = new Map<Id, V>();
  readonly #deadlines = new IndexedMinHeap<Id>();

  /** The earliest deadline; `Infinity` if there are no values. */
  get earliest(): number {
    return this.#deadlines.minPriority;
  }

  /** Returns the value of an id. */
  get(id: Id): V | undefined {
    return this.#values.get(id);
  }

  /** Sets the value of an id, replacing an earlier one. */
  set(id: Id, value: V): void {
    this.#values.set(id, value);
    this.#deadlines.set(id, value.until);
  }

  /** Removes the value of an id. */
  delete(id: Id): void {
    this.#values.delete(id);
    this.#deadlines.delete(id);
  }

  /** Removes the earliest values as long as they are over. */
  dropLeading(isOver: (id: Id, value: V) => boolean): void {
    for (;;) {
      const id = this.#deadlines.first;
      if (id === undefined || !isOver(id, this.#values.get(id)!)) return;
      this.delete(id);
    }
  }

  /**
   * Removes and returns all values whose deadline has passed, earliest first.
   */
  takeDue(now: number): (readonly [id: Id, value: V])[] {
    return this.#deadlines.takeUpTo(now).map((id) => {
      const value = this.#values.get(id)!;
      this.#values.delete(id);
      return [id, value];
    });
  }

  /** Postpones every deadline, after a sleep. */
  postpone(ms: number): void {
    for (const value of this.#values.values()) value.until += ms;
    this.#deadlines.addToAll(ms);
  }
}
