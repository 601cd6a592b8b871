/**
 * Fetches a new daemon's lists, compares them with what the client has seen,
 * and notifies the client of changes.
 *
 * @module
 */

import {
  listChangedKindOf,
  type ListKind,
  listMethodOf,
} from "../protocol/lists.ts";
import type { SessionContext } from "./context.ts";
import type { Incoming } from "../dialects/dialect.ts";
import { buildNotification } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import { storeInCache } from "./offline_responses.ts";

/**
 * The delay before a list is requested again after each failure, in
 * milliseconds: the daemon may still be loading.
 */
const LIST_RETRY_DELAYS_MS = [1_000, 2_000, 4_000, 8_000];

/** Requests, on a new link, the lists that the client has seen. */
export function refetchLists(context: SessionContext, link: Link): void {
  context.listRetries.clear();
  if (!context.dialect.shouldCompareLists) return;
  for (const list of context.knownLists.shownLists()) {
    const isRequested = list === "tools" &&
      context.toolHints.isListRequested(link.connectionId);
    if (!isRequested) requestListPage(context, link, list);
  }
}

/** Requests a page of a list, if that is possible now. */
export function requestListPage(
  context: SessionContext,
  link: Link,
  list: ListKind,
  cursor?: string,
): void {
  const frame = context.dialect.buildListRequest(
    link.connectionId,
    list,
    cursor,
  );
  if (frame === undefined) return;
  if (list === "tools") context.toolHints.onListRequested(link.connectionId);
  context.sendToDaemon(link, frame);
}

/** Compares a page, and requests the next one. */
export function handleListPage(
  context: SessionContext,
  link: Link,
  { list, cursor, response }: Extract<Incoming, { kind: "list-page" }>,
  now: number,
): void {
  context.listRetries.delete(list);
  if (list === "tools") context.recordToolHints(link, cursor, response.result);
  const comparison = context.knownLists.compare(list, cursor, response.result);
  const params = cursor === undefined ? {} : { cursor };
  storeInCache(context, { method: listMethodOf(list), params }, response, now);
  if (list === "tools" && comparison.kind !== "more") {
    context.toolHints.onListEnd(link.connectionId);
  }
  switch (comparison.kind) {
    case "more":
      return requestListPage(context, link, list, comparison.cursor);
    case "changed":
      return notifyListChanged(context, list);
    case "same":
      return;
  }
}

/**
 * Schedules another request for a list that the daemon failed to return; after
 * the last one, notifies the client so that it requests the list itself.
 */
export function handleListFailure(
  context: SessionContext,
  { connectionId }: Link,
  { list, problem }: Extract<Incoming, { kind: "list-failed" }>,
  now: number,
): void {
  if (connectionId !== context.links.main.connectionId) return;
  const { failures = 0 } = context.listRetries.get(list) ?? {};
  context.logRestoreFailure(
    `The daemon did not list its ${list} again: ${problem}`,
  );
  const delayMs = LIST_RETRY_DELAYS_MS[failures];
  if (delayMs === undefined) {
    context.listRetries.delete(list);
    return notifyListChanged(context, list);
  }
  const retry = { failures: failures + 1, until: now + delayMs };
  context.listRetries.set(list, retry);
}

/** Requests the lists again that the daemon failed to return. */
export function retryFailedLists(context: SessionContext, now: number): void {
  const { main } = context.links;
  for (const [list, retry] of context.listRetries) {
    if (now < retry.until) continue;
    retry.until = main.isUsable ? Infinity : now + LIST_RETRY_DELAYS_MS[0]!;
    if (main.isUsable) requestListPage(context, main, list);
    // All lists are requested on the next link.
    else if (main.phase !== "ready") context.listRetries.delete(list);
  }
}

function notifyListChanged(context: SessionContext, list: ListKind): void {
  if (!context.dialect.shouldCompareLists) return;
  context.emit(logMessages.listChanged(list));
  context.sendToClient(
    buildNotification(`notifications/${listChangedKindOf(list)}/list_changed`),
  );
}
