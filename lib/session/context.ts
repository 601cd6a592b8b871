/**
 * The state that the modules of a session share, and the list of effects.
 *
 * @module
 */

import { type ListKind } from "../protocol/lists.ts";
import { ServerRequests } from "../requests/server_requests.ts";
import { DeadlineMap, type ExpiringValue } from "../requests/deadline_map.ts";
import {
  CapacityDetector,
  type ConnectionCapacity,
  type ConnectionsSetting,
} from "../link/capacity_detector.ts";
import { KnownLists } from "./known_lists.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { DroppedNotifications } from "./dropped_notifications.ts";
import type { Effect } from "../events.ts";
import * as errors from "./errors.ts";
import type { DeliveryState, LinkOutage } from "./errors.ts";
import type { ReadonlyEntry, TrackerConfig } from "../requests/entry.ts";
import {
  type Id,
  type Notification,
  type OutboundMessage,
  type Request,
  type Response,
  toSingleLine,
} from "../protocol/jsonrpc.ts";
import { ToolHints } from "../requests/tool_hints.ts";
import { ObservedIdTypes } from "../protocol/id_types.ts";
import { type Recovery, RequestTracker } from "../requests/tracker.ts";
import type { Link, LinkConfig, LinkUsage } from "../link/link.ts";
import { LinkSet } from "../link/link_set.ts";
import { ClientIds } from "./client_ids.ts";
import { type CachedResults, DaemonCache } from "../cache/cache.ts";
import type { HasUsableLink } from "../requests/queue_timers.ts";
import * as logMessages from "./log_messages.ts";
import {
  createConfigRedactor,
  createRedactor,
  type Redactor,
} from "../config/secrets.ts";
import { RunningTasks } from "../requests/running_tasks.ts";
import { OneWayMessages } from "../requests/one_way_messages.ts";
import {
  isIdempotent,
  isLongLived,
  type RetryPolicy,
} from "../protocol/methods.ts";
import {
  type Timeout,
  type TimeoutConfig,
  type Timeouts,
  timeoutsOf,
} from "../requests/timeouts.ts";

/**
 * The settings of a session; durations in milliseconds, `Infinity` for no
 * limit.
 */
export interface SessionConfig
  extends LinkConfig, TrackerConfig, TimeoutConfig {
  /** The daemon's URL without secrets, for display. */
  readonly redactedUrl: string;
  /**
   * The secrets to remove from the daemon's text before it is shown, and from
   * everything that is cached.
   */
  readonly secrets: readonly string[];
  /** The user names in URLs to remove from the daemon's text only. */
  readonly urlUsers: readonly string[];
  /** How long to run without a connection, in milliseconds. */
  readonly giveUpAfter: number;
  /** Which requests may be sent a second time. */
  readonly retry: RetryPolicy;
  /** The largest message in either direction, in UTF-16 units of its text. */
  readonly maxMessage: number;
  /** The dialect's name. */
  readonly dialect: string;
  /**
   * How long an `initialize` waits for the daemon before the client gets a
   * placeholder result, in milliseconds.
   */
  readonly initializeGrace: number;
  /** The cached results of the daemon; `undefined` if caching is off. */
  readonly cachedResults: CachedResults | undefined;
  /** The version of alwaysup. */
  readonly version: string;
  /** How many connections the daemon keeps for a client, if configured. */
  readonly connections: ConnectionsSetting;
  /** The path of the daemon's health file, if there is one. */
  readonly healthFile: string | undefined;
}

/**
 * How long a request may wait for a daemon that has already been down for
 * longer than the queue timeout, in milliseconds: a container needs 10 to 15 s
 * to boot.
 */
const LONG_OUTAGE_QUEUE_MS = 20_000;

/** The most of a daemon's own text that is shown, in UTF-16 units. */
const MAX_DAEMON_TEXT_CHARS = 400;

/**
 * A request that can be answered without the daemon if the daemon is not ready
 * in time.
 */
export interface GraceTimer extends ExpiringValue {
  /** The request. */
  readonly request: Request;
}

/** The end of a subscription that the client has not been notified of yet. */
export interface HeldSubscriptionEnd extends ExpiringValue {
  /** The request. */
  readonly request: Request;
  /** The id of the connection on which the request is in flight. */
  readonly connectionId: number;
  /** The message with which the daemon ended it. */
  readonly endMessage: Response | Notification;
}

/**
 * A request that got an unreadable response and still waits for a proper one.
 */
export interface UnclearResponse extends ExpiringValue {
  /** The request. */
  readonly request: Request;
  /** The id of the connection that the request was sent on. */
  readonly connectionId: number;
  /** The request's position among everything sent on that connection. */
  readonly writeNumber: number;
  /** A description of what the daemon sent instead of a response. */
  readonly received: string;
  /** The proxy's own requests that an error without an id may also refer to. */
  readonly otherCandidates: readonly Id[];
}

/** The shared state of a session. */
export class SessionContext {
  /** The settings. */
  readonly config: SessionConfig;
  /** The daemon's dialect. */
  readonly dialect: Dialect;
  /** The client's pending messages. */
  readonly tracker: RequestTracker;
  /** The links to the daemon. */
  readonly links: LinkSet;
  /** The daemon's lists as the client has seen them. */
  readonly knownLists: KnownLists = new KnownLists();
  /** Counts dropped notifications for the log. */
  readonly droppedNotifications: DroppedNotifications =
    new DroppedNotifications();
  /** The tool hints: which tools are safe to call twice. */
  readonly toolHints: ToolHints = new ToolHints();
  /** The daemon's requests that the client has not answered yet. */
  readonly serverRequests: ServerRequests = new ServerRequests();
  /** Finds the client's request that an id from the daemon refers to. */
  readonly clientIds: ClientIds;
  /** The JSON types of the client's progress tokens. */
  readonly progressTokens: ObservedIdTypes = new ObservedIdTypes();
  /** The messages sent to the daemon that get no response. */
  readonly oneWayMessages: OneWayMessages = new OneWayMessages();
  /** The requests that got an unreadable response. */
  readonly unclearResponses: DeadlineMap<UnclearResponse> = new DeadlineMap();
  /**
   * The requests that were sent once more because of an unreadable response.
   */
  readonly retriedRequests: WeakSet<Request> = new WeakSet();
  /** Detects how many connections the daemon keeps for a client. */
  readonly capacityDetector: CapacityDetector;
  /**
   * True once a request was sent that neither opens the session nor lists
   * anything.
   */
  hasSentCall = false;
  /** True once the daemon has answered a probe on any connection. */
  hasAnsweredProbe = false;
  /**
   * Whether the daemon answers probes while it executes a call; `undefined`
   * until a call has shown it.
   */
  answersDuringCalls: boolean | undefined;
  /** The ids of the connections on which the daemon reads too slowly. */
  readonly backloggedConnections: Set<number> = new Set();
  /** How often the daemon became usable. */
  timesConnected = 0;
  /** The client's name for itself, once it has sent one. */
  clientName: string | undefined;
  /** The cache of the daemon's results; `undefined` if caching is off. */
  readonly cache: DaemonCache | undefined;
  /** Removes secrets from the daemon's text. */
  readonly redact: Redactor;
  /**
   * The requests that wait for the daemon although they can be answered without
   * it, and until when.
   */
  readonly graceTimers: DeadlineMap<GraceTimer> = new DeadlineMap();
  /**
   * Subscription ends that arrived a moment ago. They are held because a daemon
   * that shuts down sends them, too.
   */
  readonly heldSubscriptionEnds: DeadlineMap<HeldSubscriptionEnd> =
    new DeadlineMap();
  /**
   * The lists that the daemon failed to return for a comparison: how often, and
   * when to request each again.
   */
  readonly listRetries: Map<
    ListKind,
    ExpiringValue & { readonly failures: number }
  > = new Map();
  /** The tasks that continue after their request was answered. */
  readonly tasks: RunningTasks = new RunningTasks();
  /**
   * True while a placeholder `initialize` result has not been replaced by the
   * daemon's own.
   */
  isPlaceholderActive = false;
  /** True if the client's `initialize` was answered with a placeholder. */
  wasPlaceholderUsed = false;
  #effects: Effect[] = [];
  /**
   * Whether messages had a usable link when the queue timers were last updated.
   */
  #hadUsableMain = false;
  #hadUsablePool = false;

  /** Creates the state with no messages and one link, which is due to dial. */
  constructor(
    config: SessionConfig,
    dialect: Dialect,
    random: () => number,
    now: number,
  ) {
    this.config = config;
    this.dialect = dialect;
    this.tracker = new RequestTracker(
      config,
      (message) => dialect.linkRoleFor(message),
    );
    this.clientIds = new ClientIds(this.tracker);
    this.capacityDetector = new CapacityDetector(config.connections);
    const { cachedResults } = config;
    this.redact = createConfigRedactor(config);
    this.cache = cachedResults &&
      new DaemonCache(cachedResults, now, createRedactor(config.secrets));
    this.links = new LinkSet(config, random, now);
    dialect.useClientIds(this.clientIds);
  }

  /** Redacts and truncates text that came from the daemon. */
  redactAndTruncate(text: string): string {
    return this.redact(text).slice(0, MAX_DAEMON_TEXT_CHARS);
  }

  /**
   * Logs, with the daemon's text, that the new daemon did not accept the old
   * one's state.
   */
  logRestoreFailure(problem: string): void {
    this.emit(logMessages.stateNotRestored(this.redactAndTruncate(problem)));
  }

  /** Adds an effect to the list, if there is one. */
  emit(effect: Effect | undefined): void {
    if (effect !== undefined) this.#effects.push(effect);
  }

  /** Adds an effect that sends a line to the client. */
  sendToClient(text: string): void {
    this.emit({ type: "send-to-client", text: toSingleLine(text) });
  }

  /** Logs that the daemon became usable, for the first time or again. */
  recordConnected(
    reconnect: { readonly attempt: number; readonly downMs: number },
  ): void {
    const isReconnect = this.timesConnected++ > 0;
    const { redactedUrl } = this.config;
    this.emit(
      logMessages.connected(redactedUrl, isReconnect ? reconnect : undefined),
    );
  }

  /**
   * Adds an effect that sends a request to the daemon; returns its position
   * among everything sent on that connection.
   */
  sendToDaemon({ connectionId, liveness }: Link, text: string): number {
    this.emit({ type: "send-to-daemon", connectionId, text });
    return liveness?.assignWriteNumber() ?? 0;
  }

  /**
   * Sends a message that gets no response (a notification or a response), and
   * returns its position like {@linkcode sendToDaemon}.
   */
  sendOneWay(link: Link, text: string): number {
    const writeNumber = this.sendToDaemon(link, text);
    this.oneWayMessages.onWrite(link.connectionId, writeNumber);
    return writeNumber;
  }

  /**
   * Returns whether a connection seems dead and carries only abandoned calls,
   * so that closing it risks nothing.
   */
  isDeadWithAbandonedCalls(
    { connectionId, liveness }: Link,
    now: number,
  ): boolean {
    const { tracker } = this;
    const isAbandoned = !tracker.hasCallInFlight(connectionId) &&
      tracker.isBusy(connectionId);
    return isAbandoned && liveness !== undefined &&
      liveness.seemsDead(tracker.lastCallNumber(connectionId), now);
  }

  /**
   * How many connections the daemon keeps; exai calls always have connections
   * of their own.
   */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    return this.dialect.poolSize > 0
      ? "many"
      : this.capacityDetector.connectionCapacity;
  }

  /** Caches that the daemon keeps one connection. */
  saveCapacityOne(now: number): void {
    const { cache } = this;
    if (cache === undefined) return;
    cache.storeCapacityOne(this.dialect.daemonName ?? "", now);
    this.emit({ type: "save-cache", results: cache.resultsToSave(now) });
  }

  /** Runs a function; if it throws, logs the bug and runs `onBug`. */
  runGuarded(run: () => void, onBug: () => void = () => {}): void {
    try {
      run();
    } catch (error) {
      this.emit(logMessages.bug(error));
      onBug();
    }
  }

  /** Returns the collected effects and clears the list. */
  takeEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Returns the earliest moment at which something here is due. */
  deadline(): number {
    let at = Infinity;
    for (const { until } of this.listRetries.values()) at = Math.min(at, until);
    for (
      const { earliest } of [
        this.graceTimers,
        this.heldSubscriptionEnds,
        this.unclearResponses,
      ]
    ) {
      at = Math.min(at, earliest);
    }
    return at;
  }

  /**
   * Moves every deadline by the time that the program slept, in milliseconds.
   */
  postpone(ms: number): void {
    for (const retry of this.listRetries.values()) retry.until += ms;
    for (
      const deadlines of [
        this.graceTimers,
        this.heldSubscriptionEnds,
        this.unclearResponses,
      ]
    ) deadlines.postpone(ms);
  }

  /** Records the tool hints of the daemon's tool list, or of a page of it. */
  recordToolHints(
    link: Link,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.toolHints.onToolsPage(link.connectionId, cursor, result);
    this.tracker.hintRequirements.onToolList(link.connectionId);
  }

  /** Returns what a link is needed for and what it carries. */
  usageOf(link: Link): LinkUsage {
    const { role } = link;
    const { isWanted, isUrgent } = this.#demandOf(link);
    return {
      isWanted,
      isUrgent,
      load: this.#loadOf(link),
      // Where calls have connections of their own, the daemon need not answer
      // probes on them.
      mayProbe: role !== "pool",
      mayFailOver: role === "main" && this.connectionCapacity === "many",
    };
  }

  #demandOf(link: Link): Pick<LinkUsage, "isWanted" | "isUrgent"> {
    switch (link.role) {
      case "pool": {
        const isWanted = this.links.isMainUsable &&
          this.tracker.writableCount("pool") > 0;
        // A daemon that accepts no further connection is not dialed on demand.
        return {
          isWanted,
          isUrgent: isWanted && !this.links.hasUsable("pool"),
        };
      }
      case "main": {
        // A queued `server/discover` would otherwise wait for ever, until
        // another request triggers a dial.
        const isWanted = link.isDisplaced
          ? this.tracker.hasQueuedRequestButSubscriptions
          : this.tracker.hasQueuedShortLivedRequest;
        return { isWanted, isUrgent: isWanted };
      }
      default: {
        const isWanted = this.tracker.hasQueuedShortLivedRequest;
        return { isWanted, isUrgent: isWanted && !this.links.isMainUsable };
      }
    }
  }

  #loadOf({ connectionId, liveness, role }: Link): LinkUsage["load"] {
    // After a sleep, abandoned calls are no reason to keep a connection.
    const isBusy = role === "draining" || liveness?.isUnverified === true
      ? this.tracker.hasCallInFlight(connectionId)
      : this.tracker.isBusy(connectionId);
    if (isBusy) return "busy";
    if (this.dialect.poolSize > 0) {
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

  /** Returns the timeouts of a message. */
  timeoutsOf(message: OutboundMessage): Timeouts {
    return timeoutsOf(message, this.config);
  }

  /**
   * Returns how long a request that arrives now may wait in the queue, in
   * milliseconds.
   */
  queueTimeoutMs(now: number): number {
    const { queueTimeout } = this.config;
    return this.isInLongOutage(now)
      ? Math.min(queueTimeout, LONG_OUTAGE_QUEUE_MS)
      : queueTimeout;
  }

  /**
   * Returns whether the daemon has been down for longer than the queue timeout.
   */
  isInLongOutage(now: number): boolean {
    return now - this.links.downSince > this.config.queueTimeout;
  }

  /**
   * True if the daemon is known to be down: a dial has failed, or a ready
   * connection was lost and is not open again.
   */
  get isKnownDown(): boolean {
    const { phase, attempt } = this.links.main;
    const failures = phase === "waiting" ? attempt : attempt - 1;
    return (phase === "waiting" || phase === "dialing") &&
      (this.timesConnected > 0 || failures > 0);
  }

  /**
   * How many responses are worth waiting for at shutdown: none for
   * subscriptions, and none for a queued `server/discover` while the daemon is
   * down.
   */
  get responsesWorthAwaiting(): number {
    return this.tracker.responsesWorthAwaiting(
      this.isKnownDown ? "down" : "up",
    );
  }

  /**
   * Returns whether a message only waits for its turn: the daemon is connected,
   * and no connection that the message needs has failed.
   */
  isOnlyQueued(message: OutboundMessage): boolean {
    const blockingLink = this.links.blockingLink(
      this.dialect.linkRoleFor(message),
    );
    return this.links.isMainUsable && blockingLink?.lastFailure === undefined;
  }

  /**
   * Returns the link on which the daemon refuses the proxy, if a message waits
   * for that link. A refused standby blocks no message.
   */
  refusingLinkFor(message: OutboundMessage): Link | undefined {
    const blockingLink = this.links.blockingLink(
      this.dialect.linkRoleFor(message),
    );
    const isRefused = blockingLink?.refusal !== undefined &&
      blockingLink.role !== "standby";
    return isRefused ? blockingLink : undefined;
  }

  /**
   * Returns what to do with a request in flight when its connection is lost.
   */
  recoveryFor(request: Request, now: number): Recovery {
    const windowMs = this.dialect.outcomePollWindowMs(request, now);
    if (windowMs !== undefined) {
      return { kind: "poll-outcome", limitMs: windowMs };
    }
    if (!this.mayRetry(request)) return "fail";
    return this.needsToolHint(request) ? "confirm-hint" : "resend";
  }

  /**
   * Returns whether a request may be retried only because of its tool's hint.
   */
  needsToolHint({ method }: Request): boolean {
    return this.config.retry === "safe" && method === "tools/call";
  }

  /**
   * Starts the queue timers of messages that have no usable link, and stops
   * those of the others.
   */
  updateQueueTimers(now: number): void {
    const { isMainUsable, main } = this.links;
    const hasUsableMain = isMainUsable &&
      !this.backloggedConnections.has(main.connectionId);
    // Pool links open only while the main link is usable.
    const hasUsablePool = isMainUsable && this.dialect.poolSize > 0 &&
      this.links.findUsable(
          "pool",
          ({ connectionId }) => !this.backloggedConnections.has(connectionId),
        ) !==
        undefined;
    const isUnchanged = hasUsableMain === this.#hadUsableMain &&
      hasUsablePool === this.#hadUsablePool;
    if (isUnchanged && !this.tracker.hasNewlyQueued) return;
    const hasUsableLink: HasUsableLink = (message) =>
      this.dialect.linkRoleFor(message) === "pool"
        ? hasUsablePool
        : hasUsableMain;
    this.#hadUsableMain = hasUsableMain;
    this.#hadUsablePool = hasUsablePool;
    if (isUnchanged) this.tracker.updateNewQueueTimers(now, hasUsableLink);
    else this.tracker.updateQueueTimers(now, hasUsableLink);
  }

  /** Returns whether a request may be sent a second time. */
  mayRetry(request: Request): boolean {
    if (isLongLived(request.method)) return true;
    const { retry } = this.config;
    return retry === "safe" ? this.#isIdempotent(request) : retry === "always";
  }

  /**
   * Returns a request's delivery state; without an entry, that of a request
   * that has just arrived.
   */
  deliveryOf(
    request: Request,
    entry: errors.DeliveryHistory = errors.JUST_ARRIVED,
  ): DeliveryState {
    const isHintUnconfirmed = entry.hintRequirement !== undefined &&
      entry.sentOnConnectionId === undefined;
    return {
      request,
      isIdempotent: this.#isIdempotent(request) && !isHintUnconfirmed,
      isHintUnconfirmed,
      isSent: entry.sentOnConnectionId !== undefined || entry.isOutcomePoll,
      wasEverSent: entry.writeCount > 0,
      connectionLosses: entry.connectionLosses,
    };
  }

  #isIdempotent(request: Request): boolean {
    return isIdempotent(request, (tool) => this.toolHints.isIdempotent(tool));
  }

  /** Builds the error for a request that got no usable link in time. */
  unavailableError(
    request: Request,
    entry: Omit<ReadonlyEntry, "message">,
    now: number,
  ): string {
    const delivery = this.deliveryOf(request, entry);
    if (entry.isOutcomePoll) {
      return errors.outcomeUnknown(delivery, "connection_lost");
    }
    const blockingLink = this.links.blockingLink(
      this.dialect.linkRoleFor(request),
    );
    return errors.daemonUnavailable(
      delivery,
      this.outageOf(blockingLink ?? this.links.main, now),
    );
  }

  /** Builds the error for a request that has timed out. */
  timeoutError(
    request: Request,
    entry: Omit<ReadonlyEntry, "message">,
    timeout: Timeout,
    now: number,
  ): string {
    const { arrivedAt, daemonProgress } = entry;
    return errors.timedOut(
      this.deliveryOf(request, entry),
      timeout,
      now - arrivedAt,
      daemonProgress &&
        { agoMs: now - daemonProgress.at, value: daemonProgress.value },
    );
  }

  /** Returns what is known of a link that is down. */
  outageOf(link: Link, now: number): LinkOutage {
    const until = link.deadline(this.usageOf(link));
    const isWaiting = link.phase === "waiting";
    return {
      url: this.config.redactedUrl,
      isBacklogged: this.backloggedConnections.has(link.connectionId),
      lastFailure: this.links.main.liveness?.isSuspect
        ? logMessages.timeoutReason("ready")
        : link.lastFailure,
      refusal: link.refusal,
      attempt: link.attempt,
      downMs: now - link.downSince,
      retryAfterMs: isWaiting ? Math.max(0, until - now) : undefined,
    };
  }
}
