/**
 * Answers that could not be understood, and what becomes of their requests.
 *
 * | the daemon sends                                         | and                                                     | the request                          |
 * | -------------------------------------------------------- | ------------------------------------------------------- | ------------------------------------ |
 * | what is no answer, but names a request in flight         |                                                         | waits 2 s for a proper answer        |
 * | an error without an id, with code -32700 or -32600       | exactly one request can be meant                        | waits 2 s for a proper answer        |
 * | the same                                                 | something else can be meant                             | waits as before                      |
 * | progress of the request in these 2 s                     |                                                         | waits as before: it was taken        |
 * | no proper answer in these 2 s                            | one of the proxy's own requests that could be meant has none either | waits as before          |
 * | no proper answer in these 2 s                            | it may be repeated, and was not for this reason         | is written once more                 |
 * | no proper answer in these 2 s                            | it may not be repeated, or was                          | ends: its outcome is unknown         |
 *
 * What can be meant is whatever was written on that connection and is not
 * settled. A request that gets its own answer was not the one that the error was
 * about. An error without an id is the answer to the client's `server/discover`
 * while that opens a connection: `from_daemon.ts` sees to it.
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
/** How long a proper answer is waited for, in milliseconds. */
const PROPER_RESPONSE_MS = 2_000;

/** An error came that names no request. */
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

/** What came names a request in flight, and is no answer to it: nothing else can be meant. */
export function handleUnreadableResponse(
  context: SessionContext,
  link: Link,
  id: Id,
  reason: string,
  now: number,
): void {
  awaitProperResponse(context, link, id, reason, [], now);
}

/** The one request that can be meant on a connection. */
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
  // One that the daemon is at was taken.
  return candidate !== undefined && lastProgressAt(candidate) < candidate.sentAt
    ? candidate.key
    : undefined;
}

/** When the daemon last said that it is at a request. */
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
  // What opens the conversation has a limit of its own.
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

/** Repeats, or ends, the requests that no proper answer came to. */
export function expireUnclearResponses(
  context: SessionContext,
  now: number,
): void {
  for (const [id, unclear] of context.unclearResponses.takeDue(now)) {
    const { until, request, connectionId, writeNumber, ...it } = unclear;
    const entry = context.tracker.find(id);
    const isSame = entry?.message === request &&
      entry.sentOnConnectionId === connectionId &&
      entry.writeNumber === writeNumber;
    const mayBeOwnRequest = it.otherCandidates.some((other) =>
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
          it.received,
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
  // The daemon may be another one since its tools were listed.
  if (context.needsToolHint(message)) {
    context.tracker.hintRequirements.add(message.id, now);
  }
  context.tracker.resend(message.id, now);
}
