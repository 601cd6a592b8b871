/**
 * Derives from the links whether messages can be sent, what each link is
 * needed for, how long requests may wait, and the state of an outage.
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

/** The availability of the daemon for one session. */
export class Availability {
  #timesConnected = 0;
  #hadUsableMain = false;
  #hadUsablePool = false;

  /** Creates the object for links that were never connected. */
  constructor(
    private readonly config: SessionConfig,
    private readonly dialect: Dialect,
    private readonly links: LinkSet,
    private readonly tracker: RequestTracker,
    private readonly effects: Effects,
  ) {}

  /** How often the daemon became usable: once, plus each reconnect. */
  get timesConnected(): number {
    return this.#timesConnected;
  }

  /** Counts that the daemon became usable. Returns the count before that. */
  countConnection(): number {
    return this.#timesConnected++;
  }

  /** Returns the role of the links that may carry a message. */
  roleOf(message: OutboundMessage): LinkRole {
    return this.dialect.scheduling?.roleFor(message) ?? "main";
  }

  /** How many connections the daemon keeps for a client. A pool needs many. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    return this.dialect.scheduling === undefined
      ? this.links.capacity.connectionCapacity
      : "many";
  }

  /**
   * Returns true if a link for this message is usable and not backlogged. It
   * may be busy.
   */
  hasUsableLink(message: OutboundMessage): boolean {
    return this.roleOf(message) === "pool"
      ? this.#hasUsablePool
      : this.hasUsableMain;
  }

  /** True if the main link is usable and not backlogged. */
  get hasUsableMain(): boolean {
    const { main } = this.links;
    return main.isUsable && !main.isBacklogged;
  }

  /** False while the main link is unusable: no pool link is dialed then. */
  get #hasUsablePool(): boolean {
    return this.dialect.scheduling !== undefined && this.links.isMainUsable &&
      this.links.findUsable("pool", (link) => !link.isBacklogged) !==
        undefined;
  }

  /**
   * True if there is only the main link, it needs no attention, and no message
   * waits. Then a call that is written, or the result of a call, changes only
   * the deadlines of requests and of probes.
   */
  get isCalm(): boolean {
    const { links, tracker } = this;
    return links.isMainAlone && links.main.liveness?.isCalm === true &&
      this.hasUsableMain && !links.capacity.isChecking &&
      !tracker.hasWritable && this.dialect.scheduling === undefined;
  }

  /** Starts or stops the queue timers after links became usable or unusable. */
  updateQueueTimers(): void {
    const hasMain = this.hasUsableMain;
    const hasPool = this.#hasUsablePool;
    if (hasMain === this.#hadUsableMain && hasPool === this.#hadUsablePool) {
      return;
    }
    this.#hadUsableMain = hasMain;
    this.#hadUsablePool = hasPool;
    this.tracker.updateQueueTimers(this.effects.now);
  }

  /** Returns what a link is needed for, and how busy it is. */
  usageOf(link: Link): LinkUsage {
    const { role, connectionId } = link;
    const tracker = this.tracker;
    const hasCall = tracker.hasCallInFlight(connectionId);
    const hasAbandonedCall = tracker.lateResponses
      .hasAbandonedCall(connectionId);
    // Nobody waits for an abandoned call. It is no reason to keep a draining
    // link open, or a connection that does not answer its probe after a sleep.
    const isBusy = hasCall || hasAbandonedCall && role !== "draining" &&
        link.liveness?.isUnverified !== true;
    const isWanted = this.#isWanted(link);
    return {
      isWanted,
      isUrgent: isWanted && this.#isUrgent(role),
      load: isBusy ? "busy" : this.#loadWithoutCalls(connectionId),
      // A pool link carries one call at a time. The daemon need not answer a
      // probe on it during the call.
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
    // Only a request triggers a dial of a displaced link. That includes
    // `server/discover`: it has no queue timeout, and could wait forever.
    return link.role === "main" && link.isDisplaced
      ? tracker.hasQueuedNonSubscription
      : tracker.hasQueuedShortLivedRequest;
  }

  #isUrgent(role: LinkRole): boolean {
    switch (role) {
      case "main":
        return true;
      // The daemon may accept no more connections than the pool has now, so
      // the backoff schedule decides about another dial.
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

  /** True if the main link is down after a failed dial or a lost connection. */
  get isKnownDown(): boolean {
    const { phase, attemptCount: attempt } = this.links.main;
    const failures = phase === "waiting" ? attempt : attempt - 1;
    return (phase === "waiting" || phase === "dialing") &&
      (this.#timesConnected > 0 || failures > 0);
  }

  /** Returns the link that a message waits for; undefined if one is usable. */
  blockingLinkOf(message: OutboundMessage): Link | undefined {
    return this.links.blockingLink(this.roleOf(message));
  }

  /** Returns true if a message waits although no link it needs has failed. */
  waitsWithoutFailure(message: OutboundMessage): boolean {
    return this.links.isMainUsable &&
      this.blockingLinkOf(message)?.lastFailure === undefined;
  }

  /** Describes the outage of the link that a message waits for. */
  outageOfMessage(message: OutboundMessage): LinkOutage {
    return this.outageOfLink(this.blockingLinkOf(message) ?? this.links.main);
  }

  /** Describes why and since when a link is down, and its next dial. */
  outageOfLink(link: Link): LinkOutage {
    const { now } = this.effects;
    const until = link.deadline(this.usageOf(link));
    const isWaiting = link.phase === "waiting";
    return {
      url: this.config.redactedUrl,
      isBacklogged: link.isBacklogged,
      lastFailure: this.links.main.liveness?.isUnderSuspicion
        ? timeoutReason("ready")
        : link.lastFailure,
      refusal: link.refusal,
      attempt: link.attemptCount,
      downMs: now - link.downSince,
      retryAfterMs: isWaiting ? Math.max(0, until - now) : undefined,
    };
  }
}
