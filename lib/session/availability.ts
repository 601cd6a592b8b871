/**
 * Whether messages can be sent: which links are usable, what each is needed
 * for, and what is known of an outage.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { Link, LinkRole, LinkUsage } from "../link/link.ts";
import type { LinkSet } from "../link/link_set.ts";
import type { OutboundMessage } from "../protocol/jsonrpc.ts";
import type { RequestTracker } from "../requests/tracker.ts";
import type { Effects } from "./effects.ts";
import type { LinkOutage } from "./errors.ts";
import type { SessionConfig } from "./session_config.ts";
import { timeoutReason } from "./session_log.ts";

/**
 * How long a request may wait if the daemon was down for longer than the queue
 * timeout, in milliseconds: a container needs 10 to 15 s to boot.
 */
const LONG_OUTAGE_QUEUE_MS = 20_000;

/** What is known of the links of a session. */
export class Availability {
  #timesConnected = 0;
  #hadUsableMain = false;
  #hadUsablePool = false;

  /** Starts with links that were never connected. */
  constructor(
    private readonly config: SessionConfig,
    private readonly dialect: Dialect,
    private readonly links: LinkSet,
    private readonly tracker: RequestTracker,
    private readonly effects: Effects,
  ) {}

  /** How often the daemon became usable. */
  get timesConnected(): number {
    return this.#timesConnected;
  }

  /** Records that the daemon became usable; returns how often before. */
  onConnected(): number {
    return this.#timesConnected++;
  }

  /** The role of the links that carry a message. */
  roleOf(message: OutboundMessage): LinkRole {
    return this.dialect.scheduling?.roleFor(message) ?? "main";
  }

  /** How many connections the daemon keeps; with a pool it keeps many. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    return this.dialect.scheduling === undefined
      ? this.links.capacity.connectionCapacity
      : "many";
  }

  /** Whether there is a usable link for a message. */
  hasUsableLink(message: OutboundMessage): boolean {
    return this.roleOf(message) === "pool"
      ? this.#hasUsablePool
      : this.#hasUsableMain;
  }

  get #hasUsableMain(): boolean {
    const { main } = this.links;
    return main.isUsable && !main.isBacklogged;
  }

  /** Pool links open only while the main link is usable. */
  get #hasUsablePool(): boolean {
    return this.dialect.scheduling !== undefined && this.links.isMainUsable &&
      this.links.findUsable("pool", (link) => !link.isBacklogged) !==
        undefined;
  }

  /** Starts or stops the queue timers, if a link became usable or unusable. */
  updateQueueTimers(): void {
    const hasMain = this.#hasUsableMain;
    const hasPool = this.#hasUsablePool;
    if (hasMain === this.#hadUsableMain && hasPool === this.#hadUsablePool) {
      return;
    }
    this.#hadUsableMain = hasMain;
    this.#hadUsablePool = hasPool;
    this.tracker.updateQueueTimers(this.effects.now);
  }

  /** Returns what a link is needed for and what it carries. */
  usageOf(link: Link): LinkUsage {
    const { role, connectionId } = link;
    const tracker = this.tracker;
    const hasCall = tracker.hasCallInFlight(connectionId);
    const hasAbandonedCall = tracker.lateResponses
      .hasAbandonedCall(connectionId);
    // After a sleep, abandoned calls are no reason to keep a connection.
    const isBusy = hasCall || hasAbandonedCall && role !== "draining" &&
        link.liveness?.isUnverified !== true;
    const isWanted = this.#isWanted(link);
    return {
      isWanted,
      isUrgent: isWanted && this.#isUrgent(role),
      load: isBusy ? "busy" : this.#loadWithoutCalls(connectionId),
      // Where calls have connections of their own, the daemon need not answer
      // probes on them.
      mayProbe: role !== "pool",
      mayFailOver: role === "main" && this.connectionCapacity === "many",
      hasOnlyAbandonedCalls: hasAbandonedCall && !hasCall,
    };
  }

  #isWanted(link: Link): boolean {
    const tracker = this.tracker;
    if (link.role === "pool") {
      return this.links.isMainUsable && tracker.writableCount("pool") > 0;
    }
    // A queued `server/discover` would otherwise wait for ever, until another
    // request triggers a dial.
    return link.role === "main" && link.isDisplaced
      ? tracker.hasQueuedRequestButSubscriptions
      : tracker.hasQueuedShortLivedRequest;
  }

  #isUrgent(role: LinkRole): boolean {
    switch (role) {
      case "main":
        return true;
      // A daemon that accepts no further connection is not dialed on demand.
      case "pool":
        return !this.links.hasUsable("pool");
      default:
        return !this.links.isMainUsable;
    }
  }

  #loadWithoutCalls(connectionId: number): LinkUsage["load"] {
    if (this.dialect.scheduling !== undefined) {
      for (const other of this.links) {
        if (this.tracker.hasCallInFlight(other.connectionId)) {
          return "busy-on-other-link";
        }
      }
    }
    return this.dialect.hasPendingOwnRequest(connectionId)
      ? "own-requests"
      : "idle";
  }

  /** Whether a dial has failed, or a lost connection is not open again. */
  get isKnownDown(): boolean {
    const { phase, attempt } = this.links.main;
    const failures = phase === "waiting" ? attempt : attempt - 1;
    return (phase === "waiting" || phase === "dialing") &&
      (this.#timesConnected > 0 || failures > 0);
  }

  /** How long a request that arrives now may wait, in milliseconds. */
  queueTimeoutMs(): number {
    const { queueTimeout } = this.config;
    const isLongOutage = this.effects.now - this.links.downSince > queueTimeout;
    return isLongOutage
      ? Math.min(queueTimeout, LONG_OUTAGE_QUEUE_MS)
      : queueTimeout;
  }

  /** Returns the link that a message waits for, if none is usable for it. */
  blockingLinkOf(message: OutboundMessage): Link | undefined {
    return this.links.blockingLink(this.roleOf(message));
  }

  /** The link a message waits for, if it is refused; a standby blocks none. */
  refusingLinkOf(message: OutboundMessage): Link | undefined {
    const link = this.blockingLinkOf(message);
    return link?.refusal !== undefined && link.role !== "standby"
      ? link
      : undefined;
  }

  /** Whether a message only waits for its turn: no link it needs has failed. */
  isOnlyQueued(message: OutboundMessage): boolean {
    return this.links.isMainUsable &&
      this.blockingLinkOf(message)?.lastFailure === undefined;
  }

  /** Returns what is known of the outage that a message waits for. */
  outageFor(message: OutboundMessage): LinkOutage {
    return this.outageOf(this.blockingLinkOf(message) ?? this.links.main);
  }

  /** Returns what is known of a link that is down. */
  outageOf(link: Link): LinkOutage {
    const { now } = this.effects;
    const until = link.deadline(this.usageOf(link));
    const isWaiting = link.phase === "waiting";
    return {
      url: this.config.redactedUrl,
      isBacklogged: link.isBacklogged,
      lastFailure: this.links.main.liveness?.isSuspect
        ? timeoutReason("ready")
        : link.lastFailure,
      refusal: link.refusal,
      attempt: link.attempt,
      downMs: now - link.downSince,
      retryAfterMs: isWaiting ? Math.max(0, until - now) : undefined,
    };
  }
}
