/**
 * Handles socket events and the daemon's messages.
 *
 * @module
 */

import { listKindOf } from "../protocol/lists.ts";
import { handleListFailure, handleListPage } from "./list_sync.ts";
import type { HeldSubscriptionEnd, SessionContext } from "./context.ts";
import type { ClosedEvent, Incoming } from "../dialects/dialect.ts";
import type { SocketEvent } from "../events.ts";
import { mayMeanDisplacement } from "../link/displacement.ts";
import * as errors from "./errors.ts";
import {
  buildErrorResponse,
  buildResultResponse,
  ErrorCode,
  getMember,
  getNestedId,
  type Id,
  type InvalidMessage,
  isNotificationMethod,
  type Notification,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { Method } from "../protocol/mcp_types.ts";
import type { FailureCause, Link } from "../link/link.ts";
import {
  isLongLived,
  isSubscriptionMethod,
  mayTakeLong,
} from "../protocol/methods.ts";
import {
  emptyListForMissingMethod,
  evictInitialize,
  storeInCache,
} from "./offline_responses.ts";
import * as logMessages from "./log_messages.ts";
import { NO_REDACTION } from "../config/secrets.ts";
import {
  handleProbeAnswer,
  onFrameReceived,
  onSecondHandshake,
} from "./failover.ts";
import { endConnection, onLinkReady } from "./link_lifecycle.ts";
import {
  handleErrorWithoutId,
  handleUnreadableResponse,
} from "./unclear_responses.ts";
import {
  mapStrings,
  memberSpansOf,
  prependMember,
  removeMembers,
  replaceValue,
} from "../json/spans.ts";

/**
 * How long the end of a subscription is held, in milliseconds: if the
 * connection ends as well, the subscription continues on the next one.
 */
const SUBSCRIPTION_END_HOLD_MS = 1_000;

/** Handles a socket event of a link. */
export function handleSocketEvent(
  context: SessionContext,
  link: Link,
  event: SocketEvent,
  now: number,
): void {
  switch (event.type) {
    case "open":
      context.emit(logMessages.webSocketOpened(context.config.redactedUrl));
      if (link.isSecondConnection) {
        context.capacityDetector.onSecondConnection(now);
      }
      return link.onOpen(now);
    case "binary":
      onFrameReceived(context, link, now);
      return context.emit(
        logMessages.binaryFrameDropped(event.bytes, logLevelFor(link)),
      );
    case "frame":
      onFrameReceived(context, link, now);
      for (
        const incoming of context.dialect.decode(
          event.connectionId,
          event.text,
          now,
        )
      ) {
        if (link.connectionId !== event.connectionId) return; // the previous message ended it
        const { length } = event.text;
        const run = (): void =>
          dispatchDaemonMessage(context, link, incoming, length, now);
        context.runGuarded(run, () => {
          if (incoming.kind !== "response" || incoming.id === undefined) return;
          const id = context.clientIds.resolve(incoming.id, event.connectionId);
          if (id === undefined) return;
          context.tracker.complete(id, event.connectionId);
          const errorText = "A bug in alwaysup stopped the answer";
          context.sendToClient(
            buildErrorResponse(id, ErrorCode.internal, errorText),
          );
        });
      }
      return;
    case "backlog":
      if (event.state === "drained") {
        return void context.backloggedConnections.delete(event.connectionId);
      }
      context.backloggedConnections.add(event.connectionId);
      return context.emit(
        logMessages.connectionBacklogged(context.config.redactedUrl),
      );
    case "closed": {
      const inFlight = [...context.tracker.inFlightOn(event.connectionId)]
        .filter(({ message }) => !isLongLived(message.method)).length;
      const wasChecked = context.capacityDetector.check !== undefined;
      // Other codes mean that the daemon shuts down, or name an error.
      const isClean = mayMeanDisplacement(event.code);
      // A network that comes back breaks connections that were silent.
      const mayBeCausedBySecond = isClean ||
        event.code === 1006 && link.liveness?.isSuspect === false;
      if (link.isSecondConnection) {
        context.capacityDetector.onSecondConnectionClosed();
      }
      const isCausedBySecond = link.role === "main" && link.phase === "ready" &&
        mayBeCausedBySecond &&
        context.capacityDetector.onMainConnectionClosed(isClean, now);
      return endConnection(context, link, {
        cause: causeOf(event),
        ...context.dialect.closeReasonOf(event.connectionId, event, link.phase),
        isSelfCaused: isCausedBySecond && wasChecked,
        displaced: isCausedBySecond || !isClean
          ? "no"
          : link.role !== "main" || inFlight > 0 ||
              context.dialect.hasPendingOwnRequest(event.connectionId)
          ? "unclear"
          : "likely",
        mayBeSubprotocol: event.isServerReached &&
          context.dialect.subprotocol !== undefined,
        ...(event.agoMs !== undefined && { agoMs: event.agoMs }),
        // RFC 6455 section 7.4.1. Of several requests it is unknown which one
        // was too large.
        tooLarge: event.isOversized
          ? "response"
          : event.code === 1009 && inFlight === 1
          ? "request"
          : undefined,
      }, now);
    }
  }
}

/**
 * Returns why a connection ended, as far as the close code and the runtime show
 * it.
 */
function causeOf(
  { code, isPortClosed }: ClosedEvent,
): FailureCause | undefined {
  if (code === 1008) return "policy violation";
  return isPortClosed ? "nobody there" : undefined;
}

/**
 * Returns the log level for frames that are no messages: a server that is no
 * MCP daemon sends them again on every connection.
 */
function logLevelFor({ phase, attempt }: Link): "warn" | "debug" {
  return phase === "ready" || logMessages.isAttemptLogged(attempt)
    ? "warn"
    : "debug";
}

function dispatchDaemonMessage(
  context: SessionContext,
  link: Link,
  incoming: Incoming,
  size: number,
  now: number,
): void {
  switch (incoming.kind) {
    case "response":
      return completeRequest(context, link, incoming, now);
    case "notification":
      return handleDaemonNotification(context, link, incoming, now);
    case "request":
      return isNotificationMethod(incoming.method)
        ? handleDaemonNotificationWithId(context, link, incoming, now)
        : handleDaemonRequest(context, link, incoming);
    case "invalid":
      return handleInvalidFromDaemon(context, link, incoming, size, now);
    case "in-progress":
      context.tracker.onDaemonWorking(incoming.id, link.connectionId, now);
      if (incoming.timeoutMs !== undefined) {
        context.tracker.setDaemonTimeout(incoming.id, incoming.timeoutMs, now);
      }
      return;
    case "retry-later":
      return requeueRequest(context, link, incoming, now);
    case "unexpected":
      return context.emit(
        logMessages.unexpectedMessage("daemon", incoming.description),
      );
    case "too-large":
      return failTooLarge(context, link, incoming);
    case "ready":
      updateCache(context, incoming, now);
      if (incoming.problem !== undefined) {
        context.logRestoreFailure(incoming.problem);
      }
      return onHandshakeResponse(context, link, now);
    case "repeat-handshake":
      return link.phase === "handshaking"
        ? link.resetHandshake(now)
        : undefined;
    case "rejected":
      updateCache(context, incoming, now);
      return endConnection(context, link, incoming, now);
    case "probe-answered":
      return handleProbeAnswer(context, link, incoming.id, now);
    case "own-response":
      if (incoming.problem !== undefined) {
        context.logRestoreFailure(incoming.problem);
      }
      return;
    case "list-page":
      return handleListPage(context, link, incoming, now);
    case "list-failed":
      return handleListFailure(context, link, incoming, now);
  }
}

/** Handles the daemon's response to the first message on a link. */
function onHandshakeResponse(
  context: SessionContext,
  link: Link,
  now: number,
): void {
  const isFirst = link.phase === "handshaking";
  onLinkReady(context, link, now);
  if (isFirst && link.isSecondConnection) onSecondHandshake(context, link, now);
}

/** Updates the cache with what the daemon's handshake response shows. */
function updateCache(
  context: SessionContext,
  { cacheable, staleInitialize: staleRequest }: Extract<
    Incoming,
    { kind: "ready" | "rejected" }
  >,
  now: number,
): void {
  if (cacheable !== undefined) {
    storeInCache(context, cacheable.request, cacheable.response, now);
  }
  if (staleRequest !== undefined) evictInitialize(context, staleRequest, now);
}

function completeRequest(
  context: SessionContext,
  link: Link,
  rawResponse: Response,
  now: number,
  subscriptionEnd: "new" | "released" = "new",
): void {
  if (rawResponse.id === undefined && rawResponse.error !== undefined) {
    const id = findPendingDiscover(context, link);
    if (id === undefined) {
      return handleErrorWithoutId(context, link, rawResponse, now);
    }
    const text = prependMember(
      removeMembers(rawResponse.text, ["id"]),
      [],
      "id",
      id,
    );
    return completeRequest(context, link, { ...rawResponse, id, text }, now);
  }
  const id = context.clientIds.resolve(rawResponse.id, link.connectionId);
  if (id === undefined) {
    if (rawResponse.id === undefined) {
      return context.emit(logMessages.resultWithoutId());
    }
    context.clientIds.onLateResponse(rawResponse.id, link.connectionId);
    return context.emit(
      logMessages.unexpectedMessage(
        "daemon",
        `an answer to id ${rawResponse.id}`,
      ),
    );
  }
  const response = id === rawResponse.id
    ? rawResponse
    : { ...rawResponse, id, text: replaceValue(rawResponse.text, ["id"], id) };
  const { message, ...entry } = context.tracker.find(id)!;
  const isSubscriptionEnd = isSubscriptionMethod(message.method) &&
    subscriptionEnd === "new" &&
    response.error === undefined;
  if (isSubscriptionEnd && holdSubscriptionEnd(context, id, response, now)) {
    return;
  }
  context.heldSubscriptionEnds.delete(id);
  const effectiveResponse = emptyListForMissingMethod(
    context,
    message,
    response,
  );
  let text = redactError(
    context,
    context.dialect.onResponse(message, effectiveResponse),
    effectiveResponse,
  );
  const { maxMessage } = context.config;
  const listKind = listKindOf(message.method);
  if (text.length > maxMessage) {
    text = errors.messageTooLarge(
      context.deliveryOf(message, entry),
      text.length,
      maxMessage,
    );
  } else if (listKind !== undefined && isListOutcome(effectiveResponse)) {
    const cursor = getMember(message.params, "cursor");
    const pageCursor = typeof cursor === "string" ? cursor : undefined;
    context.knownLists.recordShown(
      listKind,
      pageCursor,
      effectiveResponse.result,
    );
    if (listKind === "tools") {
      context.recordToolHints(link, pageCursor, effectiveResponse.result);
    }
  }
  if (text.length <= maxMessage) storeInCache(context, message, response, now);
  // Completes the request last: if there is a bug above, it is still pending
  // and gets an error.
  context.tracker.complete(id, link.connectionId);
  // The request was sent twice on this connection, so a second response may
  // come.
  if (context.retriedRequests.has(message)) {
    context.tracker.lateResponses.add(id, link.connectionId, "unclear");
  }
  context.oneWayMessages.onResponse(link.connectionId, entry.writeNumber);
  const { liveness } = link;
  if (
    mayTakeLong(message.method) &&
    liveness?.hasUnansweredProbeAfter(entry.writeNumber, now)
  ) {
    context.answersDuringCalls ??= false;
  }
  // A ping from the client proves as much as a probe.
  if (message.method === "ping") liveness?.onProbeAnswered(id, now);
  context.tasks.onResponse(
    { message, ...entry },
    response.result,
    link.connectionId,
  );
  link.markUsed(now);
  context.sendToClient(text);
  link.onResponse();
  if (link.phase !== "handshaking") return;
  // An error shows that the daemon is alive, too, but after a failed
  // `initialize` the handshake must be repeated.
  const isHandshakeDone = response.error === undefined ||
    message.method === "server/discover";
  if (isHandshakeDone) onHandshakeResponse(context, link, now);
  else link.resetHandshake(now);
}

/**
 * Redacts an error, including a tool's, because people read errors. Other
 * results are passed on unchanged.
 */
function redactError(
  context: SessionContext,
  text: string,
  response: Response,
): string {
  const isError = response.error !== undefined ||
    getMember(response.result, "isError") === true;
  if (!isError || context.redact === NO_REDACTION) return text;
  let redacted = text;
  for (const { name, value: { start, end } } of memberSpansOf(text).reverse()) {
    if (name === "id" || name === "jsonrpc") continue;
    const value = mapStrings(text.slice(start, end), context.redact);
    redacted = redacted.slice(0, start) + value + redacted.slice(end);
  }
  return redacted;
}

/**
 * Returns the id of the `server/discover` request that opens the connection,
 * while it is pending: nothing else was ever sent on that connection. The SDK's
 * second client gives it a string id, which some bridges turn into null.
 */
function findPendingDiscover(
  context: SessionContext,
  { connectionId, phase }: Link,
): Id | undefined {
  const { tracker } = context;
  if (
    phase !== "handshaking" || tracker.lateResponses.isAnyExpected(connectionId)
  ) {
    return undefined;
  }
  const [only, ...others] = tracker.inFlightOn(connectionId);
  const isDiscover = others.length === 0 &&
    only?.message.method === "server/discover";
  return isDiscover ? only.key : undefined;
}

/**
 * Returns whether the response shows what the daemon lists: a daemon without
 * the method lists nothing.
 */
function isListOutcome({ error }: Response): boolean {
  return error === undefined || error.code === ErrorCode.methodNotFound;
}

/**
 * Holds the end of a subscription. Returns false once the hold time is over; a
 * repeated end does not prolong it.
 */
function holdSubscriptionEnd(
  context: SessionContext,
  id: Id,
  endMessage: Response | Notification,
  now: number,
): boolean {
  const { message: request, sentOnConnectionId } = context.tracker.find(id)!;
  const held = context.heldSubscriptionEnds.get(id);
  const isStillHeld = held !== undefined && !isEndObsolete(context, id, held);
  const until = isStillHeld ? held.until : now + SUBSCRIPTION_END_HOLD_MS;
  const connectionId = sentOnConnectionId!;
  if (now < until) {
    context.heldSubscriptionEnds.set(id, {
      endMessage,
      until,
      request,
      connectionId,
    });
  }
  return now < until;
}

/**
 * Returns whether a held end is obsolete: the client was notified of it, or the
 * connection has ended as well.
 */
function isEndObsolete(
  context: SessionContext,
  id: Id,
  { request, connectionId }: HeldSubscriptionEnd,
): boolean {
  const entry = context.tracker.find(id);
  return entry?.message !== request ||
    entry.sentOnConnectionId !== connectionId;
}

/**
 * Notifies the client of subscriptions that the daemon has ended while it
 * stayed connected.
 */
export function releaseSubscriptionEnds(
  context: SessionContext,
  now: number,
  until: number = now,
): void {
  context.heldSubscriptionEnds.dropLeading((id, it) =>
    isEndObsolete(context, id, it)
  );
  for (const [id, held] of context.heldSubscriptionEnds.takeDue(until)) {
    const link = context.links.get(held.connectionId);
    const { endMessage } = held;
    if (link === undefined || isEndObsolete(context, id, held)) continue;
    if (endMessage.kind === "response") {
      completeRequest(context, link, endMessage, now, "released");
    } else {
      context.dialect.onNotification(endMessage);
      context.tracker.complete(id, link.connectionId);
      context.sendToClient(endMessage.text);
    }
  }
}

/**
 * Queues a request again that has no response yet; the idle timeout limits how
 * long the daemon may be full.
 */
function requeueRequest(
  context: SessionContext,
  link: Link,
  { id, delayMs, isUnstarted }: Extract<Incoming, { kind: "retry-later" }>,
  now: number,
): void {
  if (!context.tracker.isInFlight(id, link.connectionId)) {
    return context.tracker.lateResponses.onResponse(id, link.connectionId);
  }
  link.markUsed(now);
  if (!isUnstarted) {
    const { message } = context.tracker.find(id)!;
    const limitMs = context.dialect.outcomePollWindowMs(message, now) ??
      Infinity;
    const times = { pauseMs: delayMs, limitMs };
    return context.tracker.requeueForPoll(id, link.connectionId, now, times);
  }
  if (
    context.tracker.requeueForRetry(id, link.connectionId, now, delayMs) ===
      "requeued"
  ) return;
  const entry = context.tracker.cancel(id);
  if (entry === undefined) return;
  context.sendToClient(
    context.timeoutError(entry.message, entry, entry.timeouts.idle, now),
  );
}

/** Fails a request whose response is over the size limit. */
function failTooLarge(
  context: SessionContext,
  link: Link,
  { id, size }: Extract<Incoming, { kind: "too-large" }>,
): void {
  context.tracker.lateResponses.onResponse(id, link.connectionId);
  const entry = context.tracker.find(id);
  if (entry === undefined) return;
  const delivery = context.deliveryOf(entry.message, entry);
  if (context.tracker.complete(id, link.connectionId) === undefined) return;
  context.sendToClient(
    errors.messageTooLarge(delivery, size, context.config.maxMessage),
  );
}

function handleDaemonRequest(
  context: SessionContext,
  link: Link,
  request: Request,
): void {
  const { id, text: { length } } = request;
  // The second connection may be closed before the client responds.
  if (link.isSecondConnection) {
    const text = request.method === "ping"
      ? buildResultResponse(id, {})
      : buildErrorResponse(
        id,
        ErrorCode.internal,
        "This connection is not in use yet",
      );
    return void context.sendOneWay(link, text);
  }
  if (context.serverRequests.isFull) {
    const errorText = "The client leaves too many requests unanswered";
    return void context.sendOneWay(
      link,
      buildErrorResponse(id, ErrorCode.overloaded, errorText),
    );
  }
  if (length <= context.config.maxMessage) {
    return context.sendToClient(
      context.serverRequests.forward(link.connectionId, request),
    );
  }
  const errorText = `The request has ${length} characters (--max-message)`;
  context.sendOneWay(
    link,
    buildErrorResponse(id, ErrorCode.tooLarge, errorText),
  );
}

/**
 * Handles a notification that has an id: the client would respond that it does
 * not know the method as a request.
 */
function handleDaemonNotificationWithId(
  context: SessionContext,
  link: Link,
  { id, method, params, text }: Request,
  now: number,
): void {
  context.sendOneWay(link, buildResultResponse(id, {}));
  const textWithoutId = removeMembers(text, ["id"]);
  handleDaemonNotification(context, link, {
    kind: "notification",
    method,
    params,
    text: textWithoutId,
  }, now);
}

function handleDaemonNotification(
  context: SessionContext,
  link: Link,
  notification: Notification,
  now: number,
): void {
  const { method, params } = notification;
  let text: string | undefined = notification.text;
  if (method === "notifications/cancelled") {
    if (holdIfSubscriptionEnd(context, link, notification, now)) return;
    text = context.serverRequests.forwardCancellation(
      link.connectionId,
      notification,
    );
  } else if (isRedundantNotification(link, method)) {
    text = undefined;
  } else if (method === "notifications/progress") {
    text = translateProgress(context, link, notification, now);
  } else if (method === "notifications/tasks/status") {
    context.tasks.onTaskStatus(params);
  }
  if (text !== undefined && text.length > context.config.maxMessage) {
    return context.emit(logMessages.notificationTooLarge(notification));
  }
  if (text === undefined) {
    return context.emit(logMessages.unexpectedMessage("daemon", method));
  }
  context.sendToClient(text);
}

/**
 * Returns a progress notification with the client's own spelling of the token;
 * `undefined` if the client gets none.
 */
function translateProgress(
  context: SessionContext,
  { connectionId }: Link,
  notification: Notification,
  now: number,
): string | undefined {
  const { params, text } = notification;
  const daemonToken = getNestedId(notification, "progressToken");
  if (daemonToken === undefined) return undefined;
  const value = getMember(params, "progress");
  const isFor = (token: Id): boolean =>
    context.tracker.acceptProgress(token, value, connectionId, now) ||
    context.tasks.matchesProgress(token, value, connectionId);
  if (isFor(daemonToken)) return text;
  const clientToken = context.progressTokens.guessClientId(daemonToken);
  if (clientToken === undefined || !isFor(clientToken)) return undefined;
  return replaceValue(text, ["params", "progressToken"], clientToken);
}

/**
 * A daemon may cancel a subscription of the client's, and nothing else (MCP
 * 2026-07-28, cancellation).
 */
function holdIfSubscriptionEnd(
  context: SessionContext,
  { connectionId }: Link,
  notification: Notification,
  now: number,
): boolean {
  const daemonId = getNestedId(notification, "requestId");
  const id = context.clientIds.resolve(daemonId, connectionId);
  const entry = id === undefined ? undefined : context.tracker.find(id);
  if (id === undefined || entry === undefined) return false;
  const { text } = notification;
  const endMessage = id === daemonId ? notification : {
    ...notification,
    text: replaceValue(text, ["params", "requestId"], id),
  };
  return isSubscriptionMethod(entry.message.method) &&
    holdSubscriptionEnd(context, id, endMessage, now);
}

/**
 * Returns whether the daemon sends this notification on the connection in use
 * as well.
 */
function isRedundantNotification(
  { isSecondConnection, role }: Link,
  method: Method,
): boolean {
  if (isSecondConnection) return true;
  return role === "draining" &&
    (method === "notifications/resources/updated" ||
      /^notifications\/\w+\/list_changed$/.test(method));
}

function handleInvalidFromDaemon(
  context: SessionContext,
  link: Link,
  message: InvalidMessage,
  size: number,
  now: number,
): void {
  context.emit(
    logMessages.invalidMessage("daemon", message, size, logLevelFor(link)),
  );
  const { id: daemonId, intendedKind, reason } = message;
  if (daemonId === undefined || daemonId === "null") return;
  if (intendedKind === "request-or-notification") {
    const text = `Invalid Request: ${reason}`;
    return void context.sendOneWay(
      link,
      buildErrorResponse(daemonId, ErrorCode.invalidRequest, text),
    );
  }
  const id = context.clientIds.resolve(daemonId, link.connectionId);
  if (id === undefined) {
    return context.clientIds.onLateResponse(daemonId, link.connectionId);
  }
  if (link.phase === "ready") {
    return handleUnreadableResponse(context, link, id, reason, now);
  }
  context.tracker.complete(id, link.connectionId);
  const text = `The daemon's answer is no JSON-RPC message: ${reason}`;
  context.sendToClient(buildErrorResponse(id, ErrorCode.internal, text));
  if (link.phase === "handshaking") link.resetHandshake(now);
}
