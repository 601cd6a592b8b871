/**
 * What the client was told of the daemon's lists: compare it with what the
 * daemon has now.
 *
 * @module
 */

import { isRecord } from "./jsonrpc.ts";

/** A list whose change MCP has a notification for. */
export type ListName = "tools" | "prompts" | "resources";

/** The lists of {@linkcode ListName}. */
export const LISTS: readonly ListName[] = ["tools", "prompts", "resources"];

/** How many pages of a list are fetched for a comparison before it is left undone. */
export const PAGE_LIMIT = 100;

/** What a fetched page leads to. */
export type Comparison =
  | { readonly kind: "more"; readonly cursor: string }
  | { readonly kind: "same" }
  | { readonly kind: "changed" };

/** A list as far as its pages are known; items are JSON texts. */
interface Pages {
  items: string[];
  count: number;
  isComplete: boolean;
}

/** The lists as the client knows them. */
export class Catalog {
  readonly #told = new Map<ListName, Pages>();
  readonly #fetched = new Map<ListName, Pages>();
  readonly #hinted = new Map<string, boolean>();

  /** A page of a list went to the client; without a cursor it is the first. */
  told(list: ListName, params: unknown, result: unknown): void {
    const isFirst = !isRecord(params) || params.cursor === undefined;
    this.#add(this.#told, list, isFirst, result);
  }

  /** The lists that the client has seen, so that a change would concern it. */
  known(): ListName[] {
    return [...this.#told.keys()];
  }

  /**
   * A page of a list came for a comparison with what the client was told. The
   * order of items is no difference: many daemons list in the order of a hash.
   *
   * @param isFirst whether the fetch begins with this page
   */
  compare(list: ListName, isFirst: boolean, result: unknown): Comparison {
    const now = this.#add(this.#fetched, list, isFirst, result);
    const cursor = isRecord(result) ? result.nextCursor : undefined;
    if (typeof cursor === "string") {
      if (now.count >= PAGE_LIMIT) return { kind: "same" };
      return { kind: "more", cursor };
    }
    this.#fetched.delete(list);
    const then = this.#told.get(list);
    if (then === undefined) return { kind: "same" };
    const items = new Set(now.items);
    const isSame = then.items.every((item) => items.has(item)) &&
      (!then.isComplete || then.items.length === now.items.length);
    return { kind: isSame ? "same" : "changed" };
  }

  /** Whether the tool's annotations say that calling it twice does no more than calling it once. */
  isRepeatable(tool: string): boolean {
    return this.#hinted.get(tool) ?? false;
  }

  #add(
    where: Map<ListName, Pages>,
    list: ListName,
    isFirst: boolean,
    result: unknown,
  ): Pages {
    const known = where.get(list);
    const pages = isFirst || known === undefined
      ? { items: [], count: 0, isComplete: false }
      : known;
    where.set(list, pages);
    pages.count++;
    const items = isRecord(result) ? result[list] : undefined;
    for (const item of Array.isArray(items) ? items : []) {
      pages.items.push(JSON.stringify(item));
      if (list === "tools") this.#learn(item);
    }
    pages.isComplete = !isRecord(result) || result.nextCursor === undefined;
    return pages;
  }

  #learn(tool: unknown): void {
    if (!isRecord(tool) || typeof tool.name !== "string") return;
    const hints = isRecord(tool.annotations) ? tool.annotations : {};
    this.#hinted.set(
      tool.name,
      hints.readOnlyHint === true || hints.idempotentHint === true,
    );
  }
}
