/**
 * The capacity check: finds out whether the daemon keeps two connections for a
 * client. The proxy opens a second connection once, before any call is sent,
 * and the daemon must answer on both.
 *
 * A daemon that keeps one connection closes one of the two, or answers on the
 * newest only. So the main connection must also answer after the second one is
 * closed. If it does not, although the daemon answered on the second one, the
 * proxy drops the main connection and dials again, because calls on it might
 * never be answered.
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

/**
 * If a step ends later than this, the program had no time to run, so the step
 * gets more time.
 */
const TIMER_LAG_MS = 50;

/**
 * Probes the main connection once the daemon has answered the first message on
 * the second one, which was probed already.
 */
export function onCapacityCheckHandshake(
  context: SessionContext,
  now: number,
): void {
  const { check } = context.capacityDetector;
  if (check?.step !== "both-connections") return;
  check.isSecondReady = true;
  check.mainProbeId = sendProbe(context, context.links.main, now);
}

/** Handles the answer to a probe on the second connection or the main one. */
export function onCapacityCheckProbeAnswered(
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

/**
 * Moves the check on when the second connection is lost or a step has timed
 * out.
 */
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

/** Ends the capacity check without a result. */
export function abortCapacityCheck(context: SessionContext, now: number): void {
  if (context.capacityDetector.check === undefined) return;
  closeSecondConnection(context, now);
  context.capacityDetector.abandonCheck();
  if (context.links.main.phase === "ready") {
    replaySession(context, context.links.main, now);
  }
}

/** Closes the second connection and probes the main one once more. */
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
  isProven: boolean,
  now: number,
): void {
  const { hasMainAnswered, hasSecondAnswered } = context.capacityDetector
    .check!;
  const capacity = hasMainAnswered && hasSecondAnswered ? "many" : "one";
  context.capacityDetector.record(capacity);
  context.emit(
    logMessages.capacityDetermined(
      context.config.redactedUrl,
      capacity,
      isProven,
    ),
  );
  if (isProven) context.saveCapacityOne(now);
  const { main } = context.links;
  // Waiting calls were delayed by the check, so the first needs no probe.
  main.liveness?.endCallDelay(now);
  replaySession(context, main, now);
}
