/**
 * The life of a connection: dial, handshake, replay the session, send the
 * queue, close, recover.
 *
 * @module
 */

import { LIST_CHANGED_KINDS, listKindOf } from "../protocol/lists.ts";
import { QUICK_HANDSHAKE_MS } from "../link/capacity_detector.ts";
import { refetchLists } from "./list_sync.ts";
import { confirmToolHint } from "./hint_confirmation.ts";
import type { SessionContext } from "./context.ts";
import type { PendingRequest, ReadonlyEntry } from "../requests/entry.ts";
import * as errors from "./errors.ts";
import {
  buildNotification,
  type Id,
  type OutboundMessage,
  type Request,
} from "../protocol/jsonrpc.ts";
import type { RequestId } from "../protocol/mcp_types.ts";
import type { DisconnectCause, Link, LinkRole } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import { MAX_CALL_DELAY_MS } from "../link/liveness.ts";
import { isLongLived, isOpening, mayTakeLong } from "../protocol/methods.ts";
import { respondToPendingFromCache } from "./offline_responses.ts";

/**
 * Sends a probe.
 *
 * @returns the probe's id; `undefined` if none was sent, because the response
 * to an earlier frame shows the same
 */
export function sendProbe(
  context: SessionContext,
  link: Link,
  now: number,
): Id | undefined {
  const { liveness } = link;
  const isWithoutCalls = !context.tracker.isBusy(link.connectionId);
  const frame = context.dialect.buildProbe(link.connectionId);
  if (frame === undefined && liveness?.isUnverified) {
    const { load } = context.usageOf(link);
    const isCall = link.role === "pool" && load === "busy";
    liveness.deferProbe(now, isCall ? "call" : "no-call");
    return undefined;
  }
  const writeNumber = frame && context.sendToDaemon(link, frame.text);
  liveness?.onProbeSent(frame?.id, now, { isWithoutCalls, writeNumber });
  return frame?.id;
}

/** Sends everything that can be sent now. */
export function writeQueued(context: SessionContext, now: number): void {
  const { dialect, tracker, links } = context;
  for (const link of links) {
    if (link.isHandshakeUnsent) sendHandshake(context, link, now);
    link.liveness?.endCallDelayIfDue(now);
    if (link.liveness?.isProbeDeferred && dialect.canSend(link.connectionId)) {
      sendProbe(context, link, now);
    }
  }
  // The call that waited for a probe may have been cancelled.
  if (!tracker.hasQueuedShortLivedRequest) {
    links.main.liveness?.cancelCallDelay();
  }
  let waitingForPool = 0;
  const fullRoles = new Set<LinkRole>();
  for (const entry of tracker.writableEntries(fullRoles)) {
    const role = dialect.linkRoleFor(entry.message);
    const { hintRequirement } = entry;
    const link = links.findUsable(
      role,
      (it) =>
        canWriteTo(context, it, entry.message) &&
        (hintRequirement?.connectionId ?? it.connectionId) === it.connectionId,
    );
    if (link !== undefined) {
      writeEntry(context, link, entry, now);
      // An entry whose hint was requested on one link needs no other link.
    } else if (hintRequirement?.connectionId === undefined) {
      fullRoles.add(role);
      if (role === "pool") waitingForPool = tracker.writableCount(role);
    }
  }
  growPool(context, waitingForPool, now);
}

function canWriteTo(
  context: SessionContext,
  { connectionId, liveness, role }: Link,
  { kind }: OutboundMessage,
): boolean {
  if (
    !context.dialect.canSend(connectionId) ||
    context.backloggedConnections.has(connectionId)
  ) return false;
  if (liveness?.isDelayingCalls) return false;
  // Nothing may be in flight during the capacity check.
  const isCheckRunning = role === "main" &&
    context.capacityDetector.check !== undefined;
  return !isCheckRunning || kind === "notification";
}

/**
 * Sends a probe before a call if no call is in flight, and delays the call
 * until the answer. If none comes, a second connection shows whether this one
 * is dead, with nothing in flight on it. If no second connection may be opened,
 * the call is delayed by {@linkcode MAX_CALL_DELAY_MS} at most, because the
 * daemon may be busy with something else.
 *
 * @returns whether the call must wait
 */
function probeBeforeCall(
  context: SessionContext,
  link: Link,
  { kind, method }: OutboundMessage,
  now: number,
): boolean {
  const { connectionId, liveness, role } = link;
  const isFirstCall = kind === "request" && mayTakeLong(method) &&
    role === "main" &&
    context.dialect.poolSize === 0 && !context.tracker.isBusy(connectionId);
  if (!isFirstCall || liveness === undefined) return false;
  if (liveness.needsPreCallProbe(now)) {
    liveness.onPreCallProbe(now);
    sendProbe(context, link, now);
  }
  // A daemon that has never answered a probe may not support them.
  if (!context.hasAnsweredProbe || !liveness.hasProbeToAwait(now)) return false;
  liveness.delayCall(
    now,
    context.connectionCapacity === "many" ? Infinity : MAX_CALL_DELAY_MS,
  );
  return true;
}

function writeEntry(
  context: SessionContext,
  link: Link,
  { key, message, ...entry }: ReadonlyEntry,
  now: number,
): void {
  if (message.kind === "request") {
    if (context.clientIds.hasConfusableInFlight(message.id)) return;
    // The entry may have waited for a request that was then cancelled.
    if (context.clientIds.mayGetLateResponse(message.id)) {
      context.tracker.cancel(message.id);
      return context.sendToClient(errors.idAwaitsLateResponse(message.id));
    }
  }
  if (entry.hintRequirement !== undefined && message.kind === "request") {
    const hint = confirmToolHint(context, link, message, entry, now);
    if (hint === "not-idempotent") {
      return failOutcomeUnknown(context, message, entry);
    }
    if (hint === "unknown") {
      return context.tracker.hintRequirements.awaitToolList(key);
    }
  }
  if (probeBeforeCall(context, link, message, now)) {
    // The hint is confirmed, so its timeout stops while the call waits for the
    // probe.
    if (entry.hintRequirement !== undefined) {
      context.tracker.hintRequirements.add(key, now);
    }
    return;
  }
  const encoded = context.dialect.encode(link.connectionId, message, now);
  switch (encoded.kind) {
    case "query-first":
      context.sendToDaemon(link, encoded.text);
      return;
    case "wait":
      return;
    case "outcome-lost":
      return handleOutcomeLost(context, link, { key, message, ...entry }, now);
    case "frame": {
      const isRequest = message.kind === "request";
      const { method } = message;
      // A ping from the client proves as much as a probe.
      const isProbe = isRequest && method === "ping" &&
        context.config.pingInterval < Infinity &&
        context.usageOf(link).load === "idle";
      const isFirstCall = isRequest && mayTakeLong(method) &&
        !context.tracker.isBusy(link.connectionId);
      const writeNumber = isRequest
        ? context.sendToDaemon(link, encoded.text)
        : context.sendOneWay(link, encoded.text);
      context.tracker.markSent(key, link.connectionId, now, writeNumber);
      link.markUsed(now);
      if (isProbe) link.liveness?.onProbeSent(message.id, now, { writeNumber });
      if (isFirstCall) link.liveness?.onFirstCallSent(now);
      context.hasSentCall ||= isRequest && mayTakeLong(method) &&
        method !== "initialize" && listKindOf(method) === undefined;
    }
  }
}

/**
 * Handles a request whose outcome can no longer be polled, because the daemon
 * that it was sent to is gone.
 */
function handleOutcomeLost(
  context: SessionContext,
  link: Link,
  entry: ReadonlyEntry,
  now: number,
): void {
  const { message } = entry;
  if (message.kind === "notification") return;
  if (!context.mayRetry(message)) {
    return failOutcomeUnknown(context, message, entry);
  }
  context.dialect.resetRequest(message);
  context.tracker.clearOutcomePoll(message.id);
  if (context.needsToolHint(message)) {
    context.tracker.hintRequirements.add(message.id, now);
  }
  return writeEntry(
    context,
    link,
    context.tracker.find(message.id) ?? entry,
    now,
  );
}

/** Fails a request that was sent and whose outcome will never be known. */
export function failOutcomeUnknown(
  context: SessionContext,
  request: Request,
  entry: errors.DeliveryHistory,
): void {
  context.tracker.cancel(request.id);
  const delivery = context.deliveryOf(request, entry);
  context.sendToClient(errors.outcomeUnknown(delivery, "connection_lost"));
}

/** Opens as many pool links as requests wait for, up to the pool size. */
function growPool(
  context: SessionContext,
  waitingForPool: number,
  now: number,
): void {
  const { dialect, tracker, links } = context;
  if (waitingForPool === 0 || !links.isMainUsable) return;
  const pool = [...links].filter(({ role }) => role === "pool");
  // One dial shows whether the daemon still refuses the proxy.
  if (pool.some(({ refusal }) => refusal !== undefined)) return;
  // A link with an unanswered probe may be dead, so it does not count.
  const available = pool.filter(({ connectionId, phase }) =>
    tracker.inFlightCount(connectionId) === 0 &&
    (phase !== "ready" || dialect.canSend(connectionId) ||
      dialect.hasPendingOwnRequest(connectionId))
  );
  const missingCount = Math.min(
    waitingForPool - available.length,
    dialect.poolSize - pool.length,
  );
  for (let i = 0; i < missingCount; i++) links.add("pool", now);
}

/** Sends the opening frame on a link, if there is anything to open it with. */
function sendHandshake(context: SessionContext, link: Link, now: number): void {
  const { main } = context.links;
  // Without a pending request, none in the queue can open the session.
  const all = context.tracker.pendingRequestCount > 0
    ? context.tracker.queuedEntries()
    : [];
  const queue = all.map((entry) => entry.message)
    .filter((message) => message.kind === "request");
  const sent = [...context.tracker.inFlightOn(main.connectionId)].map((it) =>
    it.message
  );
  // The client's opening request is sent on the main link only.
  const waiting = link.isSecondConnection
    ? [...sent, ...queue]
      .filter(({ method }) => !isOpening(method))
    : queue;
  const opening = context.dialect.beginHandshake(link.connectionId, waiting);
  if (opening === undefined) return;
  context.sendToDaemon(link, opening.text);
  link.onHandshakeSent(now);
  if (opening.requestId !== undefined) {
    context.tracker.markHandshakeSent(
      opening.requestId,
      link.connectionId,
      now,
    );
  }
}

/**
 * Makes a link ready after the daemon's first response, replays the session and
 * sends the queue.
 */
export function onLinkReady(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  if (link.phase !== "handshaking") return;
  const reconnect = { attempt: link.attempt, downMs: now - link.downSince };
  link.becomeReady(now);
  if (link.role === "pool") {
    context.emit(logMessages.poolGrew(context.config.redactedUrl));
    return writeQueued(context, now);
  }
  // The frames that end the handshake are sent when the link takes over.
  if (link.isSecondConnection) return;
  for (const text of context.dialect.finishHandshake()) {
    context.sendOneWay(link, text);
  }
  context.recordConnected(reconnect);
  // A daemon that accepts the main connection also accepts pool connections.
  for (const other of context.links) {
    const isRefused = other.refusal !== undefined;
    if (isRefused && other.phase === "waiting") context.links.remove(other);
  }
  if (context.capacityDetector.onMainConnectionReady(now)) {
    context.emit(logMessages.singleConnectionKept(context.config.redactedUrl));
    context.saveCapacityOne(now);
  }
  if (!startCapacityCheck(context, link, now)) {
    replaySession(context, link, now);
  }
}

/**
 * Starts the capacity check if the capacity is unknown and nothing is at risk
 * yet.
 *
 * @returns whether it was started
 */
function startCapacityCheck(
  context: SessionContext,
  { handshakeMs }: Link,
  now: number,
): boolean {
  const { capacityDetector, config, dialect, links, cache } = context;
  if (!capacityDetector.isUnknown || dialect.poolSize > 0) return false;
  if (cache?.hasCapacityOne(dialect.daemonName ?? "", now)) {
    capacityDetector.record("one");
    return false;
  }
  // A slow daemon may start a process for each connection.
  const canCheck = !context.hasSentCall && handshakeMs <= QUICK_HANDSHAKE_MS &&
    config.pingInterval < Infinity;
  if (!canCheck) return false;
  links.add("capacity-check", now);
  capacityDetector.startCheck(handshakeMs, now);
  return true;
}

/** Restores the client's session on a new main link, and sends the queue. */
export function replaySession(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  const { toDaemon, toClient } = context.dialect.buildReplay(link.connectionId);
  for (const text of toDaemon) context.sendToDaemon(link, text);
  for (const text of toClient) context.sendToClient(text);
  writeQueued(context, now);
  if (context.isPlaceholderActive) {
    context.isPlaceholderActive = false;
    for (const list of LIST_CHANGED_KINDS) {
      context.sendToClient(
        buildNotification(`notifications/${list}/list_changed`),
      );
    }
    return;
  }
  refetchLists(context, link);
}

/**
 * Abandons a request that was sent; `frame` cancels it at the daemon, if the
 * dialect has such a frame.
 */
export function cancelAtDaemon(
  context: SessionContext,
  link: Link,
  abandoned: Pick<PendingRequest, "message" | "writeNumber">,
  frame: string | undefined,
  now: number,
): void {
  const { connectionId, liveness } = link;
  const lastAnsweredProbeNumber = liveness?.lastAnsweredProbeNumber ?? 0;
  context.tracker.expectLateResponse(
    abandoned,
    connectionId,
    lastAnsweredProbeNumber,
    now,
  );
  if (frame !== undefined) context.sendOneWay(link, frame);
  // A pool link carries one request at a time, and the daemon may never finish
  // this one.
  else if (link.role === "pool") return closeUnneededLink(context, link, now);
}

/** Closes a link, other than the main one, that is no longer needed. */
export function closeUnneededLink(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  const { phase, connectionId, role } = link;
  context.links.remove(link);
  if (phase === "waiting") return;
  context.emit({ type: "close", connectionId });
  recoverInFlight(
    context,
    connectionId,
    { reason: "it is no longer needed" },
    now,
  );
  context.emit(
    logMessages.unneededConnectionClosed(context.config.redactedUrl),
  );
  if (role !== "pool") return;
  failRefusedRequests(context, now);
}

/** Ends a connection and recovers its requests by the delivery contract. */
export function endConnection(
  context: SessionContext,
  link: Link,
  cause: DisconnectCause,
  now: number,
): void {
  const redactedCause = {
    ...cause,
    reason: context.redactAndTruncate(cause.reason),
  };
  const { connectionId, phase, attempt, role } = link;
  const hasAnswered = (link.liveness?.answeredProbeCount ?? 0) > 0;
  const isDisposable = role === "draining" || role === "capacity-check";
  if (isDisposable) context.links.remove(link);
  else context.links.disconnect(link, redactedCause, now);
  context.emit({ type: "close", connectionId });
  // Cached results come before any request fails or is refused.
  if (role === "main") respondToPendingFromCache(context, connectionId, now);
  const failedCount = recoverInFlight(
    context,
    connectionId,
    redactedCause,
    now,
  );
  failRefusedRequests(context, now);
  const { redactedUrl, healthFile } = context.config;
  if (role === "capacity-check") return;
  if (role === "standby") {
    const { main } = context.links;
    // A daemon that lets the dial hang, or answers no probe on it, is busy or
    // frozen.
    const isDaemonSilent = redactedCause.isHung === true ||
      phase === "ready" && !hasAnswered;
    const mayMainBeAlive = main.liveness?.mayBeDead === false &&
      !main.liveness.isUnverified;
    if (isDaemonSilent || mayMainBeAlive) main.liveness?.waiveSuspicion(now);
    context.emit(logMessages.standbyFailed(redactedUrl, redactedCause.reason));
    // Only abandoned calls are in flight on the main link, so that closing it
    // risks nothing.
    const isMainIdle = main.liveness?.isSuspect &&
      !context.tracker.hasCallInFlight(main.connectionId);
    if (isMainIdle && !isDaemonSilent) {
      return endConnection(context, main, {
        reason: logMessages.timeoutReason("ready"),
      }, now);
    }
    return writeQueued(context, now);
  }
  if (role !== "main") {
    return context.emit(
      logMessages.poolConnectionLost(
        redactedUrl,
        phase,
        attempt,
        redactedCause.reason,
      ),
    );
  }
  // Without the main link these two have nothing left to show.
  for (const other of [context.links.standby, context.links.capacityCheck]) {
    if (other !== undefined) closeUnneededLink(context, other, now);
  }
  context.capacityDetector.abandonCheck();
  if (phase !== "ready" && !cause.isHung) {
    context.capacityDetector.onDaemonDown();
  }
  const { retryAfterMs = 0 } = context.outageOf(link, now);
  if (phase === "ready") {
    const nextDial = cause.isStdoutFull ? "drained" : retryAfterMs;
    const logEffect = link.isDisplaced
      ? logMessages.connectionDisplaced(
        redactedUrl,
        redactedCause.reason,
        failedCount,
        nextDial,
      )
      : logMessages.connectionLost(
        redactedUrl,
        redactedCause,
        failedCount,
        nextDial,
      );
    return context.emit(
      cause.isSelfCaused ? { ...logEffect, level: "info" } : logEffect,
    );
  }
  // Without a delay, the next dial is the same attempt without the subprotocol.
  const level = retryAfterMs > 0 && logMessages.isAttemptLogged(attempt)
    ? "warn"
    : "debug";
  context.emit(
    logMessages.attemptFailed(
      redactedUrl,
      level,
      attempt,
      redactedCause,
      retryAfterMs,
    ),
  );
  if (attempt === 1 && healthFile !== undefined) {
    const disconnectedForMs = context.timesConnected > 0
      ? now - link.downSince
      : undefined;
    context.emit({
      type: "log-health-file",
      path: healthFile,
      disconnectedForMs,
    });
  }
}

/**
 * Recovers, or fails, the requests that were in flight on a lost connection.
 *
 * @returns how many requests failed
 */
export function recoverInFlight(
  context: SessionContext,
  connectionId: number,
  cause: DisconnectCause,
  now: number,
): number {
  for (
    const { message: request } of [...context.tracker.inFlightOn(connectionId)]
  ) {
    const text = context.dialect.respondLocally(request, "down");
    if (text === undefined || request.method === "initialize") continue;
    context.tracker.cancel(request.id);
    context.sendToClient(text);
  }
  const failed = context.tracker.onDisconnect(
    connectionId,
    now,
    (request) =>
      cause.tooLarge && !isLongLived(request.method)
        ? "fail"
        : context.recoveryFor(request, now),
  );
  for (const { message, ...entry } of failed) {
    const delivery = context.deliveryOf(message, entry);
    const size = message.text.length;
    context.sendToClient(
      cause.tooLarge === "request"
        ? errors.requestTooLargeForDaemon(delivery, size)
        : cause.tooLarge === "response" && failed.length === 1
        ? errors.responseTooLargeForSocket(delivery)
        : errors.outcomeUnknown(delivery, "connection_lost"),
    );
  }
  for (const id of context.serverRequests.onDisconnect(connectionId)) {
    const requestId = JSON.parse(id) as RequestId;
    const reason = "The connection to the daemon was lost";
    context.sendToClient(
      buildNotification("notifications/cancelled", { requestId, reason }),
    );
  }
  context.dialect.onDisconnect(connectionId);
  context.toolHints.onDisconnect(connectionId);
  context.oneWayMessages.onDisconnect(connectionId);
  context.backloggedConnections.delete(connectionId);
  return failed.length;
}

/** Fails the requests that wait for a daemon that refuses the proxy. */
function failRefusedRequests(context: SessionContext, now: number): void {
  if (![...context.links].some(({ refusal }) => refusal !== undefined)) return;
  for (const { key, message, ...entry } of context.tracker.queuedEntries()) {
    if (message.kind !== "request" || isLongLived(message.method)) continue;
    if (context.refusingLinkFor(message) === undefined) continue;
    context.tracker.cancel(key);
    context.sendToClient(
      context.unavailableError(message, { key, ...entry }, now),
    );
  }
}
