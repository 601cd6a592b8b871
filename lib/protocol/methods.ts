/**
 * Contains MCP's rules for its methods: whether a request may be executed
 * twice, how long it may take, and which list and MCP version it names.
 *
 * @module
 */

import { cutText } from "../text/sanitize.ts";
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

/** The requests to send again after a loss: idempotent ones, all, or none. */
export type RetryPolicy = "safe" | "always" | "never";

/** Methods that only read, or that have the same effect when repeated. */
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

/** Returns true if a request opens a notification stream (MCP 2026-07-28). */
export function isSubscriptionMethod(method: Method | undefined): boolean {
  return method === "subscriptions/listen";
}

/**
 * Returns true if a request waits for as long as the client wants, because an
 * error would end a subscription, or would make a client that discovers the
 * server use an older MCP version (MCP 2026-07-28).
 */
export function isLongLived(method: Method): boolean {
  return method === "subscriptions/listen" || method === "server/discover";
}

/**
 * Returns true if a client's first request may have this method. The result
 * names the daemon.
 */
export function isOpeningMethod(method: Method): boolean {
  return method === "initialize" || method === "server/discover";
}

/** Returns true if a daemon may need some time for a request of this method. */
export function mayKeepDaemonBusy(method: Method): boolean {
  return method !== "ping" && !isLongLived(method);
}

/** Returns true if the proxy forwards the result without parsing it. */
export function isResultUnparsed(method: Method): boolean {
  return method === "tools/call" || method === "resources/read" ||
    method === "prompts/get";
}

/** Returns true if a request may be executed twice; for tools, hints decide. */
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

/** The longest method or name of a peer in a text, in UTF-16 units. */
const MAX_WORD_CHARS = 80;

/** Cuts a word that a peer has chosen: a method, an id, a name or a version. */
export function cutWord(word: string): string {
  return cutText(word, MAX_WORD_CHARS);
}

/** Returns the name of the tool or prompt of a request, if it has one. */
export function nameOf(
  { method, params }: Pick<Request, "method" | "params">,
): string | undefined {
  if (method !== "tools/call" && method !== "prompts/get") return undefined;
  const name = getMember(params, "name");
  return typeof name === "string" ? name : undefined;
}

/** The lists with change notifications, named by their capabilities. */
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

/** Returns the list whose change notification also covers this list. */
export function listChangedKindOf(listKind: ListKind): ListChangedKind {
  return listKind === "resourceTemplates" ? "resources" : listKind;
}

/** Builds a response with an empty list, for a daemon without the method. */
export function toEmptyListResponse(id: Id, listKind: ListKind): Response {
  return toResultResponse(id, { [listKind]: [] });
}

/** Returns the cursor of the next page; `undefined` on the last page. */
export function nextCursorOf(result: unknown): string | undefined {
  const next = isRecord(result) ? result.nextCursor : undefined;
  return typeof next === "string" ? next : undefined;
}

/** The MCP versions that have `initialize`, newest first (MCP, lifecycle). */
const INITIALIZE_VERSIONS: readonly [string, ...string[]] = [
  "2025-11-25",
  "2025-06-18",
  "2025-03-26",
  "2024-11-05",
  "2024-10-07",
];

/** Returns true if clients of this version open with `initialize`. */
export function usesInitialize(version: unknown): boolean {
  return INITIALIZE_VERSIONS.some((known) => known === version);
}

/** Returns the requested version if known, else the newest (MCP, lifecycle). */
export function negotiateVersion(requested: unknown): string {
  return INITIALIZE_VERSIONS.find((known) => known === requested) ??
    INITIALIZE_VERSIONS[0];
}

/** Returns the MCP version that a request names (MCP 2026-07-28, basic). */
export function requestVersionOf(params: unknown): string | undefined {
  const version = getMember(
    params,
    "_meta",
    META_KEYS.protocolVersion,
  );
  return typeof version === "string" ? version : undefined;
}
