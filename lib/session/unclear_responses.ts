/**
 * Unreadable responses, and what happens to their requests.
 *
 * | the daemon sends                                      | and                                            | the request                   |
 * | ----------------------------------------------------- | ---------------------------------------------- | ----------------------------- |
 * | no valid response, but it names a request in flight   |                                                | waits 2 s for a proper response |
 * | an error without an id, with code -32700 or -32600    | it can refer to exactly one request            | waits 2 s for a proper response |
 * | the same                                              | it can also refer to something else            | waits as before               |
 * | progress of the request in these 2 s                  |                                                | waits as before: it was accepted |
 * | no proper response in these 2 s                       | one of the proxy's own requests that it could refer to has none either | waits as before |
 * | no proper response in these 2 s                       | it may be retried, and was not for this reason | is sent once more             |
 * | no proper response in these 2 s                       | it may not be retried, or was                  | fails: its outcome is unknown |
 *
 * An error without an id can refer to whatever was sent on that connection and
 * is not completed. A request that gets its own response was not the one that
 * the error referred to. While the client's `server/discover` opens a
 * connection, such an error is the response to it: `daemon_messages.ts` handles
 * that.
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

/** JSON-RPC 2.0 section 5.1: invalid JSON was received. */
const PARSE_ERROR = -32700 satisfies ErrorCodes["parseError"];
/** How long to wait for a proper response, in milliseconds. */
const PROPER_RESPONSE_MS = 2_000;

interface UnclearResponse extends ExpiringValue {
  readonly entry: PendingRequest;
  readonly connectionId: number;
  readonly writeNumber: number;
  /** What the daemon sent instead of a response. */
  readonly received: string;
  /** The proxy's own requests that an error without an id may also refer to. */
  readonly otherCandidates: readonly Id[];
}

/** The unreadable responses of a session. */
export class UnclearResponses extends SessionPart {
  readonly #pending = new DeadlineMap<UnclearResponse>();
  /** The requests that were sent once more for this reason. */
  readonly #retried = new WeakSet<Request>();

  /** Returns whether a request was sent twice on the same connection. */
  wasRetried(request: Request): boolean {
    return this.#retried.has(request);
  }

  /** Handles an error without a request id. */
  onErrorWithoutId(link: Link, { error }: Response): void {
    const received = this.effects.shorten(`${error?.code}: ${error?.message}`);
    this.effects.log.errorWithoutId(received);
    const isParseFailure = error?.code === PARSE_ERROR ||
      error?.code === ErrorCode.invalidRequest;
    const entry = isParseFailure ? this.#onlyCandidate(link) : undefined;
    if (entry === undefined) return;
    const own = this.dialect.pendingOwnRequestIds?.(link.connectionId);
    this.awaitProperResponse(entry, received, own);
  }

  /** The one request that an error without an id can refer to. */
  #onlyCandidate(link: Link): PendingRequest | undefined {
    const { connectionId, phase } = link;
    const isAmbiguous = phase !== "ready" || !link.hasReceivedAllOneWay ||
      this.tracker.lateResponses.isAnyExpected(connectionId);
    if (isAmbiguous) return undefined;
    let candidate: PendingRequest | undefined;
    for (const entry of this.tracker.inFlightOn(connectionId)) {
      if (this.dialect.hasAcknowledgedSubscription?.(entry.key)) continue;
      if (candidate !== undefined) return undefined;
      candidate = entry;
    }
    // A request that the daemon has reported progress on was accepted.
    return candidate !== undefined &&
        lastProgressAt(candidate) < candidate.sentAt
      ? candidate
      : undefined;
  }

  /** Waits for a proper response to a request that got an unreadable one. */
  awaitProperResponse(
    entry: PendingRequest,
    received: string,
    otherCandidates: readonly Id[] = [],
  ): void {
    const { key, sentOnConnectionId, writeNumber } = entry;
    // The opening request has a timeout of its own.
    if (entry.isHandshake) return;
    const known = this.#pending.get(key);
    if (known?.entry === entry && isCurrent(known)) return;
    this.#pending.set(key, {
      until: this.now + PROPER_RESPONSE_MS,
      entry,
      connectionId: sentOnConnectionId!,
      writeNumber,
      received,
      otherCandidates,
    });
  }

  /** When the first request has waited for long enough. */
  deadline(): number {
    return this.#pending.earliest;
  }

  /** Retries, or fails, the requests that got no proper response. */
  advance(): void {
    for (const [id, unclear] of this.#pending.takeDue(this.now)) {
      const { entry } = unclear;
      if (this.tracker.find(id) !== entry || !isCurrent(unclear)) continue;
      const mayBeOwnRequest = unclear.otherCandidates.some((other) =>
        this.dialect.isOwnRequestPending?.(other)
      );
      const receivedAt = unclear.until - PROPER_RESPONSE_MS;
      if (mayBeOwnRequest || lastProgressAt(entry) > receivedAt) continue;
      const isRetried = this.wasRetried(entry.message);
      if (this.rules.mayRetry(entry.message) && !isRetried) {
        this.#retry(entry.message);
      } else this.#fail(unclear, isRetried ? 2 : 1);
    }
  }

  /** Moves every moment by the time that the program slept, in milliseconds. */
  postpone(ms: number): void {
    this.#pending.postpone(ms);
  }

  #retry(request: Request): void {
    this.#retried.add(request);
    // The daemon may have been replaced since its tools were listed.
    if (this.rules.needsToolHint(request)) {
      this.tracker.requireHint(request.id, this.now);
    }
    this.tracker.resend(request.id, this.now);
  }

  #fail(unclear: UnclearResponse, attempts: number): void {
    const { entry, connectionId, received } = unclear;
    const delivery = this.rules.deliveryOf(entry);
    this.tracker.cancel(entry.key);
    this.tracker.lateResponses.add(entry.key, connectionId, "unclear");
    this.effects.toClient(
      errors.responseUnreadable(delivery, received, attempts),
    );
  }
}

/** Whether the request is still in flight where it got that response. */
function isCurrent(unclear: UnclearResponse): boolean {
  const { entry, connectionId, writeNumber } = unclear;
  return entry.sentOnConnectionId === connectionId &&
    entry.writeNumber === writeNumber;
}

/** Returns when the daemon last reported that it is working on a request. */
function lastProgressAt({ daemonProgress }: ReadonlyEntry): number {
  return daemonProgress?.at ?? -Infinity;
}
