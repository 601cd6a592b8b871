/**
 * Checks whether a host name resolves, and whether a program listens at a port.
 *
 * @module
 */

import { systemErrorCode } from "../runtime/host.ts";
import { waitAtMost } from "../runtime/timeout.ts";
import { errorMessageOf } from "../text/error_message.ts";

/** Returns the IP addresses of a host name; none if the name is unknown. */
export async function resolveHostname(hostname: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  try {
    const found = await lookup(hostname, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    // The resolver's errors have a code. An error without a code is a bug.
    if (systemErrorCode(error) === "") throw error;
    return [];
  }
}

/**
 * Tries a TCP connection to a host and port, and closes it. Returns how long
 * the connection took, in milliseconds, or why there was none within
 * `timeoutMs`.
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
