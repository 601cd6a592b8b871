/**
 * The lists of MCP: tools, prompts, resources and resource templates, with their
 * methods and cursors.
 *
 * @module
 */

import {
  buildResultResponse,
  type Id,
  isRecord,
  type Response,
} from "./jsonrpc.ts";
import type { ListResults, NameIn, ServerCapability } from "./mcp_types.ts";

/** The lists whose changes MCP has notifications for, by the capabilities that promise them. */
export const LIST_CHANGED_KINDS = [
  "tools",
  "prompts",
  "resources",
] as const satisfies readonly ServerCapability[];

/** One of {@linkcode LIST_CHANGED_KINDS}. */
export type ListChangedKind = typeof LIST_CHANGED_KINDS[number];

/** What is listed, by the member of a result that its items are in. */
export type ListKind = ListChangedKind | "resourceTemplates";

/** The methods that list something. */
const LIST_KIND_BY_METHOD = {
  "tools/list": "tools",
  "prompts/list": "prompts",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates",
} as const satisfies {
  readonly [Method in keyof ListResults]:
    & ListKind
    & NameIn<ListResults[Method]>;
};

/** What a method lists, if it does. */
export function listKindOf(method: string): ListKind | undefined {
  return Object.hasOwn(LIST_KIND_BY_METHOD, method)
    ? LIST_KIND_BY_METHOD[method as keyof typeof LIST_KIND_BY_METHOD]
    : undefined;
}

/** The method that lists it. */
export function listMethodOf(listKind: ListKind): keyof ListResults {
  return listKind === "resourceTemplates"
    ? "resources/templates/list"
    : `${listKind}/list`;
}

/** The list whose notification tells of a change. */
export function listChangedKindOf(listKind: ListKind): ListChangedKind {
  return listKind === "resourceTemplates" ? "resources" : listKind;
}

/** What a daemon that lacks the method means: there is nothing to list. */
export function toEmptyListResponse(
  response: Response & { id: Id },
  listKind: ListKind,
): Response {
  const result = { [listKind]: [] };
  const text = buildResultResponse(response.id, result);
  return { ...response, result, error: undefined, text };
}

/** The cursor of the page behind one; `undefined` where that is the last. */
export function nextCursorOf(result: unknown): string | undefined {
  const next = isRecord(result) ? result.nextCursor : undefined;
  return typeof next === "string" ? next : undefined;
}
