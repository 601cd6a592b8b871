/**
 * Handles what is due on the client's requests: the notices to a client that
 * waits, and timeouts.
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
import { type SessionBase, SessionPart } from "./session_part.ts";

/** The deadlines of the client's requests. */
export class RequestExpiry extends SessionPart {
  /** Starts with nothing due. */
  constructor(
    base: SessionBase,
    private readonly sender: Sender,
    private readonly connections: Connections,
  ) {
    super(base);
  }

  /** When the next notice or timeout is due. */
  deadline(): number {
    return this.tracker.deadline();
  }

  /** Sends the notices that are due, and fails the requests that timed out. */
  advance(): void {
    const { notices, expired } = this.tracker.advance(this.now);
    for (const notice of notices) this.#sendWaitNotice(notice);
    // The clients of calls on a silent connection are told that it is silent.
    const { connectionId, liveness } = this.links.main;
    if (liveness?.takeDueNotice(this.now)) {
      for (const notice of this.tracker.takeSuspicionNotices(connectionId)) {
        this.effects.toClient(errors.waitProgress(notice));
      }
    }
    for (const { entry, expiry } of expired) this.#expire(entry, expiry);
  }

  /** Moves every moment by the time that the program slept, in milliseconds. */
  postpone(ms: number): void {
    this.tracker.postpone(ms);
  }

  #sendWaitNotice(notice: WaitNotice): void {
    const outage = this.links.main.liveness?.isSuspect
      ? undefined
      : this.availability.outageFor(notice.message);
    this.effects.toClient(errors.waitProgress(notice, outage));
  }

  #expire(entry: ReadonlyEntry, expiry: ExpiryReason): void {
    if (entry.message.kind === "notification") {
      return this.effects.log.notificationDropped(entry.message);
    }
    const request = entry as PendingRequest;
    switch (expiry) {
      case "queue-timeout":
        this.effects.toClient(this.connections.unavailableError(request));
        // The handshake request of a link that never became ready.
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
    // A pool link carries one request at a time, and the daemon may never list
    // its tools.
    const link = this.links.get(request.hintRequirement?.connectionId);
    if (link?.role === "pool") this.connections.close(link);
  }

  /** Fails a request that has timed out, and cancels it at the daemon. */
  timeOut(request: PendingRequest, timeout: Timeout): void {
    const { arrivedAt, daemonProgress } = request;
    this.effects.toClient(errors.timedOut(
      this.rules.deliveryOf(request),
      timeout,
      this.now - arrivedAt,
      daemonProgress &&
        { agoMs: this.now - daemonProgress.at, value: daemonProgress.value },
    ));
    this.#abandon(request, timeout.setting);
  }

  #abandon(request: PendingRequest, setting: string): void {
    const link = this.links.get(request.sentOnConnectionId);
    if (link === undefined) return;
    const { method } = request.message;
    if (request.isHandshake) {
      // Its response would be dropped, and it must not be cancelled.
      return this.#endConnection(link, "initialize");
    }
    // An `initialize` must not be cancelled (MCP, utilities/cancellation).
    if (method === "initialize") {
      return this.tracker.lateResponses.add(request.key, link.connectionId);
    }
    const reason = `timed out (${setting})`;
    const frame = this.dialect.buildCancellation?.(request.key, reason);
    if (frame === undefined && link.role === "main") {
      // The request would block everything after it.
      return this.#endConnection(link, method);
    }
    this.connections.abandonRequest(link, request, frame);
  }

  #endConnection(link: Link, method: string): void {
    const reason = `the daemon did not answer ${method} in time`;
    this.connections.end(link, { reason });
  }
}
