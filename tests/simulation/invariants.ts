/**
 * What the client of a world asked, and what it was promised for that.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import type { Json } from "../helpers/session/session_driver.ts";
import type { Scheduler } from "./scheduler.ts";

/** What the client knows of one of its requests. */
export interface TrackedRequest {
  readonly key: string;
  readonly id: unknown;
  readonly method: string;
  readonly isSafe: boolean;
  readonly requestedAt: number;
  readonly token: unknown;
  /** What stands in its params, and comes back in its result; `undefined` for one without params. */
  readonly mark: string | undefined;
  /** Where in a list it asks to go on. */
  readonly cursor: string | undefined;
  /** Its id was that of a request that nobody waits for any more. */
  readonly hasReusedId: boolean;
  /** Its id may be one of the proxy's own, so that others may overtake it. */
  readonly mayBeOvertaken: boolean;
  readonly order: number;
  highestProgress: number;
  /** How often the client has heard of it. */
  progressCount: number;
  /** The connection on which the daemon has said that it did not understand, or has said what cannot be read. */
  notUnderstoodOn: number | undefined;
  cancelledAt: number | undefined;
  answers: number;
  sentOn: number | undefined;
  writeCount: number;
  executionCount: number;
  /** When the daemon was last heard of it, or got it. */
  lastActivityAt: number;
  /** How long it may take altogether. */
  readonly totalTimeoutMs: number;
  /** How long it waited with no connection to write it to, before the wait that goes on. */
  queuedMs: number;
  /** How long there had been none, in all, when that wait began; `undefined` while it does not wait. */
  downMsAtQueueing: number | undefined;
  /** Its answer, or another one's, was too large for the connection. */
  oversize: "no" | "maybe" | "yes";
}

/** Every request of the client's; each method throws when a promise is broken. */
export class DeliveryInvariants {
  readonly #scheduler: Scheduler;
  readonly #config: SessionConfig;
  readonly #byKey = new Map<string, TrackedRequest>();
  readonly #byMark = new Map<string, TrackedRequest>();
  #order = 0;
  #lastWritten = 0;
  #downMs = 0;
  /** Since when there is no connection to write to; `undefined` while there is one. */
  #downSince: number | undefined = 0;
  /** When the client closed stdin. */
  endedAt: number | undefined;
  answers = 0;
  faults = 0;
  repeats = 0;

  constructor(scheduler: Scheduler, config: SessionConfig) {
    this.#scheduler = scheduler;
    this.#config = config;
  }

  /** How long there was no connection to write to, in all. */
  get downMs(): number {
    const { awakeMs } = this.#scheduler;
    return this.#downMs + awakeMs - (this.#downSince ?? awakeMs);
  }

  /** The proxy has a connection to write to, or has none. */
  setUsable(isUsable: boolean): void {
    this.#downMs = this.downMs;
    this.#downSince = isUsable ? undefined : this.#scheduler.awakeMs;
  }

  get(key: string): TrackedRequest | undefined {
    return this.#byKey.get(key);
  }

  /** The client's request that a message is, and not one of the proxy's own with the same id or the same params. */
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

  /** The client asks. */
  recordRequest(
    id: unknown,
    method: string,
    isSafe: boolean,
    { total: totalTimeoutMs = this.#config.requestTimeout, ...more }: {
      readonly total?: number;
      readonly token?: unknown;
      readonly cursor?: string | undefined;
      readonly isPlain?: boolean;
      readonly mayWait?: boolean;
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
      mark: more.isPlain ? undefined : `mark ${this.#order}`,
      cursor: more.cursor,
      hasReusedId: this.#byKey.has(key),
      mayBeOvertaken: more.mayWait ?? false,
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
      oversize: "no",
    };
    this.#byKey.set(request.key, request);
    if (request.mark !== undefined) this.#byMark.set(request.mark, request);
    return request;
  }

  /** The proxy wrote it to a connection. */
  recordWrite(request: TrackedRequest, connectionId: number): void {
    assert(request.answers === 0, "written after its answer");
    assert(request.cancelledAt === undefined, "written after it was cancelled");
    assert(request.oversize !== "yes", "written after it was too large");
    const isKnown = request.sentOn !== connectionId ||
      request.notUnderstoodOn === connectionId ||
      request.method === "initialize";
    assert(isKnown, `${request.key} was written twice to a connection`);
    request.sentOn = connectionId;
    request.queuedMs += this.downMs - (request.downMsAtQueueing ?? this.downMs);
    request.downMsAtQueueing = undefined;
    request.lastActivityAt = this.#scheduler.awakeMs;
    request.writeCount++;
    if (request.method === "initialize") return;
    if (request.writeCount > 1) {
      this.repeats++;
      // Once because its connection was lost, and once because it was not understood.
      const most = request.notUnderstoodOn === undefined ? 2 : 3;
      assert(request.writeCount <= most, "tried once more");
      assert(this.#config.retry !== "never", "written again");
      assert(
        request.isSafe || this.#config.retry === "always",
        "unsafe, twice",
      );
    } else if (!request.mayBeOvertaken) {
      assert(request.order > this.#lastWritten, "out of order");
      this.#lastWritten = request.order;
    }
  }

  /** A connection was left: what was in flight there waits for another one, if it is not answered at once. */
  recordDisconnect(connectionId: number): void {
    for (const request of this.inFlight(connectionId)) {
      request.downMsAtQueueing = this.downMs;
    }
  }

  /** What is in flight on a connection. */
  *inFlight(connectionId: number): Iterable<TrackedRequest> {
    for (const request of this.#byKey.values()) {
      const isOpen = request.answers === 0 && request.cancelledAt === undefined;
      if (isOpen && request.sentOn === connectionId) yield request;
    }
  }

  /** The queue has no more in it than it may have. */
  checkQueue(): void {
    let waiting = 0;
    for (const { answers, cancelledAt, writeCount } of this.#byKey.values()) {
      const isOpen = answers === 0 && cancelledAt === undefined;
      if (isOpen && writeCount === 0) waiting++;
    }
    assert(waiting <= this.#config.queueLimit, `${waiting} wait`);
  }

  /** Whether something waits to be written. */
  get hasQueuedRequests(): boolean {
    return [...this.#byKey.values()].some((it) =>
      it.answers === 0 && it.cancelledAt === undefined && it.writeCount === 0
    );
  }

  /** Whether an answer is owed for something that was written to a connection. */
  hasInFlight(connectionId: number): boolean {
    for (const _ of this.inFlight(connectionId)) return true;
    return false;
  }

  /** Progress came. */
  recordProgress({ progressToken, progress }: Json): void {
    const request = [...this.#byKey.values()]
      .find(({ token }) => token === progressToken);
    assert(request !== undefined && request.answers === 0, "stray progress");
    assert(request.cancelledAt === undefined, "progress on what was cancelled");
    const isRising = progress > request.highestProgress ||
      request.writeCount <= 1;
    assert(isRising, "progress of the first try after the second one's");
    request.highestProgress = Math.max(request.highestProgress, progress);
    request.progressCount++;
  }

  /** An answer came: the daemon's, or an error of the proxy's own. */
  recordResponse(request: TrackedRequest, error: Json): "daemon" | "proxy" {
    assertEquals(++request.answers, 1, `answers to ${request.key}`);
    assert(request.cancelledAt === undefined, `${request.key} was cancelled`);
    const waited = this.#scheduler.awakeMs - request.requestedAt;
    assert(waited <= request.totalTimeoutMs + 1, "too late");
    if (error === undefined || error.code < -32000) {
      this.answers++;
      return "daemon";
    }
    this.faults++;
    this.#checkErrorCause(request, error.code, error.data);
    return "proxy";
  }

  /** The daemon spoke of it: it must not have been silent for too long before. */
  recordActivity(request: TrackedRequest): void {
    const isOpen = request.answers === 0 && request.cancelledAt === undefined;
    const idle = this.#scheduler.awakeMs - request.lastActivityAt;
    request.lastActivityAt = this.#scheduler.awakeMs;
    if (request.method === "initialize" || !isOpen) return;
    const { idleTimeout } = this.#config;
    assert(idle <= idleTimeout + 1, `${request.key} was idle for ${idle}`);
  }

  /** An error of the proxy's own must have its cause. */
  #checkErrorCause(request: TrackedRequest, code: number, data: Json): void {
    const mayBeDone = request.writeCount > 0 && code !== -31005;
    if (mayBeDone) assert(data.delivered === "unknown", "it was written");
    const isHarmless = request.writeCount === 0 || request.isSafe;
    assert(!data.retryable || isHarmless, "an invitation to do it twice");
    const { queueTimeout, idleTimeout } = this.#config;
    const isEnd = this.endedAt !== undefined;
    const waited = this.#scheduler.awakeMs - request.requestedAt;
    switch (code) {
      case -31001: {
        // What opens the conversation waits also while it is in flight.
        if (request.method === "initialize") return;
        const queued = request.queuedMs + this.downMs -
          (request.downMsAtQueueing ?? this.downMs);
        const late = queued - queueTimeout;
        assert(late <= 1, `${request.key} waited ${late} too long`);
        if (isEnd || data.reason === "refused") return;
        // One that is to be written once more has waited since nobody knows when.
        if (request.notUnderstoodOn !== undefined) return;
        // After a long outage a request may wait for 20 s only.
        const least = Math.min(queueTimeout, 20_000);
        assert(queued >= least - 1, `gave up after ${queued}`);
        return;
      }
      case -31002:
        assert(request.writeCount > 0, "it was never written");
        // One that waited for a hint to be confirmed may have waited long before.
        assert(
          request.method === "initialize" ||
            request.isSafe && request.method === "tools/call" ||
            this.#scheduler.awakeMs - request.lastActivityAt <= idleTimeout + 1,
          "idle too long",
        );
        if (isEnd || request.writeCount > 1) return;
        if (request.oversize !== "no") return;
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

  /** The world is over: nobody is left without an answer. */
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
