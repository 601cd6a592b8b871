/**
 * A proxy in a simulation, with its client and a record of its requests and
 * dials. The rules of reconnecting are checked at every event.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { Exai } from "../../lib/dialects/exai/exai.ts";
import type { Effect, SessionEvent } from "../../lib/events.ts";
import { Mcp } from "../../lib/dialects/mcp/mcp.ts";
import type { Session } from "../../lib/session/session.ts";
import { CheckedSession } from "../helpers/session/checked_session.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { DialLimits } from "./dial_limits.ts";
import { STATELESS_META } from "../helpers/session/cold_start_driver.ts";
import { EXAI_CONFIG } from "../helpers/session/exai_driver.ts";
import type { DaemonProtocol } from "./concurrent_daemon.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/**
 * After the daemon has refused a dial, no request causes another dial for this
 * long.
 */
const REFUSED_REDIAL_INTERVAL_MS = 5_000;
/**
 * The time before which no request fails for lack of a connection, unless the
 * queue timeout is shorter.
 */
const MIN_QUEUE_TIMEOUT_MS = 20_000;
/** How long a connection must stay ready to restart the backoff schedule. */
const BACKOFF_RESET_MS = 5_000;
/** How long a client waits after an error before it initializes again. */
const REINITIALIZE_DELAY_MS = 1_000;

/** The network of a proxy. It must not call back synchronously. */
export interface NetworkHooks {
  onDial(connectionId: number): void;
  onSend(connectionId: number, text: string): void;
  onClose(connectionId: number): void;
}

/**
 * Since when the daemon can be reached, and how long a request may then wait
 * for a connection.
 */
export interface AllowedWait {
  readonly since: number;
  readonly limitMs: number;
}

/** A request of the client. */
export interface WatchedRequest {
  readonly id: number;
  readonly method: string;
  /** True if the request may stay open for ever, and causes no dial. */
  readonly isLongLived: boolean;
  /** True if the request uses a connection of the exai pool. */
  readonly usesPool: boolean;
  readonly requestedAt: number;
  /** The total downtime when the client sent the request. */
  readonly downMsAtRequest: number;
  /** How often the proxy sent the request to the daemon. */
  writeCount: number;
  /** The connection on which it was sent, while that connection exists. */
  sentOn: number | undefined;
  /** Since when the request waits to be sent. */
  waitingSince: number;
  answeredAt: number | undefined;
  /** The code of the error response, if there was one. */
  errorCode: number | undefined;
}

/**
 * How long a new daemon may take to confirm that a call may be repeated, in
 * milliseconds.
 */
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
  /** True once the client has initialized and may send requests. */
  #mayRequest: boolean;
  #readyAt: number | undefined;
  /**
   * Where the daemon has answered the client since the main connection became
   * ready: `here` is the main connection, `elsewhere` the pool.
   */
  #answeredOn: "nowhere" | "elsewhere" | "here" = "nowhere";
  /** True once the daemon has answered this process. */
  #hasAnswered = false;
  /**
   * When the current dial began, or its WebSocket opened, and whether a request
   * has waited since the dial.
   */
  #currentDial = { since: 0, wasWanted: false };
  /**
   * How long there was no usable connection until `#downMsUpdatedAt`, in total.
   */
  #downMs = 0;
  #downMsUpdatedAt = 0;
  /** True if the daemon refused the last dial. */
  #isRefused = false;
  /** True while the client may get the error that the daemon refuses it. */
  #mayBeRefused = false;
  #endedAt: number | undefined;
  /** When the client last sent a request; `-Infinity` before the first one. */
  lastRequestAt = -Infinity;
  /** The id of the latest main connection. */
  mainConnectionId = 0;
  readonly dials: DialLimits;
  answers = 0;
  errors = 0;
  /** How many log lines report that another client has the connection. */
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
    this.#session = new CheckedSession(config, dialect, random, 0);
    this.#network = network;
    this.#allowedWait = allowedWait;
    this.#lastId = lastId;
    this.#mayRequest = protocol === "exai";
    this.dials = new DialLimits(protocol === "exai" ? 4 : 0);
  }

  /** True if a request waits for a connection and has a timeout. */
  get hasWaitingRequests(): boolean {
    for (const { isLongLived, sentOn } of this.#pending) {
      if (!isLongLived && sentOn === undefined) return true;
    }
    return false;
  }

  /** True once the client has sent a request, and always with exai. */
  get hasSentRequest(): boolean {
    return this.#protocol === "exai" || this.#requests.size > 0;
  }

  /** True while the client waits for a response. */
  get hasPendingRequests(): boolean {
    for (const { isLongLived } of this.#pending) if (!isLongLived) return true;
    return false;
  }

  /** True if the daemon refused the last dial. */
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

  /** Sends the client's first request, in its protocol. */
  openConversation(): void {
    if (this.#protocol === "exai") return;
    if (this.#protocol === "stateless") {
      this.#request("server/discover", {});
    } else {
      const protocolVersion = "2025-11-25";
      this.#request("initialize", { protocolVersion, capabilities: {} });
    }
  }

  /** Sends a request of the client. Returns `undefined` if it may not. */
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
   * Passes an event to the proxy.
   *
   * @param refuses whether the daemon refuses the proxy by this event
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
    const hadWaitingRequests = this.hasWaitingRequests;
    if (request !== undefined) this.#pending.add(request);
    const isWanted = hadWaitingRequests || this.hasWaitingRequests;
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

  /** Updates whether the main connection is ready. */
  #updateReadiness(): void {
    const { now } = this.#scheduler;
    const { phase } = this.#session.snapshot().connectionState;
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
      // A response on a pool connection does not prove that the main one works.
      const isCertain = ms > BACKOFF_RESET_MS + 10 ||
        this.#answeredOn === "here";
      this.dials.backoffRestarted(now, isCertain);
    }
  }

  /**
   * Checks that a connection that is neither open nor displaced has a deadline.
   */
  #checkWillDial(): void {
    const { phase } = this.#session.snapshot().connectionState;
    const mayWait = /^(displaced|open|ready|checking)$/.test(phase);
    const isEndless = this.#session.deadline() === Infinity;
    const isOver = this.#endedAt !== undefined;
    assert(mayWait || isOver || !isEndless, `it stays ${phase} for ever`);
  }

  /**
   * Checks that the proxy gives up a dial early only if a request waited for it
   * and the daemon has answered before.
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
        (wasWanted ? "the daemon never answered" : "no request waited for it"),
    );
  }

  #perform(effect: Effect, isWanted: boolean): void {
    const { now } = this.#scheduler;
    switch (effect.type) {
      case "dial": {
        const { connectionId, subprotocol } = effect;
        this.#openConnections.add(connectionId);
        const { phase } = this.#session.snapshot().connectionState;
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
   * Records that a connection ended. Its requests wait again, or get a response
   * now.
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
    assert(this.#openConnections.has(connectionId), "the connection is gone");
    const request = this.#requestOf(frame);
    if (request === undefined) return;
    assert(
      request.answeredAt === undefined,
      `${request.id} was sent after its response`,
    );
    request.sentOn = connectionId;
    request.writeCount++;
    this.#writtenAt[request.usesPool ? "pool" : "main"] = this.#scheduler.now;
  }

  /**
   * Returns the client's request that a frame carries. An exai list request has
   * no id: the oldest waiting one counts.
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
      // If the proxy answered `initialize` itself, that is not a response of
      // the daemon.
      if (request.sentOn !== undefined && this.#answeredOn !== "here") {
        this.#answeredOn = request.usesPool ? "elsewhere" : "here";
      }
      if (opensConversation) {
        this.#scheduler.schedule(1, () => this.#completeHandshake());
      }
      return;
    }
    this.errors++;
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

  /** Checks that an error made by the proxy has a valid cause. */
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
    // How long a pool connection was missing is not known here.
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
   * Checks that no request waits too long. Call it also before the state of the
   * daemon changes.
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
            `connection, but the queue timeout is ${queueTimeout} ms in total`,
        );
      }
      // A call that was sent before may wait for its hint to be confirmed.
      const isAgain = request.writeCount > 0 && request.method === "tools/call";
      if (allowed === undefined) continue;
      const limit = allowed.limitMs + (isAgain ? HINT_CONFIRMATION_MS : 0);
      const writtenAt = this.#writtenAt[usesPool ? "pool" : "main"];
      const waited = now - Math.max(allowed.since, waitingSince, writtenAt);
      assert(
        waited <= limit,
        `${id} (${request.method}) has waited ${waited} ms for a daemon that ` +
          `can be reached, and may wait ${limit} ms`,
      );
    }
  }

  /** Checks at the end that each request was answered. */
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
