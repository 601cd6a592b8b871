/**
 * What the tracker knows of one request, for the tests of its parts.
 *
 * @module
 */

import { createEntry, type PendingEntry } from "../../lib/requests/entry.ts";
import type { Timeouts } from "../../lib/requests/timeouts.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";
import { request } from "./parsed_request.ts";

/** No limit but that of the queue. */
export const UNLIMITED: Timeouts = {
  total: undefined,
  idle: { setting: "--idle-timeout", ms: Infinity },
};

/** How long the request of {@linkcode account} may wait for a connection, in milliseconds. */
export const QUEUE_MS = 45_000;

/** A request that came at moment 0, with its number as id and place. */
export function account(
  order: number,
  method = "x",
  params: string = "{}",
  limits: Timeouts = UNLIMITED,
): PendingEntry<Request> {
  const message = request(`${order}`, method, params);
  return createEntry(message, message.id, order, limits, 0, QUEUE_MS);
}
