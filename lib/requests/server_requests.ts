/**
 * Which of the daemon's requests (elicitation, sampling, roots, ping) the
 * client still owes an answer to.
 *
 * A new daemon counts its ids from 0 again, so an answer to the old one's
 * request 0 would be taken for an answer to the new one's: the client sees ids
 * that name the epoch, and only these are translated back.
 *
 * @module
 */

import {
  digId,
  type Id,
  type Notification,
  type Request,
} from "../protocol/jsonrpc.ts";
import { replace } from "../json/spans.ts";

/** A text for the daemon on one link. */
export interface Outgoing {
  /** The epoch of the link. */
  readonly epoch: number;
  /** The frame. */
  readonly text: string;
}

interface Question {
  readonly epoch: number;
  readonly id: Id;
  readonly token: Id | undefined;
}

/** How many questions may be open: a client that answers none must not cost more. */
const LIMIT = 1_000;

/** The daemon's open requests under the ids that the client knows. */
export class Asked {
  readonly #open = new Map<Id, Question>();
  #count = 0;

  /** Whether there is no room for a further question. */
  get isFull(): boolean {
    return this.#open.size >= LIMIT;
  }

  /** The daemon's request as the client gets it: under an id of ours, which also replaces a progress token. */
  ask(epoch: number, request: Request): string {
    const id = JSON.stringify(`e${epoch}:${++this.#count}`);
    const token = digId(request, "_meta", "progressToken");
    this.#open.set(id, { epoch, id: request.id, token });
    const text = replace(request.text, ["id"], id);
    if (token === undefined) return text;
    return replace(text, ["params", "_meta", "progressToken"], id);
  }

  /** The client's answer as the daemon gets it; `undefined` where the question is no longer open. */
  answer(id: Id | undefined, text: string): Outgoing | undefined {
    const question = id === undefined ? undefined : this.#open.get(id);
    if (id === undefined || question === undefined) return undefined;
    this.#open.delete(id);
    const { epoch } = question;
    return { epoch, text: replace(text, ["id"], question.id) };
  }

  /** The client's progress on a question as the daemon gets it. */
  progress(notification: Notification): Outgoing | undefined {
    const id = digId(notification, "progressToken");
    const question = id === undefined ? undefined : this.#open.get(id);
    if (question?.token === undefined) return undefined;
    return {
      epoch: question.epoch,
      text: replace(
        notification.text,
        ["params", "progressToken"],
        question.token,
      ),
    };
  }

  /** The daemon takes a question back: its `notifications/cancelled` as the client gets it. */
  cancelled(epoch: number, notification: Notification): string | undefined {
    const asked = digId(notification, "requestId");
    for (const [id, question] of this.#open) {
      if (question.epoch !== epoch || question.id !== asked) continue;
      this.#open.delete(id);
      return replace(notification.text, ["params", "requestId"], id);
    }
    return undefined;
  }

  /** A link was lost: the ids of the questions that no answer can reach any more. */
  lost(epoch: number): Id[] {
    const ids: Id[] = [];
    for (const [id, question] of this.#open) {
      if (question.epoch !== epoch) continue;
      this.#open.delete(id);
      ids.push(id);
    }
    return ids;
  }
}
