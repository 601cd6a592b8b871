/**
 * Tracks the daemon's requests (elicitation, sampling, roots, ping) that the
 * client has not answered yet.
 *
 * A new daemon counts its ids from 0 again, so a response to request 0 of the
 * old daemon would be taken for one to the new one's. So the client gets ids
 * that contain the connection id, and only these are translated back.
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

/** A message for the daemon on one connection. */
export interface RoutedFrame {
  /** The connection id. */
  readonly connectionId: number;
  /** The frame. */
  readonly text: string;
}

interface OpenServerRequest {
  readonly connectionId: number;
  readonly id: Id;
  readonly progressToken: Id | undefined;
}

/** This limits the cost of a client that answers none. */
const MAX_OPEN_SERVER_REQUESTS = 1_000;

/** The daemon's open requests by the ids that the client got. */
export class ServerRequests {
  readonly #open = new Map<Id, OpenServerRequest>();
  #count = 0;

  /** Whether there is no room for another request. */
  get isFull(): boolean {
    return this.#open.size >= MAX_OPEN_SERVER_REQUESTS;
  }

  /** Translates the daemon's request and its progress token for the client. */
  forward(connectionId: number, request: Request): string {
    const id = JSON.stringify(`e${connectionId}:${++this.#count}`);
    const progressToken = getNestedId(request, "_meta", "progressToken");
    this.#open.set(id, { connectionId, id: request.id, progressToken });
    const text = replaceValue(request.text, ["id"], id);
    if (progressToken === undefined) return text;
    return replaceValue(text, ["params", "_meta", "progressToken"], id);
  }

  /** Translates the client's response to an open request for the daemon. */
  resolve(id: Id | undefined, text: string): RoutedFrame | undefined {
    const open = this.#open.get(id!);
    if (open === undefined) return undefined;
    this.#open.delete(id!);
    const { connectionId } = open;
    return { connectionId, text: replaceValue(text, ["id"], open.id) };
  }

  /** Translates the client's progress on a request for the daemon. */
  forwardProgress(notification: Notification): RoutedFrame | undefined {
    const open = this.#open.get(getNestedId(notification, "progressToken")!);
    if (open?.progressToken === undefined) return undefined;
    const { connectionId, progressToken } = open;
    const path = ["params", "progressToken"];
    const text = replaceValue(notification.text, path, progressToken);
    return { connectionId, text };
  }

  /** Translates the daemon's cancellation, and drops the request. */
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

  /** Drops the requests of a lost connection and returns their ids. */
  onDisconnect(connectionId: number): Id[] {
    const ids = [...this.#open.keys()]
      .filter((id) => this.#open.get(id)?.connectionId === connectionId);
    for (const id of ids) this.#open.delete(id);
    return ids;
  }
}
