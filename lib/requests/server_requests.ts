/**
 * Tracks the daemon's requests to the client (elicitation, sampling, roots,
 * ping) that have no response yet.
 *
 * A new daemon counts its ids from 0 again. A late response to request 0 of the
 * old daemon must not reach the new daemon as a response to its own request 0.
 * So the client gets another id, which contains the connection id. Only a
 * response with such an id goes to the daemon, with the daemon's own id.
 *
 * @module
 */

import {
  getNestedId,
  type Id,
  type Notification,
  type Request,
} from "../protocol/jsonrpc.ts";
import { replaceValue } from "../json/spans.ts";

/** A frame that must be sent to the daemon on a certain connection. */
export interface RoutedFrame {
  /** The id of the connection. */
  readonly connectionId: number;
  /** The text of the frame. */
  readonly text: string;
}

interface OpenServerRequest {
  readonly connectionId: number;
  readonly id: Id;
  readonly progressToken: Id | undefined;
}

/** Limits the memory for requests that the client never answers. */
const MAX_OPEN_SERVER_REQUESTS = 1_000;

/** The daemon's open requests, by the ids that the client got. */
export class ServerRequests {
  readonly #open = new Map<Id, OpenServerRequest>();
  #count = 0;

  /** True if no other request may be forwarded now. */
  get isFull(): boolean {
    return this.#open.size >= MAX_OPEN_SERVER_REQUESTS;
  }

  /** Records the daemon's request; returns it with the id for the client. */
  forward(connectionId: number, request: Request): string {
    const id = JSON.stringify(`e${connectionId}:${++this.#count}`);
    const progressToken = getNestedId(request, "_meta", "progressToken");
    this.#open.set(id, { connectionId, id: request.id, progressToken });
    const text = replaceValue(request.text, ["id"], id);
    if (progressToken === undefined) return text;
    return replaceValue(text, ["params", "_meta", "progressToken"], id);
  }

  /** Closes an open request; returns the response with the daemon's id. */
  resolve(id: Id | undefined, text: string): RoutedFrame | undefined {
    const open = this.#open.get(id!);
    if (open === undefined) return undefined;
    this.#open.delete(id!);
    const { connectionId } = open;
    return { connectionId, text: replaceValue(text, ["id"], open.id) };
  }

  /** Returns the client's progress with the daemon's token, if that exists. */
  forwardProgress(notification: Notification): RoutedFrame | undefined {
    const open = this.#open.get(getNestedId(notification, "progressToken")!);
    if (open?.progressToken === undefined) return undefined;
    const { connectionId, progressToken } = open;
    const path = ["params", "progressToken"];
    const text = replaceValue(notification.text, path, progressToken);
    return { connectionId, text };
  }

  /** Closes a request that the daemon cancels; returns the text to forward. */
  forwardCancellation(
    connectionId: number,
    notification: Notification,
  ): string | undefined {
    const daemonId = getNestedId(notification, "requestId");
    for (const [id, open] of this.#open) {
      if (open.connectionId !== connectionId || open.id !== daemonId) continue;
      this.#open.delete(id);
      return replaceValue(notification.text, ["params", "requestId"], id);
    }
    return undefined;
  }

  /** Closes a lost connection's requests; returns the ids the client got. */
  onDisconnect(connectionId: number): Id[] {
    const ids = [...this.#open.keys()]
      .filter((id) => this.#open.get(id)?.connectionId === connectionId);
    for (const id of ids) this.#open.delete(id);
    return ids;
  }
}
