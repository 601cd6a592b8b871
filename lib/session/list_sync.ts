/**
 * A new daemon's lists against what the client was told: what is asked for, and
 * what the answers lead to.
 *
 * @module
 */

import { type Listing, listOf, methodOf } from "../protocol/lists.ts";
import type { Desk } from "./context.ts";
import type { Incoming } from "../dialects/dialect.ts";
import { notification as notify } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";
import * as report from "./log_messages.ts";
import { learn } from "./offline_answers.ts";

/** How long after each failure of a daemon to list something it is asked again, in milliseconds: it may still be loading. */
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000];

/** Asks a daemon on a new link for what the client has seen listed. */
export function compareAll(desk: Desk, link: Link): void {
  desk.unlisted.clear();
  if (!desk.dialect.comparesLists) return;
  for (const list of desk.catalog.known()) {
    const isRequested = list === "tools" && desk.hints.isRequested(link.epoch);
    if (!isRequested) ask(desk, link, list);
  }
}

/** Asks the daemon on a link for a page of a list, if it can be asked now. */
export function ask(
  desk: Desk,
  link: Link,
  list: Listing,
  cursor?: string,
): void {
  const frame = desk.dialect.list(link.epoch, list, cursor);
  if (frame === undefined) return;
  if (list === "tools") desk.hints.requested(link.epoch);
  desk.send(link, frame);
}

/** A page came: it is compared, and so is the next one. */
export function compare(
  desk: Desk,
  link: Link,
  { list, cursor, answer }: Extract<Incoming, { kind: "page" }>,
  now: number,
): void {
  desk.unlisted.delete(list);
  if (list === "tools") desk.learnTools(link, cursor, answer.result);
  const found = desk.catalog.compare(list, cursor, answer.result);
  const params = cursor === undefined ? {} : { cursor };
  learn(desk, { method: methodOf(list), params }, answer, now);
  if (list === "tools" && found.kind !== "more") {
    desk.hints.complete(link.epoch);
  }
  switch (found.kind) {
    case "more":
      return ask(desk, link, list, found.cursor);
    case "changed":
      return announce(desk, list);
    case "same":
      return;
  }
}

/** The daemon has not listed it: it is asked again, and at last the client is to ask itself. */
export function insist(
  desk: Desk,
  { epoch }: Link,
  { list, trouble }: Extract<Incoming, { kind: "unlisted" }>,
  now: number,
): void {
  if (epoch !== desk.links.main.epoch) return;
  const { failures = 0 } = desk.unlisted.get(list) ?? {};
  desk.regret(`The daemon did not list its ${list} again: ${trouble}`);
  const pause = PAUSES_MS[failures];
  if (pause === undefined) {
    desk.unlisted.delete(list);
    return announce(desk, list);
  }
  const again = { failures: failures + 1, until: now + pause };
  desk.unlisted.set(list, again);
}

/** Asks again for what the daemon has failed to list. */
export function compareAgain(desk: Desk, now: number): void {
  const { main } = desk.links;
  for (const [list, it] of desk.unlisted) {
    if (now < it.until) continue;
    it.until = main.isUsable ? Infinity : now + PAUSES_MS[0]!;
    if (main.isUsable) ask(desk, main, list);
    // The next link is asked for everything.
    else if (main.phase !== "ready") desk.unlisted.delete(list);
  }
}

function announce(desk: Desk, list: Listing): void {
  if (!desk.dialect.comparesLists) return;
  desk.do(report.changed(list));
  desk.reply(notify(`notifications/${listOf(list)}/list_changed`));
}
