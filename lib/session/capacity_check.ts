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

import type { SessionContext } from "./context.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import {
  closeUnneededLink,
  endConnection,
  replaySession,
  sendProbe,
} from "./link_lifecycle.ts";

/** A step that ends so much too late was not waited for: the program itself had no time. */
const TIMER_LAG_MS = 50;

/** The daemon has answered the first message on the second connection, and was probed there. */
export function onCapacityCheckHandshake(
  context: SessionContext,
  now: number,
): void {
  const { check } = context.capacityDetector;
  if (check?.step !== "both-connections") return;
  check.isSecondReady = true;
  check.mainProbeId = sendProbe(context, context.links.main, now);
}

/** A probe was answered on the second connection, or on the main one. */
export function onCapacityCheckPong(
  context: SessionContext,
  link: Link,
  id: Id,
  now: number,
): void {
  const { check } = context.capacityDetector;
  if (check === undefined) return;
  const isMain = link.role === "main" && id === check.mainProbeId;
  if (check.step === "main-only") {
    if (isMain) concludeCapacityCheck(context, check.isSecondClosed, now);
    return;
  }
  if (isMain) check.hasMainAnswered = true;
  if (link.role === "capacity-check") check.hasSecondAnswered = true;
  if (check.hasMainAnswered && check.hasSecondAnswered) {
    closeSecondAndProbeMain(context, now);
  }
}

/** The second connection is lost, or a step of the trial has taken its time. */
export function advanceCapacityCheck(
  context: SessionContext,
  now: number,
): void {
  const { capacityDetector } = context;
  const { check } = capacityDetector;
  if (check === undefined) return;
  if (
    check.step === "both-connections" &&
    context.links.capacityCheck === undefined
  ) {
    check.isSecondClosed = true;
    return closeSecondAndProbeMain(context, now);
  }
  const lateMs = now - capacityDetector.deadline();
  if (lateMs < 0) return;
  if (lateMs > TIMER_LAG_MS && capacityDetector.extendCheck(lateMs)) return;
  if (check.step === "both-connections") {
    return closeSecondAndProbeMain(context, now);
  }
  // A daemon that answers nothing is busy or frozen.
  if (!check.isSecondReady) return concludeCapacityCheck(context, false, now);
  if (check.hasSecondAnswered && !check.hasMainAnswered) {
    capacityDetector.markMainDisplaced(now, true);
  } else capacityDetector.record("one");
  const reason = "it has not answered since a second connection was opened";
  endConnection(
    context,
    context.links.main,
    { reason, isSelfCaused: true },
    now,
  );
}

/** Ends the trial without an outcome. */
export function abortCapacityCheck(context: SessionContext, now: number): void {
  if (context.capacityDetector.check === undefined) return;
  closeSecondConnection(context, now);
  context.capacityDetector.abandonCheck();
  if (context.links.main.phase === "ready") {
    replaySession(context, context.links.main, now);
  }
}

/** The second connection is closed, and the main one must answer still. */
function closeSecondAndProbeMain(context: SessionContext, now: number): void {
  const { check } = context.capacityDetector;
  closeSecondConnection(context, now);
  check!.step = "main-only";
  check!.mainProbeId = sendProbe(context, context.links.main, now);
}

function closeSecondConnection(context: SessionContext, now: number): void {
  const { capacityCheck } = context.links;
  if (capacityCheck !== undefined) {
    closeUnneededLink(context, capacityCheck, now);
  }
}

function concludeCapacityCheck(
  context: SessionContext,
  isCached: boolean,
  now: number,
): void {
  const { hasMainAnswered, hasSecondAnswered } = context.capacityDetector
    .check!;
  const keeps = hasMainAnswered && hasSecondAnswered ? "many" : "one";
  context.capacityDetector.record(keeps);
  context.emit(
    logMessages.capacityLearned(context.config.redactedUrl, keeps, isCached),
  );
  if (isCached) context.saveCapacityOne(now);
  const { main } = context.links;
  // Who waits has waited for it already: the first call needs no probe.
  main.liveness?.endCallDelay(now);
  replaySession(context, main, now);
}
