/**
 * Makes connections ready, replays the client's session on a new main link,
 * ends connections, and recovers the requests of a lost connection.
 *
 * @module
 */

import { QUICK_HANDSHAKE_MS } from "../link/capacity_detector.ts";
import type { DisconnectCause, Link } from "../link/link.ts";
import { buildNotification } from "../protocol/jsonrpc.ts";
import { isLongLived, LIST_CHANGED_KINDS } from "../protocol/methods.ts";
import type { RequestId } from "../protocol/mcp_types.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import * as errors from "./errors.ts";
import type { ListSync } from "./list_sync.ts";
import type { OfflineResponses } from "./offline_responses.ts";
import type { ResponseCache } from "./response_cache.ts";
import type { Sender } from "./sender.ts";
import { type ReconnectInfo, timeoutReason } from "./session_log.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** The part of a session that makes connections ready and ends them. */
export class Connections extends SessionPart {
  /** Creates the part for links that were never connected. */
  constructor(
    base: SharedObjects,
    private readonly cache: ResponseCache,
    private readonly listSync: ListSync,
    private readonly offlineResponses: OfflineResponses,
    private readonly sender: Sender,
  ) {
    super(base);
  }

  /**
   * Makes a link ready. On the main link, also replays the client's session and
   * sends the queue, at once or after the capacity check.
   */
  onReady(link: Link): void {
    const reconnect = {
      attempt: link.attemptCount,
      downMs: this.now - link.downSince,
    };
    link.becomeReady(this.now);
    if (link.role === "pool") {
      this.effects.log.poolConnectionReady();
      return this.sender.advance();
    }
    // The frames that end the handshake follow if this becomes the main link.
    if (link.isSecondConnection) return;
    this.finishHandshake(link);
    this.logConnected(reconnect);
    // A daemon that accepts the main connection also accepts pool connections:
    // remove the links that it refused, so that the pool can grow again.
    for (const other of this.links) {
      const isRefused = other.refusal !== undefined;
      if (isRefused && other.phase === "waiting") this.links.remove(other);
    }
    if (this.links.capacity.onMainConnectionReady(this.now)) {
      this.effects.log.singleConnectionKept();
      this.cache.recordOneConnection();
    }
    if (!this.#startCapacityCheck(link)) this.replay(link);
  }

  /** Sends the frames that follow the answer to the opening message. */
  finishHandshake(link: Link): void {
    for (const text of this.dialect.handshake.buildFinalFrames?.() ?? []) {
      this.effects.toDaemonOneWay(link, text);
    }
  }

  /** Logs a connection, or a reconnection if the daemon was usable before. */
  logConnected(reconnect: ReconnectInfo): void {
    const isFirst = this.availability.countConnection() === 0;
    this.effects.log.connected(
      isFirst ? "first" : "again",
      reconnect,
    );
  }

  /** Starts the check if it risks no call. Returns true if it was started. */
  #startCapacityCheck({ handshakeMs }: Link): boolean {
    const { capacity } = this.links;
    const hasPool = this.dialect.scheduling !== undefined;
    if (!capacity.isUnknown || hasPool) return false;
    if (this.cache.keepsOneConnection) {
      capacity.record("one");
      return false;
    }
    // A slow handshake may mean that the daemon starts a process for each
    // connection, so the proxy does not open a second one.
    const canCheck = !this.sender.hasSentCallWithEffect &&
      handshakeMs <= QUICK_HANDSHAKE_MS && this.config.pingInterval < Infinity;
    if (!canCheck) return false;
    this.links.add("capacity-check", this.now);
    capacity.startCheck(handshakeMs, this.now);
    return true;
  }

  /** Restores the client's session on a new main link, and sends the queue. */
  replay(link: Link): void {
    const replay = this.dialect.handshake.buildReplay?.(link.connectionId);
    for (const text of replay?.toDaemon ?? []) {
      this.effects.toDaemon(link, text);
    }
    for (const text of replay?.toClient ?? []) this.effects.toClient(text);
    this.sender.advance();
    if (!this.offlineResponses.takePlaceholderFlag()) {
      return this.listSync.refetch(link);
    }
    for (const list of LIST_CHANGED_KINDS) {
      this.effects.toClient(
        buildNotification(`notifications/${list}/list_changed`),
      );
    }
  }

  /** Abandons a request, and sends the frame that cancels it, if any. */
  abandonRequest(
    link: Link,
    request: PendingRequest,
    frame: string | undefined,
  ): void {
    const { connectionId, liveness } = link;
    const probeNumber = liveness?.lastAnsweredProbeNumber ?? 0;
    this.tracker
      .expectLateResponse(request, connectionId, probeNumber, this.now);
    if (frame !== undefined) this.effects.toDaemonOneWay(link, frame);
    // A pool link carries one request at a time. The daemon may never finish
    // this request, so the link would stay busy.
    else if (link.role === "pool") this.closeUnneeded(link);
  }

  /** Closes and removes an unneeded link, which must not be the main link. */
  closeUnneeded(link: Link): void {
    const { phase, connectionId, role } = link;
    this.links.remove(link);
    if (phase === "waiting") return;
    this.effects.close(connectionId);
    this.recoverRequests(connectionId);
    this.effects.log.unneededConnectionClosed();
    if (role === "pool") this.#failRequestsOfRefusedLinks();
  }

  /** Ends a connection, and recovers its requests by the delivery contract. */
  endConnection(link: Link, unredactedCause: DisconnectCause): void {
    const reason = this.effects.shorten(unredactedCause.reason);
    const cause = { ...unredactedCause, reason };
    const { connectionId, phase, attemptCount: attempt, role } = link;
    const readyMs = this.now - (link.readySince ?? this.now);
    const hasAnsweredProbe = (link.liveness?.answeredProbeCount ?? 0) > 0;
    const isDisposable = role === "draining" || role === "capacity-check";
    if (isDisposable) this.links.remove(link);
    else this.links.disconnect(link, cause, this.now);
    this.effects.close(connectionId);
    // Use cached results first, because the next steps may fail the requests.
    if (role === "main") this.offlineResponses.respondToPending(connectionId);
    const failedCount = this.recoverRequests(connectionId, cause.tooLarge);
    this.#failRequestsOfRefusedLinks();
    switch (role) {
      case "capacity-check":
        return;
      case "standby": {
        // The daemon is busy or frozen if the dial hung, or if the daemon
        // answered no probe on the standby.
        const isDaemonSilent = cause.isHung === true ||
          phase === "ready" && !hasAnsweredProbe;
        return this.#onStandbyLost(reason, isDaemonSilent);
      }
      case "pool":
      case "draining":
        return this.effects.log.extraConnectionLost(phase, attempt, reason);
      case "main":
        this.#abandonSecondConnections(phase, cause);
        return phase === "ready"
          ? this.#logLoss(link, cause, failedCount, readyMs)
          : this.#logFailedAttempt(link, cause, attempt);
    }
  }

  #onStandbyLost(reason: string, isDaemonSilent: boolean): void {
    const { main } = this.links;
    const mayMainBeAlive = main.liveness?.canBeProvedDead === false &&
      !main.liveness.isUnverified;
    if (isDaemonSilent || mayMainBeAlive) {
      main.liveness?.waiveSuspicion(this.now);
    }
    this.effects.log.standbyFailed(reason);
    // If no client waits for a call on the main link, then ending its
    // connection risks nothing.
    const mayEndMain = main.liveness?.isUnderSuspicion &&
      !this.tracker.hasCallInFlight(main.connectionId);
    if (!mayEndMain || isDaemonSilent) return this.sender.advance();
    this.endConnection(main, { reason: timeoutReason("ready") });
  }

  /** Closes the second connections, which only test the main connection. */
  #abandonSecondConnections(
    phase: Link["phase"],
    cause: DisconnectCause,
  ): void {
    for (const other of this.links) {
      if (other.isSecondConnection) this.closeUnneeded(other);
    }
    this.links.capacity.abandonCheck();
    if (phase !== "ready" && !cause.isHung) this.links.capacity.onDaemonDown();
  }

  #logLoss(
    link: Link,
    cause: DisconnectCause,
    failedCount: number,
    readyMs: number,
  ): void {
    const { retryAfterMs = 0 } = this.availability.outageOfLink(link);
    const next = cause.isStdoutFull ? "drained" : retryAfterMs;
    const { isDisplaced } = link;
    this.effects.log
      .connectionLost(cause, failedCount, { readyMs }, next, isDisplaced);
  }

  #logFailedAttempt(link: Link, cause: DisconnectCause, attempt: number): void {
    // A delay of 0 means that the next dial repeats this attempt without the
    // subprotocol.
    const { retryAfterMs = 0, downMs } = this.availability.outageOfLink(link);
    this.effects.log.attemptFailed(attempt, cause, { retryAfterMs, downMs });
    const { healthFile: path } = this.config;
    if (attempt !== 1 || path === undefined) return;
    const disconnectedForMs = this.availability.timesConnected > 0
      ? this.now - link.downSince
      : undefined;
    this.effects.push({ type: "log-health-file", path, disconnectedForMs });
  }

  /** Recovers the requests of a lost connection. Returns how many failed. */
  recoverRequests(
    connectionId: number,
    tooLarge?: DisconnectCause["tooLarge"],
  ): number {
    const { tracker, dialect, effects } = this;
    for (const { message, key } of [...tracker.inFlightOn(connectionId)]) {
      const text = dialect.respondLocally(message, "down");
      if (text === undefined || message.method === "initialize") continue;
      tracker.close(key);
      effects.toClient(text);
    }
    const failed = tracker.onDisconnect(
      connectionId,
      this.now,
      (request) =>
        tooLarge && !isLongLived(request.method)
          ? "fail"
          : this.rules.recoveryFor(request, this.now),
    );
    for (const entry of failed) {
      effects.failRequest(this.#lossError(entry, tooLarge, failed.length));
    }
    for (const id of this.serverRequests.onDisconnect(connectionId)) {
      const requestId = JSON.parse(id) as RequestId;
      const reason = "The connection to the daemon was lost";
      effects.toClient(
        buildNotification("notifications/cancelled", { requestId, reason }),
      );
    }
    dialect.onDisconnect(connectionId);
    this.toolHints.onDisconnect(connectionId);
    return failed.length;
  }

  #lossError(
    entry: PendingRequest,
    tooLarge: DisconnectCause["tooLarge"],
    failedCount: number,
  ): errors.RequestError {
    const delivery = this.rules.deliveryOf(entry);
    if (tooLarge === "request") {
      const { length } = entry.message.text;
      return errors.requestTooLargeForDaemon(delivery, length);
    }
    return tooLarge === "response" && failedCount === 1
      ? errors.responseTooLargeForSocket(delivery)
      : errors.outcomeUnknown(delivery, "connection_lost");
  }

  #failRequestsOfRefusedLinks(): void {
    if (![...this.links].some((link) => link.refusal !== undefined)) return;
    for (const entry of this.tracker.undelayedEntries()) {
      const { message, key } = entry;
      if (message.kind !== "request" || isLongLived(message.method)) continue;
      if (this.circuit.refusingLinkOf(message) === undefined) continue;
      this.tracker.close(key);
      this.effects.failRequest(this.unavailableError(entry as PendingRequest));
    }
  }

  /** Builds the error for a request that got no usable link. */
  unavailableError(entry: PendingRequest): errors.RequestError {
    const delivery = this.rules.deliveryOf(entry);
    if (entry.isOutcomePoll) {
      return errors.outcomeUnknown(delivery, "connection_lost");
    }
    const outage = this.availability.outageOfMessage(entry.message);
    return errors.daemonUnavailable(delivery, outage);
  }
}
