/**
 * The MCP dialect: each frame is a message, and the client's session is
 * restored on a new daemon (initialize, initialized, log level, subscriptions).
 *
 * @module
 */

import {
  type ListKind,
  listMethodOf,
  toEmptyListResponse,
} from "../../protocol/lists.ts";
import type {
  CacheableResponse,
  ClientIdLookup,
  ClosedEvent,
  CloseReason,
  Dialect,
  EncodeResult,
  Incoming,
  LocalInitialize,
  OpeningFrame,
  ProbeFrame,
  SessionReplay,
} from "../dialect.ts";
import type { LinkRole, LinkState } from "../../link/link.ts";
import { parseFrame, parseMessages } from "../../protocol/message_parser.ts";
import {
  evaluateReplay,
  type NegotiatedInitialize,
  replayInitialize,
  withListChanged,
} from "./handshake.ts";
import { replaceValue } from "../../json/spans.ts";
import { ListenSubscriptions } from "./subscriptions.ts";
import { MAX_UNANSWERED_PROBES } from "../../link/liveness.ts";
import { daemonNameOf } from "../../cache/cache.ts";
import { requestVersionOf } from "../../protocol/versions.ts";
import { toOtherIdType } from "../../protocol/id_types.ts";
import {
  buildNotification,
  buildRequest,
  buildResultResponse,
  ErrorCode,
  getMember,
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
import {
  META_KEYS,
  type Method,
  type Params,
  type RequestMethod,
} from "../../protocol/mcp_types.ts";
import { isOpening } from "../../protocol/methods.ts";

/** The purpose of one of the proxy's own requests. */
type Purpose =
  | { readonly kind: "initialize" }
  | { readonly kind: "handshake-probe" }
  | { readonly kind: "probe" }
  | { readonly kind: "replay"; readonly method: RequestMethod }
  | {
    readonly kind: "list";
    readonly list: ListKind;
    readonly cursor: string | undefined;
  };

/** A request of the proxy's own that is pending. */
interface OwnRequest {
  readonly connectionId: number;
  readonly purpose: Purpose;
  /** True once a later probe was answered. */
  isSuperseded?: true;
}

/**
 * The methods whose result is always empty: any result means success. SDK
 * clients accept only an object.
 */
const EMPTY_RESULT_METHODS: readonly Method[] = [
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
];

/** The proxy's own request ids start at 2^30, and there are 2^30 of them. */
const MIN_OWN_ID = 2 ** 30;
const OWN_ID_COUNT = 2 ** 30;

/**
 * What an exai daemon writes when it closes because the first frame was no
 * hello.
 */
const EXAI_CLOSE_REASON = /missing hello|unrecognized protocol/;

/**
 * MCP over WebSocket, one JSON-RPC message per text frame; the revisions up to
 * 2025-11-25.
 */
export class Mcp implements Dialect {
  readonly subprotocol = "mcp";
  readonly poolSize = 0;

  /**
   * A stateless client subscribes to changes, and is notified of them after a
   * reconnect.
   */
  get shouldCompareLists(): boolean {
    return !this.#isStateless;
  }

  get daemonName(): string | undefined {
    return this.#daemonName;
  }

  get #isStateless(): boolean {
    return this.#negotiated === undefined &&
      this.#statelessVersion !== undefined;
  }

  readonly #random: () => number;
  #idCount = 0;
  #clientIds: ClientIdLookup = {
    isInUse: () => false,
    guessClientId: () => undefined,
    recordRetyped: () => {},
  };
  #daemonName: string | undefined;
  readonly #ownRequests = new Map<Id, OwnRequest>();
  #negotiated: NegotiatedInitialize | undefined;
  #initializedText: string | undefined;
  #setLevelText: string | undefined;
  readonly #resourceSubscriptions = new Map<string, string>();
  /**
   * The version that the client's requests name, if they do: then there is no
   * session to replay (MCP 2026-07-28).
   */
  #statelessVersion: string | undefined;
  readonly #listenSubscriptions = new ListenSubscriptions();

  /**
   * Creates the dialect. The proxy's own request ids are random, so that they
   * hardly ever meet a client's id.
   */
  constructor(random: () => number) {
    this.#random = random;
  }

  useClientIds(ids: ClientIdLookup): void {
    this.#clientIds = ids;
  }

  /**
   * A client may end a server that does not answer its ping (MCP,
   * utilities/ping; MCP 2026-07-28 has no ping).
   */
  respondLocally(
    { id, method, params }: Request,
    daemon: "up" | "down",
  ): string | undefined {
    const shouldRespond = method === "ping" && daemon === "down" &&
      requestVersionOf(params) === undefined;
    return shouldRespond ? buildResultResponse(id, {}) : undefined;
  }

  /**
   * Returns the client's own `initialize`; on a later link, its replay with the
   * negotiated version; for a client that opens with another request, a ping.
   */
  beginHandshake(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined {
    if (this.#negotiated !== undefined) {
      const id = this.#assignOwnId(connectionId, { kind: "initialize" });
      return { text: replayInitialize(this.#negotiated, id) };
    }
    let isRequestWaiting = false;
    for (const request of waiting) {
      this.#statelessVersion ??= requestVersionOf(request.params);
      if (isOpening(request.method)) {
        return { text: request.text, requestId: request.id };
      }
      isRequestWaiting = true;
    }
    // A stateless client needs no waiting request to open a link.
    if (!isRequestWaiting && this.#statelessVersion === undefined) {
      return undefined;
    }
    const id = this.#assignOwnId(connectionId, { kind: "handshake-probe" });
    return { text: this.#buildPing(id) };
  }

  /**
   * Builds the request that every live daemon answers: `ping`, or
   * `server/discover` for a stateless client.
   */
  #buildPing(id: Id): string {
    return this.#isStateless
      ? buildRequest(id, "server/discover", this.#requestMeta())
      : buildRequest(id, "ping");
  }

  #requestMeta(): { _meta: Record<string, unknown> } {
    return {
      _meta: {
        [META_KEYS.protocolVersion]: this.#statelessVersion,
        [META_KEYS.clientCapabilities]: {},
      },
    };
  }

  finishHandshake(): readonly string[] {
    return this.#initializedText === undefined ? [] : [this.#initializedText];
  }

  buildReplay(connectionId: number): SessionReplay {
    const toDaemon: string[] = [];
    if (this.#setLevelText !== undefined) {
      toDaemon.push(
        this.#buildReplayFrame(
          connectionId,
          "logging/setLevel",
          this.#setLevelText,
        ),
      );
    }
    const toClient: string[] = [];
    for (const [uri, text] of this.#resourceSubscriptions) {
      toDaemon.push(
        this.#buildReplayFrame(connectionId, "resources/subscribe", text),
      );
      // The resource may have changed while there was no subscription.
      toClient.push(
        buildNotification("notifications/resources/updated", { uri }),
      );
    }
    return { toDaemon, toClient };
  }

  linkRoleFor(): LinkRole {
    return "main";
  }

  canSend(): boolean {
    return true;
  }

  encode(_: number, message: OutboundMessage): EncodeResult {
    if (message.kind === "request") {
      // The daemon's response to the proxy's own request would be taken for the
      // response to this one.
      if (this.#findOwnId(message.id) !== undefined) return { kind: "wait" };
      this.#statelessVersion ??= requestVersionOf(message.params);
      this.#listenSubscriptions.onRequest(message);
    }
    return { kind: "frame", text: message.text };
  }

  decode(connectionId: number, text: string): Incoming[] {
    return parseFrame(text).flatMap((message) =>
      message.kind === "notification"
        ? this.#listenSubscriptions.filterNotification(
          message,
          (id) => this.#clientIds.guessClientId(id),
        )
        : [this.#interpret(connectionId, message)]
    );
  }

  #interpret(connectionId: number, message: Message): Incoming {
    if (message.kind !== "response" && message.kind !== "invalid") {
      return message;
    }
    const id = this.#findOwnId(message.id);
    const ownRequest = id === undefined ? undefined : this.#ownRequests.get(id);
    if (id === undefined || ownRequest?.connectionId !== connectionId) {
      return message;
    }
    this.#completeOwnRequest(id, connectionId, ownRequest.purpose);
    if (id !== message.id) this.#clientIds.recordRetyped();
    const errorText = message.kind === "invalid"
      ? message.reason
      : message.error?.message;
    const { purpose } = ownRequest;
    switch (purpose.kind) {
      case "probe":
        return { kind: "probe-answered", id };
      case "handshake-probe":
        // The client's `initialize` was answered meanwhile, so that the daemon
        // must get one, too.
        if (this.#negotiated !== undefined) return { kind: "repeat-handshake" };
        // An error shows that the daemon is alive, too.
        return { kind: "ready", ...this.#cacheableDiscoverError(message) };
      case "initialize": {
        if (message.kind === "response") this.#recordDaemonName(message);
        const { incoming, negotiated } = evaluateReplay(
          this.#negotiated!,
          message,
          errorText,
        );
        this.#negotiated = negotiated;
        return incoming;
      }
      case "replay":
        if (errorText === undefined) return { kind: "own-response" };
        return {
          kind: "own-response",
          problem:
            `The daemon did not take ${purpose.method} again: ${errorText}`,
        };
      case "list":
        return interpretListResponse(purpose, message, errorText);
    }
  }

  /**
   * Returns the id of a pending request of the proxy's own that an id from the
   * daemon refers to, also as the other JSON type.
   */
  #findOwnId(id: Id | undefined): Id | undefined {
    if (id === undefined || this.#ownRequests.has(id)) return id;
    if (this.#ownRequests.size === 0) return undefined;
    const other = toOtherIdType(id);
    return other !== undefined && this.#ownRequests.has(other)
      ? other
      : undefined;
  }

  /**
   * Completes a request of the proxy's own; a probe also supersedes the earlier
   * ones.
   */
  #completeOwnRequest(id: Id, connectionId: number, { kind }: Purpose): void {
    for (
      const [earlierId, ownRequest] of kind === "probe" ? this.#ownRequests : []
    ) {
      if (earlierId === id) break;
      const isProbe = ownRequest.connectionId === connectionId &&
        ownRequest.purpose.kind === "probe";
      if (isProbe) ownRequest.isSuperseded = true;
    }
    this.#ownRequests.delete(id);
  }

  /** A daemon without `server/discover` is not the one in the cache. */
  #cacheableDiscoverError(
    response: Message,
  ): { cacheable?: CacheableResponse } {
    if (!this.#isStateless || response.kind !== "response" || !response.error) {
      return {};
    }
    const request = { method: "server/discover", params: undefined } as const;
    return { cacheable: { request, response } };
  }

  onNotification(notification: Notification): "forward" | "replay" {
    if (notification.method === "notifications/cancelled") {
      this.#listenSubscriptions.onEnd(getNestedId(notification, "requestId"));
    }
    if (!isInitializedMethod(notification.method)) return "forward";
    this.#initializedText = notification.text;
    return "replay";
  }

  outcomePollWindowMs(): undefined {
    return undefined;
  }

  resetRequest(): void {}

  onResponse(request: Request, response: Response): string {
    this.#listenSubscriptions.onEnd(request.id);
    if (response.error !== undefined) return response.text;
    if (
      EMPTY_RESULT_METHODS.includes(request.method) &&
      !isRecord(response.result)
    ) {
      response = {
        ...response,
        text: replaceValue(response.text, ["result"], "{}"),
      };
    }
    const uri = isRecord(request.params) ? request.params.uri : undefined;
    switch (request.method) {
      case "initialize": {
        const version = getMember(response.result, "protocolVersion");
        this.#negotiated = { request, version, source: "daemon" };
        this.#recordDaemonName(response);
        return withListChanged(response);
      }
      case "server/discover":
        this.#recordDaemonName(response);
        break;
      case "logging/setLevel":
        this.#setLevelText = request.text;
        break;
      case "resources/subscribe":
        if (typeof uri === "string") {
          this.#resourceSubscriptions.set(uri, request.text);
        }
        break;
      case "resources/unsubscribe":
        if (typeof uri === "string") this.#resourceSubscriptions.delete(uri);
        break;
    }
    return response.text;
  }

  /** Records the daemon's name and version. */
  #recordDaemonName({ result }: Response): void {
    this.#daemonName = daemonNameOf(result) ?? this.#daemonName;
  }

  buildProbe(connectionId: number): ProbeFrame {
    const pendingProbes = [...this.#ownRequests].filter(([, ownRequest]) =>
      ownRequest.connectionId === connectionId &&
      ownRequest.purpose.kind === "probe"
    );
    // A daemon may never answer any probe.
    if (pendingProbes.length >= MAX_UNANSWERED_PROBES) {
      this.#ownRequests.delete(pendingProbes[0]![0]);
    }
    const id = this.#assignOwnId(connectionId, { kind: "probe" });
    return { id, text: this.#buildPing(id) };
  }

  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string {
    const page = cursor === undefined ? undefined : { cursor };
    const params = this.#isStateless
      ? { ...page, ...this.#requestMeta() }
      : page;
    const purpose = { kind: "list", list, cursor } as const;
    return this.#buildOwnRequest(
      connectionId,
      purpose,
      listMethodOf(list),
      params,
    );
  }

  buildCancellation(id: Id, reason: string): string {
    const params = { requestId: 0, reason };
    const text = buildNotification("notifications/cancelled", params);
    // An id may be larger than a number can hold.
    return replaceValue(text, ["params", "requestId"], id);
  }

  /**
   * RFC 6455 section 7.4.1: 1008 is a policy violation; MCP daemons close with
   * it where HTTP would respond with 401.
   */
  closeReasonOf(
    _: number,
    { code, status, reason, closeFrameReason = "" }: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason {
    const advice =
      "check the token (--token-file or ALWAYSUP_TOKEN) and --header";
    if (status === 401 || status === 403) {
      const refusalReason = `it refuses us with HTTP ${status}: ${advice}`;
      return { reason: refusalReason, isRefused: true, cause: "refused" };
    }
    if (code === 4001 && EXAI_CLOSE_REASON.test(closeFrameReason)) {
      const dialectReason = "it speaks exai, not MCP: set --dialect exai";
      return {
        reason: dialectReason,
        isRefused: false,
        cause: "other dialect",
      };
    }
    if (code !== 1008 || phase === "ready") return { reason, isRefused: false };
    const refusalReason = "it closed the connection with code 1008 (policy " +
      `violation): ${advice}`;
    return { reason: refusalReason, isRefused: true };
  }

  hasPendingOwnRequest(connectionId: number): boolean {
    for (const ownRequest of this.#ownRequests.values()) {
      if (
        ownRequest.connectionId === connectionId &&
        ownRequest.purpose.kind !== "probe"
      ) {
        return true;
      }
    }
    return false;
  }

  hasAcknowledgedSubscription(id: Id): boolean {
    return this.#listenSubscriptions.isAcknowledged(id);
  }

  isOwnRequestPending(id: Id): boolean {
    return this.#ownRequests.has(id);
  }

  pendingOwnRequestIds(connectionId: number): Id[] {
    return [...this.#ownRequests].flatMap(([id, ownRequest]) =>
      ownRequest.connectionId === connectionId && !ownRequest.isSuperseded
        ? id
        : []
    );
  }

  onCachedResponse({ params }: Request): void {
    this.#statelessVersion ??= requestVersionOf(params);
    this.#listenSubscriptions.mayHaveMissedChanges = true;
  }

  onLocalInitialize(
    request: Request,
    response: string,
    { version, source }: LocalInitialize,
    connectionId: number | undefined,
  ): string {
    this.#negotiated = { request, version, source };
    if (connectionId !== undefined) {
      this.#ownRequests.set(request.id, {
        connectionId,
        purpose: { kind: "initialize" },
      });
    }
    const [message] = parseMessages(response);
    return message?.kind === "response" ? withListChanged(message) : response;
  }

  onSuspended(): void {}

  onDisconnect(connectionId: number): void {
    for (const [id, ownRequest] of this.#ownRequests) {
      if (ownRequest.connectionId === connectionId) {
        this.#ownRequests.delete(id);
      }
    }
  }

  /**
   * Creates a whole number of 31 bits: bridges read ids as numbers, truncate
   * them, and misread strings. The counter ends the loop whatever `random`
   * returns.
   */
  #assignOwnId(connectionId: number, purpose: Purpose): Id {
    let id: Id;
    do {
      const offset = Math.floor(this.#random() * OWN_ID_COUNT);
      id = `${MIN_OWN_ID + (offset + this.#idCount++) % OWN_ID_COUNT}`;
    } while (this.#ownRequests.has(id) || this.#clientIds.isInUse(id));
    this.#ownRequests.set(id, { connectionId, purpose });
    return id;
  }

  #buildOwnRequest<M extends RequestMethod>(
    connectionId: number,
    purpose: Purpose,
    method: M,
    params?: Params<M>,
  ): string {
    return buildRequest(
      this.#assignOwnId(connectionId, purpose),
      method,
      params,
    );
  }

  #buildReplayFrame(
    connectionId: number,
    method: RequestMethod,
    text: string,
  ): string {
    return replaceValue(
      text,
      ["id"],
      this.#assignOwnId(connectionId, { kind: "replay", method }),
    );
  }
}

/** Interprets the response to a request for a page of a list. */
function interpretListResponse(
  { list, cursor }: Extract<Purpose, { kind: "list" }>,
  message: Response | InvalidMessage,
  errorText: string | undefined,
): Incoming {
  const { id } = message;
  if (message.kind === "response" && id !== undefined) {
    const page = { kind: "list-page", list, cursor } as const;
    const { error } = message;
    if (error === undefined) return { ...page, response: message };
    if (error.code === ErrorCode.methodNotFound) {
      return {
        ...page,
        response: toEmptyListResponse({ ...message, id }, list),
      };
    }
  }
  return { kind: "list-failed", list, problem: errorText ?? "no reason given" };
}
