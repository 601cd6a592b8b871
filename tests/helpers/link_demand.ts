/**
 * The demand for a link, for the tests of links.
 *
 * @module
 */

import type { LinkUsage } from "../../lib/link/link.ts";

/** No request waits. */
export const NO_DEMAND: LinkUsage = {
  isWanted: false,
  isUrgent: false,
  load: "idle",
  mayProbe: true,
  mayFailOver: true,
};

/** A request waits that no other link can carry. */
export const URGENT_DEMAND: LinkUsage = {
  ...NO_DEMAND,
  isWanted: true,
  isUrgent: true,
};
