/**
 * Three collections for deadlines: a priority queue of keys, a collection that
 * is fast while most deadlines are far away, and a map whose values have a
 * deadline each.
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

/** Deadlines that are closer than this are kept in order, in milliseconds. */
const NEAR_MS = 1_000;

/**
 * The deadlines of values, most of which are removed long before they are due.
 * Only the deadlines of the next second are kept in order. Of the others, only
 * the earliest time is known. When it comes, all values are looked through,
 * which happens at most once per second.
 */
export class MostlyFarDeadlines<V extends { readonly deadline: number }> {
  readonly #near = new IndexedMinHeap<V>();
  /** The earliest deadline of the other values, or an earlier time. */
  #farAt = Infinity;

  /** Creates an empty collection; `values` are all that were not deleted. */
  constructor(private readonly values: Iterable<V>) {}

  /** When {@linkcode takeDue} must be called, or an earlier time. */
  get earliest(): number {
    return Math.min(this.#near.minPriority, this.#farAt);
  }

  /** Adds a value, or records that its deadline has changed. */
  update(value: V, now: number): void {
    const { deadline } = value;
    if (deadline < now + NEAR_MS) return this.#near.set(value, deadline);
    if (this.#near.size > 0) this.#near.delete(value);
    if (deadline < this.#farAt) this.#farAt = deadline;
  }

  /** Removes a value, which the iterable must no longer have. */
  delete(value: V): void {
    if (this.#near.size > 0) this.#near.delete(value);
  }

  /** Removes and returns the values whose deadline is reached, in order. */
  takeDue(now: number): V[] {
    if (now >= this.#farAt) this.#updateAll(now);
    return this.#near.takeUpTo(now);
  }

  #updateAll(now: number): void {
    this.#farAt = Infinity;
    for (const value of this.values) this.update(value, now);
  }

  /** Moves every deadline by the time asleep, in milliseconds. */
  postpone(ms: number): void {
    this.#near.addToAll(ms);
    this.#farAt += ms;
  }
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
