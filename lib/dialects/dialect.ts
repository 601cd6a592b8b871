/**
 * The interface that daemons are hidden behind: how a daemon speaks, in frames,
 * and what that means, in JSON-RPC messages.
 *
 * @module
 */

import { type ListKind } from "../protocol/lists.ts";
import type { SocketEvent } from "../events.ts";
import type {
  Id,
  Message,
  Notification,
  Request,
  Response,
} from "../protocol/jsonrpc.ts";
import type { FailureCause, LinkRole, LinkState } from "../link/link.ts";

/** What the daemon has said of itself without the client having waited for it. */
export interface CacheableResponse {
  /** The question. */
  readonly request: Pick<Request, "method" | "params">;
  /** The answer. */
  readonly response: Response;
}

/** What a frame from the daemon means: a message, or something between the daemon and the proxy. */
export type Incoming =
  | Message
  /** The greeting was answered: the link is good; `learned` is what the daemon has thereby said of itself. */
  | {
    readonly kind: "ready";
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize` to which the daemon has another answer now, which is not known. */
    readonly staleInitialize?: Request;
    /** Worth a log line. */
    readonly problem?: string;
  }
  /** The greeting was answered, but by now another one must be said. */
  | { readonly kind: "repeat-handshake" }
  /** The greeting was answered with a no; `refused` where the daemon will say it again. */
  | {
    readonly kind: "rejected";
    readonly reason: string;
    readonly refused: boolean;
    /** The same for programs, where the dialect knows it. */
    readonly cause?: FailureCause;
    /** What the daemon says to the client's `initialize` all the same. */
    readonly cacheable?: CacheableResponse;
    /** The client's `initialize` to which the daemon has another answer now. */
    readonly staleInitialize?: Request;
  }
  /** A page of a list that was fetched for a comparison. */
  | {
    readonly kind: "page";
    readonly list: ListKind;
    /** The cursor that it was asked with; the first page has none. */
    readonly cursor: string | undefined;
    /** The page. */
    readonly response: Response;
  }
  /** There was none, and why. */
  | {
    readonly kind: "list-failed";
    readonly list: ListKind;
    readonly problem: string;
  }
  /** The probe of that id was answered, whatever its answer's own id is. */
  | { readonly kind: "pong"; readonly id: Id }
  /** An answer to something of the proxy's own that nobody waits for; `trouble` is worth a log line. */
  | { readonly kind: "own-response"; readonly problem?: string }
  /** The daemon is at it; `limitMs` is how long it may take from now on, where the daemon says so. */
  | {
    readonly kind: "in-progress";
    readonly id: Id;
    readonly timeoutMs?: number;
  }
  /** There is no answer yet, and the request must be written again after a while. */
  | {
    readonly kind: "retry-later";
    readonly id: Id;
    readonly delayMs: number;
    /** The daemon has not begun with it. */
    readonly isUnstarted: boolean;
  }
  /** The answer to a request is over the limit. */
  | { readonly kind: "too-large"; readonly id: Id; readonly size: number }
  /** Something that belongs to nothing that is open. */
  | { readonly kind: "unexpected"; readonly description: string };

/** What becomes of a message that is to be written. */
export type EncodeResult =
  | { readonly kind: "frame"; readonly text: string }
  /** Something else must be known first; the message waits for the answer to this frame. */
  | { readonly kind: "query-first"; readonly text: string }
  /** That is being asked already, on another link. */
  | { readonly kind: "wait" }
  /** The daemon that it was written to is gone, and its outcome with it. */
  | { readonly kind: "outcome-lost" };

/** A frame that any living daemon answers. */
export interface ProbeFrame {
  /** What the answer is known by. */
  readonly id: Id;
  /** The frame. */
  readonly text: string;
}

/** Why a connection ended. */
export interface CloseReason {
  /** For people, without a full stop. */
  readonly reason: string;
  /** The daemon said no and will say it again. */
  readonly refused: boolean;
  /** Why, for programs, where the dialect knows it better than the close code and the runtime. */
  readonly cause?: FailureCause;
}

/** The first frame on a link, and the client's request if it is one. */
export interface OpeningFrame {
  /** The frame. */
  readonly text: string;
  /** The id of the client's request that the frame is. */
  readonly requestId?: Id;
}

/** What has to be said again on a new link, to the daemon and then to the client. */
export interface SessionReplay {
  /** Frames, in order. */
  readonly toDaemon: readonly string[];
  /** Lines, in order. */
  readonly toClient: readonly string[];
}

/** What the client was told of a daemon that is away. */
export interface LocalInitialize {
  /** The protocol version. */
  readonly version: unknown;
  /** Whether it is what a daemon once said. */
  readonly source: "cached" | "placeholder";
}

/** The end of a connection as the runtime tells it. */
export type ClosedEvent = Extract<SocketEvent, { type: "closed" }>;

/** What a dialect must know of the client's ids. */
export interface ClientIdLookup {
  /** Whether a request of this id, or of the same as the other JSON type, is open or may be answered late. */
  isInUse(id: Id): boolean;
  /** The client's id that the daemon may have meant by another one. */
  guessClientId(id: Id): Id | undefined;
  /** The daemon has answered an id of the proxy's own as the other JSON type. */
  recordRetyped(): void;
}

/** How a daemon speaks. */
export interface Dialect {
  /** The WebSocket subprotocol that is offered (RFC 6455 section 1.9). */
  readonly subprotocol: string | undefined;
  /** Whether the client is to be told of changed lists without having subscribed to that. */
  readonly shouldCompareLists: boolean;
  /** How many links there may be beside the main one. */
  readonly poolSize: number;
  /** The name and version of the daemon that has answered last, as far as it has said them. */
  readonly daemonName: string | undefined;

  /** The ids of the proxy's own requests are to be none of these. */
  useClientIds(ids: ClientIdLookup): void;
  /** An answer that needs no daemon, which is `up` or `down`. */
  respondLocally(request: Request, daemon: "up" | "down"): string | undefined;
  /** The first frame on a link, given the requests that wait; `undefined` while nothing can be said. */
  beginHandshake(
    connectionId: number,
    waiting: Iterable<Request>,
  ): OpeningFrame | undefined;
  /** What ends the greeting, once it is answered. */
  finishHandshake(): readonly string[];
  /** What belongs to a conversation that went on before this link. */
  buildReplay(connectionId: number): SessionReplay;
  /** On which links a message may be written. */
  linkRoleFor(message: Request | Notification): LinkRole;
  /** Whether a ready link can take a frame now. */
  canSend(connectionId: number): boolean;
  /** A client's message as a frame for a link that is free. */
  encode(
    connectionId: number,
    message: Request | Notification,
    now: number,
  ): EncodeResult;
  /** What a frame means. Never throws. */
  decode(connectionId: number, text: string, now: number): Incoming[];
  /** Takes note of a notification: whether it is carried, is said again on every link and so need not wait for one, or ends here. */
  onNotification(notification: Notification): "forward" | "replay" | "drop";
  /** For how long the daemon may be asked on other links what became of a request that was written; `undefined` where it cannot be. */
  outcomePollWindowMs(request: Request, now: number): number | undefined;
  /** The request will be written as if it never had been. */
  resetRequest(request: Request): void;
  /** Takes note of an answer; gives it as the client gets it. */
  onResponse(request: Request, response: Response): string;
  /** A frame that any living daemon answers; `undefined` while the answer to an earlier one shows the same. */
  buildProbe(connectionId: number): ProbeFrame | undefined;
  /** A frame that asks for a page of a list; `undefined` while that cannot be asked. */
  buildListRequest(
    connectionId: number,
    list: ListKind,
    cursor?: string,
  ): string | undefined;
  /** A frame that takes a request back; `undefined` where the daemon knows no such thing. */
  buildCancellation(id: Id, reason: string): string | undefined;
  /** So many milliseconds passed that our clock did not count. */
  onSuspended(ms: number): void;
  /** The client was told without the daemon what it had asked. */
  onCachedResponse(request: Request): void;
  /** The client was told who the daemon is without it; gives that answer as the client gets it. If the request went out already, its own answer comes on that connection. */
  onLocalInitialize(
    request: Request,
    response: string,
    initialize: LocalInitialize,
    connectionId: number | undefined,
  ): string;
  /** Why a connection ended: what the runtime says, or what the dialect knows better. Only a link that was not ready yet can have been refused. */
  closeReasonOf(
    connectionId: number,
    closed: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason;
  /** Whether the daemon still owes an answer to something of the proxy's own, probes apart. */
  hasPendingOwnRequest(connectionId: number): boolean;
  /** The ids of the proxy's own requests that the daemon still owes an answer to; of its probes only those after the last one that was answered. */
  pendingOwnRequestIds(connectionId: number): readonly Id[];
  /** Whether a request of the proxy's own has no answer yet. */
  isOwnRequestPending(id: Id): boolean;
  /** Whether the daemon has said that it has taken a request which goes on. */
  hasAcknowledgedSubscription(id: Id): boolean;
  /** The link is gone: what was asked on it will not be answered. */
  onDisconnect(connectionId: number): void;
}
