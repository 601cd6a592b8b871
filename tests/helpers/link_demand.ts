/**
 * Creates links, and the demand for them, for tests of `lib/link/link.ts`.
 *
 * @module
 */

import { HandshakeHistory } from "../../lib/link/backoff.ts";
import { Link, type LinkConfig, type LinkUsage } from "../../lib/link/link.ts";
import { DEFAULT_CONFIG } from "./session/session_driver.ts";

/** Creates a main link whose first dial is due at once. */
export function newLink(
  random: () => number = () => 0,
  config: LinkConfig = DEFAULT_CONFIG,
): Link {
  const history = new HandshakeHistory(config.handshakeTimeout);
  return new Link(config, random, 1, 0, "main", history);
}

/** The usage of a link that no request waits for. */
export const NO_DEMAND: LinkUsage = {
  isWanted: false,
  isUrgent: false,
  load: "idle",
  mayProbe: true,
  mayFailOver: true,
  hasOnlyAbandonedCalls: false,
};

/** The usage of a link that a request needs, because no other can carry it. */
export const URGENT_DEMAND: LinkUsage = {
  ...NO_DEMAND,
  isWanted: true,
  isUrgent: true,
};

/** Makes the next dial fail. Returns the time of the dial. */
export function failDial(link: Link, now: number, usage: LinkUsage): number {
  const at = Math.max(now, link.deadline(usage));
  link.dial(at);
  link.onDisconnect(at, { reason: "refused" }, link.connectionId + 1);
  return at;
}
