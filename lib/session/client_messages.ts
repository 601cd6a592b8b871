/**
 * Handles what the client sends.
 *
 * @module
 */

import type { RoutedFrame } from "../requests/server_requests.ts";
import type { SessionContext } from "./context.ts";
import { parseMessages, recoverRequestId } from "../protocol/message_parser.ts";
import { abortCapacityCheck } from "./capacity_check.ts";
import type { SessionEvent } from "../events.ts";
import * as errors from "./errors.ts";
import {
  buildErrorResponse,
  buildResultResponse,
  ErrorCode,
  getNestedId,
  type InvalidMessage,
  isInitializedMethod,
  type Message,
  type Notification,
  type OutboundMessage,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { Method } from "../protocol/mcp_types.ts";
import { removeMembers } from "../json/spans.ts";
import * as logMessages from "./log_messages.ts";
import { isLongLived } from "../protocol/methods.ts";
import { clientNameOf } from "./snapshot.ts";
import { respondOffline } from "./offline_responses.ts";
import { cancelAtDaemon, writeQueued } from "./link_lifecycle.ts";

/** Handles a line from the client: one message or a batch. */
export function handleClientLine(
  context: SessionContext,
  line: string,
  now: number,
): void {
  if (line.trim() === "") return;
  for (const message of parseMessages(line)) {
    const run = (): void =>
      dispatchClientMessage(context, message, line.length, now);
    context.runGuarded(run, () => {
      if (message.kind !== "request") return;
      const { id } = message;
      const entry = context.tracker.find(id);
      if (entry !== undefined && entry.message !== message) return; // the response would belong to that request
      context.tracker.cancel(id);
      context.sendToClient(
        buildErrorResponse(
          id,
          ErrorCode.internal,
          "A bug in alwaysup stopped it",
        ),
      );
    });
  }
}

/** Handles the remains of a line that was too long to read. */
export function handleLineTooLong(
  context: SessionContext,
  { bytes, head, tail }: Extract<SessionEvent, { type: "line-too-long" }>,
): void {
  context.emit(logMessages.lineTooLong(bytes));
  const id = recoverRequestId(head, tail);
  if (id === undefined || context.tracker.find(id) !== undefined) return;
  const errorText =
    `The request has ${bytes} bytes, which is too much to be read`;
  const reason = "too_large";
  const data = { reason, delivered: "no", retryable: false } as const;
  context.sendToClient(
    buildErrorResponse(id, ErrorCode.tooLarge, errorText, data),
  );
}

function dispatchClientMessage(
  context: SessionContext,
  message: Message,
  size: number,
  now: number,
): void {
  switch (message.kind) {
    case "request":
      return handleClientRequest(context, message, now);
    case "notification":
      return handleClientNotification(context, message, now);
    case "response":
      return handleClientResponse(context, message);
    case "invalid":
      return handleInvalidFromClient(context, message, size);
  }
}

function handleClientRequest(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  if (isClientNotification(request.method)) {
    return handleNotificationWithId(context, request, now);
  }
  if (context.tracker.find(request.id) !== undefined) {
    return context.emit(logMessages.duplicateId(request));
  }
  context.clientIds.observe(request.id);
  context.clientName ??= clientNameOf(request);
  // Also for requests that are answered without the daemon, because the cached
  // response may be out of date.
  if (request.method !== "ping") context.links.main.dialForRequest(now);
  const daemon = context.links.isMainUsable ? "up" : "down";
  const localResponse = context.dialect.respondLocally(request, daemon);
  if (localResponse !== undefined) return context.sendToClient(localResponse);
  if (daemon === "down" && respondOffline(context, request, now)) return;
  if (context.clientIds.mayGetLateResponse(request.id)) {
    return context.sendToClient(errors.idAwaitsLateResponse(request.id));
  }
  const delivery = context.deliveryOf(request);
  const { maxMessage } = context.config;
  const size = request.text.length;
  if (size > maxMessage) {
    return context.sendToClient(
      errors.messageTooLarge(delivery, size, maxMessage),
    );
  }
  const refusingLink = isLongLived(request.method)
    ? undefined
    : context.refusingLinkFor(request);
  if (refusingLink !== undefined && !refusingLink.redialRefused(now)) {
    const outage = context.outageOf(refusingLink, now);
    return context.sendToClient(errors.daemonUnavailable(delivery, outage));
  }
  if (isQueueFull(context, request, now)) {
    return context.sendToClient(errors.queueFull(delivery));
  }
  context.tracker.add(
    request,
    context.timeoutsOf(request),
    now,
    context.queueTimeoutMs(now),
  );
  const token = context.tracker.find(request.id)?.progressToken;
  if (token !== undefined) context.progressTokens.observe(token);
}

/**
 * The notifications that clients send, except the one that ends the handshake.
 */
const CLIENT_NOTIFICATIONS: readonly Method[] = [
  "notifications/cancelled",
  "notifications/progress",
  "notifications/roots/list_changed",
];

/** Returns whether clients send a notification with this method. */
function isClientNotification(method: Method): boolean {
  return isInitializedMethod(method) || CLIENT_NOTIFICATIONS.includes(method);
}

/**
 * Forwards a notification that has an id without the id, because a daemon would
 * respond that it does not know the method as a request.
 */
function handleNotificationWithId(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  const { id, method, params } = request;
  // If a request with this id is pending, the client would take the response
  // for that request's.
  if (context.tracker.find(id) === undefined) {
    context.sendToClient(buildResultResponse(id, {}));
  }
  const text = removeMembers(request.text, ["id"]);
  handleClientNotification(context, {
    kind: "notification",
    method,
    params,
    text,
  }, now);
}

/**
 * Returns whether the queue is full, even after everything that can be sent was
 * sent.
 */
function isQueueFull(
  context: SessionContext,
  message: OutboundMessage,
  now: number,
): boolean {
  if (!context.tracker.isFull(message)) return false;
  writeQueued(context, now);
  if (!context.tracker.isFull(message)) return false;
  // Calls that only wait for a probe can be sent without it.
  abortCapacityCheck(context, now);
  context.links.main.liveness?.endCallDelay(now);
  writeQueued(context, now);
  return context.tracker.isFull(message);
}

function handleClientNotification(
  context: SessionContext,
  notification: Notification,
  now: number,
): void {
  switch (notification.method) {
    case "notifications/cancelled":
      return handleCancellation(context, notification, now);
    case "notifications/progress":
      return forwardToDaemon(
        context,
        context.serverRequests.forwardProgress(notification),
        "progress",
      );
  }
  const handling = context.dialect.onNotification(notification);
  if (handling === "drop") return;
  if (handling === "replay" && context.links.main.phase !== "ready") return;
  const isTooLarge = notification.text.length > context.config.maxMessage;
  if (isTooLarge || isQueueFull(context, notification, now)) {
    return context.emit(context.droppedNotifications.record(notification));
  }
  // One log line covers a queue that fills up repeatedly.
  if (context.tracker.writableCount("main") === 0) {
    context.emit(context.droppedNotifications.endSeries());
  }
  context.tracker.add(notification, context.timeoutsOf(notification), now);
}

/**
 * Handles a cancellation: a cancelled request gets no response, and
 * `initialize` must not be cancelled (MCP, utilities/cancellation).
 */
function handleCancellation(
  context: SessionContext,
  notification: Notification,
  now: number,
): void {
  const id = getNestedId(notification, "requestId");
  const entry = id === undefined ? undefined : context.tracker.find(id);
  if (id === undefined || entry?.message.method === "initialize") return;
  const isForwarded = context.dialect.onNotification(notification) !== "drop";
  const link = context.links.get(entry?.sentOnConnectionId);
  const isHandshakeRequest = entry?.isHandshake ?? false;
  context.heldSubscriptionEnds.delete(id);
  context.tracker.cancel(id);
  if (link === undefined || entry === undefined) return;
  const frame = isForwarded ? notification.text : undefined;
  cancelAtDaemon(context, link, entry, frame, now);
  // The response to the opening message will be dropped, so the link needs
  // another handshake.
  if (isHandshakeRequest && link.phase === "handshaking") {
    link.resetHandshake(now);
  }
}

/** Forwards the client's response to a request from the daemon. */
function handleClientResponse(
  context: SessionContext,
  { id, text }: Response,
): void {
  const size = text.length;
  const { maxMessage } = context.config;
  const isTooLarge = id !== undefined && size > maxMessage;
  const forwarded = isTooLarge
    ? buildErrorResponse(
      id,
      ErrorCode.tooLarge,
      `The answer has ${size} characters`,
    )
    : text;
  forwardToDaemon(
    context,
    context.serverRequests.resolve(id, forwarded),
    "an answer",
  );
}

/** Sends a frame that concerns one of the daemon's requests. */
function forwardToDaemon(
  context: SessionContext,
  outgoing: RoutedFrame | undefined,
  description: string,
): void {
  const link = context.links.get(outgoing?.connectionId);
  if (outgoing === undefined || link === undefined) {
    return context.emit(logMessages.unexpectedMessage("client", description));
  }
  context.sendOneWay(link, outgoing.text);
}

function handleInvalidFromClient(
  context: SessionContext,
  message: InvalidMessage,
  size: number,
): void {
  context.emit(logMessages.invalidMessage("client", message, size));
  const { id, intendedKind, reason } = message;
  if (id === undefined) return;
  if (intendedKind === "response") {
    const text = `The client's answer is no JSON-RPC message: ${reason}`;
    const outgoing = context.serverRequests.resolve(
      id,
      buildErrorResponse(id, ErrorCode.internal, text),
    );
    return forwardToDaemon(context, outgoing, "an answer");
  }
  if (context.tracker.find(id) !== undefined) return; // the response would belong to that request
  context.sendToClient(
    buildErrorResponse(
      id,
      ErrorCode.invalidRequest,
      `Invalid Request: ${reason}`,
    ),
  );
}
