/**
 * The standby: the main connection is silent while calls are in flight on it,
 * and a second connection shows whether the daemon or the connection is at
 * fault.
 *
 * | the standby                | the main connection                           | what happens                                          |
 * | -------------------------- | --------------------------------------------- | ----------------------------------------------------- |
 * | has answered               | carries no call, and did not sleep            | it is closed, and the queue is sent on the standby    |
 * | has answered two probes    | is exai's: calls have other connections       | it is closed: it carries only what takes no time      |
 * | has answered two probes    | `isDead`                                      | its calls are recovered as after any loss             |
 * | has answered two probes    | may be busy                                   | it drains its calls, and the standby gets new messages |
 * | hangs, or answers no probe |                                               | the daemon is busy or frozen: the queue is sent       |
 * | is refused or closed       | not `mayBeDead`, and did not sleep            | the queue is sent                                     |
 * | is refused or closed       | carries calls that a client waits for         | new messages wait, and the standby is dialed again    |
 * | is refused or closed       | carries none                                  | it is lost                                            |
 * | any                        | receives a frame or is lost, or the program sleeps | the standby is closed                            |
 *
 * @module
 */

import type { SessionContext } from "./context.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import {
  onCapacityCheckHandshake,
  onCapacityCheckProbeAnswered,
} from "./capacity_check.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import {
  closeUnneededLink,
  recoverInFlight,
  replaySession,
  sendProbe,
} from "./link_lifecycle.ts";

/**
 * How many draining connections may be kept. None of them is closed to make
 * room for another.
 */
const MAX_DRAINING_LINKS = 16;

/** Marks the main connection as suspect and opens a standby. */
export function suspectLink(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  const lastCall = context.tracker.lastCallNumber(link.connectionId);
  link.markSuspect(now, lastCall);
  context.emit(logMessages.connectionSuspected(context.config.redactedUrl));
  openStandby(context, now);
}

/** Opens a standby if one is missing and there is room for it. */
export function openStandby({ links }: SessionContext, now: number): void {
  const { liveness } = links.main;
  if (!liveness?.isSuspect || links.standby !== undefined) return;
  if (links.drainingCount < MAX_DRAINING_LINKS) links.add("standby", now);
  // Without a standby nothing can show whether the connection is dead.
  else liveness.waiveSuspicion(now);
}

/** Handles a sign of life on a link. */
export function onFrameReceived(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  link.liveness?.onFrame(now);
  const { main, standby } = context.links;
  if (link === main && standby !== undefined) {
    closeUnneededLink(context, standby, now);
  }
  if (context.dialect.poolSize === 0) return;
  // Where calls have links of their own, the daemon may do one thing at a time.
  for (const other of context.links) {
    if (other !== link) other.liveness?.restartProbeTimers(now);
  }
}

/** Handles the answer to a probe on a link. */
export function handleProbeAnswer(
  context: SessionContext,
  link: Link,
  id: Id,
  now: number,
): void {
  const { connectionId, liveness, role } = link;
  const writeNumber = liveness?.onProbeAnswered(id, now);
  if (liveness === undefined || writeNumber === undefined) return;
  context.hasAnsweredProbe = true;
  context.oneWayMessages.onResponse(connectionId, writeNumber);
  switch (role) {
    case "standby":
      // A daemon that has been busy may answer the standby first.
      if (liveness.hasAnsweredForPingTimeout(now)) {
        return failOver(context, link, now);
      }
      if (liveness.answeredProbeCount > 1) return;
      return liveness.scheduleProbe(now + context.config.pingTimeout);
    case "capacity-check":
      return onCapacityCheckProbeAnswered(context, link, id, now);
    default:
      if (context.tracker.onProbeAnswered(connectionId, writeNumber)) {
        context.answersDuringCalls = true;
      }
      if (role === "main") onCapacityCheckProbeAnswered(context, link, id, now);
  }
}

/**
 * Handles the daemon's response to the first message on the standby, or on the
 * second connection of a capacity check.
 */
export function onSecondHandshake(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  const { main } = context.links;
  const isMainIdle = link.role === "standby" &&
    main.liveness?.isUnverified === false &&
    !context.tracker.isBusy(main.connectionId);
  if (isMainIdle) return failOver(context, link, now);
  sendProbe(context, link, now);
  if (link.role === "capacity-check") onCapacityCheckHandshake(context, now);
}

/** Makes the standby the main link. */
function failOver(context: SessionContext, standby: Link, now: number): void {
  const { dialect, tracker, links } = context;
  const { main } = links;
  if (main.liveness?.isSuspect !== true) return;
  const { redactedUrl } = context.config;
  const { connectionId, downSince } = main;
  // Beside a pool, this link only carries messages that take no time.
  const isDead = dialect.poolSize > 0 || !tracker.isBusy(connectionId) ||
    main.liveness.isDead(tracker.lastCallNumber(connectionId), now);
  main.liveness.onReplaced(now);
  links.promote(standby);
  if (isDead) {
    const reason = "the connection is silent, and the daemon answers on " +
      "another one";
    links.remove(main);
    context.emit({ type: "close", connectionId });
    const failedCount = recoverInFlight(context, connectionId, { reason }, now);
    context.emit(
      logMessages.connectionLost(
        redactedUrl,
        { reason },
        failedCount,
        "replaced",
      ),
    );
    context.recordConnected({ attempt: 1, downMs: now - downSince });
  } else {
    tracker.requeueLongLived(connectionId, now);
    context.emit(
      logMessages.failedOver(redactedUrl, tracker.inFlightCount(connectionId)),
    );
  }
  for (const text of dialect.finishHandshake()) {
    context.sendOneWay(standby, text);
  }
  replaySession(context, standby, now);
}
