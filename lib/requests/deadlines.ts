/**
 * Two collections for deadlines: a priority queue of keys, and a map whose
 * values have a deadline each.
 *
 * @module
 */

import type { Id } from "../protocol/jsonrpc.ts";

interface HeapNode<K> {
  readonly key: K;
  priority: number;
  /** The order of insertion, which decides between equal priorities. */
  readonly insertion: number;
  index: number;
}

/** A binary heap in which a change of one key takes logarithmic time. */
export class IndexedMinHeap<K> {
  readonly #heap: HeapNode<K>[] = [];
  readonly #byKey = new Map<K, HeapNode<K>>();
  #insertions = 0;

  /** The number of keys. */
  get size(): number {
    return this.#heap.length;
  }

  /** The smallest priority; `Infinity` if the heap is empty. */
  get minPriority(): number {
    return this.#heap[0]?.priority ?? Infinity;
  }

  /** The key with the smallest priority; `undefined` if the heap is empty. */
  get first(): K | undefined {
    return this.#heap[0]?.key;
  }

  /** Adds a key or changes its priority; `Infinity` removes the key. */
  set(key: K, priority: number): void {
    if (priority === Infinity) return this.delete(key);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.priority = priority;
      return this.#siftUpOrDown(known);
    }
    const index = this.#heap.length;
    const node = { key, priority, insertion: this.#insertions++, index };
    this.#byKey.set(key, node);
    this.#heap.push(node);
    this.#siftUpOrDown(node);
  }

  /** Removes a key, if the heap has it. */
  delete(key: K): void {
    const node = this.#byKey.get(key);
    if (node === undefined) return;
    this.#byKey.delete(key);
    const last = this.#heap.pop()!;
    if (last === node) return;
    this.#placeAt(last, node.index);
    this.#siftUpOrDown(last);
  }

  /** Removes and returns the keys with priorities up to `limit`, in order. */
  takeUpTo(limit: number): K[] {
    const taken: K[] = [];
    while (this.#heap.length > 0 && this.minPriority <= limit) {
      const { key } = this.#heap[0]!;
      this.delete(key);
      taken.push(key);
    }
    return taken;
  }

  /** Adds `by` to every priority. */
  addToAll(by: number): void {
    for (const node of this.#heap) node.priority += by;
  }

  #siftUpOrDown(node: HeapNode<K>): void {
    while (node.index > 0) {
      const parent = this.#heap[(node.index - 1) >> 1]!;
      if (!isBefore(node, parent)) break;
      this.#swap(node, parent);
    }
    for (;;) {
      const left = this.#heap[2 * node.index + 1];
      const right = this.#heap[2 * node.index + 2];
      if (left === undefined) return;
      const child = right !== undefined && isBefore(right, left) ? right : left;
      if (!isBefore(child, node)) return;
      this.#swap(node, child);
    }
  }

  #swap(one: HeapNode<K>, other: HeapNode<K>): void {
    const { index } = one;
    this.#placeAt(one, other.index);
    this.#placeAt(other, index);
  }

  #placeAt(node: HeapNode<K>, index: number): void {
    this.#heap[index] = node;
    node.index = index;
  }
}

function isBefore<K>(one: HeapNode<K>, other: HeapNode<K>): boolean {
  return one.priority < other.priority ||
    one.priority === other.priority && one.insertion < other.insertion;
}

/** A value with a deadline. */
export interface ExpiringValue {
  /** The deadline in milliseconds; `postpone` moves it. */
  until: number;
}

/** A map from ids to values that have a deadline each. */
export class DeadlineMap<V extends ExpiringValue> {
  readonly #values = new Map<Id, V>();
  readonly #deadlines = new IndexedMinHeap<Id>();

  /** The earliest deadline; `Infinity` if there are no values. */
  get earliest(): number {
    return this.#deadlines.minPriority;
  }

  /** Returns the value of an id, if the map has it. */
  get(id: Id): V | undefined {
    return this.#values.get(id);
  }

  /** Sets the value of an id, and replaces an earlier value. */
  set(id: Id, value: V): void {
    this.#values.set(id, value);
    this.#deadlines.set(id, value.until);
  }

  /** Removes the value of an id. */
  delete(id: Id): void {
    this.#values.delete(id);
    this.#deadlines.delete(id);
  }

  /** Removes values in order of deadlines, until `isOver` returns false. */
  dropEarliestWhile(isOver: (id: Id, value: V) => boolean): void {
    for (;;) {
      const id = this.#deadlines.first;
      if (id === undefined || !isOver(id, this.#values.get(id)!)) return;
      this.delete(id);
    }
  }

  /** Removes and returns the values whose deadline is reached, in order. */
  takeDue(now: number): (readonly [id: Id, value: V])[] {
    return this.#deadlines.takeUpTo(now).map((id) => {
      const value = this.#values.get(id)!;
      this.#values.delete(id);
      return [id, value];
    });
  }

  /** Moves every deadline by the time asleep, in milliseconds. */
  postpone(ms: number): void {
    for (const value of this.#values.values()) value.until += ms;
    this.#deadlines.addToAll(ms);
  }
}
