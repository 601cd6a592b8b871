/**
 * Keeps the client's lists up to date: fetches the lists on a new main link,
 * compares them with the lists that the client has seen, and notifies the
 * client of changes.
 *
 * | state of a list | event                              | next                                   |
 * | --------------- | ---------------------------------- | -------------------------------------- |
 * | `idle`          | a new main link                    | `requested`, if the client has seen it |
 * | `requested`     | a page with a cursor               | `requested`: the next page             |
 * | `requested`     | the last page                      | `idle`; the client is notified of a change |
 * | `requested`     | the daemon does not return the page | `delayed`, up to four times; then `idle`, and the client is notified of a change |
 * | `delayed`       | the delay ends, the link is usable | `requested`                            |
 * | `delayed`       | the delay ends, the link is ready but not usable | `delayed` for a second |
 * | `delayed`       | the delay ends, the link is not ready | `idle`: the next link starts again |
 *
 * @module
 */

import type { Incoming } from "../dialects/dialect.ts";
import type { Link } from "../link/link.ts";
import { buildNotification } from "../protocol/jsonrpc.ts";
import {
  listChangedKindOf,
  type ListKind,
  listMethodOf,
} from "../protocol/methods.ts";
import { KnownLists } from "./known_lists.ts";
import type { ResponseCache } from "./response_cache.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** The delays before the retries: the daemon may still be loading. */
const RETRY_DELAYS_MS = [1_000, 2_000, 4_000, 8_000];

interface ListRetry {
  readonly failures: number;
  /** When the list is requested again; `Infinity` during that request. */
  until: number;
}

/** The part of a session that keeps the client's lists up to date. */
export class ListSync extends SessionPart {
  readonly #known = new KnownLists();
  readonly #retries = new Map<ListKind, ListRetry>();

  /** Creates the part for a client that has seen no list. */
  constructor(base: SharedObjects, private readonly cache: ResponseCache) {
    super(base);
  }

  /** Records a list that the client gets from the cache, as one page. */
  onCachedPage(list: ListKind, result: unknown): void {
    this.#known.recordShown(list, undefined, result);
  }

  /** Records a page that the client gets from the daemon. */
  onPageShown(
    link: Link,
    list: ListKind,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.#known.recordShown(list, cursor, result);
    if (list === "tools") this.#recordToolHints(link, cursor, result);
  }

  #recordToolHints(
    { connectionId }: Link,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.toolHints.onToolsPage(connectionId, cursor, result);
    this.tracker.onToolList(connectionId);
  }

  /** Requests, on a new main link, the lists that the client has seen. */
  refetch(link: Link): void {
    this.#retries.clear();
    if (!this.dialect.shouldCompareLists) return;
    for (const list of this.#known.shownLists()) {
      const isRequested = list === "tools" &&
        this.toolHints.isListRequested(link.connectionId);
      if (!isRequested) this.requestPage(link, list);
    }
  }

  /** Requests a page of a list, if the link can take the request now. */
  requestPage(link: Link, list: ListKind, cursor?: string): void {
    const { connectionId } = link;
    const frame = this.dialect.buildListRequest(connectionId, list, cursor);
    if (frame === undefined) return;
    if (list === "tools") this.toolHints.onListRequested(connectionId);
    this.effects.toDaemon(link, frame);
  }

  /** Caches and compares a page of a fetched list; requests the next page. */
  onPage(
    link: Link,
    { list, cursor, response }: Extract<Incoming, { kind: "list-page" }>,
  ): void {
    this.#retries.delete(list);
    const { result } = response;
    if (list === "tools") this.#recordToolHints(link, cursor, result);
    const comparison = this.#known.compare(list, cursor, result);
    const params = cursor === undefined ? {} : { cursor };
    this.cache.store({ method: listMethodOf(list), params }, response);
    if (comparison.kind === "more") {
      return this.requestPage(link, list, comparison.cursor);
    }
    if (list === "tools") this.toolHints.onListEnd(link.connectionId);
    if (comparison.kind === "changed") this.#notifyChanged(list);
  }

  /** Handles a failed fetch: schedules a retry, or reports a changed list. */
  onFailure(
    { connectionId }: Link,
    { list, problem }: Extract<Incoming, { kind: "list-failed" }>,
  ): void {
    if (connectionId !== this.links.main.connectionId) return;
    const failures = this.#retries.get(list)?.failures ?? 0;
    this.effects.log.stateNotRestored(this.effects.shorten(
      `The daemon did not return its list of ${list}: ${problem}`,
    ));
    const delayMs = RETRY_DELAYS_MS[failures];
    if (delayMs === undefined) {
      this.#retries.delete(list);
      return this.#notifyChanged(list);
    }
    const until = this.now + delayMs;
    this.#retries.set(list, { failures: failures + 1, until });
  }

  #notifyChanged(list: ListKind): void {
    if (!this.dialect.shouldCompareLists) return;
    this.effects.log.listChanged(list);
    const kind = listChangedKindOf(list);
    this.effects.toClient(
      buildNotification(`notifications/${kind}/list_changed`),
    );
  }

  /** Returns when the next retry is due; `Infinity` for never. */
  deadline(): number {
    let at = Infinity;
    for (const { until } of this.#retries.values()) at = Math.min(at, until);
    return at;
  }

  /** Requests again the lists whose delay has ended. */
  advance(): void {
    const { main } = this.links;
    for (const [list, retry] of this.#retries) {
      if (this.now < retry.until) continue;
      retry.until = main.isUsable ? Infinity : this.now + RETRY_DELAYS_MS[0]!;
      if (main.isUsable) this.requestPage(main, list);
      else if (main.phase !== "ready") this.#retries.delete(list);
    }
  }

  /** Postpones every retry by the length of a sleep, in milliseconds. */
  postpone(ms: number): void {
    for (const retry of this.#retries.values()) retry.until += ms;
  }
}
