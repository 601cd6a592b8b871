/**
 * Defines the interface of a dialect, which translates between the session's
 * JSON-RPC messages and the frames of a daemon's protocol. Each subfolder
 * implements it for one protocol.
 *
 * @module
 */

import type { ListKind } from "../protocol/methods.ts";
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

/** A response to cache, although no request from the client waits for it. */
export interface CacheableResponse {
  /** The request that the response belongs to. */
  readonly request: Pick<Request, "method" | "params">;
  /** The daemon's response. */
  readonly response: Response;
}

/** A decoded part of a frame: a JSON-RPC message, or a session event. */
export type Incoming =
  | Message
  /** The handshake succeeded; `cacheable` is one of its responses. */
  | {
    readonly kind: "ready";
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize`, if its cached result is out of date. */
    readonly staleInitialize?: Request;
    /** A message for the log. */
    readonly problem?: string;
  }
  /** The handshake failed. */
  | CloseReason & {
    readonly kind: "rejected";
    /** The response to the client's `initialize`, if it can still be cached. */
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize`, if its cached result is out of date. */
    readonly staleInitialize?: Request;
  }
  /** A page of a list that the proxy itself has requested. */
  | {
    readonly kind: "list-page";
    readonly list: ListKind;
    /** The cursor in the request; `undefined` for the first page. */
    readonly cursor: string | undefined;
    readonly response: Response;
  }
  /** The daemon answered a probe, whose `ProbeFrame` has this `id`. */
  | { readonly kind: "probe-answered"; readonly id: Id }
  /** A response to another request of the proxy; `problem` is for the log. */
  | { readonly kind: "own-response"; readonly problem?: string }
  // Only from a dialect that restores the client's session:
  /** The daemon answered the opening frame, but now another one is needed. */
  | { readonly kind: "repeat-handshake" }
  /** The daemon did not return a list that the proxy has requested. */
  | {
    readonly kind: "list-failed";
    readonly list: ListKind;
    readonly problem: string;
  }
  // Only from a dialect with scheduling:
  /** The daemon is working on the request. `timeoutMs` is its time limit. */
  | {
    readonly kind: "in-progress";
    readonly id: Id;
    readonly timeoutMs?: number;
  }
  /** The daemon has no response yet: send the request again after a delay. */
  | {
    readonly kind: "retry-later";
    readonly id: Id;
    readonly delayMs: number;
    /** True if the daemon has not started the request. */
    readonly isUnstarted: boolean;
  }
  /** A response is over the size limit. `size` is in UTF-16 units. */
  | { readonly kind: "too-large"; readonly id: Id; readonly size: number }
  /** A frame that belongs to no pending exchange. */
  | { readonly kind: "unexpected"; readonly description: string };

/** A probe: a frame that every live daemon answers. */
export interface ProbeFrame {
  /** The id that the matching `probe-answered` has. */
  readonly id: Id;
  /** The text of the frame. */
  readonly text: string;
}

/** The reason why a connection ended, or could not be used. */
export interface CloseReason {
  /** The reason as a text for people, without a full stop. */
  readonly reason: string;
  /** True if the daemon refused the connection and would refuse it again. */
  readonly isRefused: boolean;
  /** The cause, for programs. It replaces the cause of the close event. */
  readonly cause?: FailureCause;
}

/** The first frame on a connection. */
export interface OpeningFrame {
  /** The text of the frame. */
  readonly text: string;
  /** The id of the client's request, if the frame is such a request. */
  readonly requestId?: Id;
}

/** The messages that restore the client's session on a new connection. */
export interface SessionReplay {
  /** The frames for the daemon, in order. They are sent first. */
  readonly toDaemon: readonly string[];
  /** The lines for the client, in order. */
  readonly toClient: readonly string[];
}

/** The end of a connection, as the runtime reports it. */
export type ClosedEvent = Extract<SocketEvent, { type: "closed" }>;

/** A lookup of the ids of the client's requests, for a dialect. */
export interface ClientIdAccess {
  /** Returns true if a response may have this id, as a number or string. */
  isInUse(id: Id): boolean;
  /** Returns the client's id that an id from the daemon may stand for. */
  guessClientId(id: Id): Id | undefined;
  /** Records that the daemon changed the JSON type of an id of the proxy. */
  recordRetypedId(): void;
}

/** The exchange that opens a connection, and restores the client's session. */
export interface Handshake {
  /**
   * Returns the first frame on a connection. Returns `undefined` while the link
   * must wait for a request from the client.
   */
  begin(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined;
  /** Returns the frames to send after the daemon answered the opening frame. */
  buildFinalFrames?(): readonly string[];
  /** Returns the messages that restore the client's session. */
  buildReplay?(connectionId: number): SessionReplay;
  /**
   * Records that the proxy itself answered `initialize`. Returns the text of
   * that response for the client. `connectionId` is the connection on which the
   * daemon will still answer it, or `undefined` if the request was not sent.
   */
  onLocalInitialize?(
    request: Request,
    response: Response,
    source: "cached" | "placeholder",
    connectionId: number | undefined,
  ): string;
}

/** The use of several links, for a daemon that needs one for each call. */
export interface Scheduling {
  /** The maximum number of pool links, which are added to the main link. */
  readonly poolSize: number;
  /** Returns the role of the links that a message may be sent on. */
  roleFor(message: OutboundMessage): LinkRole;
  /** Returns true if a ready link can take a frame now. */
  canSend(connectionId: number): boolean;
}

/** What must happen before a request is encoded for a connection. */
export type OutcomeStep =
  | { readonly kind: "ready" }
  /** Send this frame first; the request waits until the frame is answered. */
  | { readonly kind: "query"; readonly text: string }
  /** The request must wait, because the response to such a frame is pending. */
  | { readonly kind: "wait" }
  /** The outcome is lost, because the daemon process with the request ended. */
  | { readonly kind: "lost" };

/** The polling for outcomes of requests whose connection was lost. */
export interface OutcomePolling {
  /** Returns how long to poll, in ms; `undefined` if polling is impossible. */
  pollWindowMs(request: Request, now: number): number | undefined;
  /** Returns the next step. Call it before each `encode` of a request. */
  nextStep(connectionId: number, request: Request): OutcomeStep;
  /** Resets a request: the next `encode` sends it as a new one. */
  reset(request: Request): void;
}

/** A daemon's protocol. A dialect leaves out optional members it cannot use. */
export interface Dialect {
  /** The WebSocket subprotocol to offer (RFC 6455 section 1.9). */
  readonly subprotocol?: string;
  /** A text for people that names the daemon's time limit for a request. */
  readonly daemonTimeoutSetting?: string;
  /** True if the proxy itself must notify the client of changed lists. */
  readonly shouldCompareLists: boolean;
  /** The name and version of the daemon that responded last, if known. */
  readonly daemonName?: string | undefined;
  /** The handshake of each connection. */
  readonly handshake: Handshake;
  /** Undefined if the main link carries all requests, any number at a time. */
  readonly scheduling?: Scheduling;
  /** Undefined if an outcome cannot be polled after the connection was lost. */
  readonly outcomes?: OutcomePolling;

  /** Returns the frame of a client's message; `undefined` if it must wait. */
  encode(
    connectionId: number,
    message: OutboundMessage,
    now: number,
  ): string | undefined;
  /** Decodes a frame. Never throws. */
  decode(connectionId: number, text: string, now: number): Incoming[];
  /** Records a response, and returns its text for the client. */
  onResponse(request: Request, response: Response): string;
  /**
   * Returns the text of the proxy's own response, if the request needs no
   * daemon. `daemon` says whether the daemon can be used now.
   */
  respondLocally(request: Request, daemon: "up" | "down"): string | undefined;
  /**
   * Records a notification, and returns what the session must do with it. With
   * `replay`, every handshake sends it.
   */
  onNotification(notification: Notification): "forward" | "replay" | "drop";
  /**
   * Returns a probe. Returns `undefined` if a pending response will also show
   * that the daemon is alive.
   */
  buildProbe(connectionId: number): ProbeFrame | undefined;
  /** Returns a frame that requests a page of a list, if possible now. */
  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string | undefined;
  /** Returns a frame that cancels a request. Absent if no such frame exists. */
  buildCancellation?(id: Id, reason: string): string;
  /** Returns why a connection ended; by default, the reason in `closed`. */
  closeReasonOf(
    connectionId: number,
    closed: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason;
  /** Returns true if a request of the proxy, other than a probe, is pending. */
  hasPendingOwnRequest(connectionId: number): boolean;
  /** Forgets a closed connection and the requests on it. */
  onDisconnect(connectionId: number): void;

  /** Sets the client's ids, which the proxy's own requests must not use. */
  useClientIds?(ids: ClientIdAccess): void;
  /** Returns the ids of the proxy's requests, except superseded probes. */
  pendingOwnRequestIds?(connectionId: number): readonly Id[];
  /** Returns true if a request of the proxy with this id is pending. */
  isOwnRequestPending?(id: Id): boolean;
  /** Returns true once the daemon has acknowledged a subscription. */
  hasAcknowledgedSubscription?(id: Id): boolean;
  /** Records that a request from the client was answered from the cache. */
  onCachedResponse?(request: Request): void;
  /** Records a sleep of `ms` ms, which the proxy's clock did not count. */
  onSuspended?(ms: number): void;
}
