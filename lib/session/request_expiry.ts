/**
 * Handles the deadlines of the client's messages: sends progress notices to a
 * client that waits, and ends messages that have timed out.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import type {
  ExpiryReason,
  PendingRequest,
  ReadonlyEntry,
  WaitNotice,
} from "../requests/request_state.ts";
import type { Timeout } from "../requests/timeouts.ts";
import type { Connections } from "./connections.ts";
import * as errors from "./errors.ts";
import type { Sender } from "./sender.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** Sends the notices that are due, and times out the client's messages. */
export class RequestExpiry extends SessionPart {
  /** Creates a part that reads the deadlines from the tracker. */
  constructor(
    base: SharedObjects,
    private readonly sender: Sender,
    private readonly connections: Connections,
  ) {
    super(base);
  }

  /** Returns when the next notice or timeout is due, or an earlier time. */
  deadline(): number {
    return this.tracker.deadline();
  }

  /** Sends the notices that are due, and fails the requests that timed out. */
  advance(): void {
    const { notices, expired } = this.tracker.advance(this.now);
    for (const notice of notices) this.#sendWaitNotice(notice);
    // Calls on a silent connection get progress notices that say so.
    const { connectionId, liveness } = this.links.main;
    if (liveness?.takeDueNotice(this.now)) {
      for (const notice of this.tracker.takeSuspicionNotices(connectionId)) {
        this.effects.toClient(errors.waitProgress(notice));
      }
    }
    for (const { entry, expiry } of expired) this.#expire(entry, expiry);
  }

  /** Moves every deadline by `ms`, because the program slept. */
  postpone(ms: number): void {
    this.tracker.postpone(ms);
  }

  #sendWaitNotice(notice: WaitNotice): void {
    const outage = this.links.main.liveness?.isUnderSuspicion
      ? undefined
      : this.availability.outageOfMessage(notice.message);
    this.effects.toClient(errors.waitProgress(notice, outage));
  }

  #expire(entry: ReadonlyEntry, expiry: ExpiryReason): void {
    if (entry.message.kind === "notification") {
      return this.effects.log.notificationDropped(entry.message);
    }
    const request = entry as PendingRequest;
    switch (expiry) {
      case "queue-timeout":
        this.effects.failRequest(this.connections.unavailableError(request));
        // If the request is in flight, it belongs to an unfinished handshake.
        return this.#abandon(request, "--queue-timeout");
      case "hint-timeout":
        return this.#failUnconfirmed(request);
      case "total-timeout":
        return this.timeOut(request, request.timeouts.total!);
      case "idle-timeout":
        return this.timeOut(request, request.timeouts.idle);
      case "daemon-timeout":
        return this.timeOut(request, {
          setting: this.dialect.daemonTimeoutSetting ?? "the daemon",
          ms: request.daemonTimeoutMs ?? 0,
        });
    }
  }

  #failUnconfirmed(request: PendingRequest): void {
    this.sender.failOutcomeUnknown(request);
    // A pool link carries one request at a time. The pending tool list would
    // block it, and may never arrive.
    const link = this.links.get(request.hintRequirement?.connectionId);
    if (link?.role === "pool") this.connections.closeUnneeded(link);
  }

  /** Fails a request that has timed out, and cancels it at the daemon. */
  timeOut(request: PendingRequest, timeout: Timeout): void {
    const { arrivedAt, lastDaemonActivity } = request;
    this.effects.failRequest(errors.timedOut(
      this.rules.deliveryOf(request),
      timeout,
      this.now - arrivedAt,
      lastDaemonActivity &&
        {
          agoMs: this.now - lastDaemonActivity.at,
          value: lastDaemonActivity.value,
        },
    ));
    this.#abandon(request, timeout.setting);
  }

  #abandon(request: PendingRequest, setting: string): void {
    const link = this.links.get(request.sentOnConnectionId);
    if (link === undefined) return;
    const { method } = request.message;
    if (request.isHandshakeRequest) {
      // The response would be dropped, so the handshake cannot succeed on this
      // connection, and `initialize` must not be cancelled.
      return this.#endConnection(link, "initialize");
    }
    // An `initialize` must not be cancelled (MCP, utilities/cancellation).
    if (method === "initialize") {
      return this.tracker.lateResponses.add(request.key, link.connectionId);
    }
    const reason = `timed out (${setting})`;
    const frame = this.dialect.buildCancellation?.(request.key, reason);
    if (frame === undefined && link.role === "main") {
      // Without a cancellation frame, the request would block all later ones.
      return this.#endConnection(link, method);
    }
    this.connections.abandonRequest(link, request, frame);
  }

  #endConnection(link: Link, method: string): void {
    const reason = `the daemon did not answer ${method} in time`;
    this.connections.endConnection(link, { reason });
  }
}
