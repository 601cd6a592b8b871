/**
 * The interface that daemons are hidden behind: how a daemon speaks, in frames,
 * and what that means, in JSON-RPC messages.
 *
 * @module
 */

import type { ListName } from "./catalog.ts";
import type { Answer, Id, Message, Notification, Request } from "./jsonrpc.ts";

/** What a frame from the daemon means: a message, or something between the daemon and the proxy. */
export type Incoming =
  | Message
  /** The greeting was answered: the link is good. */
  | { readonly kind: "ready" }
  /** The greeting was answered with a no; `refused` where the daemon will say it again. */
  | {
    readonly kind: "rejected";
    readonly reason: string;
    readonly refused: boolean;
  }
  /** A page of a list that was fetched for a comparison. */
  | {
    readonly kind: "page";
    readonly list: ListName;
    /** The cursor that it was asked with; the first page has none. */
    readonly cursor: string | undefined;
    readonly result: unknown;
  }
  /** An answer to something of the proxy's own that nobody waits for; `trouble` is worth a log line. */
  | { readonly kind: "own"; readonly trouble?: string };

/** The first frame on a link, and the client's request if it is one. */
export interface Greeting {
  /** The frame. */
  readonly text: string;
  /** The id of the client's request that the frame is. */
  readonly request?: Id;
}

/** What has to be said again on a new link, to the daemon and then to the client. */
export interface Restoration {
  /** Frames, in order. */
  readonly toDaemon: readonly string[];
  /** Lines, in order. */
  readonly toClient: readonly string[];
}

/** How a daemon speaks. */
export interface Dialect {
  /** The WebSocket subprotocol that is offered (RFC 6455 section 1.9). */
  readonly subprotocol: string | undefined;
  /** How many links there may be. */
  readonly links: number;
  /** How many requests one link carries at a time. */
  readonly callsPerLink: number;

  /** An answer that needs no daemon, which is `up` or `down`. */
  local(request: Request, daemon: "up" | "down"): string | undefined;
  /** The first frame on a link, given the requests that wait; `undefined` while nothing can be said. */
  greet(epoch: number, waiting: Iterable<Request>): Greeting | undefined;
  /** What belongs to a conversation that went on before this link. */
  restore(epoch: number): Restoration;
  /** A client's message as a frame. */
  encode(message: Request | Notification): string;
  /** What a frame means. Never throws. */
  decode(epoch: number, text: string): Incoming[];
  /** Takes note of a notification that it says again itself on every link, so that it need not wait for one; `false` for any other. */
  keep(notification: Notification): boolean;
  /** Takes note of an answer; gives it as the client gets it. */
  answered(request: Request, answer: Answer): string;
  /** A frame that any living daemon answers. */
  probe(epoch: number): string;
  /** A frame that asks for a page of a list. */
  list(epoch: number, list: ListName, cursor?: string): string;
  /** A frame that takes a request back; `undefined` where the daemon knows no such thing. */
  cancel(id: Id, reason: string): string | undefined;
  /** Why the end of a connection is a refusal that no retry can mend; `undefined` where it is not. */
  refusal(code: number, status: number | undefined): string | undefined;
  /** Whether the daemon still owes an answer to something of the proxy's own, probes apart. */
  isAsking(epoch: number): boolean;
  /** The link is gone: what was asked on it will not be answered. */
  lost(epoch: number): void;
}
