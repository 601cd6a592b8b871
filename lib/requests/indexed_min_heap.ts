/**
 * A priority queue: keys with numeric priorities (times or positions), the
 * smallest first.
 *
 * @module
 */

/** A key and its priority. */
interface HeapNode<K> {
  readonly key: K;
  priority: number;
  /** Of equal priorities, the one inserted first comes first. */
  readonly insertion: number;
  /** Its index in the heap. */
  index: number;
}

/**
 * A binary heap that knows the index of each key: every change takes
 * logarithmic time.
 */
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

  /** The key with the smallest priority. */
  get first(): K | undefined {
    return this.#heap[0]?.key;
  }

  /** Sets the priority of a key; `Infinity` removes it. */
  set(key: K, priority: number): void {
    if (priority === Infinity) return this.delete(key);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.priority = priority;
      return this.#siftUpOrDown(known);
    }
    const node = {
      key,
      priority,
      insertion: this.#insertions++,
      index: this.#heap.length,
    };
    this.#byKey.set(key, node);
    this.#heap.push(node);
    this.#siftUpOrDown(node);
  }

  /** Removes a key, if it is there. */
  delete(key: K): void {
    const node = this.#byKey.get(key);
    if (node === undefined) return;
    this.#byKey.delete(key);
    const last = this.#heap.pop()!;
    if (last === node) return;
    this.#placeAt(last, node.index);
    this.#siftUpOrDown(last);
  }

  /** Removes and returns all keys up to a priority, smallest first. */
  takeUpTo(limit: number): K[] {
    const taken: K[] = [];
    while (this.#heap.length > 0 && this.#heap[0]!.priority <= limit) {
      const { key } = this.#heap[0]!;
      this.delete(key);
      taken.push(key);
    }
    return taken;
  }

  /** Adds to every priority. */
  addToAll(by: number): void {
    for (const node of this.#heap) node.priority += by;
  }

  /** Moves a node up or down to its position. */
  #siftUpOrDown(node: HeapNode<K>): void {
    while (node.index > 0) {
      const parent = this.#heap[(node.index - 1) >> 1]!;
      if (!isBefore(node, parent)) break;
      this.#swap(node, parent);
    }
    for (;;) {
      const [left, right] = [
        this.#heap[2 * node.index + 1],
        this.#heap[2 * node.index + 2],
      ];
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
