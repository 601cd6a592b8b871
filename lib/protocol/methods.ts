/**
 * What MCP says about its methods: may a request be executed twice, how long
 * may it take, which list does it ask for, and which protocol version.
 *
 * @module
 */

import {
  getMember,
  type Id,
  isRecord,
  type Request,
  type Response,
  toResultResponse,
} from "./jsonrpc.ts";
import {
  type ListResults,
  type MemberNameOf,
  META_KEYS,
  type Method,
  type ServerCapability,
} from "./mcp_types.ts";

/** When sent requests may be sent again after their connection was lost. */
export type RetryPolicy = "safe" | "always" | "never";

/** MCP: they read, or set what is already set. */
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

const CARRIED_RESULT_METHODS: readonly Method[] = [
  "tools/call",
  "resources/read",
  "prompts/get",
];

/** Whether a request opens a stream of notifications (MCP 2026-07-28). */
export function isSubscriptionMethod(method: Method | undefined): boolean {
  return method === "subscriptions/listen";
}

/**
 * Whether a request is held for as long as the client wants: an error would end
 * a subscription, or suggest an older version (MCP 2026-07-28).
 */
export function isLongLived(method: Method): boolean {
  return isSubscriptionMethod(method) || method === "server/discover";
}

/** Whether a request asks for the daemon's identity. */
export function isOpening(method: Method): boolean {
  return method === "initialize" || method === "server/discover";
}

/** Whether a daemon may work on it for a while. */
export function mayTakeLong(method: Method): boolean {
  return method !== "ping" && !isLongLived(method);
}

/** Whether the proxy only carries what a request results in. */
export function isResultCarried(method: Method): boolean {
  return CARRIED_RESULT_METHODS.includes(method);
}

/** Whether a request is safe to execute twice, as the tool's hints say. */
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

/** The lists with change notifications, by their capabilities. */
export const LIST_CHANGED_KINDS = [
  "tools",
  "prompts",
  "resources",
] as const satisfies readonly ServerCapability[];

/** One of {@linkcode LIST_CHANGED_KINDS}. */
export type ListChangedKind = typeof LIST_CHANGED_KINDS[number];

/** A list, named by the result member that holds its items. */
export type ListKind = ListChangedKind | "resourceTemplates";

const LIST_KIND_BY_METHOD = {
  "tools/list": "tools",
  "prompts/list": "prompts",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates",
} as const satisfies {
  readonly [Method in keyof ListResults]:
    & ListKind
    & MemberNameOf<ListResults[Method]>;
};

/** Returns the list that a method requests, if it requests one. */
export function listKindOf(method: string): ListKind | undefined {
  return Object.hasOwn(LIST_KIND_BY_METHOD, method)
    ? LIST_KIND_BY_METHOD[method as keyof typeof LIST_KIND_BY_METHOD]
    : undefined;
}

/** Returns the method that requests a list. */
export function listMethodOf(listKind: ListKind): keyof ListResults {
  return listKind === "resourceTemplates"
    ? "resources/templates/list"
    : `${listKind}/list`;
}

/** Returns the list whose notification reports a change. */
export function listChangedKindOf(listKind: ListKind): ListChangedKind {
  return listKind === "resourceTemplates" ? "resources" : listKind;
}

/** Builds an empty list: what a "method not found" error means. */
export function toEmptyListResponse(id: Id, listKind: ListKind): Response {
  return toResultResponse(id, { [listKind]: [] });
}

/** Returns the cursor of the next page; `undefined` on the last one. */
export function nextCursorOf(result: unknown): string | undefined {
  const next = isRecord(result) ? result.nextCursor : undefined;
  return typeof next === "string" ? next : undefined;
}

/** The newest first (MCP, lifecycle). */
const INITIALIZE_VERSIONS: readonly [string, ...string[]] = [
  "2025-11-25",
  "2025-06-18",
  "2025-03-26",
  "2024-11-05",
  "2024-10-07",
];

/** Whether clients of this version open with `initialize`. */
export function usesInitialize(version: unknown): boolean {
  return INITIALIZE_VERSIONS.some((known) => known === version);
}

/** Selects a version for a client's as a server does (MCP, lifecycle). */
export function negotiateVersion(requested: unknown): string {
  return INITIALIZE_VERSIONS.find((known) => known === requested) ??
    INITIALIZE_VERSIONS[0];
}

/** Returns the version that a request names (MCP 2026-07-28, basic). */
export function requestVersionOf(params: unknown): string | undefined {
  const version = getMember(
    params,
    "_meta",
    META_KEYS.protocolVersion,
  );
  return typeof version === "string" ? version : undefined;
}
