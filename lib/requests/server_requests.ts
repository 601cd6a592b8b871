/**
 * Which of the daemon's requests (elicitation, sampling, roots, ping) the
 * client still owes an answer to.
 *
 * A new daemon counts its ids from 0 again, so an answer to the old one's
 * request 0 would be taken for an answer to the new one's: the client sees ids
 * that name the connection id, and only these are translated back.
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

/** A text for the daemon on one link. */
export interface RoutedFrame {
  /** The connection id of the link. */
  readonly connectionId: number;
  /** The frame. */
  readonly text: string;
}

interface OpenServerRequest {
  readonly connectionId: number;
  readonly id: Id;
  readonly progressToken: Id | undefined;
}

/** How many questions may be open: a client that answers none must not cost more. */
const MAX_OPEN_SERVER_REQUESTS = 1_000;

/** The daemon's open requests under the ids that the client knows. */
export class ServerRequests {
  readonly #open = new Map<Id, OpenServerRequest>();
  #count = 0;

  /** Whether there is no room for a further question. */
  get isFull(): boolean {
    return this.#open.size >= MAX_OPEN_SERVER_REQUESTS;
  }

  /** The daemon's request as the client gets it: under an id of ours, which also replaces a progress token. */
  forward(connectionId: number, request: Request): string {
    const id = JSON.stringify(`e${connectionId}:${++this.#count}`);
    const progressToken = getNestedId(request, "_meta", "progressToken");
    this.#open.set(id, { connectionId, id: request.id, progressToken });
    const text = replaceValue(request.text, ["id"], id);
    if (progressToken === undefined) return text;
    return replaceValue(text, ["params", "_meta", "progressToken"], id);
  }

  /** The client's answer as the daemon gets it; `undefined` where the question is no longer open. */
  resolve(id: Id | undefined, text: string): RoutedFrame | undefined {
    const serverRequest = id === undefined ? undefined : this.#open.get(id);
    if (id === undefined || serverRequest === undefined) return undefined;
    this.#open.delete(id);
    const { connectionId } = serverRequest;
    return { connectionId, text: replaceValue(text, ["id"], serverRequest.id) };
  }

  /** The client's progress on a question as the daemon gets it. */
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

  /** The daemon takes a question back: its `notifications/cancelled` as the client gets it. */
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

  /** A link was lost: the ids of the questions that no answer can reach any more. */
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
