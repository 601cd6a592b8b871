/**
 * Tracks the daemon's requests (elicitation, sampling, roots, ping) that the
 * client has not answered yet.
 *
 * A new daemon counts its ids from 0 again, so a response to request 0 of the
 * old daemon would be taken for a response to the new one's. Therefore the
 * client gets ids that contain the connection id, and only these are translated
 * back.
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

/**
 * How many requests may be open: this limits the cost of a client that answers
 * none.
 */
const MAX_OPEN_SERVER_REQUESTS = 1_000;

/** The daemon's open requests by the ids that the client got. */
export class ServerRequests {
  readonly #open = new Map<Id, OpenServerRequest>();
  #count = 0;

  /** Whether there is no room for another request. */
  get isFull(): boolean {
    return this.#open.size >= MAX_OPEN_SERVER_REQUESTS;
  }

  /**
   * Translates the daemon's request for the client: our own id replaces its id
   * and its progress token.
   */
  forward(connectionId: number, request: Request): string {
    const id = JSON.stringify(`e${connectionId}:${++this.#count}`);
    const progressToken = getNestedId(request, "_meta", "progressToken");
    this.#open.set(id, { connectionId, id: request.id, progressToken });
    const text = replaceValue(request.text, ["id"], id);
    if (progressToken === undefined) return text;
    return replaceValue(text, ["params", "_meta", "progressToken"], id);
  }

  /**
   * Translates the client's response for the daemon; `undefined` if the request
   * is no longer open.
   */
  resolve(id: Id | undefined, text: string): RoutedFrame | undefined {
    const serverRequest = id === undefined ? undefined : this.#open.get(id);
    if (id === undefined || serverRequest === undefined) return undefined;
    this.#open.delete(id);
    const { connectionId } = serverRequest;
    return { connectionId, text: replaceValue(text, ["id"], serverRequest.id) };
  }

  /** Translates the client's progress on a request for the daemon. */
  forwardProgress(notification: Notification): RoutedFrame | undefined {
    const id = getNestedId(notification, "progressToken");
    const serverRequest = id === undefined ? undefined : this.#open.get(id);
    if (serverRequest?.progressToken === undefined) return undefined;
    return {
      connectionId: serverRequest.connectionId,
      text: replaceValue(
        notification.text,
        ["params", "progressToken"],
        serverRequest.progressToken,
      ),
    };
  }

  /**
   * Translates the daemon's `notifications/cancelled` for the client, and drops
   * the request.
   */
  forwardCancellation(
    connectionId: number,
    notification: Notification,
  ): string | undefined {
    const daemonId = getNestedId(notification, "requestId");
    for (const [id, serverRequest] of this.#open) {
      if (
        serverRequest.connectionId !== connectionId ||
        serverRequest.id !== daemonId
      ) {
        continue;
      }
      this.#open.delete(id);
      return replaceValue(notification.text, ["params", "requestId"], id);
    }
    return undefined;
  }

  /** Drops the requests of a lost connection and returns their ids. */
  onDisconnect(connectionId: number): Id[] {
    const ids: Id[] = [];
    for (const [id, serverRequest] of this.#open) {
      if (serverRequest.connectionId !== connectionId) continue;
      this.#open.delete(id);
      ids.push(id);
    }
    return ids;
  }
}
