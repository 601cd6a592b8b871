/**
 * What the client was told of the daemon's lists: compare it with what the
 * daemon has now.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { type ListKind, nextCursorOf } from "../protocol/lists.ts";

/** How many pages of a list are fetched for a comparison before it is left undone. */
export const MAX_COMPARED_PAGES = 100;

/** What a fetched page leads to. */
export type Comparison =
  | { readonly kind: "more"; readonly cursor: string }
  | { readonly kind: "same" }
  | { readonly kind: "changed" };

/** A list as far as its pages are known: by cursor, each with its items as JSON texts. */
interface ListPages {
  readonly byCursor: Map<string | undefined, string[]>;
  isComplete: boolean;
}

/** The lists as the client knows them. */
export class KnownLists {
  readonly #shown = new Map<ListKind, ListPages>();
  readonly #fetched = new Map<ListKind, ListPages>();

  /** A page of a list went to the client; without a cursor it is the first. */
  recordShown(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.#addPage(this.#shown, list, cursor, result);
  }

  /** What the client has seen listed, so that a change would concern it. */
  shownLists(): ListKind[] {
    return [...this.#shown.keys()];
  }

  /**
   * A page of a list came for a comparison with what the client was told. The
   * order of items is no difference: many daemons list in the order of a hash.
   */
  compare(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): Comparison {
    const fetched = this.#addPage(this.#fetched, list, cursor, result);
    const next = nextCursorOf(result);
    // One that was asked for already ends the list.
    const isNew = next !== undefined && !fetched.byCursor.has(next);
    if (isNew && fetched.byCursor.size < MAX_COMPARED_PAGES) {
      return { kind: "more", cursor: next };
    }
    this.#fetched.delete(list);
    const shown = this.#shown.get(list);
    // Pages without an end cannot be compared.
    if (shown === undefined || !fetched.isComplete) return { kind: "same" };
    // Most clients take an empty cursor for the end.
    if (!shown.byCursor.has("")) dropPagesFromEmptyCursor(fetched);
    // Some daemons answer every cursor with the same page: that is the whole list.
    const isWholeListShown = shown.isComplete || isSamePageRepeated(fetched);
    const [shownItems, fetchedItems] = [itemsOf(shown), itemsOf(fetched)];
    const isSame = shownItems.isSubsetOf(fetchedItems) &&
      (!isWholeListShown || fetchedItems.isSubsetOf(shownItems));
    return { kind: isSame ? "same" : "changed" };
  }

  #addPage(
    lists: Map<ListKind, ListPages>,
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): ListPages {
    const known = cursor === undefined ? undefined : lists.get(list);
    const pages = known ?? { byCursor: new Map(), isComplete: false };
    lists.set(list, pages);
    const page = isRecord(result) ? result[list] : undefined;
    const items: unknown[] = Array.isArray(page) ? page : [];
    pages.byCursor.set(cursor, items.map((item) => JSON.stringify(item)));
    const next = nextCursorOf(result);
    pages.isComplete = next === undefined || next === "" ||
      pages.byCursor.has(next);
    return pages;
  }
}

/** The pages from that on which an empty cursor was asked for with do not count. */
function dropPagesFromEmptyCursor({ byCursor }: ListPages): void {
  let isAfterEmpty = false;
  for (const cursor of [...byCursor.keys()]) {
    isAfterEmpty ||= cursor === "";
    if (isAfterEmpty) byCursor.delete(cursor);
  }
}

/** Whether several pages have come, each with the same items. */
function isSamePageRepeated({ byCursor }: ListPages): boolean {
  const [first, ...rest] = [...byCursor.values()].map((it) => new Set(it));
  return rest.length > 0 &&
    rest.every((page) => page.symmetricDifference(first!).size === 0);
}

function itemsOf({ byCursor }: ListPages): Set<string> {
  return new Set([...byCursor.values()].flat());
}
