/**
 * Implements the MCP dialect, in which each frame is a JSON-RPC message. This
 * folder also restores the client's session on a new daemon.
 *
 * @module
 */

import {
  isOpeningMethod,
  type ListKind,
  listMethodOf,
  requestVersionOf,
  toEmptyListResponse,
} from "../../protocol/methods.ts";
import type {
  ClientIdAccess,
  ClosedEvent,
  CloseReason,
  Dialect,
  Incoming,
  ProbeFrame,
} from "../dialect.ts";
import type { LinkState } from "../../link/link.ts";
import { parseFrame, requireResult } from "../../protocol/message_parser.ts";
import { McpHandshake } from "./handshake.ts";
import { replaceValue } from "../../json/spans.ts";
import { ListenSubscriptions } from "./subscriptions.ts";
import { type OwnRequest, OwnRequests } from "./own_requests.ts";
import { daemonNameOf } from "../../cache/cache.ts";
import {
  buildNotification,
  buildRequest,
  buildResultResponse,
  ErrorCode,
  getNestedId,
  type Id,
  type InvalidMessage,
  isInitializedMethod,
  isRecord,
  type Message,
  type Notification,
  type OutboundMessage,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import { MCP_SUBPROTOCOL, type Method } from "../../protocol/mcp_types.ts";

/** Methods whose result only means success. SDK clients accept only `{}`. */
const EMPTY_RESULT_METHODS: readonly Method[] = [
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
];

/** MCP over WebSocket, one JSON-RPC message per text frame. */
export class Mcp implements Dialect {
  readonly subprotocol: string = MCP_SUBPROTOCOL;
  readonly handshake: McpHandshake;
  readonly #ownRequests: OwnRequests;
  readonly #subscriptions = new ListenSubscriptions();
  #clientIds: ClientIdAccess | undefined;
  daemonName: string | undefined;

  /**
   * Creates the dialect.
   *
   * @param random returns numbers for the ids of the proxy's own requests
   * @param otherDialectOf returns the name of the daemon's dialect, if a close
   * event shows that the daemon speaks another one
   */
  constructor(
    random: () => number,
    private readonly otherDialectOf?: (
      event: ClosedEvent,
    ) => string | undefined,
  ) {
    this.#ownRequests = new OwnRequests(
      random,
      (id) => this.#clientIds?.isInUse(id) ?? false,
    );
    this.handshake = new McpHandshake(this.#ownRequests);
  }

  /** False for a stateless client, which subscribes to changes instead. */
  get shouldCompareLists(): boolean {
    return !this.handshake.isStateless;
  }

  encode(_: number, message: OutboundMessage): string | undefined {
    if (message.kind === "request") {
      // A request of the proxy with the same id is pending, and the two
      // responses could not be distinguished.
      if (this.#ownRequests.find(message.id) !== undefined) return undefined;
      this.handshake.onRequest(message);
      this.#subscriptions.onRequest(message);
    }
    return message.text;
  }

  decode(connectionId: number, text: string): Incoming[] {
    const messages = parseFrame(text);
    return messages.length === 1
      ? this.#interpret(connectionId, messages[0]!)
      : messages.flatMap((message) => this.#interpret(connectionId, message));
  }

  #interpret(connectionId: number, message: Message): Incoming[] {
    switch (message.kind) {
      case "request":
        return [message];
      case "notification":
        return this.#subscriptions.filterNotification(message, this.#clientIds);
      case "response":
      case "invalid": {
        const own = this.#ownRequests.complete(message.id, connectionId);
        if (own === undefined) return [message];
        return message.kind === "response"
          ? [this.#onOwnResponse(own, requireResult(message))]
          : [this.#onOwnResponse(own, message)];
      }
    }
  }

  #onOwnResponse(
    { id, purpose }: OwnRequest,
    message: Response | InvalidMessage,
  ): Incoming {
    if (id !== message.id) this.#clientIds?.recordRetypedId();
    const errorText = message.kind === "invalid"
      ? message.reason
      : message.error?.message;
    switch (purpose.kind) {
      case "probe":
        return { kind: "probe-answered", id };
      case "handshake-probe":
        return this.handshake.onHandshakeProbeResponse(message);
      case "initialize":
        if (message.kind === "response") this.#recordDaemonName(message);
        return this.handshake.onOwnInitializeResponse(message, errorText);
      case "replay": {
        if (errorText === undefined) return { kind: "own-response" };
        const { method } = purpose;
        const problem =
          `The daemon did not accept the repeated ${method}: ${errorText}`;
        return { kind: "own-response", problem };
      }
      case "list": {
        const { list, cursor } = purpose;
        const isMissing = message.kind === "response" &&
          message.error?.code === ErrorCode.methodNotFound;
        if (
          message.kind === "invalid" || errorText !== undefined && !isMissing
        ) {
          return { kind: "list-failed", list, problem: `${errorText}` };
        }
        const response = isMissing ? toEmptyListResponse(id, list) : message;
        return { kind: "list-page", list, cursor, response };
      }
    }
  }

  onResponse(request: Request, response: Response): string {
    const { method } = request;
    this.#subscriptions.onEnd(request.id);
    if (response.error !== undefined) return response.text;
    if (isOpeningMethod(method)) this.#recordDaemonName(response);
    if (method === "initialize") {
      return this.handshake.onInitializeResult(request, response);
    }
    this.handshake.onSuccess(request);
    return EMPTY_RESULT_METHODS.includes(method) && !isRecord(response.result)
      ? replaceValue(response.text, ["result"], "{}")
      : response.text;
  }

  #recordDaemonName({ result }: Response): void {
    this.daemonName = daemonNameOf(result) ?? this.daemonName;
  }

  // A client may stop a server that does not answer its ping (MCP,
  // utilities/ping). MCP 2026-07-28 has no ping.
  respondLocally(
    { id, method, params }: Request,
    daemon: "up" | "down",
  ): string | undefined {
    const shouldRespond = method === "ping" && daemon === "down" &&
      requestVersionOf(params) === undefined;
    return shouldRespond ? buildResultResponse(id, {}) : undefined;
  }

  onNotification(notification: Notification): "forward" | "replay" {
    if (notification.method === "notifications/cancelled") {
      this.#subscriptions.onEnd(getNestedId(notification, "requestId"));
    }
    if (!isInitializedMethod(notification.method)) return "forward";
    this.handshake.onInitialized(notification.text);
    return "replay";
  }

  buildProbe(connectionId: number): ProbeFrame {
    const id = this.#ownRequests.addProbe(connectionId);
    return { id, text: this.handshake.buildProbeRequest(id) };
  }

  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string {
    const page = cursor === undefined ? undefined : { cursor };
    const params = this.handshake.isStateless
      ? { ...page, ...this.handshake.requestMeta() }
      : page;
    const purpose = { kind: "list", list, cursor } as const;
    const id = this.#ownRequests.add(connectionId, purpose);
    return buildRequest(id, listMethodOf(list), params);
  }

  buildCancellation(id: Id, reason: string): string {
    const params = { requestId: 0, reason };
    const text = buildNotification("notifications/cancelled", params);
    // An id may be an integer that a JavaScript number cannot hold.
    return replaceValue(text, ["params", "requestId"], id);
  }

  // Close code 1008 is a policy violation (RFC 6455 section 7.4.1). MCP daemons
  // use it like the HTTP status 401.
  closeReasonOf(
    _: number,
    event: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason {
    const { code, status, reason } = event;
    const advice =
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header";
    if (status === 401 || status === 403) {
      const refusalReason =
        `it refuses the connection with HTTP ${status}: ${advice}`;
      return { reason: refusalReason, isRefused: true, cause: "refused" };
    }
    const other = this.otherDialectOf?.(event);
    if (other !== undefined) {
      const dialectReason =
        `it speaks ${other}, not MCP: set --dialect ${other}`;
      const cause = "other dialect";
      return { reason: dialectReason, isRefused: false, cause };
    }
    if (code !== 1008 || phase === "ready") return { reason, isRefused: false };
    const refusalReason = "it closed the connection with code 1008 (policy " +
      `violation): ${advice}`;
    return { reason: refusalReason, isRefused: true };
  }

  hasPendingOwnRequest(connectionId: number): boolean {
    return this.#ownRequests.hasPending(connectionId);
  }

  onDisconnect(connectionId: number): void {
    this.#ownRequests.onDisconnect(connectionId);
  }

  useClientIds(ids: ClientIdAccess): void {
    this.#clientIds = ids;
  }

  pendingOwnRequestIds(connectionId: number): Id[] {
    return this.#ownRequests.pendingIds(connectionId);
  }

  isOwnRequestPending(id: Id): boolean {
    return this.#ownRequests.find(id) !== undefined;
  }

  hasAcknowledgedSubscription(id: Id): boolean {
    return this.#subscriptions.isAcknowledged(id);
  }

  onCachedResponse(request: Request): void {
    this.handshake.onRequest(request);
    this.#subscriptions.mayHaveMissedChanges = true;
  }
}
