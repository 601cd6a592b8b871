/**
 * The requests of a simulation's client, and the checks that the delivery
 * contract is kept for each of them.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/** A request, as the client sees it. */
export interface TrackedRequest {
  readonly key: string;
  readonly id: unknown;
  readonly method: string;
  readonly isSafe: boolean;
  readonly requestedAt: number;
  readonly token: unknown;
  /**
   * A value in the params that the daemon returns in its result. `undefined`
   * for a request without params.
   */
  readonly mark: string | undefined;
  /** The cursor of the requested list page; `undefined` for the first page. */
  readonly cursor: string | undefined;
  /** True if an earlier request, which has ended, had the same id. */
  readonly hasReusedId: boolean;
  /**
   * True if the id may equal that of one of the proxy's own requests. Later
   * requests may then be sent first.
   */
  readonly mayBeOvertaken: boolean;
  readonly order: number;
  highestProgress: number;
  /** How many progress notifications the client received for the request. */
  progressCount: number;
  /**
   * The connection on which the daemon reported that it did not understand the
   * request, or sent an unreadable response.
   */
  notUnderstoodOn: number | undefined;
  cancelledAt: number | undefined;
  answers: number;
  sentOn: number | undefined;
  writeCount: number;
  executionCount: number;
  /** When the request was sent, or the daemon last sent something about it. */
  lastActivityAt: number;
  /** The total timeout, in milliseconds. */
  readonly totalTimeoutMs: number;
  /** How long the request waited for a connection before the current wait. */
  queuedMs: number;
  /**
   * `downMs` when the current wait began; `undefined` while it does not wait.
   */
  downMsAtQueueing: number | undefined;
  /**
   * Whether the request was in flight when a response that was too large ended
   * the connection. `maybe`: it may have been waiting for its second try.
   */
  oversizedResponse: "no" | "maybe" | "yes";
}

/** All requests of the client. Each method throws if a promise is broken. */
export class DeliveryInvariants {
  readonly #scheduler: Scheduler;
  readonly #config: SessionConfig;
  readonly #byKey = new Map<string, TrackedRequest>();
  readonly #byMark = new Map<string, TrackedRequest>();
  #order = 0;
  #lastWritten = 0;
  #downMs = 0;
  /**
   * Since when there is no usable connection; `undefined` while there is one.
   */
  #downSince: number | undefined = 0;
  /** When the client closed stdin. */
  endedAt: number | undefined;
  answers = 0;
  proxyErrors = 0;
  repeats = 0;

  constructor(scheduler: Scheduler, config: SessionConfig) {
    this.#scheduler = scheduler;
    this.#config = config;
  }

  /** How long there was no usable connection in total, in awake time. */
  get downMs(): number {
    const { awakeMs } = this.#scheduler;
    return this.#downMs + awakeMs - (this.#downSince ?? awakeMs);
  }

  /** Records whether the proxy has a usable connection from now on. */
  setUsable(isUsable: boolean): void {
    this.#downMs = this.downMs;
    this.#downSince = isUsable ? undefined : this.#scheduler.awakeMs;
  }

  get(key: string): TrackedRequest | undefined {
    return this.#byKey.get(key);
  }

  /**
   * Returns the client's request that a message carries, or `undefined` for the
   * proxy's own messages, even with the same id or params.
   */
  requestOf({ id, method, params }: Json): TrackedRequest | undefined {
    if (method === undefined) return undefined;
    const key = JSON.stringify(id);
    const { mark } = params ?? {};
    const request = mark === undefined
      ? this.#byKey.get(key)
      : this.#byMark.get(mark);
    const isIt = request !== undefined && request.key === key &&
      request.mark === mark;
    return isIt ? request : undefined;
  }

  /** Records that the client sends a request. */
  recordRequest(
    id: unknown,
    method: string,
    isSafe: boolean,
    { total: totalTimeoutMs = this.#config.requestTimeout, ...more }: {
      readonly total?: number;
      readonly token?: unknown;
      readonly cursor?: string | undefined;
      readonly hasNoMark?: boolean;
      readonly mayBeOvertaken?: boolean;
    } = {},
  ): TrackedRequest {
    const key = JSON.stringify(id);
    const request: TrackedRequest = {
      key,
      id,
      method,
      isSafe,
      requestedAt: this.#scheduler.awakeMs,
      token: more.token,
      mark: more.hasNoMark ? undefined : `mark ${this.#order}`,
      cursor: more.cursor,
      hasReusedId: this.#byKey.has(key),
      mayBeOvertaken: more.mayBeOvertaken ?? false,
      order: ++this.#order,
      highestProgress: -Infinity,
      progressCount: 0,
      notUnderstoodOn: undefined,
      cancelledAt: undefined,
      answers: 0,
      sentOn: undefined,
      writeCount: 0,
      executionCount: 0,
      lastActivityAt: this.#scheduler.awakeMs,
      totalTimeoutMs,
      queuedMs: 0,
      downMsAtQueueing: this.downMs,
      oversizedResponse: "no",
    };
    this.#byKey.set(request.key, request);
    if (request.mark !== undefined) this.#byMark.set(request.mark, request);
    return request;
  }

  /** Records that the proxy sends a request on a connection. */
  recordWrite(request: TrackedRequest, connectionId: number): void {
    assert(request.answers === 0, "sent after its response");
    assert(request.cancelledAt === undefined, "sent after it was cancelled");
    assert(
      request.oversizedResponse !== "yes",
      "sent after an oversized response",
    );
    const isAllowed = request.sentOn !== connectionId ||
      request.notUnderstoodOn === connectionId ||
      request.method === "initialize";
    assert(isAllowed, `${request.key} was sent twice on a connection`);
    request.sentOn = connectionId;
    request.queuedMs += this.downMs - (request.downMsAtQueueing ?? this.downMs);
    request.downMsAtQueueing = undefined;
    request.lastActivityAt = this.#scheduler.awakeMs;
    request.writeCount++;
    if (request.method === "initialize") return;
    if (request.writeCount > 1) {
      this.repeats++;
      // A request may be sent again after a lost connection, and once more
      // because the daemon did not understand it.
      const most = request.notUnderstoodOn === undefined ? 2 : 3;
      assert(request.writeCount <= most, "sent too often");
      assert(this.#config.retry !== "never", "sent again");
      assert(
        request.isSafe || this.#config.retry === "always",
        "unsafe, and sent twice",
      );
    } else if (!request.mayBeOvertaken) {
      assert(request.order > this.#lastWritten, "sent out of order");
      this.#lastWritten = request.order;
    }
  }

  /**
   * Records that a connection was closed. Its requests in flight wait for
   * another one, unless they fail at once.
   */
  recordDisconnect(connectionId: number): void {
    for (const request of this.inFlight(connectionId)) {
      request.downMsAtQueueing = this.downMs;
    }
  }

  /** Yields the requests in flight on a connection. */
  *inFlight(connectionId: number): Iterable<TrackedRequest> {
    for (const request of this.#byKey.values()) {
      const isOpen = request.answers === 0 && request.cancelledAt === undefined;
      if (isOpen && request.sentOn === connectionId) yield request;
    }
  }

  /** Checks that no more requests wait than the queue limit allows. */
  checkQueue(): void {
    let waiting = 0;
    for (const { answers, cancelledAt, writeCount } of this.#byKey.values()) {
      const isOpen = answers === 0 && cancelledAt === undefined;
      if (isOpen && writeCount === 0) waiting++;
    }
    assert(waiting <= this.#config.queueLimit, `${waiting} requests wait`);
  }

  /** True if a request waits to be sent for the first time. */
  get hasQueuedRequests(): boolean {
    return [...this.#byKey.values()].some((it) =>
      it.answers === 0 && it.cancelledAt === undefined && it.writeCount === 0
    );
  }

  /** Returns whether a request is in flight on a connection. */
  hasInFlight(connectionId: number): boolean {
    for (const _ of this.inFlight(connectionId)) return true;
    return false;
  }

  /** Records a progress notification. Its request must be pending. */
  recordProgress({ progressToken, progress }: Json): void {
    const request = [...this.#byKey.values()]
      .find(({ token }) => token === progressToken);
    assert(
      request !== undefined && request.answers === 0,
      "progress for no pending request",
    );
    assert(
      request.cancelledAt === undefined,
      "progress for a cancelled request",
    );
    const isRising = progress > request.highestProgress ||
      request.writeCount <= 1;
    assert(isRising, "progress of the first try after that of the second");
    request.highestProgress = Math.max(request.highestProgress, progress);
    request.progressCount++;
  }

  /** Records a response. Returns whether the daemon or the proxy made it. */
  recordResponse(request: TrackedRequest, error: Json): "daemon" | "proxy" {
    assertEquals(++request.answers, 1, `answers to ${request.key}`);
    assert(request.cancelledAt === undefined, `${request.key} was cancelled`);
    const waited = this.#scheduler.awakeMs - request.requestedAt;
    assert(waited <= request.totalTimeoutMs + 1, "the response is too late");
    if (error === undefined || error.code < -32000) {
      this.answers++;
      return "daemon";
    }
    this.proxyErrors++;
    this.#checkErrorCause(request, error.code, error.data);
    return "proxy";
  }

  /**
   * Records that the daemon sent something about a request, and checks that it
   * was not silent for longer than the idle timeout before.
   */
  recordActivity(request: TrackedRequest): void {
    const isOpen = request.answers === 0 && request.cancelledAt === undefined;
    const idle = this.#scheduler.awakeMs - request.lastActivityAt;
    request.lastActivityAt = this.#scheduler.awakeMs;
    if (request.method === "initialize" || !isOpen) return;
    const { idleTimeout } = this.#config;
    assert(idle <= idleTimeout + 1, `${request.key} was idle for ${idle}`);
  }

  /** Checks that an error made by the proxy has a valid cause. */
  #checkErrorCause(request: TrackedRequest, code: number, data: Json): void {
    const mayBeDone = request.writeCount > 0 && code !== -31005;
    if (mayBeDone) {
      assert(data.delivered === "unknown", "it may have been executed");
    }
    const isHarmless = request.writeCount === 0 || request.isSafe;
    assert(!data.retryable || isHarmless, "retryable, but unsafe to repeat");
    const { queueTimeout, idleTimeout } = this.#config;
    const isEnd = this.endedAt !== undefined;
    const waited = this.#scheduler.awakeMs - request.requestedAt;
    switch (code) {
      case -31001: {
        // For `initialize`, the time in flight counts as waiting, too.
        if (request.method === "initialize") return;
        const queued = request.queuedMs + this.downMs -
          (request.downMsAtQueueing ?? this.downMs);
        const late = queued - queueTimeout;
        assert(late <= 1, `${request.key} waited ${late} too long`);
        if (isEnd || data.reason === "refused") return;
        // How long a request waits for its second try is not known here.
        if (request.notUnderstoodOn !== undefined) return;
        // After a long outage a request may wait for only 20 s.
        const least = Math.min(queueTimeout, 20_000);
        assert(queued >= least - 1, `gave up after ${queued} ms`);
        return;
      }
      case -31002:
        assert(request.writeCount > 0, "it was never sent");
        // A safe call may have waited until a new daemon confirmed that the
        // call may be repeated, so it may have been idle for longer.
        assert(
          request.method === "initialize" ||
            request.isSafe && request.method === "tools/call" ||
            this.#scheduler.awakeMs - request.lastActivityAt <= idleTimeout + 1,
          "idle too long",
        );
        if (isEnd || request.writeCount > 1) return;
        if (request.oversizedResponse !== "no") return;
        if (request.method === "initialize") return;
        assert(
          this.#config.retry !== "always" &&
            !(request.isSafe && this.#config.retry === "safe" &&
              request.method !== "tools/call"),
          `${request.key} (${request.method}) could have been repeated`,
        );
        return;
      case -31003: {
        const idle = this.#scheduler.awakeMs - request.lastActivityAt;
        const isDue = idle >= idleTimeout - 1 ||
          waited >= request.totalTimeoutMs - 1;
        assert(isDue, `timed out after ${waited}, idle for ${idle}`);
        return;
      }
      case -31004:
        return assertEquals(waited, 0);
      case -31005:
        return;
      default:
        throw new Error(`an unknown code: ${code}`);
    }
  }

  /** Checks at the end that each request was answered once or cancelled. */
  checkAllAnswered(): void {
    for (const { key, answers, cancelledAt } of this.#byKey.values()) {
      const isExcused = cancelledAt !== undefined;
      assert(
        answers === 1 || isExcused,
        `${key} was answered ${answers} times`,
      );
    }
  }
}
