/**
 * Whether a host name is known, and whether something listens at a port.
 *
 * @module
 */

import { systemErrorCode } from "../runtime/host.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import { errorMessageOf } from "../text/error_message.ts";

/** Returns the addresses of a host name; an empty list if it is unknown. */
export async function resolveHostname(hostname: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  try {
    const found = await lookup(hostname, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    // An error without a code is not from the resolver, but a bug.
    if (systemErrorCode(error) === "") throw error;
    return [];
  }
}

/**
 * Connects to a host and port. Returns the time that it took, in milliseconds,
 * or why it did not connect within `timeoutMs`.
 */
export async function tryConnect(
  hostname: string,
  port: number,
  timeoutMs: number,
): Promise<number | string> {
  const net = await import("node:net");
  const startedAt = performance.now();
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const socket = net.connect({ host: hostname, port });
  socket.on("connect", () => resolve(performance.now() - startedAt));
  socket.on("error", (error) => resolve(errorMessageOf(error)));
  const outcome = await waitAtMost(timeoutMs, promise);
  socket.destroy();
  return outcome ?? `no answer within ${timeoutMs / 1000} s`;
}
