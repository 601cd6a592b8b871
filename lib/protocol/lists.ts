/**
 * The lists of MCP (tools, prompts, resources and resource templates), with
 * their methods and cursors.
 *
 * @module
 */

import {
  buildResultResponse,
  type Id,
  isRecord,
  type Response,
} from "./jsonrpc.ts";
import type {
  ListResults,
  MemberNameOf,
  ServerCapability,
} from "./mcp_types.ts";

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

/** The list of each method. */
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

/** Replaces a "method not found" error by an empty list, which it means. */
export function toEmptyListResponse(
  response: Response & { id: Id },
  listKind: ListKind,
): Response {
  const result = { [listKind]: [] };
  const text = buildResultResponse(response.id, result);
  return { ...response, result, error: undefined, text };
}

/** Returns the cursor of the next page; `undefined` on the last one. */
export function nextCursorOf(result: unknown): string | undefined {
  const next = isRecord(result) ? result.nextCursor : undefined;
  return typeof next === "string" ? next : undefined;
}
