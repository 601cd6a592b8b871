/**
 * The lists of MCP: tools, prompts, resources and resource templates, with their
 * methods and cursors.
 *
 * @module
 */

import { type Answer, type Id, isRecord, success } from "./jsonrpc.ts";
import type { ListResults, NameIn, ServerCapability } from "./mcp_types.ts";

/** The lists whose changes MCP has notifications for, by the capabilities that promise them. */
export const LISTS = [
  "tools",
  "prompts",
  "resources",
] as const satisfies readonly ServerCapability[];

/** One of {@linkcode LISTS}. */
export type ListName = typeof LISTS[number];

/** What is listed, by the member of a result that its items are in. */
export type Listing = ListName | "resourceTemplates";

/** The methods that list something. */
const LISTINGS = {
  "tools/list": "tools",
  "prompts/list": "prompts",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates",
} as const satisfies {
  readonly [Method in keyof ListResults]: Listing & NameIn<ListResults[Method]>;
};

/** What a method lists, if it does. */
export function listingOf(method: string): Listing | undefined {
  return Object.hasOwn(LISTINGS, method)
    ? LISTINGS[method as keyof typeof LISTINGS]
    : undefined;
}

/** The method that lists it. */
export function methodOf(listing: Listing): keyof ListResults {
  return listing === "resourceTemplates"
    ? "resources/templates/list"
    : `${listing}/list`;
}

/** The list whose notification tells of a change. */
export function listOf(listing: Listing): ListName {
  return listing === "resourceTemplates" ? "resources" : listing;
}

/** What a daemon that lacks the method means: there is nothing to list. */
export function emptied(answer: Answer & { id: Id }, listing: Listing): Answer {
  const result = { [listing]: [] };
  const text = success(answer.id, result);
  return { ...answer, result, error: undefined, text };
}

/** The cursor of the page behind one; `undefined` where that is the last. */
export function nextCursor(result: unknown): string | undefined {
  const next = isRecord(result) ? result.nextCursor : undefined;
  return typeof next === "string" ? next : undefined;
}
