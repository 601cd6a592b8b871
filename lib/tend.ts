/**
 * The links' care: dial, greet, restore, write what waits, leave.
 *
 * @module
 */

import type { Desk } from "./desk.ts";
import * as fault from "./fault.ts";
import { notification as notify } from "./jsonrpc.ts";
import { isLogged, type Link, type Loss } from "./link.ts";
import * as report from "./report.ts";

/** Does what a link's time has come for. */
export function attend(desk: Desk, link: Link, now: number): void {
  switch (link.wish(now, desk.traffic(link))) {
    case "nothing":
      return;
    case "dial": {
      const subprotocol = link.offersSubprotocol
        ? desk.dialect.subprotocol
        : undefined;
      link.dial(now);
      return desk.do({ type: "dial", epoch: link.epoch, subprotocol });
    }
    case "probe":
      link.probed(now);
      return desk.send(link, desk.dialect.probe(link.epoch));
    case "give up":
      return lose(desk, link, { reason: report.silence(link.phase) }, now);
  }
}

/** Writes whatever can be written now. */
export function flush(desk: Desk, now: number): void {
  for (const link of desk.links) {
    if (link.isUngreeted) greet(desk, link, now);
    if (link.phase !== "ready") continue;
    for (const { key, message } of desk.ledger.queue()) {
      const inFlight = desk.ledger.inFlight(link.epoch);
      if (inFlight >= desk.dialect.callsPerLink) break;
      const { load } = desk.traffic(link);
      desk.send(link, desk.dialect.encode(message));
      desk.ledger.sent(key, link.epoch, now);
      // The client's own ping is as good a probe as ours.
      const isProbe = message.method === "ping" && load === "idle";
      if (isProbe && desk.config.pingInterval < Infinity) link.probed(now);
    }
  }
}

/** Opens the conversation on a link, if there is anything to open it with. */
function greet(desk: Desk, link: Link, now: number): void {
  const waiting = [...desk.ledger.queue()].map((entry) => entry.message)
    .filter((message) => message.kind === "request");
  const greeting = desk.dialect.greet(link.epoch, waiting);
  if (greeting === undefined) return;
  desk.send(link, greeting.text);
  link.greeted(now);
  if (greeting.request !== undefined) {
    desk.ledger.greeted(greeting.request, link.epoch, now);
  }
}

/** The daemon answered the greeting: it learns where the conversation was, and gets what waits. */
export function ready(desk: Desk, link: Link, now: number): void {
  if (link.phase !== "greeting") return;
  const again = { attempt: link.attempt, downMs: now - link.downSince };
  link.validated(now);
  const { shownUrl } = desk.config;
  desk.do(report.connected(shownUrl, desk.wasUp ? again : undefined));
  desk.wasUp = true;
  const { toDaemon, toClient } = desk.dialect.restore(link.epoch);
  for (const text of toDaemon) desk.send(link, text);
  for (const text of toClient) desk.reply(text);
  flush(desk, now);
  for (const list of desk.catalog.known()) {
    desk.send(link, desk.dialect.list(link.epoch, list));
  }
}

/** A connection is over: what was owed on it is settled by the delivery contract. */
export function lose(desk: Desk, link: Link, loss: Loss, now: number): void {
  const { epoch, phase, attempt } = link;
  desk.links.lose(link, loss, now);
  desk.do({ type: "close", epoch });
  if (phase === "ready" && !desk.links.isUp) desk.ledger.wait(now);
  const given = desk.ledger.lost(
    epoch,
    now,
    (request) =>
      desk.mayRepeat(request) ||
      desk.dialect.local(request, "down") !== undefined,
  );
  for (const { message, ...entry } of given) {
    const fate = desk.fate(message, entry);
    desk.reply(fault.outcomeUnknown(fate, "connection_lost"));
  }
  settleLocally(desk, link, now);
  for (const id of desk.asked.lost(epoch)) {
    const requestId: unknown = JSON.parse(id);
    const reason = "The connection to the daemon was lost";
    desk.reply(notify("notifications/cancelled", { requestId, reason }));
  }
  desk.dialect.lost(epoch);
  const { shownUrl } = desk.config;
  if (phase === "ready") {
    return desk.do(report.lost(shownUrl, loss.reason, given.length));
  }
  const { retryAfterMs = 0 } = desk.outage(link, now);
  // Without a pause it is the same attempt, without the subprotocol.
  const level = retryAfterMs > 0 && isLogged(attempt) ? "warn" : "debug";
  desk.do(report.failed(shownUrl, level, attempt, loss.reason, retryAfterMs));
}

/** What waits now, but need not: pings, and everything that a refusal will keep from its daemon. */
function settleLocally(desk: Desk, link: Link, now: number): void {
  if (desk.links.isUp) return;
  for (const { key, message, ...entry } of desk.ledger.queue()) {
    if (message.kind !== "request") continue;
    let text = desk.dialect.local(message, "down");
    if (text === undefined && link.refusal !== undefined) {
      const fate = desk.fate(message, entry);
      text = fault.unavailable(fate, desk.outage(link, now));
    }
    if (text === undefined) continue;
    desk.ledger.cancel(key);
    desk.reply(text);
  }
}
