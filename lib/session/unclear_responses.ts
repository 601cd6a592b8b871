/**
 * Handles unclear responses: invalid ones, and errors without a request id.
 *
 * | the daemon sends                                   | condition                                                       | the request                      |
 * | -------------------------------------------------- | --------------------------------------------------------------- | -------------------------------- |
 * | an invalid response with the id of a request in flight |                                                             | waits 2 s for a valid response   |
 * | an error without an id, with code -32700 or -32600 | it can refer to only one of the client's requests               | waits 2 s for a valid response   |
 * | an error without an id, with code -32700 or -32600 | it can also refer to another message                            | waits as before                  |
 * | progress of the request in these 2 s               |                                                                 | waits as before: it was accepted |
 * | no valid response in these 2 s                     | the error can also refer to a request of the proxy itself that is still pending | waits as before  |
 * | no valid response in these 2 s                     | the request may be retried, and was not retried for this reason | is sent once more                |
 * | no valid response in these 2 s                     | the request may not be retried, or was retried for this reason  | fails: its outcome is unknown    |
 *
 * An error without an id can refer to every message that was sent on that
 * connection and is not completed. If a request gets its own response, then the
 * error did not refer to it. While the client's `server/discover` opens a
 * connection, an error without an id is the response to it. That case is in
 * `daemon_messages.ts`.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import {
  ErrorCode,
  type Id,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { ErrorCodes } from "../protocol/mcp_types.ts";
import { DeadlineMap, type ExpiringValue } from "../requests/deadlines.ts";
import type {
  PendingRequest,
  ReadonlyEntry,
} from "../requests/request_state.ts";
import * as errors from "./errors.ts";
import { SessionPart } from "./session_part.ts";

/** The code of an error about invalid JSON (JSON-RPC 2.0 section 5.1). */
const PARSE_ERROR = -32700 satisfies ErrorCodes["parseError"];
/** How long to wait for a valid response, in milliseconds. */
const VALID_RESPONSE_TIMEOUT_MS = 2_000;

interface UnclearResponse extends ExpiringValue {
  readonly entry: PendingRequest;
  readonly connectionId: number;
  readonly writeNumber: number;
  /** A description of the invalid response or of the error, for people. */
  readonly description: string;
  /** The proxy's own requests that an error without an id may refer to. */
  readonly otherCandidates: readonly Id[];
}

/** Retries or fails the requests that got an unclear response. */
export class UnclearResponses extends SessionPart {
  readonly #pending = new DeadlineMap<UnclearResponse>();
  /** The requests that were sent again because of an unclear response. */
  readonly #retried = new WeakSet<Request>();

  /** Returns whether an unclear response has caused a request to be resent. */
  wasRetried(request: Request): boolean {
    return this.#retried.has(request);
  }

  /** Logs an error without a request id, and finds the request it refers to. */
  onErrorWithoutId(link: Link, { error }: Response): void {
    const description = this.effects.shorten(
      `${error?.code}: ${error?.message}`,
    );
    this.effects.log.errorWithoutId(description);
    const isInvalidMessageError = error?.code === PARSE_ERROR ||
      error?.code === ErrorCode.invalidRequest;
    const entry = isInvalidMessageError ? this.#onlyCandidate(link) : undefined;
    if (entry === undefined) return;
    const own = this.dialect.pendingOwnRequestIds?.(link.connectionId);
    this.awaitValidResponse(entry, description, own);
  }

  /** Returns the request that the error refers to, if only one is possible. */
  #onlyCandidate(link: Link): PendingRequest | undefined {
    const { connectionId, phase } = link;
    const isAmbiguous = phase !== "ready" || !link.hasDaemonReadAllOneWay ||
      this.tracker.lateResponses.hasExpected(connectionId);
    if (isAmbiguous) return undefined;
    let candidate: PendingRequest | undefined;
    for (const entry of this.tracker.inFlightOn(connectionId)) {
      if (this.dialect.hasAcknowledgedSubscription?.(entry.key)) continue;
      if (candidate !== undefined) return undefined;
      candidate = entry;
    }
    // Progress since the request was sent shows that the daemon accepted it.
    return candidate !== undefined &&
        lastProgressAt(candidate) < candidate.sentAt
      ? candidate
      : undefined;
  }

  /** Starts the 2 s in which a valid response must follow the unclear one. */
  awaitValidResponse(
    entry: PendingRequest,
    description: string,
    otherCandidates: readonly Id[] = [],
  ): void {
    const { key, sentOnConnectionId, writeNumber } = entry;
    // The request that opens a connection is limited by --handshake-timeout.
    if (entry.isHandshakeRequest) return;
    const known = this.#pending.get(key);
    if (known?.entry === entry && isCurrent(known)) return;
    this.#pending.set(key, {
      until: this.now + VALID_RESPONSE_TIMEOUT_MS,
      entry,
      connectionId: sentOnConnectionId!,
      writeNumber,
      description,
      otherCandidates,
    });
  }

  /** Returns when the first of these requests has waited for 2 s. */
  deadline(): number {
    return this.#pending.earliest;
  }

  /** Retries or fails the requests that got no valid response in time. */
  advance(): void {
    for (const [id, unclear] of this.#pending.takeDue(this.now)) {
      const { entry } = unclear;
      if (this.tracker.find(id) !== entry || !isCurrent(unclear)) continue;
      const mayBeOwnRequest = unclear.otherCandidates.some((other) =>
        this.dialect.isOwnRequestPending?.(other)
      );
      const receivedAt = unclear.until - VALID_RESPONSE_TIMEOUT_MS;
      if (mayBeOwnRequest || lastProgressAt(entry) > receivedAt) continue;
      const isRetried = this.wasRetried(entry.message);
      if (this.rules.mayRetry(entry.message) && !isRetried) {
        this.#retry(entry.message);
      } else this.#fail(unclear, isRetried ? 2 : 1);
    }
  }

  /** Moves every deadline by `ms`, because the program slept. */
  postpone(ms: number): void {
    this.#pending.postpone(ms);
  }

  #retry(request: Request): void {
    this.#retried.add(request);
    // The daemon may have been replaced since its tools were listed.
    if (this.rules.needsToolHint(request)) {
      this.tracker.requireHint(request.id, this.now);
    }
    this.tracker.requeueForSecondWrite(request.id, this.now);
  }

  #fail(unclear: UnclearResponse, attempts: number): void {
    const { entry, connectionId, description } = unclear;
    const delivery = this.rules.deliveryOf(entry);
    this.tracker.close(entry.key);
    this.tracker.lateResponses.add(entry.key, connectionId, "unclear");
    this.effects.failRequest(
      errors.responseUnreadable(delivery, description, attempts),
    );
  }
}

/** Returns whether the request has stayed in flight since that response. */
function isCurrent(unclear: UnclearResponse): boolean {
  const { entry, connectionId, writeNumber } = unclear;
  return entry.sentOnConnectionId === connectionId &&
    entry.writeNumber === writeNumber;
}

/** Returns when the daemon last reported progress; `-Infinity` for never. */
function lastProgressAt({ lastDaemonActivity }: ReadonlyEntry): number {
  return lastDaemonActivity?.at ?? -Infinity;
}
