/**
 * A session between a client and a daemon of the liveness simulations. Their
 * network can lose messages, stop, and resume. Every promise is checked at
 * every event.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import type { CachedResults } from "../../lib/cache/cache.ts";
import type { Session } from "../../lib/session/session.ts";
import { CheckedSession } from "../helpers/session/checked_session.ts";
import type { Snapshot } from "../../lib/session/snapshot.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { STATELESS_META } from "../helpers/session/cold_start_driver.ts";
import { type MessageHabits } from "./message_habits.ts";
import {
  isDead,
  isDone,
  isOrdinaryRequest,
  type LivenessConnection,
  LivenessInvariants,
  type LivenessRequest,
  newConnection,
} from "./liveness_invariants.ts";
import {
  type DaemonBehavior,
  isProbeMethod,
  LivenessDaemon,
} from "./liveness_daemon.ts";
import { type NetworkTiming, SimulatedNetwork } from "./liveness_network.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/** The parameters of a simulated session. */
export interface SessionPlan extends NetworkTiming {
  readonly behavior: DaemonBehavior;
  readonly config: SessionConfig;
  /** How the daemon formats its messages. */
  readonly messageHabits: MessageHabits;
  /** True if the cache says that the daemon keeps one connection. */
  readonly isCachedAsOne: boolean;
  /** True if the client uses protocol version 2026-07-28. */
  readonly isStateless: boolean;
}

/** How long an idle connection may be silent: 5 s, and 5 s for a probe. */
const MAX_IDLE_SILENCE_MS = 10_001;
/** How soon a call on a dead connection must get a response. */
const DEAD_RESPONSE_MS = 18_000;
/** The minimum interval of the probes that precede a call. */
const LEADING_PROBE_INTERVAL_MS = 1_000;
/** How long a silent connection may be kept after a sleep. */
const MAX_SILENCE_AFTER_SLEEP_MS = 40_000;
/** How long after a sleep the proxy may give up a living connection. */
const SLEEP_GRACE_MS = 25_000;
/** How long a daemon takes to notice that a client has gone. */
const DAEMON_NOTICES_MS = 20_000;
/** The maximum number of pings in a period. */
const PING_LIMITS: readonly (readonly [count: number, ms: number])[] = [
  [9, 1_000],
  [40, 10_000],
];
const MAX_STEPS = 60_000;

/** A client, a proxy, a network and a daemon. */
export class LivenessSession {
  readonly scheduler: Scheduler;
  readonly plan: SessionPlan;
  readonly invariants: LivenessInvariants;
  readonly daemon: LivenessDaemon;
  readonly #session: Session;
  readonly #connections = new Map<number, LivenessConnection>();
  readonly #network: SimulatedNetwork;
  #isEnded = false;
  #disturbances = 0;
  #pingTimes: number[] = [];
  /** True once the client knows which tools are read-only. */
  #hasToolList = false;
  #postponedActions: (() => void)[] = [];
  /** Since when there is a usable connection; `undefined` if there is none. */
  #usableSince: number | undefined;
  exitCode: number | undefined;
  readonly tally = {
    ...{
      dials: 0,
      displaced: 0,
      "displaced late": 0,
      hidden: 0,
      remembered: 0,
      freezes: 0,
    },
    ...{ cuts: 0, stalls: 0, sleeps: 0, "ended in time": 0, pings: 0 },
  };

  constructor(scheduler: Scheduler, plan: SessionPlan) {
    this.scheduler = scheduler;
    this.plan = plan;
    this.invariants = new LivenessInvariants(plan.messageHabits.idType);
    this.#network = new SimulatedNetwork(scheduler, plan);
    const { random } = scheduler;
    this.#session = new CheckedSession(plan.config, new Mcp(random), random, 0);
    this.daemon = new LivenessDaemon(scheduler, plan.behavior, {
      onOpen: (connectionId) =>
        this.#handleAccept(this.#connections.get(connectionId)!),
      send: (connectionId, message) =>
        this.#sendFromDaemon(this.#connections.get(connectionId)!, message),
      close: (connectionId, code) =>
        this.#closeByDaemon(this.#connections.get(connectionId)!, code),
      onCallStart: (id) => this.invariants.recordExecution(id),
      onDisplaced: (connectionId, by) => {
        const [connection, newer] = [connectionId, by].map((it) =>
          this.#connections.get(it)!
        );
        // A connection that the proxy closed long ago may reach the daemon once
        // the network is back.
        if (newer!.closedByProxyAt === undefined) {
          this.#checkDisplaced(connection!);
        }
      },
    });
    this.#handle({ type: "tick" });
  }

  /** What the proxy has learned about the daemon. */
  get snapshot(): Pick<Snapshot, "connections" | "answersDuringCalls"> {
    return this.#session.snapshot();
  }

  /** Simulates until a moment, or until the proxy exits. */
  runUntil(until: number): void {
    const { scheduler } = this;
    for (let step = 0; this.exitCode === undefined; step++) {
      assert(step < MAX_STEPS, "the simulation does not end");
      const wake = scheduler.isSuspended ? Infinity : this.#session.deadline();
      if (scheduler.runNext(Math.min(wake, until))) continue;
      if (wake > until) return void (scheduler.now = until);
      assert(wake < Infinity, "no event and no deadline is left");
      scheduler.now = Math.max(scheduler.now, wake);
      this.#handle({ type: "tick" });
    }
  }

  // The client

  /**
   * Runs an action of the client after a delay. The client sleeps while the
   * program sleeps.
   */
  scheduleClient(ms: number, run: () => void): void {
    this.scheduler.schedule(ms, () => {
      if (this.scheduler.isSuspended) this.#postponedActions.push(run);
      else run();
    });
  }

  /** Sends the client's first request. */
  openConversation(): void {
    if (this.plan.isStateless) return void this.request("server/discover");
    this.request("initialize", {
      params: { protocolVersion: "2025-06-18", capabilities: {} },
    });
  }

  callTool(
    tool: "look" | "write",
    ms: number,
    token?: string,
  ): LivenessRequest {
    const isSafe = tool === "look";
    return this.request("tools/call", {
      isSafe,
      ms,
      token,
      params: { name: tool },
    });
  }

  request(
    method: string,
    { ms = 0, isSafe = true, token, params }: {
      readonly ms?: number;
      readonly isSafe?: boolean;
      readonly token?: string | undefined;
      readonly params?: Json;
    } = {},
  ): LivenessRequest {
    const requestedAt = this.scheduler.awakeMs;
    const request = this.invariants.recordRequest({
      method,
      ms,
      isSafe,
      requestedAt,
      token,
    });
    if (isOrdinaryRequest(request)) this.#setDeadline(request);
    const progress = token === undefined ? {} : { progressToken: token };
    const _meta = { ...progress, ...(this.plan.isStateless && STATELESS_META) };
    const { id } = request;
    this.#sendFromClient({ id, method, params: { ...params, ms, _meta } });
    return request;
  }

  cancel(request: LivenessRequest): void {
    if (isDone(request)) return;
    request.cancelledAt = this.scheduler.awakeMs;
    this.notify("notifications/cancelled", { requestId: request.id });
  }

  notify(method: string, params?: Json): void {
    if (params?.ms > 0) this.#disturbances++;
    this.#sendFromClient({ method, params });
  }

  end(): void {
    this.#isEnded = true;
    this.#handle({ type: "end", cause: "stdin" });
  }

  #sendFromClient(message: Json): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#handle({ type: "line", text });
  }

  #receiveAtClient(text: string): void {
    const message = JSON.parse(text);
    const { method, params, error } = message;
    if (method === "notifications/progress") {
      return this.invariants.recordProgress(params);
    }
    if (method !== undefined) return;
    const now = this.scheduler.awakeMs;
    const request = this.invariants.recordResponse(message, now);
    if (!this.#isEnded) this.#checkResponse(request, now);
    const isList = request.method === "tools/list";
    if (isList && error === undefined) this.#hasToolList = true;
    if (request.method !== "initialize") return;
    if (error !== undefined) {
      return this.scheduleClient(1_000, () => this.openConversation());
    }
    this.scheduleClient(1, () => this.notify("notifications/initialized"));
  }

  /** Checks that a response comes in time, and that an error has a cause. */
  #checkResponse(request: LivenessRequest, now: number): void {
    const { id, outcome, requestedAt, connection } = request;
    if (outcome === "timed out") {
      const { idleTimeout, requestTimeout } = this.plan.config;
      const least = Math.min(idleTimeout, requestTimeout);
      return assert(
        now - requestedAt >= least - 1,
        `${id} timed out too early`,
      );
    }
    if (!isOrdinaryRequest(request)) return;
    if (outcome === "told") {
      assert(
        connection !== undefined,
        `${id} got an error, but was never sent`,
      );
      const isLost = !this.#isLiving(connection) ||
        this.#hasJustResumed(connection);
      assert(isLost, `${id} was ended on a living connection`);
    }
    if (outcome === "unavailable") {
      const since = this.#usableSince ?? Infinity;
      assert(
        requestedAt < since,
        `${id} was not sent, but a connection was living`,
      );
    }
    this.#checkDeadline(request, now);
  }

  /** Checks that a dead connection is noticed in time. */
  #checkDeadline(request: LivenessRequest, now: number): void {
    const { deadline, id } = request;
    if (
      deadline === undefined || deadline.disturbances !== this.#disturbances
    ) return;
    const late = now - deadline.by - this.#maxWorkMs(request);
    assert(late <= 0, `${id} had no response ${late} ms after its deadline`);
    if (request.outcome === undefined) return;
    this.tally["ended in time"]++;
    // The request can be sent on any other connection.
    assertEquals(request.outcome, "answered", `${id}`);
  }

  /** Returns how long the daemon may work before it answers a request. */
  #maxWorkMs(request: LivenessRequest): number {
    const { writtenAt } = request;
    const { serving, maxBlockingMs } = this.plan.behavior;
    let ms = serving === "phases" ? maxBlockingMs : 0;
    for (const it of this.invariants.all) {
      // A daemon that does one thing at a time may execute other calls before
      // this one or after it.
      const mayRun = it === request || it.isSafe ||
        /^serial|^late/.test(serving);
      const mayDelay = it.writtenAt !== undefined && mayRun &&
        (it.answeredAt ?? Infinity) >= writtenAt!;
      if (mayDelay) ms += it.ms;
    }
    return ms;
  }

  /** Gives a request a deadline if it must make the proxy notice a freeze. */
  #setDeadline(request: LivenessRequest): void {
    const now = this.scheduler.awakeMs;
    for (const connection of this.#openConnections()) {
      const isFirst = isDead(connection) &&
        this.invariants.inFlight(connection).length === 0;
      // While anything but the proxy's probes is unanswered, no probe precedes
      // a call.
      const isSettled = connection.unansweredIds.every((id) =>
        connection.pingIds.has(id)
      );
      const isLed = isSettled &&
        now - connection.lastPingAt > LEADING_PROBE_INTERVAL_MS;
      if (isFirst && !isLed) connection.mustBeNoticed = false;
    }
    const [only, ...others] = this.#openConnections();
    if (others.length === 0 && only?.mustBeNoticed && isDead(only)) {
      const by = now + DEAD_RESPONSE_MS;
      request.deadline = { by, disturbances: this.#disturbances };
    }
  }

  // The network

  /**
   * Freezes the open connections: every message on the way and every later one
   * is lost.
   */
  freezeConnections(direction: "both" | "up" | "down" = "both"): void {
    this.#countDisturbance("freezes");
    const { behavior } = this.plan;
    const isIdle = behavior.serving !== "serial as a whole" ||
      !this.daemon.isBusy && direction !== "down";
    const keepsTwo = behavior.secondConnection === "many" &&
      this.snapshot.connections === "many";
    for (const connection of this.#openConnections()) {
      if (isDead(connection)) continue;
      connection.mustBeNoticed = keepsTwo && isIdle && connection.hasPonged &&
        connection.unansweredIds.length === 0;
      if (direction !== "down") connection.up.isDead = true;
      if (direction !== "up") connection.down.isDead = true;
      this.scheduler.schedule(
        DAEMON_NOTICES_MS,
        () => this.daemon.connectionLost(connection.connectionId),
      );
    }
  }

  /**
   * Takes the network down for all connections. Messages sent during that time
   * arrive later.
   */
  cutNetwork(ms: number): void {
    if (this.#network.isCut) return;
    this.#countDisturbance("cuts");
    this.#network.cut(ms, () => this.#disturbances++);
  }

  /** Suspends the daemon's process for a while. */
  suspendDaemon(ms: number): void {
    this.#countDisturbance("stalls");
    this.daemon.suspend(ms);
    this.scheduler.schedule(ms, () => this.#disturbances++);
  }

  /** Suspends the client and the proxy, as when a laptop sleeps. */
  suspendProxy(ms: number, network: "stays" | "forgets"): void {
    const { scheduler } = this;
    if (scheduler.isSuspended) return;
    this.#countDisturbance("sleeps");
    scheduler.suspend();
    scheduler.schedule(ms, () => {
      this.#disturbances++;
      const monotonicGapMs = scheduler.resume();
      for (const connection of this.#openConnections()) {
        connection.resumedAt = scheduler.awakeMs;
        connection.mustBeNoticed = false;
        if (network === "stays") continue;
        connection.up.isDead = connection.down.isDead = true;
        scheduler.schedule(
          DAEMON_NOTICES_MS,
          () => this.daemon.connectionLost(connection.connectionId),
        );
      }
      this.#handle({ type: "resumed", monotonicGapMs, suspendedMs: 0 });
      this.#network.resume();
      for (const run of this.#postponedActions.splice(0)) {
        this.scheduleClient(scheduler.random() * 10, run);
      }
    });
  }

  #countDisturbance(what: "freezes" | "cuts" | "stalls" | "sleeps"): void {
    this.tally[what]++;
    this.#disturbances++;
  }

  #dial(connectionId: number): void {
    this.tally.dials++;
    const isSecond = this.#openConnections().some((
      { isOpen, isClosedByDaemon: isClosed },
    ) => isOpen && !isClosed);
    const isRisk = isSecond && this.snapshot.connections !== "many" &&
      this.invariants.hasWrittenCall;
    assert(!isRisk, "a second connection after a call");
    const connection = newConnection(connectionId, this.scheduler.awakeMs);
    this.#connections.set(connectionId, connection);
    this.#network.dial(connection, () => this.daemon.accept(connectionId));
  }

  #handleAccept(connection: LivenessConnection): void {
    connection.isAccepted = true;
    const { connectionId } = connection;
    if (connection.closedByProxyAt !== undefined) {
      return this.daemon.connectionLost(connectionId);
    }
    this.#network.send(connection, connection.down, () => {
      if (connection.closedByProxyAt !== undefined) return;
      connection.isOpen = true;
      this.#handle({ type: "open", connectionId });
    });
  }

  #sendFromDaemon(connection: LivenessConnection, message: Json): void {
    this.#network.send(connection, connection.down, () => {
      if (connection.closedByProxyAt !== undefined) return;
      connection.lastMessageAt = this.scheduler.awakeMs;
      const { id } = message;
      connection.proxyRequestIds.delete(id);
      removeSettled(connection, id);
      const text = this.plan.messageHabits.formatFrame(message);
      this.#handle({
        type: "frame",
        connectionId: connection.connectionId,
        text,
      });
    });
  }

  #closeByDaemon(connection: LivenessConnection, code: number): void {
    connection.isClosedByDaemon = true;
    if (
      connection.closedByProxyAt === undefined &&
      this.invariants.inFlight(connection).length > 0
    ) {
      this.tally["displaced late"]++;
    }
    const { connectionId } = connection;
    this.#network.send(connection, connection.down, () => {
      const reason = `code ${code}`;
      if (connection.closedByProxyAt !== undefined) return;
      this.#handle({
        type: "closed",
        connectionId,
        code,
        reason,
        mayHaveReachedServer: true,
      });
    });
  }

  /** Checks that the proxy was allowed to have its own connection displaced. */
  #checkDisplaced(connection: LivenessConnection): void {
    if (connection.closedByProxyAt !== undefined) return;
    const { config, behavior, isCachedAsOne } = this.plan;
    const { connections } = config;
    const most = connections === "auto" && !isCachedAsOne ? 1 : 0;
    const count = ++this.tally.displaced;
    // If something else happens before the daemon closes the old connection,
    // the proxy cannot know why it was closed.
    const isHidden = behavior.closeDelayMs > 0 && this.#disturbances > 0 &&
      behavior.untilClosed === "served" && connections === "auto";
    if (isHidden) return void this.tally.hidden++;
    assert(
      count <= most,
      `the proxy displaced its own connection ${count} times`,
    );
    const calls = this.invariants.inFlight(connection);
    assert(calls.length === 0, `displaced with ${calls[0]?.id} in flight`);
  }

  // The proxy

  #handle(event: SessionEvent): void {
    if (this.exitCode !== undefined) return;
    const effects = this.#session.handle(event, this.scheduler.now);
    for (const effect of effects) this.#perform(effect);
    this.#checkConnections();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dial(effect.connectionId);
      case "send-to-daemon":
        return this.#sendToDaemon(
          this.#connections.get(effect.connectionId)!,
          effect.text,
        );
      case "close":
        return this.#closeByProxy(this.#connections.get(effect.connectionId)!);
      case "send-to-client":
        return this.#receiveAtClient(effect.text);
      case "log":
        return assert(effect.event !== "bug", effect.message);
      case "save-cache":
        return this.#checkSavedCache(effect.results);
      case "exit":
        this.exitCode = effect.code;
    }
  }

  /** If the cache says that the daemon keeps one connection, checks that. */
  #checkSavedCache({ oneConnectionDaemons: one = {} }: CachedResults): void {
    if (Object.keys(one).length === 0) return;
    this.tally.remembered++;
    const isTrue = this.plan.behavior.secondConnection !== "many";
    assert(isTrue || this.#disturbances > 0, "a wrong capacity was cached");
  }

  #sendToDaemon(connection: LivenessConnection, text: string): void {
    assert(
      connection.isOpen && connection.closedByProxyAt === undefined,
      "sent on a connection that is not open",
    );
    const message = JSON.parse(text);
    const { id, method } = message;
    const now = this.scheduler.awakeMs;
    const request = this.invariants.get(id);
    if (request !== undefined && method !== undefined) {
      this.invariants.recordWrite(request, connection, now);
      // The first message on a connection is not a probe.
    } else if (
      isProbeMethod(method) && connection.lastMessageAt !== undefined
    ) {
      this.#recordPing(connection, id);
    } else if (id !== undefined && method !== undefined) {
      connection.proxyRequestIds.add(id);
    }
    connection.unansweredIds.push(id);
    this.#network.send(
      connection,
      connection.up,
      () => this.daemon.receive(connection.connectionId, message),
    );
  }

  #recordPing(connection: LivenessConnection, id: string | number): void {
    const now = this.scheduler.awakeMs;
    connection.pingIds.add(id);
    connection.lastPingAt = now;
    this.tally.pings++;
    this.#pingTimes.push(now);
    for (const [count, ms] of PING_LIMITS) {
      // After a sleep, and during silence, the proxy pings each connection.
      const most = count +
        this.#openConnections().length * Math.ceil(ms / 5_000);
      const before = this.#pingTimes.at(-1 - most) ?? -Infinity;
      assert(now - before > ms, `${most + 1} pings in ${now - before} ms`);
    }
  }

  #closeByProxy(connection: LivenessConnection): void {
    if (connection.closedByProxyAt !== undefined) return;
    const isLiving = this.#isLiving(connection) &&
      !this.#hasJustResumed(connection);
    const [call] = this.invariants.inFlight(connection);
    const isHarm = isLiving && call !== undefined && !this.#isEnded;
    assert(
      !isHarm,
      `a living connection was closed with ${call?.id} in flight`,
    );
    connection.closedByProxyAt = this.scheduler.awakeMs;
    if (!connection.isAccepted) return;
    this.#network.send(
      connection,
      connection.up,
      () => this.daemon.connectionLost(connection.connectionId),
    );
  }

  #openConnections(): LivenessConnection[] {
    return [...this.#connections.values()].filter((it) =>
      it.closedByProxyAt === undefined
    );
  }

  /** Returns whether the daemon can still answer requests on a connection. */
  #isLiving(connection: LivenessConnection): boolean {
    return connection.isOpen && !connection.isClosedByDaemon &&
      !isDead(connection) &&
      !this.daemon.isIgnoring(connection.connectionId);
  }

  #hasUnwrittenRequest(): boolean {
    return [...this.invariants.all].some((it) =>
      !isDone(it) && it.writeCount === 0
    );
  }

  #hasJustResumed({ resumedAt = -Infinity }: LivenessConnection): boolean {
    return this.scheduler.awakeMs - resumedAt < SLEEP_GRACE_MS;
  }

  #checkConnections(): void {
    if (this.#isEnded) return;
    const now = this.scheduler.awakeMs;
    const openConnections = this.#openConnections();
    for (const connection of openConnections) {
      connection.lastBusyAt = this.invariants.lastBusyAt(connection, now);
      if (connection.lastMessageAt === undefined) continue;
      const { lastBusyAt, lastMessageAt, resumedAt = 0 } = connection;
      const silent = now - Math.max(lastMessageAt, lastBusyAt, resumedAt);
      // After a sleep, a connection with a call may first wait for a second
      // connection. So may a connection for which an unsent call waits.
      const isIdle = !this.#hasUnwrittenRequest() &&
        (connection.resumedAt === undefined ||
          now - resumedAt > MAX_SILENCE_AFTER_SLEEP_MS);
      assert(
        !isIdle || silent <= MAX_IDLE_SILENCE_MS,
        `an idle connection was kept for ${silent} ms`,
      );
    }
    for (const { connectionId, lastBusyAt } of openConnections.slice(0, -2)) {
      assert(
        lastBusyAt === now,
        `connection ${connectionId} is kept without a use`,
      );
    }
    const newest = openConnections.at(-1);
    const isUsable = newest?.lastMessageAt !== undefined &&
      this.#isLiving(newest);
    this.#usableSince = isUsable ? this.#usableSince ?? now : undefined;
  }

  /** Checks at the end that no request waits without a reason. */
  checkAllAnswered(): void {
    for (const request of this.invariants.all) {
      const { id, connection, ms } = request;
      if (isDone(request) || !isOrdinaryRequest(request)) continue;
      this.#checkDeadline(request, this.scheduler.awakeMs);
      const isHeld = connection === undefined &&
        this.#usableSince !== undefined;
      assert(!isHeld, `${id} is queued for ever`);
      if (connection === undefined || !this.#isLiving(connection)) continue;
      assert(
        connection.closedByProxyAt === undefined,
        `${id} is on a connection that the proxy closed`,
      );
      assert(
        this.daemon.isBusy,
        `${id} (${ms} ms) is pending, but the daemon is idle`,
      );
    }
  }
}

/**
 * Removes the ids that a response settles: its request, and the notifications
 * and probes sent before it.
 */
function removeSettled(
  connection: LivenessConnection,
  id: string | number,
): void {
  const at = connection.unansweredIds.indexOf(id);
  if (at < 0) return;
  connection.unansweredIds = connection.unansweredIds.filter((it, index) =>
    index > at || index < at && it !== undefined && !connection.pingIds.has(it)
  );
  if (connection.pingIds.delete(id)) connection.hasPonged = true;
}
