/**
 * Compares the lists that the client has seen with the daemon's current lists.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { type ListKind, nextCursorOf } from "../protocol/methods.ts";

/** The maximum number of pages to compare. Longer lists count as unchanged. */
const MAX_COMPARED_PAGES = 100;

/** The result of a comparison; `more` if the page at `cursor` is needed. */
export type Comparison =
  | { readonly kind: "more"; readonly cursor: string }
  | { readonly kind: "same" }
  | { readonly kind: "changed" };

/** The pages of a list: the items as JSON texts, by cursor. */
interface ListPages {
  readonly byCursor: Map<string | undefined, string[]>;
  isComplete: boolean;
}

/** The lists that the client has seen, and those being fetched. */
export class KnownLists {
  readonly #shown = new Map<ListKind, ListPages>();
  readonly #fetched = new Map<ListKind, ListPages>();

  /** Records a page sent to the client. The first page has no cursor. */
  recordShown(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.#addPage(this.#shown, list, cursor, result);
  }

  /** Returns the lists of which the client has seen a page. */
  shownLists(): ListKind[] {
    return [...this.#shown.keys()];
  }

  /** Adds a fetched page. After the last page, compares the whole list. */
  compare(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): Comparison {
    const fetched = this.#addPage(this.#fetched, list, cursor, result);
    const next = nextCursorOf(result);
    // A cursor that was already requested ends the list.
    const isNew = next !== undefined && !fetched.byCursor.has(next);
    if (isNew && fetched.byCursor.size < MAX_COMPARED_PAGES) {
      return { kind: "more", cursor: next };
    }
    this.#fetched.delete(list);
    const shown = this.#shown.get(list);
    // A list whose end was not reached cannot be compared.
    if (shown === undefined || !fetched.isComplete) return { kind: "same" };
    // Most clients treat an empty cursor as the end of the list.
    if (!shown.byCursor.has("")) dropPagesFromEmptyCursor(fetched);
    // Some daemons return the same page for every cursor: that page is the
    // whole list.
    const isWholeListShown = shown.isComplete || isSamePageRepeated(fetched);
    // The order does not count, because many daemons list in hash order.
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

/** Removes the page with the empty cursor, and all later pages. */
function dropPagesFromEmptyCursor({ byCursor }: ListPages): void {
  let isAfterEmpty = false;
  for (const cursor of [...byCursor.keys()]) {
    isAfterEmpty ||= cursor === "";
    if (isAfterEmpty) byCursor.delete(cursor);
  }
}

/** Returns true if there are several pages, all with the same items. */
function isSamePageRepeated({ byCursor }: ListPages): boolean {
  const [first, ...rest] = [...byCursor.values()].map((it) => new Set(it));
  return rest.length > 0 &&
    rest.every((page) => page.symmetricDifference(first!).size === 0);
}

function itemsOf({ byCursor }: ListPages): Set<string> {
  return new Set([...byCursor.values()].flat());
}
