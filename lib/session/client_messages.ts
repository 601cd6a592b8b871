/**
 * Handles what the client sends.
 *
 * @module
 */

import { removeMembers } from "../json/spans.ts";
import type { InputLine } from "../protocol/content_length.ts";
import {
  buildErrorResponse,
  buildResultResponse,
  ErrorCode,
  getNestedId,
  type Id,
  type InvalidMessage,
  isInitializedMethod,
  type Message,
  type Notification,
  type OutboundMessage,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { Method } from "../protocol/mcp_types.ts";
import { parseMessages, recoverRequestId } from "../protocol/message_parser.ts";
import { isLongLived } from "../protocol/methods.ts";
import type { RoutedFrame } from "../requests/server_requests.ts";
import { timeoutsOf } from "../requests/timeouts.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { OfflineResponses } from "./offline_responses.ts";
import type { SecondConnections } from "./second_connections.ts";
import type { Sender } from "./sender.ts";
import { CONTENT_LENGTH_ADVICE } from "./session_log.ts";
import { clientNameOf } from "./snapshot.ts";
import { type SessionBase, SessionPart } from "./session_part.ts";

/** What clients send, except the one that ends the handshake. */
const CLIENT_NOTIFICATIONS: readonly Method[] = [
  "notifications/cancelled",
  "notifications/progress",
  "notifications/roots/list_changed",
];

/** The client's side of a session. */
export class ClientMessages extends SessionPart {
  #clientName: string | undefined;

  /** Starts before the client has sent anything. */
  constructor(
    base: SessionBase,
    private readonly offline: OfflineResponses,
    private readonly sender: Sender,
    private readonly connections: Connections,
    private readonly second: SecondConnections,
  ) {
    super(base);
  }

  /** The client's name for itself, once it has sent one. */
  get clientName(): string | undefined {
    return this.#clientName;
  }

  /** Handles a line: one message or a batch. */
  handleLine(line: string): void {
    if (line.trim() === "") return;
    for (const message of parseMessages(line)) {
      try {
        switch (message.kind) {
          case "request":
            this.#handleRequest(message);
            break;
          case "notification":
            this.#handleNotification(message);
            break;
          case "response":
            this.#handleResponse(message);
            break;
          case "invalid":
            this.#handleInvalid(message, line.length);
        }
      } catch (error) {
        this.#onBug(message, error);
      }
    }
  }

  #onBug(message: Message, error: unknown): void {
    this.effects.log.bug(error);
    if (message.kind !== "request") return;
    const { id } = message;
    // The response would belong to the request that is pending.
    if ((this.tracker.find(id)?.message ?? message) !== message) return;
    this.tracker.cancel(id);
    const errorText = "A bug in alwaysup stopped it";
    this.effects.errorToClient(id, ErrorCode.internal, errorText);
  }

  /** Handles the remains of a line that was too long to read. */
  handleLineTooLong(
    { bytes, head, tail }: Extract<InputLine, { type: "line-too-long" }>,
  ): void {
    this.effects.log.lineTooLong(bytes);
    const id = recoverRequestId(head, tail);
    if (id === undefined || this.tracker.find(id) !== undefined) return;
    const errorText =
      `The request has ${bytes} bytes, which is too much to be read`;
    this.effects.errorToClient(id, ErrorCode.tooLarge, errorText, {
      reason: "too_large",
      delivered: "no",
      retryable: false,
    });
  }

  /** Handles a `Content-Length` header, or rejects the body after it. */
  handleContentLength(body: string | undefined): void {
    if (body === undefined) {
      return this.effects.log.contentLengthHeaders();
    }
    for (const message of parseMessages(body)) {
      const id = requestIdOf(message, body);
      this.#rejectRequest(id, `Invalid Request: ${CONTENT_LENGTH_ADVICE}`);
    }
  }

  #handleRequest(request: Request): void {
    const { id, method } = request;
    if (isInitializedMethod(method) || CLIENT_NOTIFICATIONS.includes(method)) {
      return this.#handleNotificationWithId(request);
    }
    if (this.tracker.find(id) !== undefined) {
      return this.effects.log.duplicateId(request);
    }
    this.clientIds.observe(id);
    this.#clientName ??= clientNameOf(request);
    // Also for requests that are answered without the daemon, because the
    // cached response may be out of date.
    if (method !== "ping") this.links.main.dialForRequest(this.now);
    const daemon = this.links.isMainUsable ? "up" : "down";
    const localResponse = this.dialect.respondLocally(request, daemon);
    if (localResponse !== undefined) {
      return this.effects.toClient(localResponse);
    }
    if (daemon === "down" && this.offline.respond(request)) return;
    const error = this.#admissionError(request);
    if (error !== undefined) return this.effects.toClient(error);
    const timeouts = timeoutsOf(request, this.config);
    const queueTimeoutMs = this.availability.queueTimeoutMs();
    const entry = this.tracker
      .open(request, timeouts, this.now, queueTimeoutMs);
    if (!this.sender.trySend(entry)) this.tracker.enqueue(entry, this.now);
  }

  /** Returns the error for a request that must not wait. */
  #admissionError(request: Request): string | undefined {
    const { id, method, text: { length: size } } = request;
    if (this.clientIds.mayGetLateResponse(id)) {
      return errors.idAwaitsLateResponse(id);
    }
    const { maxMessage } = this.config;
    if (size > maxMessage) {
      const delivery = this.rules.deliveryOf({ message: request });
      return errors.messageTooLarge(delivery, size, maxMessage);
    }
    const refusingLink = isLongLived(method)
      ? undefined
      : this.availability.refusingLinkOf(request);
    if (refusingLink !== undefined && !refusingLink.redialRefused(this.now)) {
      return errors.daemonUnavailable(
        this.rules.deliveryOf({ message: request }),
        this.availability.outageOf(refusingLink),
      );
    }
    return this.#isQueueFull(request)
      ? errors.queueFull(this.rules.deliveryOf({ message: request }))
      : undefined;
  }

  /** A daemon would respond that it does not know the method of a request. */
  #handleNotificationWithId(request: Request): void {
    const { id, method, params } = request;
    // The client would take it for the response to a pending request.
    if (this.tracker.find(id) === undefined) {
      this.effects.toClient(buildResultResponse(id, {}));
    }
    const text = removeMembers(request.text, ["id"]);
    this.#handleNotification({ kind: "notification", method, params, text });
  }

  /** Whether the queue is full after everything that can be sent was sent. */
  #isQueueFull(message: OutboundMessage): boolean {
    if (!this.tracker.isFull(message)) return false;
    this.sender.advance();
    if (!this.tracker.isFull(message)) return false;
    // Calls that only wait for a probe can be sent without it.
    this.second.abortCapacityCheck();
    this.links.main.liveness?.endCallDelay(this.now);
    this.sender.advance();
    return this.tracker.isFull(message);
  }

  #handleNotification(notification: Notification): void {
    switch (notification.method) {
      case "notifications/cancelled":
        return this.#handleCancellation(notification);
      case "notifications/progress":
        return this.#forward(
          "progress",
          this.serverRequests.forwardProgress(notification),
        );
    }
    const handling = this.dialect.onNotification(notification);
    if (handling === "drop") return;
    if (handling === "replay" && this.links.main.phase !== "ready") return;
    const isTooLarge = notification.text.length > this.config.maxMessage;
    if (isTooLarge || this.#isQueueFull(notification)) {
      return this.effects.log.notificationDropped(notification);
    }
    // One log line covers a queue that fills up repeatedly.
    if (this.tracker.writableCount("main") === 0) {
      this.effects.log.endDroppedNotifications();
    }
    const timeouts = timeoutsOf(notification, this.config);
    const entry = this.tracker.open(notification, timeouts, this.now);
    if (!this.sender.trySend(entry)) this.tracker.enqueue(entry, this.now);
  }

  /** `initialize` must not be cancelled (MCP, utilities/cancellation). */
  #handleCancellation(notification: Notification): void {
    const id = getNestedId(notification, "requestId");
    if (id === undefined) return;
    if (this.tracker.find(id)?.message.method === "initialize") return;
    const isForwarded = this.dialect.onNotification(notification) !== "drop";
    const entry = this.tracker.cancel(id);
    const link = this.links.get(entry?.sentOnConnectionId);
    if (link === undefined || entry === undefined) return;
    const frame = isForwarded ? notification.text : undefined;
    this.connections.abandonRequest(link, entry, frame);
    // The response to the opening message will be dropped, so the link needs
    // another handshake.
    if (entry.isHandshake && link.phase === "handshaking") {
      link.resetHandshake(this.now);
    }
  }

  #handleResponse({ id, text }: Response): void {
    const errorText = `The answer has ${text.length} characters`;
    const isTooLarge = id !== undefined && text.length > this.config.maxMessage;
    const forwarded = isTooLarge
      ? buildErrorResponse(id, ErrorCode.tooLarge, errorText)
      : text;
    this.#forward("an answer", this.serverRequests.resolve(id, forwarded));
  }

  #forward(description: string, outgoing?: RoutedFrame): void {
    const link = this.links.get(outgoing?.connectionId);
    if (outgoing === undefined || link === undefined) {
      return this.effects.log.unexpectedMessage("client", description);
    }
    this.effects.toDaemonOneWay(link, outgoing.text);
  }

  #handleInvalid(message: InvalidMessage, size: number): void {
    this.effects.log.invalidMessage("client", message, size);
    const { id, intendedKind, reason } = message;
    if (id !== undefined && intendedKind === "response") {
      const text = `The client's answer is no JSON-RPC message: ${reason}`;
      const error = buildErrorResponse(id, ErrorCode.internal, text);
      return this.#forward("an answer", this.serverRequests.resolve(id, error));
    }
    this.#rejectRequest(id, `Invalid Request: ${reason}`);
  }

  /** Rejects a request, unless the response would belong to a pending one. */
  #rejectRequest(id: Id | undefined, errorText: string): void {
    if (id === undefined || this.tracker.find(id) !== undefined) return;
    this.effects.errorToClient(id, ErrorCode.invalidRequest, errorText);
  }
}

function requestIdOf(message: Message, body: string): Id | undefined {
  if (message.kind === "request") return message.id;
  const isRequest = message.kind === "invalid" &&
    message.intendedKind === "request-or-notification";
  return isRequest ? message.id ?? recoverRequestId(body, body) : undefined;
}
