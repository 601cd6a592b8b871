/**
 * What a link can be wanted for, for the tests of links.
 *
 * @module
 */

import type { Traffic } from "../../lib/link/link.ts";

/** No request waits. */
export const NONE: Traffic = {
  isWanted: false,
  isUrgent: false,
  load: "idle",
  mayProbe: true,
  mayFailOver: true,
};

/** A request waits that no other link can carry. */
export const WANTED: Traffic = { ...NONE, isWanted: true, isUrgent: true };
