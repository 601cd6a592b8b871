/**
 * The standby: the main connection is silent while calls are in flight on it,
 * and a second connection shows whether it is the daemon that is silent.
 *
 * | the standby                | the main connection                         | what follows                                            |
 * | -------------------------- | ------------------------------------------- | ------------------------------------------------------- |
 * | has answered               | carries no call, and did not sleep          | it is left, and what waits is written on the standby    |
 * | has answered two probes    | is exai's: calls have others                | it is left: what belongs there takes no time            |
 * | has answered two probes    | is dead by evidence                         | its calls are settled as after any loss                 |
 * | has answered two probes    | may be busy                                 | it keeps its calls, and the standby gets what comes     |
 * | hangs, or answers no probe |                                             | the daemon is busy or frozen: what waits is written     |
 * | is refused or closed       | cannot be dead by evidence, and did not sleep | what waits is written                                 |
 * | is refused or closed       | carries calls that somebody waits for       | what comes waits, and the standby is dialed again       |
 * | is refused or closed       | carries none                                | it is lost                                              |
 * | any                        | is heard or lost, or the program sleeps     | the standby is closed                                   |
 *
 * @module
 */

import type { Desk } from "./context.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import { trialGreeted, trialPonged } from "./capacity_trial.ts";
import type { Link } from "../link/link.ts";
import * as report from "./log_messages.ts";
import { probe, restore, retire, settle } from "./link_lifecycle.ts";

/** How many connections may be kept for the calls that are in flight on them: none of them is closed for a further one. */
const DRAINING_LIMIT = 16;

/** The main connection is under suspicion. */
export function suspect(desk: Desk, link: Link, now: number): void {
  const lastCall = desk.ledger.lastCall(link.epoch);
  link.suspect(now, lastCall);
  desk.do(report.suspected(desk.config.shownUrl));
  openStandby(desk, now);
}

/** Opens a standby where one is missing, if there is room for it. */
export function openStandby({ links }: Desk, now: number): void {
  const { liveness } = links.main;
  if (!liveness?.isSuspect || links.standby !== undefined) return;
  if (links.draining < DRAINING_LIMIT) links.open("standby", now);
  // Nothing will show whether it is dead.
  else liveness.writeAnyway(now);
}

/** The daemon spoke on a link. */
export function heard(desk: Desk, link: Link, now: number): void {
  link.liveness?.heard(now);
  const { main, standby } = desk.links;
  if (link === main && standby !== undefined) retire(desk, standby, now);
  if (desk.dialect.poolSize === 0) return;
  // Where calls have links of their own the daemon may do one thing at a time.
  for (const other of desk.links) {
    if (other !== link) other.liveness?.restartProbes(now);
  }
}

/** The daemon answered a probe on a link. */
export function ponged(desk: Desk, link: Link, id: Id, now: number): void {
  const { epoch, liveness, role } = link;
  const number = liveness?.ponged(id, now);
  if (liveness === undefined || number === undefined) return;
  desk.answersProbes = true;
  desk.oneWay.answered(epoch, number);
  switch (role) {
    case "standby":
      // A daemon that has been busy may turn to the standby first.
      if (liveness.hasAnsweredFor(now)) return failOver(desk, link, now);
      if (liveness.answers > 1) return;
      return liveness.probeAt(now + desk.config.pingTimeout);
    case "trial":
      return trialPonged(desk, link, id, now);
    default:
      if (desk.ledger.overtaken(epoch, number)) desk.answersDuringCalls = true;
      if (role === "main") trialPonged(desk, link, id, now);
  }
}

/** The daemon has answered the first message on the standby, or on the second connection of a trial. */
export function greeted(desk: Desk, link: Link, now: number): void {
  const { main } = desk.links;
  const isFree = link.role === "standby" && main.liveness?.isStale === false &&
    !desk.ledger.isBusy(main.epoch);
  if (isFree) return failOver(desk, link, now);
  probe(desk, link, now);
  if (link.role === "trial") trialGreeted(desk, now);
}

/** The standby takes over. */
function failOver(desk: Desk, standby: Link, now: number): void {
  const { dialect, ledger, links } = desk;
  const { main } = links;
  if (main.liveness?.isSuspect !== true) return;
  const { shownUrl } = desk.config;
  const { epoch, downSince } = main;
  // What belongs on this link beside a pool is done in no time.
  const isDead = dialect.poolSize > 0 || !ledger.isBusy(epoch) ||
    main.liveness.isDead(ledger.lastCall(epoch), now);
  main.liveness.replaced(now);
  links.promote(standby);
  if (isDead) {
    const reason = "the connection is silent, and the daemon answers on " +
      "another one";
    links.remove(main);
    desk.do({ type: "close", epoch });
    const given = settle(desk, epoch, { reason }, now);
    desk.do(report.lost(shownUrl, { reason }, given, "replaced"));
    desk.connected({ attempt: 1, downMs: now - downSince });
  } else {
    ledger.move(epoch, now);
    desk.do(report.busy(shownUrl, ledger.inFlight(epoch)));
  }
  for (const text of dialect.greeted()) desk.tell(standby, text);
  restore(desk, standby, now);
}
