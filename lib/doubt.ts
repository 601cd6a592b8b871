/**
 * The second opinion: a connection is silent while the client is owed an
 * answer on it, and another one shows whether it is the daemon that is.
 *
 * @module
 */

import type { Desk } from "./desk.ts";
import type { Link } from "./link.ts";
import * as report from "./report.ts";
import { isLight } from "./safety.ts";
import { restore, retire, settle } from "./tend.ts";

/** How many connections may be kept for what they still owe, beside the one that is used: none of them is closed for a further one. */
const KEPT_LIMIT = 16;

/** Asks for the opinion of another connection; a call that has one for itself is worth the wait. */
export function doubt(desk: Desk, link: Link, now: number): void {
  if (link.role === "pool") return link.pulse?.trusted();
  link.doubted(now, report.silence("ready"));
  desk.do(report.doubted(desk.config.shownUrl));
  const frame = desk.dialect.probe(link.epoch);
  if (frame !== undefined) desk.send(link, frame);
  seek(desk, now);
}

/** Opens another connection for its opinion on a doubted one, if there is room for it. */
export function seek({ links }: Desk, now: number): void {
  const isSought = links.main.pulse?.isDoubted && links.second === undefined;
  if (isSought && links.kept.length < KEPT_LIMIT) links.open("second", now);
}

/** The daemon spoke on a link. */
export function heard(desk: Desk, link: Link, now: number): void {
  link.pulse?.heard(now);
  const { main, second } = desk.links;
  if (link === main && second !== undefined) retire(desk, second, now);
  if (desk.dialect.poolSize === 0) return;
  // Where calls have links of their own the daemon may do one thing at a time.
  for (const other of desk.links) {
    if (other !== link) other.pulse?.excused(now);
  }
}

/** The daemon answered a probe on a link. */
export function ponged(desk: Desk, link: Link, now: number): void {
  const { pulse, epoch } = link;
  if (pulse === undefined) return;
  pulse.answered(now);
  if (link.role !== "second") {
    const isOvertaken = [...desk.ledger.sentOn(epoch)].some((entry) =>
      !isLight(entry.message.method) && entry.sentAt < pulse.probedAt
    );
    if (isOvertaken) pulse.overtook();
    return;
  }
  const { main } = desk.links;
  if (main.pulse?.isConcurrent) main.pulse.accused(now);
  else replace(desk, now);
}

/**
 * The second connection, on which the daemon answers, takes over. The first
 * one is dead if the daemon used to answer probes there whatever it did;
 * otherwise it keeps its calls, which may merely be slow.
 */
export function replace(desk: Desk, now: number): void {
  const { main, second } = desk.links;
  if (second?.phase !== "ready") return main.pulse?.acquitted();
  if (main.phase !== "ready") return;
  const { shownUrl } = desk.config;
  const old = desk.links.promote(second);
  const { epoch, downSince } = old;
  // What belongs on this link beside a pool is done in no time.
  if (old.pulse?.isConcurrent || desk.dialect.poolSize > 0) {
    const reason = "it is silent, and another connection is not";
    desk.links.remove(old);
    desk.do({ type: "close", epoch });
    const given = settle(desk, epoch, { reason }, now);
    desk.do(report.lost(shownUrl, reason, given, "replaced"));
    const again = { attempt: 1, downMs: now - downSince };
    desk.connected(again);
  } else {
    desk.ledger.move(epoch, now);
    desk.do(report.busy(shownUrl, desk.ledger.inFlight(epoch)));
  }
  restore(desk, second, now);
}
