/**
 * The session, the pure core of the proxy. This folder contains the session and
 * its parts. They forward messages, recover requests after a lost connection,
 * answer the client during an outage, and create log lines.
 *
 * `handle()` passes an event to one part, runs the parts that have something
 * due, and returns the effects that the parts have collected. `deadline()`
 * returns when the next `tick` event is due. Pure means that the folder uses no
 * socket, timer, clock, random source, file or console.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { Effect, SessionEvent } from "../events.ts";
import { LinkSet } from "../link/link_set.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { ServerRequests } from "../requests/server_requests.ts";
import { TimeoutRules } from "../requests/timeouts.ts";
import { ToolHints } from "../requests/tool_hints.ts";
import { RequestTracker } from "../requests/tracker.ts";
import { Availability } from "./availability.ts";
import { CircuitBreaker } from "./circuit_breaker.ts";
import { ClientIds } from "./client_ids.ts";
import { ClientMessages } from "./client_messages.ts";
import { Connections } from "./connections.ts";
import { DaemonMessages } from "./daemon_messages.ts";
import { DeliveryRules } from "./delivery_rules.ts";
import { Effects } from "./effects.ts";
import { LinkTimers } from "./link_timers.ts";
import { ListSync } from "./list_sync.ts";
import { OfflineResponses } from "./offline_responses.ts";
import { Probes } from "./probes.ts";
import { RequestExpiry } from "./request_expiry.ts";
import { ResponseCache } from "./response_cache.ts";
import { SecondConnections } from "./second_connections.ts";
import { Sender } from "./sender.ts";
import type { SessionConfig } from "./session_config.ts";
import type { Change, SharedObjects } from "./session_part.ts";
import { Shutdown } from "./shutdown.ts";
import { connectionStateOf, type Snapshot } from "./snapshot.ts";
import { UnclearResponses } from "./unclear_responses.ts";

/** A part of the session that has deadlines. */
export interface TimedPart {
  /** Returns when `advance` is due: `-Infinity` at once, `Infinity` never. */
  deadline(): number;
  /** Does everything that is due at the time of the current event. */
  advance(): void;
  /** Moves every deadline by `ms`, because the program slept. */
  postpone?(ms: number): void;
}

/** The least time, in ms, until a call or its result makes something due. */
const MIN_REACTION_MS = 250;

/** The pause after a bug in `advance`, in ms, which prevents a busy loop. */
const BUG_BACKOFF_MS = 1_000;

/** The behaviour of the proxy, from events to effects. */
export class Session {
  readonly #base: SharedObjects;
  readonly #cache: ResponseCache;
  readonly #sender: Sender;
  readonly #probes: Probes;
  readonly #secondConnections: SecondConnections;
  readonly #clientMessages: ClientMessages;
  readonly #daemonMessages: DaemonMessages;
  readonly #linkTimers: LinkTimers;
  readonly #shutdown: Shutdown;
  /** The parts with deadlines, in the order in which they are advanced. */
  readonly #timedParts: readonly TimedPart[];
  #deadline = -Infinity;
  /** True if the next plain event makes nothing due at once. */
  #isCalm = false;
  /** How long after a plain event nothing new is due, in milliseconds. */
  readonly #minReactionMs: number;
  #bugBackoffUntil = -Infinity;

  /**
   * Creates a session whose main link is due to be dialed at once. `random`
   * returns numbers in [0, 1), and `now` is in ms on a monotonic clock.
   */
  constructor(
    config: SessionConfig,
    dialect: Dialect,
    random: () => number,
    now: number,
  ) {
    const base = createBase(config, dialect, random, now);
    const cache = new ResponseCache(base);
    const lists = new ListSync(base, cache);
    const offline = new OfflineResponses(base, cache, lists);
    const probes = new Probes(base);
    const sender = new Sender(base, lists, probes);
    const connections = new Connections(base, cache, lists, offline, sender);
    const second = new SecondConnections(base, cache, probes, connections);
    const unclear = new UnclearResponses(base);
    const expiry = new RequestExpiry(base, sender, connections);
    const daemon = new DaemonMessages(
      base,
      cache,
      lists,
      offline,
      probes,
      connections,
      second,
      unclear,
      expiry,
    );
    const { circuit } = base;
    const links = new LinkTimers(base, sender, probes, connections, second);
    const { subscriptionEnds: ends } = daemon;
    const shutdown = new Shutdown(base, connections, ends, links);
    const client = new ClientMessages(
      base,
      offline,
      sender,
      connections,
      second,
    );
    this.#base = base;
    this.#cache = cache;
    this.#sender = sender;
    this.#probes = probes;
    this.#secondConnections = second;
    this.#clientMessages = client;
    this.#daemonMessages = daemon;
    this.#linkTimers = links;
    this.#shutdown = shutdown;
    // Local responses come first, so that a request that is due for one does
    // not time out in the same step.
    const requestTimers = [offline, expiry, ends, unclear, lists, sender];
    this.#timedParts = [...requestTimers, shutdown, links, second, circuit];
    const { pingInterval, pingTimeout } = config;
    this.#minReactionMs = Math.min(MIN_REACTION_MS, pingInterval, pingTimeout);
  }

  /** The number of the client's requests that have no response yet. */
  get pendingRequestCount(): number {
    return this.#base.tracker.pendingRequestCount;
  }

  /** True once the session has ended; it handles no further event. */
  get isOver(): boolean {
    return this.#shutdown.isOver;
  }

  /** Returns a summary of the session, for the status file and `doctor`. */
  snapshot(): Snapshot {
    const { availability, circuit, dialect, effects, tracker } = this.#base;
    const { main } = this.#base.links;
    const { daemonName } = dialect;
    const { clientName } = this.#clientMessages;
    return {
      client: clientName && effects.shorten(clientName),
      // The daemon may quote a secret in its name.
      daemon: daemonName && sanitizeLine(effects.shorten(daemonName)),
      circuit: circuit.state,
      connectionState: connectionStateOf(main, availability.usageOf(main)),
      reconnects: Math.max(0, availability.timesConnected - 1),
      pendingRequests: this.pendingRequestCount,
      queuedMessages: tracker.queuedCount,
      lastError: main.lastFailure,
      lastErrorAt: main.lastFailureAt,
      lastErrorCause: main.lastCause,
      connections: availability.connectionCapacity,
      answersDuringCalls: this.#probes.answersDuringCalls,
    };
  }

  /** Returns when a `tick` is due: `-Infinity` at once, `Infinity` never. */
  deadline(): number {
    return this.#deadline;
  }

  /** Handles an event and returns its effects; logs an exception as a bug. */
  handle(event: SessionEvent, now: number): Effect[] {
    if (this.isOver) return [];
    this.#base.effects.now = now;
    let change: Change = "other";
    try {
      if (event.type === "line") {
        change = this.#clientMessages.handleLine(event.text);
      } else if (event.type === "frame") {
        const { connectionId, text } = event;
        change = this.#daemonMessages.handleFrame(connectionId, text);
      } else this.#route(event);
    } catch (error) {
      this.#base.effects.log.bug(error);
    }
    if (change === "plain" && this.#isCalm && now < this.#deadline) {
      this.#deadline = Math.min(
        this.#deadline,
        this.#base.tracker.deadline(),
        now + this.#minReactionMs,
      );
      return this.#base.effects.takeEffects();
    }
    this.#sender.onEvent();
    try {
      this.#advance(now);
    } catch (error) {
      this.#base.effects.log.bug(error);
      this.#bugBackoffUntil = now + BUG_BACKOFF_MS;
      this.#deadline = this.#bugBackoffUntil;
    }
    return this.#base.effects.takeEffects();
  }

  #route(event: Exclude<SessionEvent, { type: "line" | "frame" }>): void {
    switch (event.type) {
      case "line-too-long":
        return this.#clientMessages.handleLineTooLong(event);
      case "content-length":
        return this.#clientMessages.handleContentLength(event.text);
      case "end":
        return this.#shutdown.onEnd(event.cause);
      case "stdout-full":
        return this.#linkTimers.onStdoutFull();
      case "stdout-drained":
        return this.#linkTimers.onStdoutDrained();
      case "resumed":
        return this.#onResumed(event.monotonicGapMs, event.suspendedMs);
      case "stdout-broken":
        return this.#shutdown.onStdoutBroken();
      case "tick":
        return;
      default:
        return this.#daemonMessages.handleSocketEvent(event);
    }
  }

  #advance(now: number): void {
    this.#isCalm = false;
    this.#base.availability.updateQueueTimers();
    this.#deadline = this.earliestDeadline();
    if (now >= this.#deadline) {
      for (const part of this.#timedParts) {
        if (this.isOver) break;
        part.advance();
      }
      this.#base.availability.updateQueueTimers();
      this.#deadline = this.earliestDeadline();
    }
    this.#isCalm = this.#shutdown.isRunning && this.#base.availability.isCalm;
  }

  /**
   * Asks all parts when something is due. {@linkcode deadline} is this time, or
   * an earlier one.
   */
  earliestDeadline(): number {
    if (this.isOver) return Infinity;
    let at = Infinity;
    for (const part of this.#timedParts) at = Math.min(at, part.deadline());
    return Math.max(at, this.#bugBackoffUntil);
  }

  #onResumed(monotonicGapMs: number, suspendedMs: number): void {
    const { dialect, effects, links } = this.#base;
    const sleptMs = monotonicGapMs + suspendedMs;
    effects.log.resumedAfterSleep(sleptMs, monotonicGapMs);
    dialect.onSuspended?.(suspendedMs);
    this.#cache.onSuspended(suspendedMs);
    for (const part of this.#timedParts) part.postpone?.(monotonicGapMs);
    this.#secondConnections.closeStandby();
    for (const link of links) {
      link.onResume(effects.now, monotonicGapMs, sleptMs);
    }
    this.#secondConnections.abortCapacityCheck();
  }
}

function createBase(
  config: SessionConfig,
  dialect: Dialect,
  random: () => number,
  now: number,
): SharedObjects {
  const effects = new Effects(config, now);
  const links = new LinkSet(config, random, now);
  const tracker: RequestTracker = new RequestTracker(
    config,
    (message) => availability.roleOf(message),
    (message) => availability.hasUsableLink(message),
  );
  const availability = new Availability(
    config,
    dialect,
    links,
    tracker,
    effects,
  );
  const circuit = new CircuitBreaker(
    config,
    dialect,
    links,
    tracker,
    availability,
    effects,
  );
  const toolHints = new ToolHints();
  const clientIds = new ClientIds(tracker);
  dialect.useClientIds?.(clientIds);
  return {
    config,
    effects,
    dialect,
    links,
    tracker,
    timeouts: new TimeoutRules(config),
    availability,
    circuit,
    clientIds,
    toolHints,
    serverRequests: new ServerRequests(),
    rules: new DeliveryRules(config.retry, toolHints, dialect),
  };
}
