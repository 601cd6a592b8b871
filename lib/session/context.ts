/**
 * What the rooms of a session share: its books, and the list of what is to be
 * done.
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

/** The settings that a session follows; durations in milliseconds, `Infinity` for no limit. */
export interface SessionConfig
  extends LinkConfig, TrackerConfig, TimeoutConfig {
  /** The daemon's URL as it may be shown: without secrets. */
  readonly redactedUrl: string;
  /** What is taken out of the daemon's words before they are shown, and out of what is kept. */
  readonly secrets: readonly string[];
  /** What is taken out of its words only. */
  readonly urlUsers: readonly string[];
  /** How long to go on without a link. */
  readonly giveUpAfter: number;
  /** Which requests may be written a second time. */
  readonly retry: RetryPolicy;
  /** The largest message, either way, in UTF-16 units of its text. */
  readonly maxMessage: number;
  /** How the daemon speaks. */
  readonly dialect: string;
  /** How long an `initialize` waits for the daemon before the client is told that it is not there, in milliseconds. */
  readonly initializeGrace: number;
  /** What is remembered of the daemon; `undefined` where nothing may be. */
  readonly cachedResults: CachedResults | undefined;
  /** This program's version. */
  readonly version: string;
  /** How many connections the daemon keeps for a client, if that is set. */
  readonly connections: ConnectionsSetting;
  /** A file in which the daemon says that it lives, if there is one. */
  readonly healthFile: string | undefined;
}

/** How long a request may wait for a daemon that has been away for longer than one usually may: a container needs 10 to 15 s to boot. */
const OPEN_CIRCUIT_QUEUE_MS = 20_000;

/** How much of what a daemon says about itself is shown, in UTF-16 units. */
const MAX_DAEMON_TEXT_CHARS = 400;

/** A request that can be answered without the daemon, if that does not come. */
export interface GraceTimer extends ExpiringValue {
  /** The request. */
  readonly request: Request;
}

/** The end of a subscription that waits to be told. */
export interface HeldSubscriptionEnd extends ExpiringValue {
  /** The request. */
  readonly request: Request;
  /** The connection id of the link that it is in flight on. */
  readonly connectionId: number;
  /** How the daemon said it. */
  readonly endMessage: Response | Notification;
}

/** A request whose answer could not be understood, and that waits for a proper one. */
export interface UnclearResponse extends ExpiringValue {
  /** The request. */
  readonly request: Request;
  /** The connection id of the link that it was written to. */
  readonly connectionId: number;
  /** Its place in the order of what was written there. */
  readonly writeNumber: number;
  /** What came instead of an answer. */
  readonly received: string;
  /** The proxy's own requests that could be meant as well. */
  readonly otherCandidates: readonly Id[];
}

/** The books of a session. */
export class SessionContext {
  /** The settings. */
  readonly config: SessionConfig;
  /** How the daemon speaks. */
  readonly dialect: Dialect;
  /** What is owed to the client. */
  readonly tracker: RequestTracker;
  /** The links to the daemon. */
  readonly links: LinkSet;
  /** What the client was told of the daemon's lists. */
  readonly knownLists: KnownLists = new KnownLists();
  /** What the log says of notifications that are dropped. */
  readonly droppedNotifications: DroppedNotifications =
    new DroppedNotifications();
  /** Which tools may be called twice. */
  readonly toolHints: ToolHints = new ToolHints();
  /** What the client owes to the daemon. */
  readonly serverRequests: ServerRequests = new ServerRequests();
  /** Which request an id of the daemon's means. */
  readonly clientIds: ClientIds;
  /** The JSON types of its progress tokens. */
  readonly progressTokens: ObservedIdTypes = new ObservedIdTypes();
  /** What was written that no answer comes to. */
  readonly oneWayMessages: OneWayMessages = new OneWayMessages();
  /** The requests whose answers could not be understood. */
  readonly unclearResponses: DeadlineMap<UnclearResponse> = new DeadlineMap();
  /** Those that were written once more because of that. */
  readonly retriedRequests: WeakSet<Request> = new WeakSet();
  /** How many connections the daemon keeps for a client. */
  readonly capacityDetector: CapacityDetector;
  /** Whether a request was written that is neither the client's opening nor a list. */
  hasSentCall = false;
  /** Whether the daemon has answered a probe on any connection. */
  hasAnsweredProbe = false;
  /** Whether the daemon answers a probe while it is at a call; `undefined` as long as no call has shown it. */
  answersDuringCalls: boolean | undefined;
  /** The connection ids of connections on which the daemon does not read. */
  readonly backloggedConnections: Set<number> = new Set();
  /** How often the daemon became usable. */
  timesConnected = 0;
  /** What the client calls itself, as soon as it has said so. */
  clientName: string | undefined;
  /** What is remembered of the daemon; `undefined` where nothing may be. */
  readonly cache: DaemonCache | undefined;
  /** Takes secrets out of the daemon's words. */
  readonly redact: Redactor;
  /** The requests that wait for the daemon although they can be answered without it, and for how long. */
  readonly graceTimers: DeadlineMap<GraceTimer> = new DeadlineMap();
  /** The ends of subscriptions that came just now: a daemon that is going away says the same. */
  readonly heldSubscriptionEnds: DeadlineMap<HeldSubscriptionEnd> =
    new DeadlineMap();
  /** What the daemon has failed to list for a comparison, how often, and when it is asked again. */
  readonly listRetries: Map<
    ListKind,
    ExpiringValue & { readonly failures: number }
  > = new Map();
  /** What goes on after its request was answered. */
  readonly tasks: RunningTasks = new RunningTasks();
  /** The client was told something made up, and has not heard better since. */
  isPlaceholderActive = false;
  /** It was at the beginning. */
  wasPlaceholderUsed = false;
  #effects: Effect[] = [];
  /** Whether messages had a link at the last update of the waits. */
  #hadMain = false;
  #hadPool = false;

  /** Empty books, and one link that wants to be dialed. */
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

  /** The daemon's own words, not all of them, and without a secret that it quotes. */
  redactAndTruncate(text: string): string {
    return this.redact(text).slice(0, MAX_DAEMON_TEXT_CHARS);
  }

  /** Says in the log that the daemon, in whose words, is not where the old one was. */
  logRestoreFailure(problem: string): void {
    this.emit(logMessages.stateNotRestored(this.redactAndTruncate(problem)));
  }

  /** Puts an effect on the list, if there is one. */
  emit(effect: Effect | undefined): void {
    if (effect !== undefined) this.#effects.push(effect);
  }

  /** Puts a line for the client on the list. */
  sendToClient(text: string): void {
    this.emit({ type: "send-to-client", text: toSingleLine(text) });
  }

  /** The daemon can be used: for the first time, or again. */
  recordConnected(
    reconnect: { readonly attempt: number; readonly downMs: number },
  ): void {
    const isReconnect = this.timesConnected++ > 0;
    const { redactedUrl } = this.config;
    this.emit(
      logMessages.connected(redactedUrl, isReconnect ? reconnect : undefined),
    );
  }

  /** Puts a request for the daemon on the list; gives its place in the order of what was written on the link. */
  sendToDaemon({ connectionId, liveness }: Link, text: string): number {
    this.emit({ type: "send-to-daemon", connectionId, text });
    return liveness?.assignWriteNumber() ?? 0;
  }

  /** The same for what no answer comes to: a notification, or an answer. */
  sendOneWay(link: Link, text: string): number {
    const writeNumber = this.sendToDaemon(link, text);
    this.oneWayMessages.onWrite(link.connectionId, writeNumber);
    return writeNumber;
  }

  /** Whether a link seems to be dead, and nobody waits for the calls on it any more, so that nothing is risked. */
  isDeadWithoutCallers({ connectionId, liveness }: Link, now: number): boolean {
    const { tracker } = this;
    const isAbandoned = !tracker.hasCallInFlight(connectionId) &&
      tracker.isBusy(connectionId);
    return isAbandoned && liveness !== undefined &&
      liveness.seemsDead(tracker.lastCallNumber(connectionId), now);
  }

  /** How many connections the daemon keeps; for exai calls have connections of their own. */
  get connectionCapacity(): ConnectionCapacity | "unknown" {
    return this.dialect.poolSize > 0
      ? "many"
      : this.capacityDetector.connectionCapacity;
  }

  /** It keeps one, which is remembered for the next time. */
  saveCapacityOne(now: number): void {
    const { cache } = this;
    if (cache === undefined) return;
    cache.storeCapacityOne(this.dialect.daemonName ?? "", now);
    this.emit({ type: "save-cache", results: cache.resultsToSave(now) });
  }

  /** Does something; a bug of ours in it is logged, and costs no more than what `mend` says. */
  runGuarded(run: () => void, onBug: () => void = () => {}): void {
    try {
      run();
    } catch (error) {
      this.emit(logMessages.bug(error));
      onBug();
    }
  }

  /** The list so far, which begins anew. */
  drainEffects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** The first of the moments that something here waits for. */
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

  /** Every moment comes so much later: the program slept. */
  postpone(ms: number): void {
    for (const it of this.listRetries.values()) it.until += ms;
    for (
      const it of [
        this.graceTimers,
        this.heldSubscriptionEnds,
        this.unclearResponses,
      ]
    ) it.postpone(ms);
  }

  /** The daemon's tools, or a page of them, came on a link. */
  recordToolHints(
    link: Link,
    cursor: string | undefined,
    result: unknown,
  ): void {
    this.toolHints.onToolsPage(link.connectionId, cursor, result);
    this.tracker.hintRequirements.onToolList(link.connectionId);
  }

  /** What a link is wanted for and busy with. */
  usageOf(link: Link): LinkUsage {
    const { role } = link;
    const { isWanted, isUrgent } = this.#demandOf(link);
    return {
      isWanted,
      isUrgent,
      load: this.#loadOf(link),
      // Where calls have connections of their own, the daemon need not answer on them.
      mayProbe: role !== "pool",
      mayFailOver: role === "main" && this.connectionCapacity === "many",
    };
  }

  #demandOf(link: Link): Pick<LinkUsage, "isWanted" | "isUrgent"> {
    switch (link.role) {
      case "pool": {
        const isWanted = this.links.isMainUsable &&
          this.tracker.writableCount("pool") > 0;
        // A daemon that takes no further connection is not dialed on demand.
        return {
          isWanted,
          isUrgent: isWanted && !this.links.hasUsable("pool"),
        };
      }
      case "main": {
        // What is held would else wait for another request for ever.
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
    // After a sleep nothing is risked for calls that nobody waits for.
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

  /** How long a message may take. */
  timeoutsOf(message: Request | Notification): Timeouts {
    return timeoutsOf(message, this.config);
  }

  /** How long a request that comes now may wait for a link, in milliseconds. */
  queueTimeoutMs(now: number): number {
    const { queueTimeout } = this.config;
    return this.isCircuitOpen(now)
      ? Math.min(queueTimeout, OPEN_CIRCUIT_QUEUE_MS)
      : queueTimeout;
  }

  /** Whether the daemon has been away for longer than a request may wait. */
  isCircuitOpen(now: number): boolean {
    return now - this.links.downSince > this.config.queueTimeout;
  }

  /** Whether the daemon is known to be away: a dial has failed, or what was ready is lost and not open again. */
  get isKnownDown(): boolean {
    const { phase, attempt } = this.links.main;
    const failures = phase === "waiting" ? attempt : attempt - 1;
    return (phase === "waiting" || phase === "dialing") &&
      (this.timesConnected > 0 || failures > 0);
  }

  /** How many answers are owed that are worth waiting for at the end: a subscription has none, and what is held none from a daemon that is away. */
  get responsesWorthAwaiting(): number {
    return this.tracker.responsesWorthAwaiting(
      this.isKnownDown ? "down" : "up",
    );
  }

  /** Whether a message only waits for its turn: the daemon is there, and nothing was lost. */
  isOnlyQueued(message: Request | Notification): boolean {
    const blockingLink = this.links.blockingLink(
      this.dialect.linkRoleFor(message),
    );
    return this.links.isMainUsable && blockingLink?.lastFailure === undefined;
  }

  /** The link on which the daemon refuses us, if that is why a message waits; a second connection is refused for itself alone. */
  refusingLinkFor(message: Request | Notification): Link | undefined {
    const blockingLink = this.links.blockingLink(
      this.dialect.linkRoleFor(message),
    );
    const isRefused = blockingLink?.refusal !== undefined &&
      blockingLink.role !== "standby";
    return isRefused ? blockingLink : undefined;
  }

  /** What becomes of a request in flight when its link is lost. */
  recoveryFor(request: Request, now: number): Recovery {
    const windowMs = this.dialect.outcomePollWindowMs(request, now);
    if (windowMs !== undefined) {
      return { kind: "poll-outcome", limitMs: windowMs };
    }
    if (!this.mayRetry(request)) return "give up";
    return this.needsToolHint(request) ? "confirm-hint" : "resend";
  }

  /** Whether a request may be written a second time only because the daemon says so of its tool. */
  needsToolHint({ method }: Request): boolean {
    return this.config.retry === "safe" && method === "tools/call";
  }

  /** The waits of what is in the queue begin or end: it waits while no link is ready for it. */
  updateQueueTimers(now: number): void {
    const { isMainUsable, main } = this.links;
    const hasMain = isMainUsable &&
      !this.backloggedConnections.has(main.connectionId);
    // Without a main link there is no further one of the pool.
    const hasPool = isMainUsable && this.dialect.poolSize > 0 &&
      this.links.findUsable(
          "pool",
          ({ connectionId }) => !this.backloggedConnections.has(connectionId),
        ) !==
        undefined;
    const isUnchanged = hasMain === this.#hadMain && hasPool === this.#hadPool;
    if (isUnchanged && !this.tracker.hasNewlyQueued) return;
    const hasUsableLink: HasUsableLink = (message) =>
      this.dialect.linkRoleFor(message) === "pool" ? hasPool : hasMain;
    this.#hadMain = hasMain;
    this.#hadPool = hasPool;
    if (isUnchanged) this.tracker.updateNewQueueTimers(now, hasUsableLink);
    else this.tracker.updateQueueTimers(now, hasUsableLink);
  }

  /** Whether a request may be written a second time. */
  mayRetry(request: Request): boolean {
    if (isLongLived(request.method)) return true;
    const { retry } = this.config;
    return retry === "safe" ? this.#isIdempotent(request) : retry === "always";
  }

  /** What became of a request; by default it has only just come. */
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

  /** The error for a request that no link came for in time. */
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

  /** The error for a request whose `limit` has passed. */
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

  /** What is known of a link that is down. */
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
