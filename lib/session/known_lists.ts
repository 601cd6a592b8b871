/**
 * What the client was told of the daemon's lists: compare it with what the
 * daemon has now.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { type Listing, nextCursor } from "../protocol/lists.ts";

/** How many pages of a list are fetched for a comparison before it is left undone. */
export const PAGE_LIMIT = 100;

/** What a fetched page leads to. */
export type Comparison =
  | { readonly kind: "more"; readonly cursor: string }
  | { readonly kind: "same" }
  | { readonly kind: "changed" };

/** A list as far as its pages are known: by cursor, each with its items as JSON texts. */
interface Pages {
  readonly byCursor: Map<string | undefined, string[]>;
  isComplete: boolean;
}

/** The lists as the client knows them. */
export class Catalog {
  readonly #told = new Map<Listing, Pages>();
  readonly #fetched = new Map<Listing, Pages>();

  /** A page of a list went to the client; without a cursor it is the first. */
  told(list: Listing, cursor: string | undefined, result: unknown): void {
    this.#add(this.#told, list, cursor, result);
  }

  /** What the client has seen listed, so that a change would concern it. */
  known(): Listing[] {
    return [...this.#told.keys()];
  }

  /**
   * A page of a list came for a comparison with what the client was told. The
   * order of items is no difference: many daemons list in the order of a hash.
   */
  compare(
    list: Listing,
    cursor: string | undefined,
    result: unknown,
  ): Comparison {
    const now = this.#add(this.#fetched, list, cursor, result);
    const next = nextCursor(result);
    // One that was asked for already ends the list.
    const isNew = next !== undefined && !now.byCursor.has(next);
    if (isNew && now.byCursor.size < PAGE_LIMIT) {
      return { kind: "more", cursor: next };
    }
    this.#fetched.delete(list);
    const then = this.#told.get(list);
    // Pages without an end cannot be compared.
    if (then === undefined || !now.isComplete) return { kind: "same" };
    // Most clients take an empty cursor for the end.
    if (!then.byCursor.has("")) endAtEmpty(now);
    // Some daemons answer every cursor with the same page: that is the whole list.
    const isWhole = then.isComplete || isOnePage(now);
    const [told, found] = [itemsOf(then), itemsOf(now)];
    const isSame = told.isSubsetOf(found) &&
      (!isWhole || found.isSubsetOf(told));
    return { kind: isSame ? "same" : "changed" };
  }

  #add(
    where: Map<Listing, Pages>,
    list: Listing,
    cursor: string | undefined,
    result: unknown,
  ): Pages {
    const known = cursor === undefined ? undefined : where.get(list);
    const pages = known ?? { byCursor: new Map(), isComplete: false };
    where.set(list, pages);
    const page = isRecord(result) ? result[list] : undefined;
    const items: unknown[] = Array.isArray(page) ? page : [];
    pages.byCursor.set(cursor, items.map((item) => JSON.stringify(item)));
    const next = nextCursor(result);
    pages.isComplete = next === undefined || next === "" ||
      pages.byCursor.has(next);
    return pages;
  }
}

/** The pages from that on which an empty cursor was asked for with do not count. */
function endAtEmpty({ byCursor }: Pages): void {
  let isBehind = false;
  for (const cursor of [...byCursor.keys()]) {
    isBehind ||= cursor === "";
    if (isBehind) byCursor.delete(cursor);
  }
}

/** Whether several pages have come, each with the same items. */
function isOnePage({ byCursor }: Pages): boolean {
  const [first, ...rest] = [...byCursor.values()].map((it) => new Set(it));
  return rest.length > 0 &&
    rest.every((page) => page.symmetricDifference(first!).size === 0);
}

function itemsOf({ byCursor }: Pages): Set<string> {
  return new Set([...byCursor.values()].flat());
}
