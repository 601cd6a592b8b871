/**
 * Compares the lists that the client has seen with what the daemon lists now.
 *
 * @module
 */

import { isRecord } from "../protocol/jsonrpc.ts";
import { type ListKind, nextCursorOf } from "../protocol/methods.ts";

/** How many pages of a list are fetched before a comparison is given up. */
const MAX_COMPARED_PAGES = 100;

/** The result of comparing a fetched page. */
export type Comparison =
  | { readonly kind: "more"; readonly cursor: string }
  | { readonly kind: "same" }
  | { readonly kind: "changed" };

/** The known pages of a list: by cursor, each with its items as JSON text. */
interface ListPages {
  readonly byCursor: Map<string | undefined, string[]>;
  isComplete: boolean;
}

/** The daemon's lists as the client has seen them. */
export class KnownLists {
  readonly #shown = new Map<ListKind, ListPages>();
  readonly #fetched = new Map<ListKind, ListPages>();

  /** Records a page that was sent to the client; the first has no cursor. */
  recordShown(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.#addPage(this.#shown, list, cursor, result);
  }

  /** The lists that the client has seen, so that a change concerns it. */
  shownLists(): ListKind[] {
    return [...this.#shown.keys()];
  }

  /** Compares a page with what was seen: many daemons list in hash order. */
  compare(
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): Comparison {
    const fetched = this.#addPage(this.#fetched, list, cursor, result);
    const next = nextCursorOf(result);
    // A cursor that was requested already ends the list.
    const isNew = next !== undefined && !fetched.byCursor.has(next);
    if (isNew && fetched.byCursor.size < MAX_COMPARED_PAGES) {
      return { kind: "more", cursor: next };
    }
    this.#fetched.delete(list);
    const shown = this.#shown.get(list);
    // A list without an end cannot be compared.
    if (shown === undefined || !fetched.isComplete) return { kind: "same" };
    // Most clients take an empty cursor for the end.
    if (!shown.byCursor.has("")) dropPagesFromEmptyCursor(fetched);
    // Some daemons return the same page for every cursor: that page is the
    // whole list.
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

/** Drops the page with an empty cursor, and all later ones. */
function dropPagesFromEmptyCursor({ byCursor }: ListPages): void {
  let isAfterEmpty = false;
  for (const cursor of [...byCursor.keys()]) {
    isAfterEmpty ||= cursor === "";
    if (isAfterEmpty) byCursor.delete(cursor);
  }
}

/** Returns whether there are several pages, all with the same items. */
function isSamePageRepeated({ byCursor }: ListPages): boolean {
  const [first, ...rest] = [...byCursor.values()].map((it) => new Set(it));
  return rest.length > 0 &&
    rest.every((page) => page.symmetricDifference(first!).size === 0);
}

function itemsOf({ byCursor }: ListPages): Set<string> {
  return new Set([...byCursor.values()].flat());
}
