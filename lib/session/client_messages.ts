/**
 * Handles the messages that the client sends.
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
import type { RoutedFrame } from "../requests/server_requests.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { OfflineResponses } from "./offline_responses.ts";
import type { SecondConnections } from "./second_connections.ts";
import type { Sender } from "./sender.ts";
import { CONTENT_LENGTH_ADVICE } from "./session_log.ts";
import { clientNameOf } from "./snapshot.ts";
import {
  type Change,
  SessionPart,
  type SharedObjects,
} from "./session_part.ts";

/** A client's notification methods, except those that end the handshake. */
const CLIENT_NOTIFICATIONS: readonly Method[] = [
  "notifications/cancelled",
  "notifications/progress",
  "notifications/roots/list_changed",
];

/** The part of a session that handles the client's messages. */
export class ClientMessages extends SessionPart {
  #clientName: string | undefined;

  /** Creates the part before the client has sent a message. */
  constructor(
    base: SharedObjects,
    private readonly offlineResponses: OfflineResponses,
    private readonly sender: Sender,
    private readonly connections: Connections,
    private readonly secondConnections: SecondConnections,
  ) {
    super(base);
  }

  /** The client's own name and version; undefined until it has sent them. */
  get clientName(): string | undefined {
    return this.#clientName;
  }

  /**
   * Handles a line, which contains one message or a batch. Returns `plain` if
   * it was one call, which was written to the daemon at once.
   */
  handleLine(line: string): Change {
    // Almost every line starts with a brace, and is not blank.
    if (!line.startsWith("{") && line.trim() === "") return "other";
    const messages = parseMessages(line);
    let change: Change = "other";
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      try {
        switch (message.kind) {
          case "request":
            change = this.#handleRequest(message);
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
    return messages.length === 1 ? change : "other";
  }

  #onBug(message: Message, error: unknown): void {
    this.effects.log.bug(error);
    if (message.kind !== "request") return;
    const { id } = message;
    // If another request with this id is pending, this error would answer it.
    if ((this.tracker.find(id)?.message ?? message) !== message) return;
    this.tracker.close(id);
    const errorText = "A bug in alwaysup stopped the request";
    this.effects.errorToClient(id, ErrorCode.internal, errorText);
  }

  /**
   * Handles a line that was too long to read. Only its beginning and its end
   * are known.
   */
  handleLineTooLong(
    { bytes, head, tail }: Extract<InputLine, { type: "line-too-long" }>,
  ): void {
    this.effects.log.lineTooLong(bytes);
    const id = recoverRequestId(head, tail);
    if (id === undefined || this.tracker.find(id) !== undefined) return;
    this.effects.failRequest(errors.lineTooLong(id, bytes));
  }

  /**
   * Rejects the requests in a body that is framed with a header. Without a
   * `body`, logs that the client sends such headers.
   */
  handleContentLength(body: string | undefined): void {
    if (body === undefined) {
      return this.effects.log.contentLengthHeaders();
    }
    for (const message of parseMessages(body)) {
      const id = requestIdOf(message, body);
      this.#rejectRequest(id, `Invalid Request: ${CONTENT_LENGTH_ADVICE}`);
    }
  }

  #handleRequest(request: Request): Change {
    const { id, method } = request;
    if (isInitializedMethod(method) || CLIENT_NOTIFICATIONS.includes(method)) {
      this.#handleNotificationWithId(request);
      return "other";
    }
    if (this.tracker.find(id) !== undefined) {
      this.effects.log.duplicateId(request);
      return "other";
    }
    this.clientIds.observe(id);
    this.#clientName ??= clientNameOf(request);
    // Dials a displaced link, even if the proxy answers the request itself,
    // because a cached result may be out of date.
    const { now } = this.effects;
    const isUp = this.links.isMainUsable;
    if (!isUp && method !== "ping") this.links.main.scheduleDialForRequest(now);
    const localResponse = this.dialect
      .respondLocally(request, isUp ? "up" : "down");
    if (localResponse !== undefined) {
      this.effects.toClient(localResponse);
      return "other";
    }
    if (!isUp && this.offlineResponses.tryRespond(request)) return "other";
    if (this.clientIds.mayGetLateResponse(id)) {
      this.effects.toClient(errors.idAwaitsLateResponse(id));
      return "other";
    }
    const error = this.#admissionError(request);
    if (error !== undefined) {
      this.effects.failRequest(error);
      return "other";
    }
    const timeouts = this.timeouts.timeoutsOf(request);
    const queueTimeoutMs = isUp
      ? this.config.queueTimeout
      : this.circuit.queueTimeoutMs;
    const entry = this.tracker.open(request, timeouts, now, queueTimeoutMs);
    switch (this.sender.trySend(entry)) {
      case "written":
        return entry.isCall ? "plain" : "other";
      case "waits":
        this.tracker.enqueue(entry, now);
    }
    return "other";
  }

  /** Returns the error for a request that may be neither sent nor queued. */
  #admissionError(request: Request): errors.RequestError | undefined {
    const { text: { length: size } } = request;
    const { maxMessage } = this.config;
    if (size > maxMessage) {
      const delivery = this.rules.deliveryOf({ message: request });
      return errors.messageTooLarge(delivery, size, maxMessage);
    }
    const refusingLink = this.circuit.refusingLinkOf(request);
    if (
      refusingLink !== undefined && this.circuit.rejects(request, refusingLink)
    ) {
      return errors.daemonUnavailable(
        this.rules.deliveryOf({ message: request }),
        this.availability.outageOfLink(refusingLink),
      );
    }
    return this.#isQueueFullAfterSend(request)
      ? errors.queueFull(this.rules.deliveryOf({ message: request }))
      : undefined;
  }

  /**
   * Answers the request, and handles it as a notification: a daemon would
   * reject a request with the method of a notification.
   */
  #handleNotificationWithId(request: Request): void {
    const { id, method, params } = request;
    // If a request with this id is pending, this result would answer it.
    if (this.tracker.find(id) === undefined) {
      this.effects.toClient(buildResultResponse(id, {}));
    }
    const text = removeMembers(request.text, ["id"]);
    this.#handleNotification({ kind: "notification", method, params, text });
  }

  /**
   * If the queue is full, sends all that can be sent. Returns true if the queue
   * is full after that.
   */
  #isQueueFullAfterSend(message: OutboundMessage): boolean {
    if (!this.tracker.isFull(message)) return false;
    this.sender.advance();
    if (!this.tracker.isFull(message)) return false;
    // The capacity check, and the probe before a call, only delay messages:
    // end both to make room.
    this.secondConnections.abortCapacityCheck();
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
    if (isTooLarge || this.#isQueueFullAfterSend(notification)) {
      return this.effects.log.notificationDropped(notification);
    }
    // Log the total only when the queue is empty, because the queue may fill
    // up repeatedly.
    if (this.tracker.writableCount("main") === 0) {
      this.effects.log.logDroppedTotal();
    }
    const timeouts = this.timeouts.timeoutsOf(notification);
    const entry = this.tracker.open(notification, timeouts, this.now);
    if (this.sender.trySend(entry) === "waits") {
      this.tracker.enqueue(entry, this.now);
    }
  }

  /** Cancels a request, except `initialize` (MCP, utilities/cancellation). */
  #handleCancellation(notification: Notification): void {
    const id = getNestedId(notification, "requestId");
    if (id === undefined) return;
    if (this.tracker.find(id)?.message.method === "initialize") return;
    const isForwarded = this.dialect.onNotification(notification) !== "drop";
    const entry = this.tracker.close(id);
    const link = this.links.get(entry?.sentOnConnectionId);
    if (link === undefined || entry === undefined) return;
    const frame = isForwarded ? notification.text : undefined;
    this.connections.abandonRequest(link, entry, frame);
    // The proxy will drop the response to this opening message, so the link
    // needs another handshake.
    if (entry.isHandshakeRequest && link.phase === "handshaking") {
      link.resetHandshake(this.now);
    }
  }

  #handleResponse({ id, text }: Response): void {
    const errorText =
      `The client's answer has ${text.length} characters, more than ` +
      "--max-message allows";
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
      const text =
        `The client's answer is not a valid JSON-RPC message: ${reason}`;
      const error = buildErrorResponse(id, ErrorCode.internal, text);
      return this.#forward("an answer", this.serverRequests.resolve(id, error));
    }
    this.#rejectRequest(id, `Invalid Request: ${reason}`);
  }

  /** Rejects a request, unless another request with its id is pending. */
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
