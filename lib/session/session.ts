/**
 * The pure core: `handle()` takes an event and returns effects, and
 * `deadline()` says when it must be called next. It uses no socket, timer,
 * clock, random source, file or console.
 *
 * @module
 */

import type { ExpiryReason, ReadonlyEntry } from "../requests/entry.ts";
import { retryFailedLists } from "./list_sync.ts";
import { type SessionConfig, SessionContext } from "./context.ts";
import type { Dialect } from "../dialects/dialect.ts";
import type { Effect, SessionEvent } from "../events.ts";
import * as errors from "./errors.ts";
import { handleContentLength } from "./content_length_input.ts";
import { handleClientLine, handleLineTooLong } from "./client_messages.ts";
import {
  handleSocketEvent,
  releaseSubscriptionEnds,
} from "./daemon_messages.ts";
import type { Timeout } from "../requests/timeouts.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { abortCapacityCheck, advanceCapacityCheck } from "./capacity_check.ts";
import { openStandby, suspectLink } from "./failover.ts";
import { expireGraceTimers } from "./offline_responses.ts";
import {
  cancelAtDaemon,
  closeUnneededLink,
  endConnection,
  failOutcomeUnknown,
  sendProbe,
  writeQueued,
} from "./link_lifecycle.ts";
import { expireUnclearResponses } from "./unclear_responses.ts";

/**
 * How long the daemon has to answer pending requests once the client is
 * leaving, in milliseconds.
 */
export const SHUTDOWN_GRACE_MS = 1_500;
/**
 * How long deadlines are ignored after a bug in handling one, in milliseconds.
 */
const BUG_BACKOFF_MS = 1_000;

/** The whole behaviour of the proxy. */
export class Session {
  readonly #context: SessionContext;
  #shutdownDeadline = Infinity;
  /**
   * True once a signal has asked the proxy to stop; a second signal stops it at
   * once.
   */
  #hasBeenSignalled = false;
  #bugBackoffUntil = -Infinity;
  /**
   * True while the client does not read. No link is dialed until it does, and
   * this does not count as an outage of the daemon.
   */
  #isStdoutFull = false;
  #stdoutDrainedAt = -Infinity;
  #isOver = false;

  /** Creates a session whose first link is due to dial. */
  constructor(
    config: SessionConfig,
    dialect: Dialect,
    random: () => number,
    now: number,
  ) {
    this.#context = new SessionContext(config, dialect, random, now);
  }

  /** The number of requests from the client that are not answered. */
  get pendingRequestCount(): number {
    return this.#context.tracker.pendingRequestCount;
  }

  /** True once the session has exited. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Returns what the session is doing, for people. */
  snapshot(): Snapshot {
    return takeSnapshot(this.#context);
  }

  /** Returns when the next `tick` is due; `Infinity` for never. */
  deadline(): number {
    if (this.#isOver) return Infinity;
    const { tracker } = this.#context;
    let at = Math.min(
      tracker.deadline(),
      this.#shutdownDeadline,
      this.#giveUpAt,
      this.#context.capacityDetector.deadline(),
      this.#context.deadline(),
    );
    for (const link of this.#activeLinks) {
      at = Math.min(at, link.deadline(this.#context.usageOf(link)));
    }
    return Math.max(at, this.#bugBackoffUntil);
  }

  /**
   * Handles an event and returns the effects. Never throws: a bug of alwaysup's
   * own is logged, and the request gets an error.
   */
  handle(event: SessionEvent, now: number): Effect[] {
    if (this.#isOver) return [];
    this.#context.runGuarded(() => this.#route(event, now));
    // A deadline that cannot be met because of a bug must not be retried in a
    // hot loop.
    const onBug = (): void =>
      void (this.#bugBackoffUntil = now + BUG_BACKOFF_MS);
    this.#context.runGuarded(() => this.#advance(now), onBug);
    return this.#context.takeEffects();
  }

  #route(event: SessionEvent, now: number): void {
    const context = this.#context;
    switch (event.type) {
      case "line":
        return handleClientLine(context, event.text, now);
      case "line-too-long":
        return handleLineTooLong(context, event);
      case "content-length":
        return handleContentLength(context, event);
      case "end":
        if (event.cause === "signal" && this.#hasBeenSignalled) {
          return this.#shutDown(0, now);
        }
        this.#hasBeenSignalled ||= event.cause === "signal";
        this.#shutdownDeadline = Math.min(
          this.#shutdownDeadline,
          now + SHUTDOWN_GRACE_MS,
        );
        return;
      case "stdout-full":
        return this.#onStdoutFull(now);
      case "stdout-drained":
        this.#isStdoutFull = false;
        this.#stdoutDrainedAt = now;
        return;
      case "resumed":
        return this.#onResumed(event.monotonicGapMs, event.suspendedMs, now);
      case "stdout-broken":
        context.emit(logMessages.stdoutBroken());
        return this.#exit(0);
      case "tick":
        return;
      default: {
        // An event with an unknown connection id belongs to a closed
        // connection.
        const link = context.links.get(event.connectionId);
        if (link !== undefined) handleSocketEvent(context, link, event, now);
      }
    }
  }

  #advance(now: number): void {
    if (this.#isOver) return;
    const context = this.#context;
    const { config, tracker } = context;
    // This comes before anything expires, so that the client can continue.
    expireGraceTimers(context, now);
    context.updateQueueTimers(now);
    for (
      const { message, progressToken, progress } of tracker.takeWaitNotices(now)
    ) {
      const blockingLink = context.links.blockingLink(
        context.dialect.linkRoleFor(message),
      );
      const outage = context.outageOf(blockingLink ?? context.links.main, now);
      context.sendToClient(
        context.links.main.liveness?.isSuspect
          ? errors.silenceProgress(progressToken, progress)
          : errors.waitProgress(progressToken, progress, outage),
      );
    }
    const { connectionId, liveness } = context.links.main;
    if (liveness?.takeDueNotice(now)) {
      for (
        const { progressToken, progress } of tracker.takeSuspicionNotices(
          connectionId,
          now,
        )
      ) {
        context.sendToClient(errors.silenceProgress(progressToken, progress));
      }
    }
    for (const { entry, expiry } of tracker.expire(now)) {
      this.#expireEntry(entry, expiry, now);
    }
    releaseSubscriptionEnds(context, now);
    expireUnclearResponses(context, now);
    retryFailedLists(context, now);
    advanceCapacityCheck(context, now);
    writeQueued(this.#context, now);
    const isLeaving = this.#shutdownDeadline < Infinity;
    if (
      isLeaving &&
      (context.responsesWorthAwaiting === 0 || now >= this.#shutdownDeadline)
    ) {
      return this.#shutDown(0, now);
    }
    if (now >= this.#giveUpAt) {
      this.#context.emit(
        logMessages.gaveUp(config.redactedUrl, config.giveUpAfter),
      );
      return this.#shutDown(1, now);
    }
    for (const link of this.#activeLinks) {
      // The previous link's action may have removed this one.
      if (context.links.has(link)) this.#advanceLink(link, now);
    }
    advanceCapacityCheck(context, now);
    // A draining connection may have made room.
    openStandby(context, now);
    context.updateQueueTimers(now);
  }

  /** Does what is due on a link. */
  #advanceLink(link: Link, now: number): void {
    const context = this.#context;
    if (context.isDeadWithAbandonedCalls(link, now)) {
      const reason = logMessages.timeoutReason("ready");
      return endConnection(context, link, { reason }, now);
    }
    switch (link.nextAction(now, context.usageOf(link))) {
      case "nothing":
        return;
      case "dial": {
        const subprotocol = link.offersSubprotocol
          ? context.dialect.subprotocol
          : undefined;
        link.dial(now);
        if (link.isSecondConnection) {
          context.capacityDetector.onSecondConnection(now);
        }
        return context.emit({
          type: "dial",
          connectionId: link.connectionId,
          subprotocol,
        });
      }
      case "probe":
        sendProbe(context, link, now);
        return;
      case "suspect":
        return suspectLink(context, link, now);
      case "skip-verification":
        link.liveness?.skipVerification();
        return writeQueued(context, now);
      case "close":
        return closeUnneededLink(context, link, now);
      case "disconnect": {
        const isHung = link.phase !== "ready";
        const reason = logMessages.timeoutReason(
          link.phase,
          link.shortenedPhaseMs(now),
        );
        return endConnection(context, link, { reason, isHung }, now);
      }
    }
  }

  /**
   * Moves all deadlines by the time that the machine slept, and makes every
   * connection prove that it is alive.
   */
  #onResumed(monotonicGapMs: number, suspendedMs: number, now: number): void {
    const context = this.#context;
    context.emit(logMessages.resumedAfterSleep(monotonicGapMs + suspendedMs));
    context.tracker.postpone(monotonicGapMs);
    context.dialect.onSuspended(suspendedMs);
    context.cache?.shortenBy(suspendedMs);
    context.postpone(monotonicGapMs);
    this.#stdoutDrainedAt += monotonicGapMs;
    const { standby } = context.links;
    if (standby !== undefined) closeUnneededLink(context, standby, now);
    for (const link of context.links) {
      link.onResume(now, monotonicGapMs, monotonicGapMs + suspendedMs);
    }
    abortCapacityCheck(context, now);
  }

  /**
   * A WebSocket has no flow control here, so it is closed, and the delivery
   * contract decides about its requests.
   */
  #onStdoutFull(now: number): void {
    this.#isStdoutFull = true;
    const reason = "the client reads too slowly, and 64 MiB wait for it";
    for (const link of this.#context.links) {
      const isConnected = this.#context.links.has(link) &&
        link.phase !== "waiting";
      if (!isConnected) continue;
      endConnection(this.#context, link, { reason, isStdoutFull: true }, now);
    }
  }

  get #activeLinks(): Iterable<Link> {
    const { links } = this.#context;
    return this.#isStdoutFull
      ? [...links].filter(({ phase }) => phase !== "waiting")
      : links;
  }

  #expireEntry(
    { message, ...entry }: ReadonlyEntry,
    expiry: ExpiryReason,
    now: number,
  ): void {
    const context = this.#context;
    if (message.kind === "notification") {
      return context.emit(context.droppedNotifications.record(message));
    }
    if (expiry === "hint-timeout") {
      failOutcomeUnknown(context, message, entry);
      // A pool link carries one request at a time, and the daemon may never
      // list its tools.
      const queriedLink = context.links.get(
        entry.hintRequirement?.connectionId,
      );
      if (queriedLink?.role === "pool") {
        closeUnneededLink(context, queriedLink, now);
      }
      return;
    }
    const timeout = this.#timeoutOf(entry, expiry);
    context.sendToClient(
      expiry === "queue-timeout"
        ? context.unavailableError(message, entry, now)
        : context.timeoutError(message, entry, timeout, now),
    );
    const link = context.links.get(entry.sentOnConnectionId);
    if (link === undefined) return;
    if (entry.isHandshake) {
      // Its response would be dropped, and it must not be cancelled.
      const reason = "the daemon did not answer initialize in time";
      return endConnection(context, link, { reason }, now);
    }
    const abandoned = { message, writeNumber: entry.writeNumber };
    // An `initialize` must not be cancelled (MCP, utilities/cancellation).
    if (message.method === "initialize") {
      return context.tracker.expectLateResponse(
        abandoned,
        link.connectionId,
        Infinity,
        now,
      );
    }
    const reason = `timed out (${timeout.setting})`;
    const cancelFrame = context.dialect.buildCancellation(message.id, reason);
    if (cancelFrame === undefined && link.role === "main") {
      // The request would block everything after it.
      const closeReason = `the daemon did not answer ${message.method} in time`;
      return endConnection(context, link, { reason: closeReason }, now);
    }
    cancelAtDaemon(context, link, abandoned, cancelFrame, now);
  }

  #timeoutOf(
    { timeouts, daemonTimeoutMs = 0 }: Pick<
      ReadonlyEntry,
      "timeouts" | "daemonTimeoutMs"
    >,
    expiry: Exclude<ExpiryReason, "hint-timeout">,
  ): Timeout {
    switch (expiry) {
      case "queue-timeout": {
        const { queueTimeout } = this.#context.config;
        return { setting: "--queue-timeout", ms: queueTimeout };
      }
      case "total-timeout":
        return timeouts.total!;
      case "idle-timeout":
        return timeouts.idle;
      case "daemon-timeout":
        return {
          setting: "what the daemon and EXAI_SHIM_ACK_GRACE_SECS allow",
          ms: daemonTimeoutMs,
        };
    }
  }

  get #giveUpAt(): number {
    if (this.#isStdoutFull) return Infinity;
    const { links, config } = this.#context;
    return Math.max(links.disconnectedSince, this.#stdoutDrainedAt) +
      config.giveUpAfter;
  }

  /** Answers all pending requests and exits. */
  #shutDown(code: number, now: number): void {
    const context = this.#context;
    context.emit(context.droppedNotifications.endSeries());
    releaseSubscriptionEnds(context, now, Infinity);
    for (const { message, ...entry } of context.tracker.takeAll()) {
      if (message.kind === "notification") continue;
      const delivery = context.deliveryOf(message, entry);
      context.sendToClient(
        delivery.isSent || delivery.isHintUnconfirmed
          ? errors.outcomeUnknown(delivery, "stopped")
          : context.isOnlyQueued(message)
          ? errors.stoppedBeforeSend(delivery)
          : context.unavailableError(message, entry, now),
      );
    }
    this.#exit(code);
  }

  #exit(code: number): void {
    for (const { connectionId, phase } of this.#context.links) {
      if (phase !== "waiting") {
        this.#context.emit({ type: "close", connectionId });
      }
    }
    this.#context.emit({ type: "exit", code });
    this.#isOver = true;
  }
}
