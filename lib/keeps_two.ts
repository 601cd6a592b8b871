/**
 * Learns whether the daemon keeps two connections for a client: a second one is
 * opened once, before anything is called, and both must answer.
 *
 * A daemon that keeps one closes one of them, or answers on the newest only. So
 * the main connection must also answer after the second one is closed. If it
 * does not, although the daemon answered on the second one, it is left and
 * dialed anew, because calls on it might never be answered.
 *
 * @module
 */

import type { Desk } from "./desk.ts";
import type { Id } from "./jsonrpc.ts";
import type { Link } from "./link.ts";
import * as report from "./report.ts";
import { lose, probe, restore, retire } from "./tend.ts";

/** A probe was answered on the second connection, or on the main one. */
export function trialPonged(
  desk: Desk,
  link: Link,
  id: Id,
  now: number,
): void {
  const { trial } = desk.capacity;
  if (trial === undefined) return;
  if (link.role === "trial") {
    if (trial.step !== "second") return;
    trial.step = "first";
    trial.probe = probe(desk, desk.links.main, now);
    return;
  }
  if (id !== trial.probe) return;
  if (trial.step === "after") return conclude(desk, now);
  trial.outcome = "many";
  trial.isAnswered = trial.isHarmed = true;
  checkMain(desk, now);
}

/** The second connection is lost, or a step of the trial has taken its time. */
export function advanceTrial(desk: Desk, now: number): void {
  const { trial } = desk.capacity;
  if (trial === undefined) return;
  if (trial.step !== "after" && desk.links.trial === undefined) {
    trial.isHarmed = true;
    return checkMain(desk, now);
  }
  if (now < desk.capacity.deadline()) return;
  if (trial.step !== "after") {
    trial.isAnswered = desk.links.trial?.phase === "ready";
    trial.isHarmed = trial.step === "first";
    return checkMain(desk, now);
  }
  // A daemon that answers nothing is busy or frozen.
  if (!trial.isAnswered) return conclude(desk, now);
  if (trial.isHarmed) desk.capacity.displaced(now);
  else desk.capacity.learn("one");
  const reason = "it has not answered since a second connection was opened";
  lose(desk, desk.links.main, { reason, isOurs: true }, now);
}

/** Ends the trial without an outcome. */
export function endTrial(desk: Desk, now: number): void {
  if (desk.capacity.trial === undefined) return;
  closeSecond(desk, now);
  desk.capacity.end();
  if (desk.links.main.phase === "ready") restore(desk, desk.links.main, now);
}

/** The second connection is closed, and the main one must answer still. */
function checkMain(desk: Desk, now: number): void {
  const { trial } = desk.capacity;
  closeSecond(desk, now);
  trial!.step = "after";
  trial!.probe = probe(desk, desk.links.main, now);
}

function closeSecond(desk: Desk, now: number): void {
  const { trial } = desk.links;
  if (trial !== undefined) retire(desk, trial, now);
}

function conclude(desk: Desk, now: number): void {
  closeSecond(desk, now);
  const { outcome, isHarmed } = desk.capacity.trial!;
  desk.capacity.learn(outcome);
  desk.do(report.keeps(desk.config.shownUrl, outcome));
  if (outcome === "one" && isHarmed) desk.rememberOne(now);
  restore(desk, desk.links.main, now);
}
