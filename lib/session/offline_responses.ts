/**
 * Answers requests while the daemon is down: from the cache, or `initialize`
 * with a placeholder.
 *
 * @module
 */

import { listKindOf, toEmptyListResponse } from "../protocol/lists.ts";
import type { SessionContext } from "./context.ts";
import {
  buildRawResultResponse,
  ErrorCode,
  getMember,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import type { InitializeResult } from "../protocol/mcp_types.ts";
import { parseCachedResult } from "../cache/cache.ts";
import * as logMessages from "./log_messages.ts";
import { negotiateVersion } from "../protocol/versions.ts";

/**
 * Answers a request from the cache if the daemon is known to be down; otherwise
 * starts a grace timer for it, if it can be answered without the daemon later.
 *
 * @returns whether the request was answered
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
    case "server/discover": // the result itself says how long it is valid
      break;
    default:
      if (result === undefined || context.isKnownDown) break;
      startGrace(context, request, now);
      return false;
  }
  if (result !== undefined) respondFromCache(context, request, result);
  return result !== undefined;
}

/**
 * Returns the cached result of a request, unless it is too large for the
 * client.
 */
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

/**
 * Gives the daemon some time to answer a request before it is answered without
 * the daemon.
 */
function startGrace(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  const { initializeGrace } = context.config;
  if (initializeGrace === Infinity) return;
  const { total } = context.timeoutsOf(request);
  const ms = Math.min(
    initializeGrace,
    context.queueTimeoutMs(now),
    total?.ms ?? Infinity,
  );
  context.graceTimers.set(request.id, { request, until: now + ms });
}

function respondFromCache(
  context: SessionContext,
  request: Request,
  result: string,
): void {
  const listKind = listKindOf(request.method);
  if (listKind !== undefined) {
    context.knownLists.recordShown(
      listKind,
      undefined,
      parseCachedResult(result),
    );
  }
  context.dialect.onCachedResponse(request);
  context.tracker.cancel(request.id);
  context.sendToClient(buildRawResultResponse(request.id, result));
}

/**
 * Answers requests that are queued, or were in flight on the lost main link,
 * from the cache.
 */
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

/** Never answers `initialize` from the cache after it was sent. */
function tryRespondFromCache(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  if (request.method === "initialize") return;
  const result = lookUpCached(context, request, now);
  if (result !== undefined) respondFromCache(context, request, result);
}

/**
 * Answers the requests whose grace time has passed without the daemon, so that
 * the client can continue.
 */
export function expireGraceTimers(context: SessionContext, now: number): void {
  // A request that is no longer pending was answered or cancelled.
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
  const requestedVersion = getMember(request.params, "protocolVersion");
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

/**
 * Answers the client's `initialize` without the daemon; the handshake with the
 * daemon follows later.
 */
function respondToInitialize(
  context: SessionContext,
  request: Request,
  result: string,
  source: "cached" | "placeholder",
): void {
  const version = getMember(parseCachedResult(result), "protocolVersion");
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

/**
 * Turns "method not found" into an empty list, if a placeholder announced lists
 * that the daemon does not have.
 */
export function emptyListForMissingMethod(
  context: SessionContext,
  request: Request,
  response: Response,
): Response {
  const isMethodMissing = context.wasPlaceholderUsed &&
    response.error?.code === ErrorCode.methodNotFound;
  const listKind = listKindOf(request.method);
  if (!isMethodMissing || listKind === undefined) return response;
  return toEmptyListResponse({ ...response, id: request.id }, listKind);
}

/** Stores a response in the cache. */
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

/** Removes a cached `initialize` result that is out of date. */
export function evictInitialize(
  context: SessionContext,
  request: Request,
  now: number,
): void {
  const { cache } = context;
  if (cache === undefined) return;
  cache.evictInitialize(getMember(request.params, "protocolVersion"));
  context.emit({ type: "save-cache", results: cache.resultsToSave(now) });
}
