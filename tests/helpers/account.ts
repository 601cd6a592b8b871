/**
 * What the tracker knows of one request, for the tests of its parts.
 *
 * @module
 */

import { type Account, open } from "../../lib/requests/entry.ts";
import type { Limits } from "../../lib/requests/timeouts.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";
import { request } from "./parsed_request.ts";

/** No limit but that of the queue. */
export const UNLIMITED: Limits = {
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
  limits: Limits = UNLIMITED,
): Account<Request> {
  const message = request(`${order}`, method, params);
  return open(message, message.id, order, limits, 0, QUEUE_MS);
}
