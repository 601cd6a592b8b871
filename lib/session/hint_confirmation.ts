/**
 * A call that was in flight on a lost connection, and may be written again only
 * if the daemon's list of tools on the new one says that this does no more: the
 * daemon may be another version by now.
 *
 * @module
 */

import type { Entry } from "../requests/entry.ts";
import { ask } from "./list_sync.ts";
import type { Desk } from "./context.ts";
import type { HintAnswer } from "../requests/tool_hints.ts";
import { dig, type Request } from "../protocol/jsonrpc.ts";
import type { Link } from "../link/link.ts";

/** What the daemon on a link says of a call's tool. It is asked, if it was not. */
export function confirm(
  desk: Desk,
  link: Link,
  request: Request,
  { hint }: Pick<Entry, "hint">,
  now: number,
): HintAnswer {
  const { epoch } = link;
  const tool = dig(request.params, "name");
  if (typeof tool !== "string") return "once";
  const answer = desk.hints.answer(epoch, tool);
  if (answer !== "unknown" || hint?.epoch === epoch) return answer;
  desk.ledger.hints.ask(request.id, epoch, now);
  if (!desk.hints.isRequested(epoch)) ask(desk, link, "tools");
  return answer;
}
