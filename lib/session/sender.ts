/**
 * Sends the client's messages to the daemon. A message is sent at once if a
 * link can carry it and no older message waits. Otherwise it is queued.
 *
 * @module
 */

import type { Link, LinkRole } from "../link/link.ts";
import { getMember, type Request } from "../protocol/jsonrpc.ts";
import { isOpeningMethod, listKindOf } from "../protocol/methods.ts";
import type {
  PendingRequest,
  ReadonlyEntry,
} from "../requests/request_state.ts";
import type { ToolHint } from "../requests/tool_hints.ts";
import * as errors from "./errors.ts";
import type { ListSync } from "./list_sync.ts";
import type { Probes } from "./probes.ts";
import { SessionPart, type SharedObjects } from "./session_part.ts";

/** The result of a send attempt; `closed`: the client got an error response. */
export type SendOutcome = "written" | "waits" | "closed";

/** Sends the client's messages, the handshakes and the deferred probes. */
export class Sender extends SessionPart {
  #hasSentCallWithEffect = false;
  /** True from an event until `advance` runs: messages may be writable. */
  #mayHaveWork = true;

  /** Creates a sender that has not sent anything. */
  constructor(
    base: SharedObjects,
    private readonly listSync: ListSync,
    private readonly probes: Probes,
  ) {
    super(base);
  }

  /** True once a call other than `initialize` or a list request was sent. */
  get hasSentCallWithEffect(): boolean {
    return this.#hasSentCallWithEffect;
  }

  /** Records that an event has occurred, so messages may be writable now. */
  onEvent(): void {
    this.#mayHaveWork = true;
  }

  /** Returns `-Infinity` if there may be something to send, else `Infinity`. */
  deadline(): number {
    return this.#mayHaveWork && this.#hasWork() ? -Infinity : Infinity;
  }

  #hasWork(): boolean {
    const { tracker } = this;
    for (const link of this.links) {
      if (link.isUsable && tracker.hasWritable) return true;
      if (link.isHandshakeUnsent || link.liveness?.isProbeDeferred) return true;
    }
    // The delayed call may have been cancelled. Then the delay must end.
    return this.links.main.liveness?.areCallsWaiting === true &&
      !tracker.hasQueuedShortLivedRequest;
  }

  /** Sends every handshake, deferred probe and message that can be sent. */
  advance(): void {
    const { tracker, links } = this;
    this.#mayHaveWork = false;
    for (const link of links) {
      if (link.isHandshakeUnsent) this.#sendHandshake(link);
      link.liveness?.endCallDelayIfDue(this.now);
      const isProbeDue = link.liveness?.isProbeDeferred &&
        this.#canSend(link.connectionId);
      if (isProbeDue) this.probes.send(link);
    }
    if (!tracker.hasQueuedShortLivedRequest) {
      links.main.liveness?.cancelCallDelay();
    }
    let waitingForPool = 0;
    const unavailableRoles = new Set<LinkRole>();
    for (const entry of tracker.writableEntries(unavailableRoles)) {
      const role = this.availability.roleOf(entry.message);
      const link = this.#linkFor(entry, role);
      if (link !== undefined) {
        this.#write(link, entry);
        // If an entry needs one particular link, other links of its role may
        // still be free, so such an entry does not make the role unavailable.
      } else if (entry.hintRequirement?.connectionId === undefined) {
        unavailableRoles.add(role);
        if (role === "pool") waitingForPool = tracker.writableCount(role);
      }
    }
    this.#growPool(waitingForPool);
  }

  /** Sends a message that has just arrived, unless it must wait. */
  trySend(entry: ReadonlyEntry): SendOutcome {
    const role = this.availability.roleOf(entry.message);
    if (this.tracker.writableCount(role) > 0) return "waits";
    const link = this.#linkFor(entry, role);
    return link === undefined ? "waits" : this.#write(link, entry);
  }

  #canSend(connectionId: number): boolean {
    return this.dialect.scheduling?.canSend(connectionId) ?? true;
  }

  #linkFor(entry: ReadonlyEntry, role: LinkRole): Link | undefined {
    const { main } = this.links;
    if (role === "main") {
      return main.isUsable && this.#canTake(main, entry) ? main : undefined;
    }
    return this.links.findUsable(role, (link) => this.#canTake(link, entry));
  }

  #canTake(
    { connectionId, isBacklogged, liveness, role }: Link,
    { message, hintRequirement }: ReadonlyEntry,
  ): boolean {
    if (isBacklogged || liveness?.areCallsWaiting) return false;
    if (!this.#canSend(connectionId)) return false;
    // The capacity check may cost the main connection and the requests on it.
    const isBlocked = role === "main" && this.links.capacity.isChecking &&
      message.kind === "request";
    const requiredConnectionId = hintRequirement?.connectionId;
    return !isBlocked &&
      (requiredConnectionId ?? connectionId) === connectionId;
  }

  #write(link: Link, entry: ReadonlyEntry): SendOutcome {
    const { message } = entry;
    const { connectionId } = link;
    if (message.kind === "notification") {
      const text = this.dialect.encode(connectionId, message, this.now);
      if (text === undefined) return "waits";
      this.effects.toDaemonOneWay(link, text);
      this.tracker.markSent(entry, connectionId, this.now);
      link.markUsed(this.now);
      return "written";
    }
    const { method } = message;
    const { now } = this.effects;
    const isFirstCall = entry.isCall && !this.tracker.isBusy(connectionId);
    const request = entry as PendingRequest;
    const earlyOutcome = this.#outcomeBeforeWrite(link, request, isFirstCall);
    if (earlyOutcome !== undefined) return earlyOutcome;
    const text = this.dialect.encode(connectionId, message, now);
    if (text === undefined) return "waits";
    // The response to a client's ping shows the same as a probe's.
    const isProbe = method === "ping" && this.config.pingInterval < Infinity &&
      this.availability.usageOf(link).load === "idle";
    const writeNumber = this.effects.toDaemon(link, text, message.id);
    // The first condition spares almost every call the second.
    if (entry.connectionLosses > 0 && entry.isRepeat) {
      this.effects.log.requestRepeated(message);
    }
    this.tracker.markSent(entry, connectionId, now, writeNumber);
    link.markUsed(now);
    if (isProbe) link.liveness?.onProbeSent(message.id, now, { writeNumber });
    if (isFirstCall) link.liveness?.onFirstCallSent(now);
    this.#hasSentCallWithEffect ||= entry.isCall && method !== "initialize" &&
      listKindOf(method) === undefined;
    return "written";
  }

  #outcomeBeforeWrite(
    link: Link,
    entry: PendingRequest,
    isFirstCall: boolean,
  ): SendOutcome | undefined {
    const { message, key, hintRequirement } = entry;
    if (this.clientIds.mayBeConfusedWithInFlight(key)) return "waits";
    // A request with a confusable id may have been cancelled meanwhile. Its
    // late response could be mistaken for the response to this one.
    if (this.clientIds.mayGetLateResponse(key)) {
      this.tracker.close(key);
      this.effects.toClient(errors.idAwaitsLateResponse(key));
      return "closed";
    }
    const isHintNeeded = hintRequirement !== undefined;
    if (isHintNeeded) {
      const hint = this.#hintOrRequestIt(link, entry);
      if (hint === "not-idempotent") return this.failOutcomeUnknown(entry);
      if (hint === "unknown") {
        this.tracker.awaitToolList(key);
        return "waits";
      }
    }
    if (isFirstCall && this.probes.probeBeforeCall(link)) {
      // The hint is confirmed: pause its time limit while the call waits for
      // the probe. It is looked up again after that.
      if (isHintNeeded) this.tracker.requireHint(key, this.now);
      return "waits";
    }
    const step = this.dialect.outcomes?.nextStep(link.connectionId, message);
    switch (step?.kind) {
      case "query":
        this.effects.toDaemon(link, step.text);
        return "waits";
      case "wait":
        return "waits";
      case "lost":
        return this.#onOutcomeLost(link, entry);
    }
    return undefined;
  }

  /**
   * Returns the tool's hint on this link, whose daemon may be another version
   * than the one that lost the call. If the hint is unknown, requests the tool
   * list.
   */
  #hintOrRequestIt(
    link: Link,
    { key, message, hintRequirement }: PendingRequest,
  ): ToolHint {
    const { connectionId } = link;
    const tool = getMember(message.params, "name");
    if (typeof tool !== "string") return "not-idempotent";
    const hint = this.toolHints.hintOf(connectionId, tool);
    if (hint !== "unknown" || hintRequirement?.connectionId === connectionId) {
      return hint;
    }
    this.tracker.markHintRequested(key, connectionId, this.now);
    if (!this.toolHints.isListRequested(connectionId)) {
      this.listSync.requestPage(link, "tools");
    }
    return hint;
  }

  /** Retries or fails a request whose outcome was lost with its daemon. */
  #onOutcomeLost(link: Link, entry: PendingRequest): SendOutcome {
    const { message, key } = entry;
    if (!this.rules.mayRetry(message)) return this.failOutcomeUnknown(entry);
    this.dialect.outcomes?.reset(message);
    this.tracker.clearOutcomePoll(key);
    if (this.rules.needsToolHint(message)) {
      this.tracker.requireHint(key, this.now);
    }
    return this.#write(link, entry);
  }

  /** Fails a request that was sent and whose outcome cannot be learned. */
  failOutcomeUnknown(entry: PendingRequest): "closed" {
    const delivery = this.rules.deliveryOf(entry);
    this.tracker.close(entry.key);
    this.effects.failRequest(
      errors.outcomeUnknown(delivery, "connection_lost"),
    );
    return "closed";
  }

  #growPool(waitingForPool: number): void {
    const { dialect: { scheduling }, links, tracker } = this;
    if (waitingForPool === 0 || scheduling === undefined) return;
    if (!links.isMainUsable) return;
    const pool = [...links].filter(({ role }) => role === "pool");
    // The refused link's next dial shows whether the daemon accepts more.
    if (pool.some(({ refusal }) => refusal !== undefined)) return;
    // A ready link with a pending probe may be dead, so it does not count.
    const available = pool.filter(({ connectionId, phase }) =>
      tracker.inFlightCount(connectionId) === 0 &&
      (phase !== "ready" || scheduling.canSend(connectionId) ||
        this.dialect.hasPendingOwnRequest(connectionId))
    );
    const missingCount = Math.min(
      waitingForPool - available.length,
      scheduling.poolSize - pool.length,
    );
    for (let i = 0; i < missingCount; i++) links.add("pool", this.now);
  }

  #sendHandshake(link: Link): void {
    const waiting = this.#requestsToOpenWith(link);
    const opening = this.dialect.handshake.begin(link.connectionId, waiting);
    if (opening === undefined) return;
    const { text, requestId } = opening;
    this.effects.toDaemon(link, text, requestId);
    link.onHandshakeSent(this.now);
    if (requestId === undefined) return;
    this.tracker.markHandshakeSent(requestId, link.connectionId, this.now);
  }

  #requestsToOpenWith(link: Link): Request[] {
    const { tracker } = this;
    // Notifications alone cannot open a connection.
    const queue = tracker.pendingRequestCount > 0
      ? tracker.undelayedEntries().map(({ message }) => message)
        .filter((message) => message.kind === "request")
      : [];
    if (!link.isSecondConnection) return queue;
    // The client's own opening request is sent on the main link only.
    const sent = [...tracker.inFlightOn(this.links.main.connectionId)]
      .map(({ message }) => message);
    return [...sent, ...queue].filter(({ method }) => !isOpeningMethod(method));
  }
}
