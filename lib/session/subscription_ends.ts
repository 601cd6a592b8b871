/**
 * Delays the end of a subscription for a second before the client gets it. A
 * daemon that shuts down also ends its subscriptions. If the connection ends
 * within that second, the client does not get the end, and the subscription
 * continues on the next connection.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import type { Notification, Response } from "../protocol/jsonrpc.ts";
import { DeadlineMap, type ExpiringValue } from "../requests/deadlines.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** How long the end of a subscription is delayed, in milliseconds. */
const HOLD_MS = 1_000;

interface HeldEnd extends ExpiringValue {
  readonly entry: PendingRequest;
  readonly connectionId: number;
  readonly endMessage: Response | Notification;
}

/** The delayed ends of the client's subscriptions. */
export class SubscriptionEnds extends SessionPart {
  readonly #held = new DeadlineMap<HeldEnd>();

  /** Creates a part without delayed ends. */
  constructor(
    base: SharedObjects,
    private readonly completeRequest: (
      link: Link,
      entry: PendingRequest,
      response: Response,
    ) => void,
  ) {
    super(base);
  }

  /** Delays a subscription's end; a second end keeps the first deadline. */
  hold(entry: PendingRequest, endMessage: Response | Notification): void {
    const held = this.#held.get(entry.key);
    const until = held !== undefined && this.#isCurrent(held)
      ? held.until
      : this.now + HOLD_MS;
    const connectionId = entry.sentOnConnectionId!;
    this.#held.set(entry.key, { entry, connectionId, endMessage, until });
  }

  /** Returns false if the request was closed or left that connection. */
  #isCurrent({ entry, connectionId }: HeldEnd): boolean {
    return this.tracker.find(entry.key) === entry &&
      entry.sentOnConnectionId === connectionId;
  }

  /** Returns when the first end must be sent to the client. */
  deadline(): number {
    this.#held.dropEarliestWhile((_, held) => !this.#isCurrent(held));
    return this.#held.earliest;
  }

  /** Sends the client the ends that are due at `until`; `Infinity` for all. */
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

  /** Moves every deadline by `ms`, because the program slept. */
  postpone(ms: number): void {
    this.#held.postpone(ms);
  }
}
