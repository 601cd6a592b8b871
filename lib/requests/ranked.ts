/**
 * Things by a number each, the least first: moments, or places in an order.
 *
 * @module
 */

/** A thing and its number. */
interface Rank<K> {
  readonly key: K;
  value: number;
  /** Of equal numbers the one that came first is the less. */
  readonly count: number;
  /** Where it stands in the heap. */
  at: number;
}

/** A binary heap that knows where each thing stands: every change takes logarithmic time. */
export class Ranked<K> {
  readonly #heap: Rank<K>[] = [];
  readonly #byKey = new Map<K, Rank<K>>();
  #count = 0;

  /** How many things there are. */
  get size(): number {
    return this.#heap.length;
  }

  /** The least number; infinite where nothing is. */
  get least(): number {
    return this.#heap[0]?.value ?? Infinity;
  }

  /** The thing with the least number. */
  get first(): K | undefined {
    return this.#heap[0]?.key;
  }

  /** Gives a thing a number; it is not kept under an infinite one. */
  set(key: K, value: number): void {
    if (value === Infinity) return this.delete(key);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.value = value;
      return this.#settle(known);
    }
    const rank = { key, value, count: this.#count++, at: this.#heap.length };
    this.#byKey.set(key, rank);
    this.#heap.push(rank);
    this.#settle(rank);
  }

  /** Takes a thing out, if it is there. */
  delete(key: K): void {
    const rank = this.#byKey.get(key);
    if (rank === undefined) return;
    this.#byKey.delete(key);
    const last = this.#heap.pop()!;
    if (last === rank) return;
    this.#put(last, rank.at);
    this.#settle(last);
  }

  /** Takes out everything up to a number, the least first. */
  take(limit: number): K[] {
    const taken: K[] = [];
    while (this.#heap.length > 0 && this.#heap[0]!.value <= limit) {
      const { key } = this.#heap[0]!;
      this.delete(key);
      taken.push(key);
    }
    return taken;
  }

  /** Adds to every number. */
  shift(by: number): void {
    for (const rank of this.#heap) rank.value += by;
  }

  /** Moves one up or down to its place. */
  #settle(rank: Rank<K>): void {
    while (rank.at > 0) {
      const above = this.#heap[(rank.at - 1) >> 1]!;
      if (!isLess(rank, above)) break;
      this.#swap(rank, above);
    }
    for (;;) {
      const [left, right] = [
        this.#heap[2 * rank.at + 1],
        this.#heap[2 * rank.at + 2],
      ];
      if (left === undefined) return;
      const below = right !== undefined && isLess(right, left) ? right : left;
      if (!isLess(below, rank)) return;
      this.#swap(rank, below);
    }
  }

  #swap(one: Rank<K>, other: Rank<K>): void {
    const { at } = one;
    this.#put(one, other.at);
    this.#put(other, at);
  }

  #put(rank: Rank<K>, at: number): void {
    this.#heap[at] = rank;
    rank.at = at;
  }
}

function isLess<K>(one: Rank<K>, other: Rank<K>): boolean {
  return one.value < other.value ||
    one.value === other.value && one.count < other.count;
}
