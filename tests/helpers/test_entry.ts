/**
 * Creates entries of the request tracker, for tests of its parts.
 *
 * @module
 */

import { PendingEntry } from "../../lib/requests/request_state.ts";
import type { Timeouts } from "../../lib/requests/timeouts.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";
import { request } from "./parsed_request.ts";

/** Timeouts without a limit. Only the queue timeout remains. */
export const UNLIMITED: Timeouts = {
  total: undefined,
  idle: { setting: "--idle-timeout", ms: Infinity },
};

/** The queue timeout of {@linkcode testEntry}, in milliseconds. */
export const QUEUE_MS = 45_000;

/** Returns the entry of a request that arrived at time 0 with id `order`. */
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
