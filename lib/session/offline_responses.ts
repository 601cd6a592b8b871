/**
 * What the client is told while there is no daemon: what is remembered of it,
 * or at last that it is not there yet.
 *
 * @module
 */

import { listKindOf, toEmptyListResponse } from "../protocol/lists.ts";
import type { SessionContext } from "./context.ts";
import {
  buildRawResultResponse,
  ErrorCode,
  getNested,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { InitializeResult } from "../protocol/mcp_types.ts";
import { parseCachedResult } from "../cache/cache.ts";
import * as logMessages from "./log_messages.ts";
import { negotiateVersion } from "../protocol/versions.ts";

/**
 * Answers a request without the daemon, if that is known to be away and
 * something is remembered; what cannot be answered yet may be before long.
 */
export function respondOffline(
  context: SessionContext,
  request: Request,
  now: number,
): boolean {
  const result = lookUpCached(context, request, now);
  switch (request.method) {
    case "initialize":
      if (result === undefined) startGrace(context, request, now);
      else respondToInitialize(context, request, result, "cached");
      return result !== undefined;
    case "server/discover": // says itself for how long it holds
      break;
    default:
      if (result === undefined || context.isKnownDown) break;
      startGrace(context, request, now);
      return false;
  }
  if (result !== undefined) respondFromCache(context, request, result);
  return result !== undefined;
}

/** What is remembered and the client can take. */
function lookUpCached(
  context: SessionContext,
  request: Request,
  now: number,
): string | undefined {
  const result = context.cache?.lookup(request, now);
  const isUsable = result !== undefined &&
    result.length <= context.config.maxMessage;
  return isUsable ? result : undefined;
}

/** The daemon may still answer it, but not for ever. */
function startGrace(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  const { initializeGrace } = context.config;
  if (initializeGrace === Infinity) return;
  const { total } = context.timeoutsOf(request);
  const ms = Math.min(
    ...[initializeGrace, context.queueTimeoutMs(now), total?.ms ?? Infinity],
  );
  context.graceTimers.set(request.id, { request, until: now + ms });
}

function respondFromCache(
  context: SessionContext,
  request: Request,
  result: string,
): void {
  const listing = listKindOf(request.method);
  if (listing !== undefined) {
    context.knownLists.recordShown(
      listing,
      undefined,
      parseCachedResult(result),
    );
  }
  context.dialect.onCachedResponse(request);
  context.tracker.cancel(request.id);
  context.sendToClient(buildRawResultResponse(request.id, result));
}

/** The main link is lost: what waits, or was asked on it, is answered with what is remembered. */
export function respondToPendingFromCache(
  context: SessionContext,
  connectionId: number,
  now: number,
): void {
  const { tracker, cache } = context;
  if (!context.isKnownDown || cache === undefined) return;
  for (
    const { message } of [
      ...tracker.queuedEntries(),
      ...tracker.inFlightOn(connectionId),
    ]
  ) {
    if (message.kind === "request") tryRespondFromCache(context, message, now);
  }
}

/** Who the daemon is it can only say itself, once it was asked. */
function tryRespondFromCache(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  if (request.method === "initialize") return;
  const result = lookUpCached(context, request, now);
  if (result !== undefined) respondFromCache(context, request, result);
}

/** The daemon has not come in time for what can be answered without it: the client can go on. */
export function expireGraceTimers(context: SessionContext, now: number): void {
  // A daemon that is there has answered it.
  context.graceTimers.dropLeading((id, { request }) =>
    context.tracker.find(id)?.message !== request
  );
  for (const [id, { request }] of context.graceTimers.takeDue(now)) {
    const entry = context.tracker.find(id);
    if (entry?.message !== request) continue;
    if (request.method === "initialize") {
      if (context.links.main.phase !== "ready") {
        respondWithPlaceholder(context, request);
      }
    } else if (
      entry.sentOnConnectionId === undefined && !context.links.isMainUsable
    ) {
      tryRespondFromCache(context, request, now);
    }
  }
}

function respondWithPlaceholder(
  context: SessionContext,
  request: Request,
): void {
  const requestedVersion = getNested(request.params, "protocolVersion");
  const result = {
    protocolVersion: negotiateVersion(requestedVersion),
    capabilities: {
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true },
      logging: {},
    },
    serverInfo: { name: "alwaysup", version: context.config.version },
    instructions:
      `The daemon at ${context.config.redactedUrl} is not up yet. Its ` +
      "tools appear when it is; calls made now wait for it.",
  } satisfies InitializeResult;
  respondToInitialize(context, request, JSON.stringify(result), "placeholder");
}

/** The client is told who the daemon is, and the daemon will hear of the client later. */
function respondToInitialize(
  context: SessionContext,
  request: Request,
  result: string,
  source: "cached" | "placeholder",
): void {
  const version = getNested(parseCachedResult(result), "protocolVersion");
  const entry = context.tracker.find(request.id);
  context.emit(
    logMessages.initializedLocally(context.config.redactedUrl, source),
  );
  const text = context.dialect.onLocalInitialize(
    request,
    buildRawResultResponse(request.id, result),
    { version, source },
    entry?.sentOnConnectionId,
  );
  context.isPlaceholderActive =
    context.wasPlaceholderUsed =
      source === "placeholder";
  context.tracker.cancel(request.id);
  context.sendToClient(text);
}

/** A daemon that lacks what the client was told of lists nothing. */
export function emptyListForMissingMethod(
  context: SessionContext,
  request: Request,
  response: Response,
): Response {
  const isMethodMissing = context.wasPlaceholderUsed &&
    response.error?.code === ErrorCode.methodNotFound;
  const listing = listKindOf(request.method);
  if (!isMethodMissing || listing === undefined) return response;
  return toEmptyListResponse({ ...response, id: request.id }, listing);
}

/** Takes note of what the daemon said, for the next time. */
export function storeInCache(
  context: SessionContext,
  request: Pick<Request, "method" | "params">,
  response: Response,
  now: number,
): void {
  const { cache } = context;
  if (cache === undefined) return;
  const isChanged = cache.store(request, response, now);
  if (cache.takeWithheld()) {
    context.emit(logMessages.responseNotCached(request.method));
  }
  if (isChanged) {
    context.emit({ type: "save-cache", results: cache.resultsToSave(now) });
  }
}

/** What is remembered of `initialize` no longer holds. */
export function evictInitialize(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  const { cache } = context;
  if (cache === undefined) return;
  cache.evictInitialize(getNested(request.params, "protocolVersion"));
  context.emit({ type: "save-cache", results: cache.resultsToSave(now) });
}
