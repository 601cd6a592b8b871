/**
 * Holds the end of a subscription for a moment, because a daemon that shuts
 * down ends its subscriptions, too: if the connection ends as well, the
 * subscription continues on the next one.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import type { Notification, Response } from "../protocol/jsonrpc.ts";
import { DeadlineMap, type ExpiringValue } from "../requests/deadlines.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import { type SessionBase, SessionPart } from "./session_part.ts";

/** How long the end of a subscription is held, in milliseconds. */
const HOLD_MS = 1_000;

interface HeldEnd extends ExpiringValue {
  readonly entry: PendingRequest;
  readonly connectionId: number;
  readonly endMessage: Response | Notification;
}

/** The held ends of a session. */
export class SubscriptionEnds extends SessionPart {
  readonly #held = new DeadlineMap<HeldEnd>();

  /** Starts without held ends. */
  constructor(
    base: SessionBase,
    private readonly completeRequest: (
      link: Link,
      entry: PendingRequest,
      response: Response,
    ) => void,
  ) {
    super(base);
  }

  /** Holds the end of a subscription; a repeated end does not prolong it. */
  hold(entry: PendingRequest, endMessage: Response | Notification): void {
    const held = this.#held.get(entry.key);
    const until = held !== undefined && this.#isCurrent(held)
      ? held.until
      : this.now + HOLD_MS;
    const connectionId = entry.sentOnConnectionId!;
    this.#held.set(entry.key, { entry, connectionId, endMessage, until });
  }

  /** False if the client knows of the end, or the connection ended as well. */
  #isCurrent({ entry, connectionId }: HeldEnd): boolean {
    return this.tracker.find(entry.key) === entry &&
      entry.sentOnConnectionId === connectionId;
  }

  /** When the first end has been held for long enough. */
  deadline(): number {
    this.#held.dropLeading((_, held) => !this.#isCurrent(held));
    return this.#held.earliest;
  }

  /** Notifies the client of ends while the daemon stayed connected. */
  advance(until: number = this.now): void {
    for (const [, held] of this.#held.takeDue(until)) {
      const { entry, connectionId, endMessage } = held;
      const link = this.links.get(connectionId);
      if (link === undefined || !this.#isCurrent(held)) continue;
      if (endMessage.kind === "response") {
        this.completeRequest(link, entry, endMessage);
      } else {
        this.dialect.onNotification(endMessage);
        this.tracker.complete(entry.key, connectionId);
        this.effects.toClient(endMessage.text);
      }
    }
  }

  /** Moves every moment by the time that the program slept. */
  postpone(ms: number): void {
    this.#held.postpone(ms);
  }
}
