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

import type { SessionContext } from "./context.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import {
  onCapacityCheckHandshake,
  onCapacityCheckPong,
} from "./capacity_check.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import {
  closeUnneededLink,
  recoverInFlight,
  replaySession,
  sendProbe,
} from "./link_lifecycle.ts";

/** How many connections may be kept for the calls that are in flight on them: none of them is closed for a further one. */
const MAX_DRAINING_LINKS = 16;

/** The main connection is under suspicion. */
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

/** Opens a standby where one is missing, if there is room for it. */
export function openStandby({ links }: SessionContext, now: number): void {
  const { liveness } = links.main;
  if (!liveness?.isSuspect || links.standby !== undefined) return;
  if (links.drainingCount < MAX_DRAINING_LINKS) links.add("standby", now);
  // Nothing will show whether it is dead.
  else liveness.waiveSuspicion(now);
}

/** The daemon spoke on a link. */
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
  // Where calls have links of their own the daemon may do one thing at a time.
  for (const other of context.links) {
    if (other !== link) other.liveness?.restartProbeTimers(now);
  }
}

/** The daemon answered a probe on a link. */
export function onPong(
  context: SessionContext,
  link: Link,
  id: Id,
  now: number,
): void {
  const { connectionId, liveness, role } = link;
  const writeNumber = liveness?.onPong(id, now);
  if (liveness === undefined || writeNumber === undefined) return;
  context.hasAnsweredProbe = true;
  context.oneWayMessages.onResponse(connectionId, writeNumber);
  switch (role) {
    case "standby":
      // A daemon that has been busy may turn to the standby first.
      if (liveness.hasAnsweredForPingTimeout(now)) {
        return failOver(context, link, now);
      }
      if (liveness.answeredProbeCount > 1) return;
      return liveness.scheduleProbe(now + context.config.pingTimeout);
    case "capacity-check":
      return onCapacityCheckPong(context, link, id, now);
    default:
      if (context.tracker.onProbeAnswered(connectionId, writeNumber)) {
        context.answersDuringCalls = true;
      }
      if (role === "main") onCapacityCheckPong(context, link, id, now);
  }
}

/** The daemon has answered the first message on the standby, or on the second connection of a trial. */
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

/** The standby takes over. */
function failOver(context: SessionContext, standby: Link, now: number): void {
  const { dialect, tracker, links } = context;
  const { main } = links;
  if (main.liveness?.isSuspect !== true) return;
  const { redactedUrl } = context.config;
  const { connectionId, downSince } = main;
  // What belongs on this link beside a pool is done in no time.
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
