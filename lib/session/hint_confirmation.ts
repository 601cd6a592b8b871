/**
 * Confirms tool hints before a retry: a call that was in flight on a lost
 * connection is sent again only if the daemon's tool list on the new connection
 * says that it is idempotent. The daemon may be another version by now.
 *
 * @module
 */

import type { ReadonlyEntry } from "../requests/entry.ts";
import { requestListPage } from "./list_sync.ts";
import type { SessionContext } from "./context.ts";
import type { ToolHint } from "../requests/tool_hints.ts";
import { getMember, type Request } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";

/**
 * Returns the daemon's hint for a call's tool on a link, and requests the tool
 * list if that was not done yet.
 */
export function confirmToolHint(
  context: SessionContext,
  link: Link,
  request: Request,
  { hintRequirement }: Pick<ReadonlyEntry, "hintRequirement">,
  now: number,
): ToolHint {
  const { connectionId } = link;
  const tool = getMember(request.params, "name");
  if (typeof tool !== "string") return "not-idempotent";
  const hint = context.toolHints.hintOf(connectionId, tool);
  if (hint !== "unknown" || hintRequirement?.connectionId === connectionId) {
    return hint;
  }
  context.tracker.hintRequirements.markRequested(request.id, connectionId, now);
  if (!context.toolHints.isListRequested(connectionId)) {
    requestListPage(context, link, "tools");
  }
  return hint;
}
