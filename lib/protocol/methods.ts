/**
 * Properties of the MCP methods: may a request be executed twice, and how long
 * may it take.
 *
 * @module
 */

import { isRecord, type Request } from "./jsonrpc.ts";
import type { Method } from "./mcp_types.ts";

/** When sent requests may be sent again after their connection was lost. */
export type RetryPolicy = "safe" | "always" | "never";

/**
 * Requests that are safe to repeat (MCP: they read, or set what is already
 * set).
 */
const IDEMPOTENT_METHODS: ReadonlySet<Method> = new Set<Method>([
  "initialize",
  "ping",
  "server/discover",
  "tools/list",
  "prompts/list",
  "prompts/get",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
  "completion/complete",
  "logging/setLevel",
  "subscriptions/listen",
  "tasks/get",
  "tasks/list",
  "tasks/result",
]);

/**
 * Whether a request opens a stream of notifications, which has no response
 * worth waiting for (MCP 2026-07-28, subscriptions).
 */
export function isSubscriptionMethod(method: Method | undefined): boolean {
  return method === "subscriptions/listen";
}

/**
 * Whether a request is held for as long as the client wants: an error would end
 * a subscription, or make a client believe that the daemon implements an older
 * version (MCP 2026-07-28, basic/versioning).
 */
export function isLongLived(method: Method): boolean {
  return isSubscriptionMethod(method) || method === "server/discover";
}

/**
 * Whether a request asks for the daemon's identity: a client opens with one of
 * them.
 */
export function isOpening(method: Method): boolean {
  return method === "initialize" || method === "server/discover";
}

/**
 * Whether a daemon may work on a request for a while: any but a ping or a
 * long-lived one.
 */
export function mayTakeLong(method: Method): boolean {
  return method !== "ping" && !isLongLived(method);
}

/**
 * Whether a request is safe to execute twice.
 *
 * @param isToolIdempotent whether the tool with that name is annotated as
 * read-only or idempotent
 */
export function isIdempotent(
  request: Request,
  isToolIdempotent: (tool: string) => boolean,
): boolean {
  if (request.method !== "tools/call") {
    return IDEMPOTENT_METHODS.has(request.method);
  }
  const { params } = request;
  if (!isRecord(params) || typeof params.name !== "string") return false;
  return params.task === undefined && isToolIdempotent(params.name);
}
