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

import type { Desk } from "./context.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";
import * as report from "./log_messages.ts";
import { lose, probe, restore, retire } from "./link_lifecycle.ts";

/** A step that ends so much too late was not waited for: the program itself had no time. */
const LATE_MS = 50;

/** The daemon has answered the first message on the second connection, and was probed there. */
export function trialGreeted(desk: Desk, now: number): void {
  const { trial } = desk.capacity;
  if (trial?.step !== "both") return;
  trial.isGreeted = true;
  trial.probe = probe(desk, desk.links.main, now);
}

/** A probe was answered on the second connection, or on the main one. */
export function trialPonged(
  desk: Desk,
  link: Link,
  id: Id,
  now: number,
): void {
  const { trial } = desk.capacity;
  if (trial === undefined) return;
  const isMain = link.role === "main" && id === trial.probe;
  if (trial.step === "after") {
    if (isMain) conclude(desk, trial.isEnded, now);
    return;
  }
  if (isMain) trial.isMainAnswered = true;
  if (link.role === "trial") trial.isSecondAnswered = true;
  if (trial.isMainAnswered && trial.isSecondAnswered) checkMain(desk, now);
}

/** The second connection is lost, or a step of the trial has taken its time. */
export function advanceTrial(desk: Desk, now: number): void {
  const { capacity } = desk;
  const { trial } = capacity;
  if (trial === undefined) return;
  if (trial.step === "both" && desk.links.trial === undefined) {
    trial.isEnded = true;
    return checkMain(desk, now);
  }
  const lateMs = now - capacity.deadline();
  if (lateMs < 0) return;
  if (lateMs > LATE_MS && capacity.extend(lateMs)) return;
  if (trial.step === "both") return checkMain(desk, now);
  // A daemon that answers nothing is busy or frozen.
  if (!trial.isGreeted) return conclude(desk, false, now);
  if (trial.isSecondAnswered && !trial.isMainAnswered) {
    capacity.displaced(now, true);
  } else capacity.learn("one");
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

function conclude(desk: Desk, isRemembered: boolean, now: number): void {
  const { isMainAnswered, isSecondAnswered } = desk.capacity.trial!;
  const keeps = isMainAnswered && isSecondAnswered ? "many" : "one";
  desk.capacity.learn(keeps);
  desk.do(report.keeps(desk.config.shownUrl, keeps, isRemembered));
  if (isRemembered) desk.rememberOne(now);
  const { main } = desk.links;
  // Who waits has waited for it already: the first call needs no probe.
  main.liveness?.endDelay(now);
  restore(desk, main, now);
}
