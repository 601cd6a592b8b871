/**
 * A proxy in a simulation, with its client and a record of its requests and
 * dials. Every rule about reconnecting is checked at every event.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { Exai } from "../../lib/dialects/exai/exai.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import { Session } from "../../lib/session/session.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { DialLimits } from "./dial_limits.ts";
import { STATELESS_META } from "../helpers/session/cold_start_driver.ts";
import { EXAI_CONFIG } from "../helpers/session/exai_driver.ts";
import type { DaemonProtocol } from "./concurrent_daemon.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/**
 * How long after a dial that the daemon refused a request causes no further
 * one.
 */
const REFUSED_REDIAL_INTERVAL_MS = 5_000;
/**
 * No request fails for lack of a connection before this, if the queue timeout
 * is longer.
 */
const MIN_QUEUE_TIMEOUT_MS = 20_000;
/** How long a connection must stay ready for the backoff table to restart. */
const BACKOFF_RESET_MS = 5_000;
/** How long a client waits after an error before it initializes again. */
const REINITIALIZE_DELAY_MS = 1_000;

/** The network for a proxy. It must not call back synchronously. */
export interface NetworkHooks {
  onDial(connectionId: number): void;
  onSend(connectionId: number, text: string): void;
  onClose(connectionId: number): void;
}

/**
 * Since when the daemon can be reached, and how long a request may wait for a
 * connection to it.
 */
export interface AllowedWait {
  readonly since: number;
  readonly limitMs: number;
}

/** A request of the client. */
export interface WatchedRequest {
  readonly id: number;
  readonly method: string;
  /** Whether it stays open as long as the client wants, and causes no dial. */
  readonly isLongLived: boolean;
  /** Whether it uses a connection of exai's pool. */
  readonly usesPool: boolean;
  readonly requestedAt: number;
  /** The total downtime when it was sent. */
  readonly downMsAtRequest: number;
  /** How often it was sent to the daemon. */
  writeCount: number;
  /** The connection it was sent on, while that exists. */
  sentOn: number | undefined;
  /** Since when it waits to be sent. */
  waitingSince: number;
  answeredAt: number | undefined;
  /** The code of its error, if it got one. */
  errorCode: number | undefined;
}

/** How long a daemon has to confirm a hint, in milliseconds. */
const HINT_CONFIRMATION_MS = 5_000;

export class WatchedProxy {
  readonly #scheduler: Scheduler;
  readonly #config: SessionConfig;
  readonly #protocol: DaemonProtocol;
  readonly #session: Session;
  readonly #network: NetworkHooks;
  readonly #allowedWait: () => AllowedWait | undefined;
  readonly #requests = new Map<number, WatchedRequest>();
  readonly #pending = new Set<WatchedRequest>();
  readonly #openConnections = new Set<number>();
  /** When a request was last sent on each kind of connection. */
  readonly #writtenAt = { main: 0, pool: 0 };
  #lastId: number;
  /** Whether the client has initialized, and may send requests. */
  #mayRequest: boolean;
  #readyAt: number | undefined;
  /**
   * Whether the daemon has answered the client since the connection became
   * ready: on any connection, or on this one.
   */
  #answeredOn: "nowhere" | "elsewhere" | "here" = "nowhere";
  /** Whether the daemon has answered in this process. */
  #hasAnswered = false;
  /**
   * When the current dial, or its open WebSocket, began, and whether a request
   * has waited meanwhile.
   */
  #currentDial = { since: 0, wasWanted: false };
  /**
   * How long there was no usable connection until `#downMsUpdatedAt`, in total.
   */
  #downMs = 0;
  #downMsUpdatedAt = 0;
  /** Whether the daemon has refused the latest dial, with no dial since. */
  #isRefused = false;
  /** Whether the client may get the error that the daemon refuses it. */
  #mayBeRefused = false;
  #endedAt: number | undefined;
  /** When the client last sent a request. */
  lastRequestAt = -Infinity;
  /** The id of the latest main connection. */
  mainConnectionId = 0;
  readonly dials: DialLimits;
  answers = 0;
  faults = 0;
  /** How many log lines say that another client takes the connection. */
  displacedLogLines = 0;
  exitCode: number | undefined;

  constructor(
    scheduler: Scheduler,
    config: SessionConfig,
    protocol: DaemonProtocol,
    network: NetworkHooks,
    allowedWait: () => AllowedWait | undefined,
    lastId = 0,
  ) {
    const { random } = scheduler;
    const dialect = protocol === "exai"
      ? new Exai(EXAI_CONFIG, random)
      : new Mcp(random);
    this.#scheduler = scheduler;
    this.#config = config;
    this.#protocol = protocol;
    this.#session = new Session(config, dialect, random, 0);
    this.#network = network;
    this.#allowedWait = allowedWait;
    this.#lastId = lastId;
    this.#mayRequest = protocol === "exai";
    this.dials = new DialLimits(protocol === "exai" ? 4 : 0);
  }

  /** Whether a request waits for a connection, with a timeout. */
  get hasWaitingRequests(): boolean {
    for (const { isLongLived, sentOn } of this.#pending) {
      if (!isLongLived && sentOn === undefined) return true;
    }
    return false;
  }

  /** Whether the client has sent anything. */
  get hasSentRequest(): boolean {
    return this.#protocol === "exai" || this.#requests.size > 0;
  }

  /** Whether the client waits for a response. */
  get hasPendingRequests(): boolean {
    for (const { isLongLived } of this.#pending) if (!isLongLived) return true;
    return false;
  }

  /** Whether the daemon has refused the latest dial. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** How long there was no usable connection until now, in total. */
  get #currentDownMs(): number {
    const gap = this.#scheduler.now - this.#downMsUpdatedAt;
    return this.#downMs + (this.#readyAt === undefined ? gap : 0);
  }

  deadline(): number {
    return this.#session.deadline();
  }

  // The client

  /** The client sends its first request, in its protocol. */
  openConversation(): void {
    if (this.#protocol === "exai") return;
    if (this.#protocol === "stateless") {
      this.#request("server/discover", {});
    } else {
      const protocolVersion = "2025-11-25";
      this.#request("initialize", { protocolVersion, capabilities: {} });
    }
  }

  /** The client sends a request, if it may already. */
  request(method: string, tool?: "look" | "write"): WatchedRequest | undefined {
    if (!this.#mayRequest || this.#endedAt !== undefined) return undefined;
    const id = this.#lastId + 1;
    return this.#request(method, {
      ...(tool && { name: tool, arguments: { id } }),
    });
  }

  #request(method: string, params: Json): WatchedRequest {
    const { now } = this.#scheduler;
    const isLongLived = /^(subscriptions\/listen|server\/discover)$/
      .test(method);
    const request: WatchedRequest = {
      id: ++this.#lastId,
      method,
      isLongLived,
      usesPool: this.#protocol === "exai" && method === "tools/call",
      requestedAt: now,
      downMsAtRequest: this.#currentDownMs,
      writeCount: 0,
      sentOn: undefined,
      waitingSince: now,
      answeredAt: undefined,
      errorCode: undefined,
    };
    this.#requests.set(request.id, request);
    if (!isLongLived) this.lastRequestAt = now;
    const wasRefused = this.#isRefused;
    const { mainDialedAt: dialedAt } = this.dials;
    this.#sendFromClient({
      id: request.id,
      method,
      params: {
        ...params,
        ...(this.#protocol === "stateless" && { _meta: STATELESS_META }),
      },
    }, request);
    if (!wasRefused || isLongLived || method === "initialize") return request;
    const age = now - dialedAt;
    if (age < REFUSED_REDIAL_INTERVAL_MS - 100) {
      assert(
        request.answeredAt === now && request.errorCode === -31001,
        `${request.id} was not refused at once, ${age} ms after the last dial`,
      );
    } else if (
      age > REFUSED_REDIAL_INTERVAL_MS + 1_000 && request.answeredAt === now
    ) {
      const isDialed = this.dials.mainDialedAt === now;
      assert(isDialed, `${request.id} was refused without a new dial`);
    }
    return request;
  }

  #sendFromClient(message: Json, request?: WatchedRequest): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.handle({ type: "line", text }, { request });
  }

  // The session

  /**
   * Passes an event to the proxy. `refuses`: the daemon refuses it by this
   * event.
   */
  handle(
    event: SessionEvent,
    { refuses = false, request }: {
      refuses?: boolean;
      request?: WatchedRequest | undefined;
    } = {},
  ): void {
    if (this.exitCode !== undefined) return;
    const { now } = this.#scheduler;
    this.#downMs = this.#currentDownMs;
    this.#downMsUpdatedAt = now;
    this.checkWaits();
    if (event.type === "end") this.#endedAt ??= now;
    const isMain = "connectionId" in event &&
      event.connectionId === this.mainConnectionId &&
      this.#openConnections.has(event.connectionId);
    if (isMain && refuses) this.#mayBeRefused = true;
    else if (isMain && event.type === "closed") this.#mayBeRefused = false;
    if (isMain && event.type === "open") this.#currentDial.since = now;
    if (event.type === "closed") this.#recordDisconnect(event.connectionId);
    const wasWanting = this.hasWaitingRequests;
    if (request !== undefined) this.#pending.add(request);
    const isWanted = wasWanting || this.hasWaitingRequests;
    this.dials.setDemand(now, isWanted);
    this.#currentDial.wasWanted ||= isWanted;
    const effects = this.#session.handle(event, now);
    if (event.type === "tick") this.#checkDialTimeout(effects);
    this.#updateReadiness();
    this.#checkWillDial();
    for (const effect of effects) this.#perform(effect, isWanted);
    this.dials.setDemand(now, this.hasWaitingRequests);
    if (!refuses || !isMain) return;
    this.#isRefused = true;
    this.dials.dialRefused(now);
    assert(!this.hasWaitingRequests, "a request still waits after a refusal");
  }

  /** Updates whether the connection is ready. */
  #updateReadiness(): void {
    const { now } = this.#scheduler;
    const { phase } = this.#session.snapshot().standing;
    const isReady = phase === "ready" || phase === "checking";
    if (isReady && this.#readyAt === undefined) {
      this.#readyAt = now;
      this.#isRefused = this.#mayBeRefused = false;
      this.#hasAnswered = true;
      this.#answeredOn = "nowhere";
    } else if (!isReady && this.#readyAt !== undefined) {
      const ms = now - this.#readyAt;
      this.#readyAt = undefined;
      if (ms < BACKOFF_RESET_MS && this.#answeredOn === "nowhere") return;
      // A pool's responses need not concern the main connection.
      const isCertain = ms > BACKOFF_RESET_MS + 10 ||
        this.#answeredOn === "here";
      this.dials.backoffRestarted(now, isCertain);
    }
  }

  /**
   * Checks that a connection that is neither open nor displaced will be dialed
   * some day.
   */
  #checkWillDial(): void {
    const { phase } = this.#session.snapshot().standing;
    const mayWait = /^(displaced|open|ready|checking)$/.test(phase);
    const isEndless = this.#session.deadline() === Infinity;
    const isOver = this.#endedAt !== undefined;
    assert(mayWait || isOver || !isEndless, `it stays ${phase} for ever`);
  }

  /**
   * Checks that a dial is given up early only if a request has waited for it,
   * and the daemon is known.
   */
  #checkDialTimeout(effects: readonly Effect[]): void {
    const { now } = this.#scheduler;
    const { since, wasWanted } = this.#currentDial;
    const isGivenUp = effects.some((effect) =>
      effect.type === "close" && effect.connectionId === this.mainConnectionId
    );
    const isOver = this.#readyAt !== undefined || this.#endedAt !== undefined;
    if (!isGivenUp || isOver || wasWanted && this.#hasAnswered) return;
    const { handshakeTimeout } = this.#config;
    assert(
      now - since >= handshakeTimeout - 1,
      `a dial was given up after ${now - since} ms, and ` +
        (wasWanted ? "the daemon is not known" : "no request waited for it"),
    );
  }

  #perform(effect: Effect, isWanted: boolean): void {
    const { now } = this.#scheduler;
    switch (effect.type) {
      case "dial": {
        const { connectionId, subprotocol } = effect;
        this.#openConnections.add(connectionId);
        const { phase } = this.#session.snapshot().standing;
        if (phase === "dialing") {
          this.mainConnectionId = connectionId;
          const hasNewRequest = this.#isRefused &&
            now - this.lastRequestAt <= 100;
          this.#isRefused = false;
          this.#currentDial = { since: now, wasWanted: isWanted };
          this.dials.mainDialed(now, subprotocol, isWanted, hasNewRequest);
        } else this.dials.otherDialed(now);
        return this.#network.onDial(connectionId);
      }
      case "send-to-daemon":
        this.#recordWrite(effect.connectionId, JSON.parse(effect.text));
        return this.#network.onSend(effect.connectionId, effect.text);
      case "close":
        this.#recordDisconnect(effect.connectionId);
        if (effect.connectionId === this.mainConnectionId) {
          this.dials.connectionEnded(now);
        }
        return this.#network.onClose(effect.connectionId);
      case "send-to-client":
        return this.#recordResponse(JSON.parse(effect.text));
      case "log":
        assert(effect.event !== "bug", effect.message);
        assert(!/Infinity|NaN/.test(effect.message), effect.message);
        if (effect.event === "displaced") {
          this.displacedLogLines++;
          this.dials.connectionDisplaced();
        }
        return;
      case "exit":
        this.exitCode = effect.code;
    }
  }

  /**
   * A connection has ended: the requests sent on it wait again, or get a
   * response now.
   */
  #recordDisconnect(connectionId: number): void {
    this.#openConnections.delete(connectionId);
    for (const request of this.#pending) {
      if (request.sentOn !== connectionId) continue;
      request.sentOn = undefined;
      request.waitingSince = this.#scheduler.now;
    }
  }

  #recordWrite(connectionId: number, frame: Json): void {
    assert(this.#openConnections.has(connectionId), "sent on no connection");
    const request = this.#requestOf(frame);
    if (request === undefined) return;
    assert(
      request.answeredAt === undefined,
      `${request.id} was sent too late`,
    );
    request.sentOn = connectionId;
    request.writeCount++;
    this.#writtenAt[request.usesPool ? "pool" : "main"] = this.#scheduler.now;
  }

  /**
   * The client's request in a frame. Only exai's list request has no id; the
   * oldest waiting one counts.
   */
  #requestOf(frame: Json): WatchedRequest | undefined {
    if (this.#protocol !== "exai") {
      return frame.method && this.#requests.get(frame.id);
    }
    if (frame.op === "call_tool") return this.#requests.get(frame.arguments.id);
    if (frame.op !== "list_tools") return undefined;
    return [...this.#pending].find(({ method, sentOn }) =>
      method === "tools/list" && sentOn === undefined
    );
  }

  #recordResponse({ id, method, error }: Json): void {
    if (method !== undefined) return;
    const { now } = this.#scheduler;
    const request = this.#requests.get(id);
    assert(
      request !== undefined,
      `a response to ${id}, which was never requested`,
    );
    assert(request.answeredAt === undefined, `${id} was answered twice`);
    request.answeredAt = now;
    request.errorCode = error?.code;
    this.#pending.delete(request);
    const opensConversation = /^(initialize|server\/discover)$/
      .test(request.method);
    if (error === undefined) {
      this.answers++;
      // A locally answered `initialize` is no response of the daemon.
      if (request.sentOn !== undefined && this.#answeredOn !== "here") {
        this.#answeredOn = request.usesPool ? "elsewhere" : "here";
      }
      if (opensConversation) {
        this.#scheduler.schedule(1, () => this.#completeHandshake());
      }
      return;
    }
    this.faults++;
    this.#checkErrorCause(request, error);
    if (opensConversation && this.#endedAt === undefined) {
      this.#scheduler.schedule(
        REINITIALIZE_DELAY_MS,
        () => this.openConversation(),
      );
    }
  }

  #completeHandshake(): void {
    if (this.#endedAt !== undefined) return;
    this.#mayRequest = true;
    if (this.#protocol !== "mcp") return;
    this.#sendFromClient({ method: "notifications/initialized" });
  }

  /** Checks that an error of the proxy has its cause. */
  #checkErrorCause(request: WatchedRequest, { code, data }: Json): void {
    const { id, writeCount, usesPool } = request;
    const isList = this.#protocol === "exai" && request.method === "tools/list";
    if (data?.delivered === "no" && !isList) {
      assertEquals(
        writeCount,
        0,
        `${id} was sent, but is reported as not sent`,
      );
    }
    assert(code !== -31002 || writeCount > 0, `${id} was never sent`);
    assert(code !== -31003, `${id} timed out without a timeout`);
    if (data?.reason === "refused") {
      assert(this.#mayBeRefused, `${id} was refused, but not by the daemon`);
    }
    const isEnd = this.#endedAt !== undefined;
    if (code !== -31001 || data.reason !== "unavailable" || isEnd) return;
    const { queueTimeout } = this.#config;
    // How long a pool connection was missing is not visible here.
    const waited = usesPool
      ? this.#scheduler.now - request.requestedAt
      : this.#downMs - request.downMsAtRequest;
    const least = Math.min(queueTimeout, MIN_QUEUE_TIMEOUT_MS);
    assert(
      waited >= least - 1,
      `${id} was given up after ${waited} ms without a connection`,
    );
  }

  // The rules that always hold

  /**
   * Checks that no request waits too long. Also called before the daemon's
   * state changes.
   */
  checkWaits(): void {
    if (this.#pending.size === 0 || this.#endedAt !== undefined) return;
    const { now } = this.#scheduler;
    const allowed = this.#allowedWait();
    const { queueTimeout } = this.#config;
    for (const request of this.#pending) {
      const { id, isLongLived, usesPool, sentOn, waitingSince } = request;
      if (isLongLived || sentOn !== undefined) continue;
      if (!usesPool) {
        const down = this.#currentDownMs - request.downMsAtRequest;
        assert(
          down <= queueTimeout + 1,
          `${id} (${request.method}) has waited ${down} ms without a ` +
            `connection, and the queue timeout is ${queueTimeout} ms in all`,
        );
      }
      // A call that was sent before may wait for the confirmation of its hint.
      const isAgain = request.writeCount > 0 && request.method === "tools/call";
      if (allowed === undefined) continue;
      const limit = allowed.limitMs + (isAgain ? HINT_CONFIRMATION_MS : 0);
      const writtenAt = this.#writtenAt[usesPool ? "pool" : "main"];
      const waited = now - Math.max(allowed.since, waitingSince, writtenAt);
      assert(
        waited <= limit,
        `${id} (${request.method}) has waited ${waited} ms for a daemon that ` +
          `is there, and may wait ${limit} ms`,
      );
    }
  }

  /** At the end of the simulation every request has its response. */
  checkAllAnswered(): void {
    assertEquals(this.exitCode, 0, "exit code");
    assertEquals(
      this.#session.pendingRequestCount,
      0,
      "pending requests in the snapshot",
    );
    for (const { id } of this.#pending) {
      throw new Error(`${id} was never answered`);
    }
  }
}
