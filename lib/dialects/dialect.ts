/**
 * The interface between the session, which uses JSON-RPC messages, and a
 * daemon's own frames.
 *
 * @module
 */

import { type ListKind } from "../protocol/lists.ts";
import type { SocketEvent } from "../events.ts";
import type {
  Id,
  Message,
  Notification,
  OutboundMessage,
  Request,
  Response,
} from "../protocol/jsonrpc.ts";
import type { FailureCause, LinkRole, LinkState } from "../link/link.ts";

/**
 * A response that is worth caching although no request of the client's waits
 * for it.
 */
export interface CacheableResponse {
  /** The request. */
  readonly request: Pick<Request, "method" | "params">;
  /** The response. */
  readonly response: Response;
}

/**
 * What a frame from the daemon means: a message, or something between the
 * daemon and the proxy only.
 */
export type Incoming =
  | Message
  /** The handshake succeeded; `cacheable` is what it showed of the daemon. */
  | {
    readonly kind: "ready";
    readonly cacheable?: CacheableResponse;
    /**
     * The client's `initialize`, if the daemon would now answer it differently,
     * in a way that is not known.
     */
    readonly staleInitialize?: Request;
    /** A text for the log. */
    readonly problem?: string;
  }
  /** The opening frame was answered, but another handshake is needed by now. */
  | { readonly kind: "repeat-handshake" }
  /** The handshake failed; `isRefused` if the daemon would refuse it again. */
  | {
    readonly kind: "rejected";
    readonly reason: string;
    readonly isRefused: boolean;
    /** The reason for programs, if the dialect knows it. */
    readonly cause?: FailureCause;
    /**
     * The daemon's answer to the client's `initialize`, which is valid
     * nevertheless.
     */
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize`, if the daemon now answers it differently. */
    readonly staleInitialize?: Request;
  }
  /** A page of a list that was fetched for a comparison. */
  | {
    readonly kind: "list-page";
    readonly list: ListKind;
    /** The cursor in the request; the first page has none. */
    readonly cursor: string | undefined;
    /** The page. */
    readonly response: Response;
  }
  /** The daemon did not return the list. */
  | {
    readonly kind: "list-failed";
    readonly list: ListKind;
    readonly problem: string;
  }
  /**
   * The probe with this id was answered, whatever the id in the response is.
   */
  | { readonly kind: "probe-answered"; readonly id: Id }
  /**
   * A response to another request of the proxy's own; `problem` is a text for
   * the log.
   */
  | { readonly kind: "own-response"; readonly problem?: string }
  /**
   * The daemon is working on the request; `timeoutMs` is how long it may take
   * from now on, if the daemon says so.
   */
  | {
    readonly kind: "in-progress";
    readonly id: Id;
    readonly timeoutMs?: number;
  }
  /**
   * There is no response yet, and the request must be sent again after a delay.
   */
  | {
    readonly kind: "retry-later";
    readonly id: Id;
    readonly delayMs: number;
    /** The daemon has not started the request. */
    readonly isUnstarted: boolean;
  }
  /** The response to a request is over the size limit. */
  | { readonly kind: "too-large"; readonly id: Id; readonly size: number }
  /** A frame that refers to nothing that is pending. */
  | { readonly kind: "unexpected"; readonly description: string };

/** How a message is to be sent. */
export type EncodeResult =
  | { readonly kind: "frame"; readonly text: string }
  /**
   * Something else must be known first: send this frame, and keep the message
   * queued until its response.
   */
  | { readonly kind: "query-first"; readonly text: string }
  /** The message must wait for a response that is pending already. */
  | { readonly kind: "wait" }
  /**
   * The daemon that the request was sent to is gone, and its outcome with it.
   */
  | { readonly kind: "outcome-lost" };

/** A frame that every live daemon answers. */
export interface ProbeFrame {
  /** The id that `probe-answered` will have. */
  readonly id: Id;
  /** The frame. */
  readonly text: string;
}

/** Why a connection ended. */
export interface CloseReason {
  /** For people, without a full stop. */
  readonly reason: string;
  /** The daemon refused the connection and would do so again. */
  readonly isRefused: boolean;
  /**
   * For programs, if the dialect knows it better than the close code and the
   * runtime.
   */
  readonly cause?: FailureCause;
}

/** The first frame on a link. */
export interface OpeningFrame {
  /** The frame. */
  readonly text: string;
  /** The id of the client's request, if the frame is one. */
  readonly requestId?: Id;
}

/**
 * What must be sent again on a new link, to the daemon and then to the client.
 */
export interface SessionReplay {
  /** Frames, in order. */
  readonly toDaemon: readonly string[];
  /** Lines, in order. */
  readonly toClient: readonly string[];
}

/** How the client's `initialize` was answered without the daemon. */
export interface LocalInitialize {
  /** The protocol version in the result. */
  readonly version: unknown;
  /** Whether the result came from the cache or is a placeholder. */
  readonly source: "cached" | "placeholder";
}

/** The end of a connection as the runtime reports it. */
export type ClosedEvent = Extract<SocketEvent, { type: "closed" }>;

/** What a dialect needs to know of the client's ids. */
export interface ClientIdLookup {
  /**
   * Returns whether a request with this id, or with the same id as the other
   * JSON type, is pending or may get a late response.
   */
  isInUse(id: Id): boolean;
  /** Returns the client's id that an id from the daemon may refer to. */
  guessClientId(id: Id): Id | undefined;
  /**
   * Records that the daemon returned an id of the proxy's own as the other JSON
   * type.
   */
  recordRetyped(): void;
}

/** A daemon's protocol. */
export interface Dialect {
  /** The WebSocket subprotocol to offer (RFC 6455 section 1.9). */
  readonly subprotocol: string | undefined;
  /**
   * Whether the proxy must notify the client of changed lists, because the
   * client has not subscribed to changes.
   */
  readonly shouldCompareLists: boolean;
  /** How many links there may be besides the main one. */
  readonly poolSize: number;
  /**
   * The name and version of the daemon that responded last, as far as it has
   * sent them.
   */
  readonly daemonName: string | undefined;

  /** Sets the client's ids, which the proxy's own requests must not use. */
  useClientIds(ids: ClientIdLookup): void;
  /**
   * Returns a response that needs no daemon; `daemon` says whether it is
   * connected.
   */
  respondLocally(request: Request, daemon: "up" | "down"): string | undefined;
  /**
   * Returns the first frame on a link, given the waiting requests; `undefined`
   * while nothing can be sent.
   */
  beginHandshake(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined;
  /**
   * Returns the frames that end the handshake, once the opening frame is
   * answered.
   */
  finishHandshake(): readonly string[];
  /** Returns what restores the client's session on a new link. */
  buildReplay(connectionId: number): SessionReplay;
  /** Returns the role of the links that a message may be sent on. */
  linkRoleFor(message: OutboundMessage): LinkRole;
  /** Returns whether a ready link can take a frame now. */
  canSend(connectionId: number): boolean;
  /** Encodes a client's message for a link that is free. */
  encode(
    connectionId: number,
    message: OutboundMessage,
    now: number,
  ): EncodeResult;
  /** Returns what a frame means. Never throws. */
  decode(connectionId: number, text: string, now: number): Incoming[];
  /**
   * Records a notification, and returns whether to forward it, to drop it, or
   * to send it on every new link (`replay`), so that it need not be queued.
   */
  onNotification(notification: Notification): "forward" | "replay" | "drop";
  /**
   * Returns how long the outcome of a request that was sent may be polled on
   * other links, in milliseconds; `undefined` if it cannot be.
   */
  outcomePollWindowMs(request: Request, now: number): number | undefined;
  /** Resets a request, so that it is sent as if for the first time. */
  resetRequest(request: Request): void;
  /** Records a response, and returns it in the form for the client. */
  onResponse(request: Request, response: Response): string;
  /**
   * Returns a frame that every live daemon answers; `undefined` while the
   * response to an earlier frame shows the same.
   */
  buildProbe(connectionId: number): ProbeFrame | undefined;
  /**
   * Returns a frame that requests a page of a list; `undefined` while that is
   * not possible.
   */
  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string | undefined;
  /**
   * Returns a frame that cancels a request; `undefined` if the daemon has no
   * such frame.
   */
  buildCancellation(id: Id, reason: string): string | undefined;
  /**
   * Adds milliseconds that passed without being counted by the proxy's clock.
   */
  onSuspended(ms: number): void;
  /** Records that a request of the client's was answered from the cache. */
  onCachedResponse(request: Request): void;
  /**
   * Records that the client's `initialize` was answered without the daemon, and
   * returns that response in the form for the client. If the request was
   * already sent, the daemon's own response comes on that connection.
   */
  onLocalInitialize(
    request: Request,
    response: string,
    initialize: LocalInitialize,
    connectionId: number | undefined,
  ): string;
  /**
   * Returns why a connection ended: what the runtime reports, or what the
   * dialect knows better. Only a link that was not ready yet can have been
   * refused.
   */
  closeReasonOf(
    connectionId: number,
    closed: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason;
  /**
   * Returns whether a request of the proxy's own, other than a probe, is
   * pending.
   */
  hasPendingOwnRequest(connectionId: number): boolean;
  /**
   * Returns the ids of the proxy's own pending requests; of its probes only
   * those after the last one that was answered.
   */
  pendingOwnRequestIds(connectionId: number): readonly Id[];
  /** Returns whether a request of the proxy's own is pending. */
  isOwnRequestPending(id: Id): boolean;
  /** Returns whether the daemon has acknowledged a subscription. */
  hasAcknowledgedSubscription(id: Id): boolean;
  /** Forgets a closed connection and the requests on it. */
  onDisconnect(connectionId: number): void;
}
