/**
 * Records what was lost, when, why, for how long, and which requests it cost.
 * It sees only log effects and dials, which are rare, so it is always on.
 *
 * An outage begins when the main connection is lost, or with the first failed
 * attempt if there was none yet. It ends when the daemon is connected.
 *
 * @module
 */

import type {
  CircuitState,
  Effect,
  FailedRequest,
  LogFact,
  LossCause,
} from "../events.ts";
import { ErrorCode, type ErrorReason } from "../protocol/jsonrpc.ts";
import { sanitizeLine } from "../text/sanitize.ts";

/** An outage; durations are in milliseconds. */
export interface Outage {
  /** When it began, in milliseconds since 1970. */
  readonly lostAt: number;
  /** Why, as one of a few words. */
  readonly cause: LossCause;
  /** Why, for people. */
  readonly reason: string;
  /** How long it lasted; undefined while it lasts. */
  readonly downMs?: number;
  /** How many attempts to connect were made. */
  readonly attempts: number;
  /** How many requests were sent again after it. */
  readonly repeatedCount: number;
  /** How many requests ended with an error during it, or because of it. */
  readonly failedCount: number;
  /** The first of these requests. */
  readonly failed: readonly FailedRequest[];
}

/** What a proxy has recorded since its start; durations are in milliseconds. */
export interface History {
  /** The newest outages, the oldest first. */
  readonly outages: readonly Outage[];
  /** How many outages there were. */
  readonly outageCount: number;
  /** How long all ended outages lasted together. */
  readonly downMs: number;
  /**
   * When the current outage began, in ms on the session's clock; undefined if
   * there is none.
   */
  readonly downSince?: number;
  /** How many attempts to connect were made, on all connections. */
  readonly dialAttempts: number;
  /** How often the daemon was connected again, by the cause of the loss. */
  readonly reconnects: Readonly<Partial<Record<LossCause, number>>>;
  /** How many requests were sent again. */
  readonly repeatedCount: number;
  /** How many requests ended with an error of the proxy, by the reason. */
  readonly failedRequests: Readonly<Partial<Record<ErrorReason, number>>>;
  /** How many requests ended with an unknown outcome. */
  readonly unknownOutcomes: number;
  /** How often the circuit breaker opened. */
  readonly circuitOpenings: number;
}

/** The history of a proxy that has just started. */
export const EMPTY_HISTORY: History = {
  outages: [],
  outageCount: 0,
  downMs: 0,
  dialAttempts: 0,
  reconnects: {},
  repeatedCount: 0,
  failedRequests: {},
  unknownOutcomes: 0,
  circuitOpenings: 0,
};

/** Returns how long all outages lasted until `now`, in milliseconds. */
export function downMsOf({ downMs, downSince }: History, now: number): number {
  // The wall clock of a status file may have been set back.
  return downMs + Math.max(0, now - (downSince ?? now));
}

/** How many outages are kept. */
const MAX_OUTAGES = 20;
/** How many failed requests of an outage are named. */
const MAX_FAILED = 10;
/** The longest reason, in UTF-16 units. */
const MAX_REASON_CHARS = 200;
/**
 * How long before a loss a request may fail because of it, in milliseconds: the
 * connections of a pool do not end at the same time.
 */
const SAME_LOSS_MS = 1_000;
/**
 * How long after an outage a request may be sent again, or fail, because of it,
 * in milliseconds. A hint is confirmed within 5 s, and a full daemon takes some
 * time for all requests.
 */
const AFTERMATH_MS = 60_000;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** An outage that is being recorded. */
interface RecordedOutage extends Omit<Mutable<Outage>, "failed" | "downMs"> {
  downMs: number | undefined;
  readonly failed: FailedRequest[];
}

/** The history that is being recorded. */
export class HistoryRecorder {
  readonly #outages: RecordedOutage[] = [];
  /** The outage that lasts. */
  #current: RecordedOutage | undefined;
  /**
   * When it began, on the session's clock; undefined while another client has
   * the connection, because nobody needs it then.
   */
  #downSince: number | undefined;
  /** When the last outage ended, on the session's clock. */
  #endedAt = -Infinity;
  #endedDownMs = 0;
  #outageCount = 0;
  #dialAttempts = 0;
  readonly #reconnects: Partial<Record<LossCause, number>> = {};
  #repeatedCount = 0;
  readonly #failedRequests: Partial<Record<ErrorReason, number>> = {};
  #unknownOutcomes = 0;
  #circuit: CircuitState = "closed";
  #circuitOpenings = 0;
  #isConnected = false;
  /** Requests that failed in flight, and may belong to the next loss. */
  #justFailed: { readonly at: number; readonly request: FailedRequest }[] = [];

  /**
   * Records an effect. `now` is on the session's clock, in milliseconds, and
   * `wallNow` is the time in milliseconds since 1970.
   */
  record(
    effect: Extract<Effect, { type: "log" | "dial" }>,
    now: number,
    wallNow: number,
  ): void {
    if (effect.type === "dial") this.#dialAttempts++;
    else if (effect.fact !== undefined) {
      this.#recordFact(effect.fact, now, wallNow);
    }
  }

  #recordFact(fact: LogFact, now: number, wallNow: number): void {
    switch (fact.type) {
      case "lost":
        this.#isConnected = false;
        return this.#begin(
          fact.cause,
          fact.failure.reason,
          fact.silentMs,
          now,
          wallNow,
        );
      case "attempt-failed": {
        const { attempt, failure } = fact;
        if (this.#current === undefined && !this.#isConnected) {
          this.#begin("unreachable", failure.reason, fact.downMs, now, wallNow);
        }
        if (this.#current) this.#current.attempts = attempt;
        this.#downSince ??= now - fact.downMs;
        return;
      }
      case "connected":
        this.#isConnected = true;
        return this.#end(fact, now);
      case "request-failed":
        return this.#recordFailure(fact, now);
      case "request-repeated": {
        this.#repeatedCount++;
        const outage = this.#outageBefore(now);
        if (outage !== undefined) outage.repeatedCount++;
        return;
      }
      case "circuit":
        if (this.#circuit === "closed") this.#circuitOpenings++;
        this.#circuit = fact.state;
        return;
      case "message":
        return;
      case "resumed":
        // The time asleep is no downtime.
        if (this.#downSince !== undefined) {
          this.#downSince += fact.monotonicGapMs;
        }
        this.#endedAt += fact.monotonicGapMs;
    }
  }

  #begin(
    cause: LossCause,
    reason: string,
    agoMs: number,
    now: number,
    wallNow: number,
  ): void {
    const outage: RecordedOutage = {
      lostAt: Math.round(wallNow - agoMs),
      cause,
      reason: sanitizeLine(reason, MAX_REASON_CHARS),
      downMs: undefined,
      attempts: 0,
      repeatedCount: 0,
      failedCount: 0,
      failed: [],
    };
    this.#outageCount++;
    this.#outages.push(outage);
    if (this.#outages.length > MAX_OUTAGES) this.#outages.shift();
    this.#current = outage;
    this.#downSince = cause === "displaced" ? undefined : now - agoMs;
    for (const { at, request } of this.#justFailed) {
      if (now - at <= SAME_LOSS_MS) addFailure(outage, request);
    }
    this.#justFailed = [];
  }

  #end(
    { attempts, downMs }: Extract<LogFact, { type: "connected" }>,
    now: number,
  ): void {
    const outage = this.#current;
    if (outage === undefined) return;
    this.#current = undefined;
    this.#endedAt = now;
    outage.attempts = attempts;
    outage.downMs = this.#downSince === undefined
      ? downMs
      : now - this.#downSince;
    this.#endedDownMs += outage.downMs;
    if (outage.cause === "unreachable") return;
    this.#reconnects[outage.cause] = (this.#reconnects[outage.cause] ?? 0) + 1;
  }

  #recordFailure(
    { request, wasInFlight }: Extract<LogFact, { type: "request-failed" }>,
    now: number,
  ): void {
    const { reason, code } = request;
    this.#failedRequests[reason] = (this.#failedRequests[reason] ?? 0) + 1;
    if (code === ErrorCode.outcomeUnknown) this.#unknownOutcomes++;
    if (reason === "stopped" || reason === "unreadable_answer") return;
    // A request that is too large fails with and without an outage, unless it
    // was what ended the connection.
    if (reason === "too_large" && !wasInFlight) return;
    if (this.#current) return addFailure(this.#current, request);
    if (wasInFlight || reason === "refused") {
      const [oldest] = this.#justFailed;
      if (oldest !== undefined && now - oldest.at > SAME_LOSS_MS) {
        this.#justFailed = [];
      }
      this.#justFailed.push({ at: now, request });
    } else if (reason === "connection_lost") {
      // It could not be sent again after the outage.
      const outage = this.#outageBefore(now);
      if (outage !== undefined) addFailure(outage, request);
    }
  }

  /** Returns the current outage, or the last one if it has just ended. */
  #outageBefore(now: number): RecordedOutage | undefined {
    return now - this.#endedAt <= AFTERMATH_MS || this.#current
      ? this.#outages.at(-1)
      : undefined;
  }

  /** Returns the history until now. */
  snapshot(): History {
    return {
      outages: this.#outages.map(({ downMs, ...outage }) => ({
        ...outage,
        ...(downMs !== undefined && { downMs }),
      })),
      outageCount: this.#outageCount,
      // Rounding could make this counter fall.
      downMs: this.#endedDownMs,
      ...(this.#current !== undefined && this.#downSince !== undefined && {
        downSince: this.#downSince,
      }),
      dialAttempts: this.#dialAttempts,
      reconnects: this.#reconnects,
      repeatedCount: this.#repeatedCount,
      failedRequests: this.#failedRequests,
      unknownOutcomes: this.#unknownOutcomes,
      circuitOpenings: this.#circuitOpenings,
    };
  }
}

function addFailure(outage: RecordedOutage, request: FailedRequest): void {
  outage.failedCount++;
  if (outage.failed.length < MAX_FAILED) outage.failed.push(request);
}
