/**
 * A call that was in flight on a lost connection, and may be written again only
 * if the daemon's list of tools on the new one says that this does no more: the
 * daemon may be another version by now.
 *
 * @module
 */

import type { Entry } from "./account.ts";
import type { Desk } from "./desk.ts";
import type { Verdict } from "./hints.ts";
import { dig, type Request } from "./jsonrpc.ts";
import type { Link } from "./link.ts";

/** How long the daemon has to list its tools, in milliseconds. */
const LIST_MS = 5_000;

/** What the daemon on a link says of a call's tool. It is asked, if it was not. */
export function confirm(
  desk: Desk,
  link: Link,
  request: Request,
  { hint }: Pick<Entry, "hint">,
  now: number,
): Verdict {
  const { epoch } = link;
  const tool = dig(request.params, "name");
  const verdict = desk.hints.verdict(epoch, String(tool));
  if (verdict === "repeatable") desk.ledger.setHint(request.id, "confirmed");
  if (verdict !== "unknown" || hint?.on === epoch) return verdict;
  desk.ledger.askHint(request.id, epoch, now, LIST_MS);
  if (desk.hints.isAsked(epoch)) return verdict;
  const frame = desk.dialect.list(epoch, "tools");
  if (frame === undefined) return verdict;
  desk.hints.asked(epoch);
  desk.send(link, frame);
  return verdict;
}
