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

import type { ReadonlyEntry } from "../requests/entry.ts";
import type { SessionContext } from "./context.ts";
import * as errors from "./errors.ts";
import {
  ErrorCode,
  type Id,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { ErrorCodes } from "../protocol/mcp_types.ts";
import type { Link } from "../link/link.ts";
import * as logMessages from "./log_messages.ts";

/** JSON-RPC 2.0 section 5.1: invalid JSON was received. */
const PARSE_ERROR = -32700 satisfies ErrorCodes["parseError"];
/** How long to wait for a proper response, in milliseconds. */
const PROPER_RESPONSE_MS = 2_000;

/** Handles an error without a request id. */
export function handleErrorWithoutId(
  context: SessionContext,
  link: Link,
  { error }: Response,
  now: number,
): void {
  const errorText = context.redactAndTruncate(
    `${error?.code}: ${error?.message}`,
  );
  context.emit(logMessages.errorWithoutId(errorText));
  const isParseFailure = error?.code === PARSE_ERROR ||
    error?.code === ErrorCode.invalidRequest;
  const id = isParseFailure ? onlyCandidate(context, link) : undefined;
  if (id === undefined) return;
  awaitProperResponse(
    context,
    link,
    id,
    errorText,
    context.dialect.pendingOwnRequestIds(link.connectionId),
    now,
  );
}

/**
 * Handles an unreadable response that names a request in flight, so that it can
 * refer to nothing else.
 */
export function handleUnreadableResponse(
  context: SessionContext,
  link: Link,
  id: Id,
  reason: string,
  now: number,
): void {
  awaitProperResponse(context, link, id, reason, [], now);
}

/**
 * Returns the one request on a connection that an error without an id can refer
 * to.
 */
function onlyCandidate(
  context: SessionContext,
  { connectionId, phase }: Link,
): Id | undefined {
  const { dialect, tracker } = context;
  const isAmbiguous = phase !== "ready" ||
    tracker.lateResponses.isAnyExpected(connectionId) ||
    !context.oneWayMessages.isAllReceived(connectionId);
  if (isAmbiguous) return undefined;
  let candidate: ReadonlyEntry | undefined;
  for (const entry of tracker.inFlightOn(connectionId)) {
    if (dialect.hasAcknowledgedSubscription(entry.key)) continue;
    if (candidate !== undefined) return undefined;
    candidate = entry;
  }
  // A request that the daemon has reported progress on was accepted.
  return candidate !== undefined && lastProgressAt(candidate) < candidate.sentAt
    ? candidate.key
    : undefined;
}

/** Returns when the daemon last reported that it is working on a request. */
function lastProgressAt({ daemonProgress }: ReadonlyEntry): number {
  return daemonProgress?.at ?? -Infinity;
}

function awaitProperResponse(
  context: SessionContext,
  { connectionId }: Link,
  id: Id,
  received: string,
  otherCandidates: readonly Id[],
  now: number,
): void {
  const { message: request, writeNumber, isHandshake } = context.tracker.find(
    id,
  )!;
  // The opening request has a timeout of its own.
  if (isHandshake) return;
  const existing = context.unclearResponses.get(id);
  const isAlreadyAwaited = existing?.request === request &&
    existing.connectionId === connectionId &&
    existing.writeNumber === writeNumber;
  if (isAlreadyAwaited) return;
  const until = now + PROPER_RESPONSE_MS;
  context.unclearResponses.set(id, {
    until,
    request,
    connectionId,
    writeNumber,
    received,
    otherCandidates,
  });
}

/** Retries, or fails, the requests that got no proper response. */
export function expireUnclearResponses(
  context: SessionContext,
  now: number,
): void {
  for (const [id, unclear] of context.unclearResponses.takeDue(now)) {
    const { until, request, connectionId, writeNumber } = unclear;
    const entry = context.tracker.find(id);
    const isSame = entry?.message === request &&
      entry.sentOnConnectionId === connectionId &&
      entry.writeNumber === writeNumber;
    const mayBeOwnRequest = unclear.otherCandidates.some((other) =>
      context.dialect.isOwnRequestPending(other)
    );
    if (
      !isSame || mayBeOwnRequest ||
      lastProgressAt(entry) > until - PROPER_RESPONSE_MS
    ) continue;
    if (context.mayRetry(request) && !context.retriedRequests.has(request)) {
      retryRequest(context, request, now);
    } else {
      context.tracker.cancel(id);
      context.tracker.lateResponses.add(id, connectionId, "unclear");
      const attempts = context.retriedRequests.has(request) ? 2 : 1;
      context.sendToClient(
        errors.responseUnreadable(
          context.deliveryOf(request, entry),
          unclear.received,
          attempts,
        ),
      );
    }
  }
}

function retryRequest(
  context: SessionContext,
  message: Request,
  now: number,
): void {
  context.retriedRequests.add(message);
  // The daemon may have been replaced since its tools were listed.
  if (context.needsToolHint(message)) {
    context.tracker.hintRequirements.add(message.id, now);
  }
  context.tracker.resend(message.id, now);
}
