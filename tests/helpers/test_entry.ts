/**
 * A tracker entry, for the tests of the tracker's parts.
 *
 * @module
 */

import { PendingEntry } from "../../lib/requests/request_state.ts";
import type { Timeouts } from "../../lib/requests/timeouts.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";
import { request } from "./parsed_request.ts";

/** No timeout but that of the queue. */
export const UNLIMITED: Timeouts = {
  total: undefined,
  idle: { setting: "--idle-timeout", ms: Infinity },
};

/** How long the request of {@linkcode testEntry} may wait for a connection, in milliseconds. */
export const QUEUE_MS = 45_000;

/** A request received at moment 0, with the number as its id and order. */
export function testEntry(
  order: number,
  method = "x",
  params: string = "{}",
  limits: Timeouts = UNLIMITED,
  waitProgress: "on" | "off" = "on",
): PendingEntry<Request> {
  const message = request(`${order}`, method, params);
  return new PendingEntry(message, order, limits, 0, QUEUE_MS, waitProgress);
}
