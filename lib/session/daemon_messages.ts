/**
 * Handles socket events and the daemon's messages.
 *
 * @module
 */

import type { ClosedEvent, Incoming } from "../dialects/dialect.ts";
import type { SocketEvent } from "../events.ts";
import { prependMember, removeMembers, replaceValue } from "../json/spans.ts";
import { mayMeanDisplacement } from "../link/backoff.ts";
import type { DisconnectCause, FailureCause, Link } from "../link/link.ts";
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
import {
  isLongLived,
  isResultUnparsed,
  isSubscriptionMethod,
  listKindOf,
} from "../protocol/methods.ts";
import { requireResult } from "../protocol/message_parser.ts";
import type { Method } from "../protocol/mcp_types.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import { RunningTasks } from "../requests/running_tasks.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { ListSync } from "./list_sync.ts";
import type { OfflineResponses } from "./offline_responses.ts";
import type { Probes } from "./probes.ts";
import type { RequestExpiry } from "./request_expiry.ts";
import type { ResponseCache } from "./response_cache.ts";
import type { SecondConnections } from "./second_connections.ts";
import { isAttemptLogged } from "./session_log.ts";
import { SubscriptionEnds } from "./subscription_ends.ts";
import type { UnclearResponses } from "./unclear_responses.ts";
import {
  type Change,
  SessionPart,
  type SharedObjects,
} from "./session_part.ts";

/** The part of a session that handles the daemon's messages. */
export class DaemonMessages extends SessionPart {
  /** The ends of subscriptions that were not sent to the client yet. */
  readonly subscriptionEnds: SubscriptionEnds;
  /** The MCP tasks that continue after the response to their request. */
  readonly #tasks = new RunningTasks();

  /** Creates the part before the daemon has sent a message. */
  constructor(
    base: SharedObjects,
    private readonly cache: ResponseCache,
    private readonly listSync: ListSync,
    private readonly offlineResponses: OfflineResponses,
    private readonly probes: Probes,
    private readonly connections: Connections,
    private readonly secondConnections: SecondConnections,
    private readonly unclear: UnclearResponses,
    private readonly expiry: RequestExpiry,
  ) {
    super(base);
    this.subscriptionEnds = new SubscriptionEnds(
      base,
      (link, entry, response) => this.#completeRequest(link, entry, response),
    );
  }

  /**
   * Handles a frame. Ignores a frame of a connection that has ended. Returns
   * `plain` if it was the result of a call, or progress.
   */
  handleFrame(connectionId: number, text: string): Change {
    const link = this.links.get(connectionId);
    if (link === undefined) return "other";
    this.secondConnections.onFrame(link);
    const all = this.dialect.decode(connectionId, text, this.now);
    let change: Change = "other";
    for (let i = 0; i < all.length; i++) {
      const incoming = all[i]!;
      // The previous message of the frame has ended the connection.
      if (link.connectionId !== connectionId) break;
      try {
        if (incoming.kind === "response") {
          change = this.#handleResponse(link, incoming);
          continue;
        }
        this.#handleIncoming(link, incoming, text.length);
        const isProgress = incoming.kind === "notification" &&
          incoming.method === "notifications/progress";
        if (isProgress) change = "plain";
      } catch (error) {
        this.#onBug(link, incoming, error);
      }
    }
    return all.length === 1 ? change : "other";
  }

  /** Handles a socket event other than a frame. */
  handleSocketEvent(event: Exclude<SocketEvent, { type: "frame" }>): void {
    const link = this.links.get(event.connectionId);
    if (link === undefined) return;
    switch (event.type) {
      case "binary":
        this.secondConnections.onFrame(link);
        return this.effects.log
          .binaryFrameDropped(event.bytes, logLevelFor(link));
      case "open":
        this.effects.log.opened();
        if (link.isSecondConnection) {
          this.links.capacity.onSecondConnectionOpening(this.now);
        }
        return link.onOpen(this.now);
      case "backlog":
        link.onBacklog(event.state);
        if (event.state === "full") this.effects.log.connectionBacklogged();
        return;
      case "closed":
        return this.connections.endConnection(link, this.#causeOf(link, event));
    }
  }

  #causeOf(link: Link, event: ClosedEvent): DisconnectCause {
    const { connectionId, code } = event;
    const { capacity } = this.links;
    const inFlight = [...this.tracker.inFlightOn(connectionId)]
      .filter(({ message }) => !isLongLived(message.method)).length;
    const wasCheckRunning = capacity.isChecking;
    // A code that cannot mean a displacement means that the daemon shuts down,
    // or it reports an error.
    const mayBeDisplacement = mayMeanDisplacement(code);
    // 1006 means no close frame. On a suspect connection, which was silent, the
    // cause is probably the network.
    const mayBeCausedBySecond = mayBeDisplacement ||
      code === 1006 && link.liveness?.isUnderSuspicion === false;
    if (link.isSecondConnection) capacity.onSecondConnectionClosed();
    const isCausedBySecond = link.role === "main" && link.phase === "ready" &&
      mayBeCausedBySecond &&
      capacity.onMainConnectionClosed(mayBeDisplacement, this.now);
    const mayBeCausedByRequest = link.role !== "main" || inFlight > 0 ||
      this.dialect.hasPendingOwnRequest(connectionId);
    return {
      cause: failureCauseOf(event),
      closeCode: code,
      ...this.dialect.closeReasonOf(connectionId, event, link.phase),
      isSelfCaused: isCausedBySecond && wasCheckRunning,
      displaced: isCausedBySecond || !mayBeDisplacement
        ? "no"
        : mayBeCausedByRequest
        ? "unclear"
        : "likely",
      mayBeSubprotocol: event.mayHaveReachedServer &&
        this.dialect.subprotocol !== undefined,
      ...(event.endedMsAgo !== undefined && { agoMs: event.endedMsAgo }),
      // 1009 means that a message was too big (RFC 6455 section 7.4.1). It does
      // not say which one if several requests are in flight.
      tooLarge: event.isOversized
        ? "response"
        : code === 1009 && inFlight === 1
        ? "request"
        : undefined,
    };
  }

  #onBug({ connectionId }: Link, incoming: Incoming, error: unknown): void {
    this.effects.log.bug(error);
    if (incoming.kind !== "response") return;
    const entry = this.clientIds.findInFlight(incoming.id, connectionId);
    if (entry === undefined) return;
    this.tracker.complete(entry.key, connectionId);
    const errorText = "A bug in alwaysup stopped the daemon's answer";
    this.effects.errorToClient(entry.key, ErrorCode.internal, errorText);
  }

  #handleIncoming(
    link: Link,
    incoming: Exclude<Incoming, { kind: "response" }>,
    size: number,
  ): void {
    switch (incoming.kind) {
      case "notification":
        return this.#handleNotification(link, incoming);
      case "request":
        return this.#handleRequest(link, incoming);
      case "invalid":
        return this.#handleInvalid(link, incoming, size);
      case "in-progress":
        return this.#handleInProgress(link, incoming);
      case "retry-later":
        return this.#requeue(link, incoming);
      case "unexpected":
        return this.effects.log
          .unexpectedMessage("daemon", incoming.description);
      case "too-large":
        return this.#failTooLarge(link, incoming);
      case "ready":
        this.#updateCache(incoming);
        this.#logProblem(incoming.problem);
        return this.#onHandshakeResponse(link);
      case "repeat-handshake":
        if (link.phase === "handshaking") link.resetHandshake(this.now);
        return;
      case "rejected":
        this.#updateCache(incoming);
        return this.connections.endConnection(link, incoming);
      case "probe-answered":
        return this.secondConnections.onProbeAnswered(link, incoming.id);
      case "own-response":
        return this.#logProblem(incoming.problem);
      case "list-page":
        return this.listSync.onPage(link, incoming);
      case "list-failed":
        return this.listSync.onFailure(link, incoming);
    }
  }

  #logProblem(problem: string | undefined): void {
    if (problem === undefined) return;
    const text = this.effects.shorten(problem);
    this.effects.log.stateNotRestored(text);
  }

  #onHandshakeResponse(link: Link): void {
    if (link.phase !== "handshaking") return;
    this.connections.onReady(link);
    if (link.isSecondConnection) this.secondConnections.onReady(link);
  }

  #updateCache(
    { cacheable, staleInitialize }: Extract<
      Incoming,
      { kind: "ready" | "rejected" }
    >,
  ): void {
    if (cacheable !== undefined) {
      this.cache.store(cacheable.request, cacheable.response);
    }
    if (staleInitialize !== undefined) {
      this.cache.evictInitialize(staleInitialize);
    }
  }

  #handleResponse(link: Link, response: Response): Change {
    const { connectionId } = link;
    if (response.id === undefined) {
      this.#handleResponseWithoutId(link, response);
      return "other";
    }
    const entry = this.clientIds.findInFlight(response.id, connectionId);
    if (entry === undefined) {
      this.clientIds.onLateResponse(response.id, connectionId);
      this.effects.log.unexpectedMessage(
        "daemon",
        `an answer to id ${response.id}`,
      );
      return "other";
    }
    const { method } = entry.message;
    if (!isResultUnparsed(method)) {
      const checked = requireResult(response);
      if (checked.kind === "invalid") {
        this.#handleInvalid(link, checked, response.text.length);
        return "other";
      }
    }
    const { key: id } = entry;
    const translated = id === response.id
      ? response
      : { ...response, id, text: replaceValue(response.text, ["id"], id) };
    if (translated.error === undefined && isSubscriptionMethod(method)) {
      this.subscriptionEnds.hold(entry, translated);
      return "other";
    }
    this.#completeRequest(link, entry, translated);
    return isResultUnparsed(method) ? "plain" : "other";
  }

  #handleResponseWithoutId(link: Link, response: Response): void {
    if (response.error === undefined) {
      return this.effects.log.resultWithoutId();
    }
    const entry = this.#findPendingDiscover(link);
    if (entry === undefined) {
      return this.unclear.onErrorWithoutId(link, response);
    }
    const { key: id } = entry;
    const withoutId = removeMembers(response.text, ["id"]);
    const text = prependMember(withoutId, [], "id", id);
    this.#completeRequest(link, entry, { ...response, id, text });
  }

  /**
   * Returns the `server/discover` that opens a connection, if an error without
   * an id must be its response. Version 2 of the SDK's client gives it a string
   * id, which some bridges replace with null.
   */
  #findPendingDiscover(link: Link): PendingRequest | undefined {
    const { tracker } = this;
    const { connectionId, phase } = link;
    const [only] = tracker.inFlightOn(connectionId);
    const isDiscover = phase === "handshaking" &&
      tracker.inFlightCount(connectionId) === 1 &&
      only?.message.method === "server/discover" &&
      !tracker.lateResponses.hasExpected(connectionId);
    return isDiscover ? only : undefined;
  }

  #completeRequest(
    link: Link,
    entry: PendingRequest,
    rawResponse: Response,
  ): void {
    const { message, key } = entry;
    const { connectionId } = link;
    const { now } = this.effects;
    const response = rawResponse.error === undefined
      ? rawResponse
      : this.offlineResponses.replaceMissingMethodError(message, rawResponse);
    const text = this.effects.redactError(
      response,
      this.dialect.onResponse(message, response),
    );
    const isTooLarge = text.length > this.config.maxMessage;
    // The cache and the lists need no results that are only forwarded.
    if (!isTooLarge && !isResultUnparsed(message.method)) {
      this.#recordList(link, message, response);
      this.cache.store(message, rawResponse);
    }
    const error = isTooLarge
      ? this.#tooLargeError(entry, text.length)
      : undefined;
    // If a bug throws above, the request is still pending, and gets an error.
    this.tracker.closeFound(entry);
    // The request was sent twice, so a second response may arrive.
    if (this.unclear.wasRetried(message)) {
      this.tracker.lateResponses.add(key, connectionId, "unclear");
    }
    link.onAnswered(entry.writeNumber);
    if (entry.isCall) this.probes.onCallAnswered(link, entry);
    // A response to the client's ping proves as much as one to a probe.
    if (message.method === "ping") link.liveness?.onProbeAnswered(key, now);
    this.#tasks.onResponse(entry, response, connectionId);
    link.markUsed(now);
    if (error === undefined) this.effects.toClient(text);
    else this.effects.failRequest(error);
    link.onResponse();
    if (link.phase !== "handshaking") return;
    // After a failed `initialize`, the link needs another handshake.
    const isOpen = response.error === undefined ||
      message.method === "server/discover";
    if (isOpen) this.#onHandshakeResponse(link);
    else link.resetHandshake(this.now);
  }

  /** Records a page of a list. If the method is missing, the list is empty. */
  #recordList(
    link: Link,
    { method, params }: Request,
    response: Response,
  ): void {
    const list = listKindOf(method);
    const isListKnown = response.error === undefined ||
      response.error.code === ErrorCode.methodNotFound;
    if (list === undefined || !isListKnown) return;
    const cursor = getMember(params, "cursor");
    const pageCursor = typeof cursor === "string" ? cursor : undefined;
    this.listSync.onPageShown(link, list, pageCursor, response.result);
  }

  #tooLargeError(entry: PendingRequest, size: number): errors.RequestError {
    const delivery = this.rules.deliveryOf(entry);
    return errors.messageTooLarge(delivery, size, this.config.maxMessage);
  }

  #handleInProgress(
    { connectionId }: Link,
    { id, timeoutMs }: Extract<Incoming, { kind: "in-progress" }>,
  ): void {
    this.tracker.onDaemonWorking(id, connectionId, this.now);
    if (timeoutMs !== undefined) {
      this.tracker.setDaemonTimeout(id, timeoutMs, this.now);
    }
  }

  /** Requeues a request. The idle timeout limits how long this can repeat. */
  #requeue(
    link: Link,
    { id, delayMs, isUnstarted }: Extract<Incoming, { kind: "retry-later" }>,
  ): void {
    const { connectionId } = link;
    const { tracker } = this;
    const entry = tracker.findInFlight(id, connectionId);
    if (entry === undefined) {
      return tracker.lateResponses.onResponse(id, connectionId);
    }
    link.markUsed(this.now);
    if (!isUnstarted) {
      const { outcomes } = this.dialect;
      const limitMs = outcomes?.pollWindowMs(entry.message, this.now) ??
        Infinity;
      const times = { pauseMs: delayMs, limitMs };
      return tracker.requeueForPoll(id, this.now, times);
    }
    const outcome = tracker.requeueForRetry(id, this.now, delayMs);
    if (outcome === "requeued") return;
    tracker.close(id);
    this.expiry.timeOut(entry, entry.timeouts.idle);
  }

  #failTooLarge(
    { connectionId }: Link,
    { id, size }: Extract<Incoming, { kind: "too-large" }>,
  ): void {
    this.tracker.lateResponses.onResponse(id, connectionId);
    const entry = this.tracker.complete(id, connectionId);
    if (entry === undefined) return;
    this.effects.failRequest(this.#tooLargeError(entry, size));
  }

  #handleRequest(link: Link, request: Request): void {
    const { id, method, text } = request;
    if (isNotificationMethod(method)) {
      return this.#handleNotificationWithId(link, request);
    }
    const reject = (code: number, errorText: string): void =>
      this.#rejectRequest(link, id, code, errorText);
    // A second connection may be closed before the client responds.
    if (link.isSecondConnection) {
      return method === "ping"
        ? this.effects.toDaemonOneWay(link, buildResultResponse(id, {}))
        : reject(ErrorCode.internal, "This connection is not in use yet");
    }
    if (this.serverRequests.isFull) {
      const errorText = "Too many requests to the client are still unanswered";
      return reject(ErrorCode.overloaded, errorText);
    }
    const { length } = text;
    if (length > this.config.maxMessage) {
      const errorText =
        `The request has ${length} characters, more than --max-message allows`;
      return reject(ErrorCode.tooLarge, errorText);
    }
    this.effects.toClient(
      this.serverRequests.forward(link.connectionId, request),
    );
  }

  #rejectRequest(link: Link, id: Id, code: number, errorText: string): void {
    const response = buildErrorResponse(id, code, errorText);
    this.effects.toDaemonOneWay(link, response);
  }

  /**
   * Answers the request, and handles it as a notification: a client would
   * reject a request with the method of a notification.
   */
  #handleNotificationWithId(link: Link, request: Request): void {
    const { id, method, params } = request;
    this.effects.toDaemonOneWay(link, buildResultResponse(id, {}));
    const text = removeMembers(request.text, ["id"]);
    const kind = "notification";
    this.#handleNotification(link, { kind, method, params, text });
  }

  #handleNotification(link: Link, notification: Notification): void {
    const { method, params } = notification;
    if (method === "notifications/cancelled") {
      return this.#handleCancellation(link, notification);
    }
    if (isRedundantNotification(link, method)) {
      return this.#forwardOrLogNotification(notification);
    }
    if (method === "notifications/tasks/status") {
      this.#tasks.onTaskStatus(params);
    }
    const text = method === "notifications/progress"
      ? this.#translateProgress(link, notification)
      : notification.text;
    this.#forwardOrLogNotification(notification, text);
  }

  /** Sends `text` to the client; if undefined, only logs the notification. */
  #forwardOrLogNotification(notification: Notification, text?: string): void {
    const { log } = this.effects;
    if (text === undefined) {
      log.unexpectedMessage("daemon", notification.method);
    } else if (text.length > this.config.maxMessage) {
      log.notificationTooLarge(notification);
    } else this.effects.toClient(text);
  }

  /** Returns the text with the client's token; undefined to drop the text. */
  #translateProgress(
    { connectionId }: Link,
    notification: Notification,
  ): string | undefined {
    const { params, text } = notification;
    const daemonToken = getNestedId(notification, "progressToken");
    if (daemonToken === undefined) return undefined;
    const value = getMember(params, "progress");
    const acceptFor = (token: Id): boolean =>
      this.tracker.acceptProgress(token, value, connectionId, this.now) ||
      this.#tasks.matchesProgress(token, value, connectionId);
    if (acceptFor(daemonToken)) return text;
    const clientToken = this.tracker.progressTokens.guessClientId(daemonToken);
    if (clientToken === undefined || !acceptFor(clientToken)) return undefined;
    return replaceValue(text, ["params", "progressToken"], clientToken);
  }

  /**
   * Handles a cancellation. Of the client's requests, the daemon may only
   * cancel subscriptions (MCP 2026-07-28, cancellation).
   */
  #handleCancellation(
    { connectionId }: Link,
    notification: Notification,
  ): void {
    const daemonId = getNestedId(notification, "requestId");
    const entry = this.clientIds.findInFlight(daemonId, connectionId);
    if (entry !== undefined && isSubscriptionMethod(entry.message.method)) {
      const { key } = entry;
      const endMessage = key === daemonId ? notification : {
        ...notification,
        text: replaceValue(notification.text, ["params", "requestId"], key),
      };
      return this.subscriptionEnds.hold(entry, endMessage);
    }
    this.#forwardOrLogNotification(
      notification,
      this.serverRequests.forwardCancellation(connectionId, notification),
    );
  }

  #handleInvalid(link: Link, message: InvalidMessage, size: number): void {
    this.effects.log.invalidMessage("daemon", message, size, logLevelFor(link));
    const { id: daemonId, intendedKind, reason } = message;
    if (daemonId === undefined || daemonId === "null") return;
    if (intendedKind === "request-or-notification") {
      return this.#rejectRequest(
        link,
        daemonId,
        ErrorCode.invalidRequest,
        `Invalid Request: ${reason}`,
      );
    }
    const { connectionId } = link;
    const entry = this.clientIds.findInFlight(daemonId, connectionId);
    if (entry === undefined) {
      return this.clientIds.onLateResponse(daemonId, connectionId);
    }
    if (link.phase === "ready") {
      return this.unclear.awaitValidResponse(entry, reason);
    }
    this.tracker.complete(entry.key, connectionId);
    const errorText =
      `The daemon's answer is not a valid JSON-RPC message: ${reason}`;
    this.effects.errorToClient(entry.key, ErrorCode.internal, errorText);
    if (link.phase === "handshaking") link.resetHandshake(this.now);
  }
}

/** Returns the cause that the close code or the runtime shows, if any. */
function failureCauseOf(event: ClosedEvent): FailureCause | undefined {
  if (event.code === 1008) return "policy violation";
  return event.mayHaveNoListener ? "nobody there" : undefined;
}

/**
 * Returns `warn` for a ready link. Before that, returns `debug` for most
 * attempts, because a wrong server may cause the log line on every attempt.
 */
function logLevelFor({ phase, attemptCount: attempt }: Link): "warn" | "debug" {
  return phase === "ready" || isAttemptLogged(attempt) ? "warn" : "debug";
}

/** Returns true if the daemon also sends the notification on the main link. */
function isRedundantNotification(link: Link, method: Method): boolean {
  if (link.isSecondConnection) return true;
  return link.role === "draining" &&
    (method === "notifications/resources/updated" ||
      /^notifications\/\w+\/list_changed$/.test(method));
}
