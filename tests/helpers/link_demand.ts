/**
 * A link and the demand for it, for the tests of links.
 *
 * @module
 */

import { HandshakeHistory } from "../../lib/link/backoff.ts";
import { Link, type LinkConfig, type LinkUsage } from "../../lib/link/link.ts";
import { DEFAULT_CONFIG } from "./session/session_driver.ts";

/** A main link with a history of its own, which is due to be dialed at once. */
export function newLink(
  random: () => number = () => 0,
  config: LinkConfig = DEFAULT_CONFIG,
): Link {
  const history = new HandshakeHistory(config.handshakeTimeout);
  return new Link(config, random, 1, 0, "main", history);
}

/** No request waits. */
export const NO_DEMAND: LinkUsage = {
  isWanted: false,
  isUrgent: false,
  load: "idle",
  mayProbe: true,
  mayFailOver: true,
  hasOnlyAbandonedCalls: false,
};

/** A request waits that no other link can carry. */
export const URGENT_DEMAND: LinkUsage = {
  ...NO_DEMAND,
  isWanted: true,
  isUrgent: true,
};

/** The next dial is refused. Returns its moment. */
export function failDial(link: Link, now: number, usage: LinkUsage): number {
  const at = Math.max(now, link.deadline(usage));
  link.dial(at);
  link.onDisconnect(at, { reason: "refused" }, link.connectionId + 1);
  return at;
}
