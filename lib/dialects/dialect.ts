/**
 * The interface between the session, which uses JSON-RPC messages, and a
 * daemon's own frames.
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

/** What is worth caching although no request of the client's waits for it. */
export interface CacheableResponse {
  /** The request. */
  readonly request: Pick<Request, "method" | "params">;
  /** The response. */
  readonly response: Response;
}

/** What a frame from the daemon means, to the client or to the proxy only. */
export type Incoming =
  | Message
  /** The handshake succeeded; `cacheable` is what it showed of the daemon. */
  | {
    readonly kind: "ready";
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize`, if its answer changed in an unknown way. */
    readonly staleInitialize?: Request;
    /** A text for the log. */
    readonly problem?: string;
  }
  /** The handshake failed. */
  | CloseReason & {
    readonly kind: "rejected";
    /** The daemon's answer to the client's `initialize`, valid nevertheless. */
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
    readonly response: Response;
  }
  /** The probe with this id was answered, whatever the id in the response. */
  | { readonly kind: "probe-answered"; readonly id: Id }
  /** A response to another own request; `problem` is a text for the log. */
  | { readonly kind: "own-response"; readonly problem?: string }
  // Only from a dialect whose handshake may be replayed:
  /** The opening frame was answered, but another handshake is needed by now. */
  | { readonly kind: "repeat-handshake" }
  /** The daemon did not return the list. */
  | {
    readonly kind: "list-failed";
    readonly list: ListKind;
    readonly problem: string;
  }
  // Only from a dialect with scheduling:
  /** The daemon works on the request, and may for `timeoutMs` if it says so. */
  | {
    readonly kind: "in-progress";
    readonly id: Id;
    readonly timeoutMs?: number;
  }
  /** No response yet: the request must be sent again after a delay. */
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

/** A frame that every live daemon answers. */
export interface ProbeFrame {
  /** The id that `probe-answered` will have. */
  readonly id: Id;
  /** The frame. */
  readonly text: string;
}

/** Why a connection ended, or was useless. */
export interface CloseReason {
  /** For people, without a full stop. */
  readonly reason: string;
  /** The daemon refused the connection and would do so again. */
  readonly isRefused: boolean;
  /** For programs, if it is better than the close code and the runtime's. */
  readonly cause?: FailureCause;
}

/** The first frame on a link. */
export interface OpeningFrame {
  /** The frame. */
  readonly text: string;
  /** The id of the client's request, if the frame is one. */
  readonly requestId?: Id;
}

/** What must be sent again on a new link: to the daemon, then to the client. */
export interface SessionReplay {
  /** Frames, in order. */
  readonly toDaemon: readonly string[];
  /** Lines, in order. */
  readonly toClient: readonly string[];
}

/** The end of a connection as the runtime reports it. */
export type ClosedEvent = Extract<SocketEvent, { type: "closed" }>;

/** What a dialect needs to know of the client's ids. */
export interface ClientIdLookup {
  /** Returns whether a response with this id, of either type, may come. */
  isInUse(id: Id): boolean;
  /** Returns the client's id that an id from the daemon may refer to. */
  guessClientId(id: Id): Id | undefined;
  /** Records that the daemon returned an own id as the other JSON type. */
  recordRetyped(): void;
}

/** How a link is opened, and brought to where the last one was. */
export interface Handshake {
  /** Returns the first frame on a link, if the waiting requests allow one. */
  begin(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined;
  /** Returns the frames that follow the answer to the opening frame. */
  finish?(): readonly string[];
  /** Returns what restores the client's session on a new link. */
  buildReplay?(connectionId: number): SessionReplay;
  /**
   * Records that `initialize` was answered without the daemon, and returns the
   * client's form of it. If it was sent, the daemon answers on that connection.
   */
  onLocalInitialize?(
    request: Request,
    response: Response,
    source: "cached" | "placeholder",
    connectionId: number | undefined,
  ): string;
}

/** How requests are spread over links, where one carries one at a time. */
export interface Scheduling {
  /** How many links there may be besides the main one. */
  readonly poolSize: number;
  /** Returns the role of the links that a message may be sent on. */
  roleFor(message: OutboundMessage): LinkRole;
  /** Returns whether a ready link can take a frame now. */
  canSend(connectionId: number): boolean;
}

/** What must happen on a connection before a request is encoded. */
export type OutcomeStep =
  | { readonly kind: "ready" }
  /** Send this frame first; the request stays queued until its response. */
  | { readonly kind: "query"; readonly text: string }
  /** The response to such a frame is pending. */
  | { readonly kind: "wait" }
  /** The daemon that the request was sent to is gone, with its outcome. */
  | { readonly kind: "lost" };

/** How the outcome of a request is polled whose connection was lost. */
export interface OutcomePolling {
  /** Returns how long a sent request's outcome may be polled, if it can be. */
  windowMs(request: Request, now: number): number | undefined;
  /** Returns the next step; called before every `encode` of a request. */
  prepare(connectionId: number, request: Request): OutcomeStep;
  /** Resets a request, so that it is sent as if for the first time. */
  reset(request: Request): void;
}

/** A daemon's protocol. A member is absent where a dialect has no use for it. */
export interface Dialect {
  /** The WebSocket subprotocol to offer (RFC 6455 section 1.9). */
  readonly subprotocol?: string;
  /** What sets the time that a daemon allows a request, for people. */
  readonly daemonTimeoutSetting?: string;
  /** Whether the client must be told of changed lists without subscribing. */
  readonly shouldCompareLists: boolean;
  /** The name and version of the daemon that responded last, if known. */
  readonly daemonName?: string | undefined;
  /** How a link is opened. */
  readonly handshake: Handshake;
  /** Absent: the main link carries everything, any number at a time. */
  readonly scheduling?: Scheduling;
  /** Absent: the outcome of a request whose connection was lost is unknown. */
  readonly outcomes?: OutcomePolling;

  /** Encodes a client's message for a free link, unless it must wait. */
  encode(
    connectionId: number,
    message: OutboundMessage,
    now: number,
  ): string | undefined;
  /** Returns what a frame means. Never throws. */
  decode(connectionId: number, text: string, now: number): Incoming[];
  /** Records a response, and returns it in the form for the client. */
  onResponse(request: Request, response: Response): string;
  /** Returns a response that needs no daemon, which is connected or not. */
  respondLocally(request: Request, daemon: "up" | "down"): string | undefined;
  /** Records a notification; `replay`: it is sent on every new link. */
  onNotification(notification: Notification): "forward" | "replay" | "drop";
  /** Returns a probe, unless a response that is pending shows the same. */
  buildProbe(connectionId: number): ProbeFrame | undefined;
  /** Returns a frame that requests a page of a list, if that is possible now. */
  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string | undefined;
  /** Returns a frame that cancels a request, if the daemon has such a frame. */
  buildCancellation?(id: Id, reason: string): string;
  /** Returns why a connection ended, from the runtime's report at least. */
  closeReasonOf(
    connectionId: number,
    closed: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason;
  /** Returns whether an own request, other than a probe, is pending. */
  hasPendingOwnRequest(connectionId: number): boolean;
  /** Forgets a closed connection and the requests on it. */
  onDisconnect(connectionId: number): void;

  /** Sets the client's ids, which the proxy's own requests must not use. */
  useClientIds?(ids: ClientIdLookup): void;
  /** Returns the ids of own requests, without probes that are superseded. */
  pendingOwnRequestIds?(connectionId: number): readonly Id[];
  /** Returns whether a request of the proxy's own is pending. */
  isOwnRequestPending?(id: Id): boolean;
  /** Returns whether the daemon has acknowledged a subscription. */
  hasAcknowledgedSubscription?(id: Id): boolean;
  /** Records that a request of the client's was answered from the cache. */
  onCachedResponse?(request: Request): void;
  /** Adds milliseconds that the proxy's clock did not count. */
  onSuspended?(ms: number): void;
}
