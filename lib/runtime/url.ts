/**
 * Returns parts of a WebSocket URL, and the HTTP proxy that a runtime uses.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** Returns the host of a URL, without the brackets of an IPv6 address. */
export function hostnameOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** True if a host is an IP address, without brackets, and not a name. */
export function isIpAddress(hostname: string): boolean {
  return /^[\d.]+$|:/.test(hostname);
}

/** Returns the port of a WebSocket URL (RFC 6455 section 3). */
export function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === "wss:" ? 443 : 80);
}

/** Returns the name of the variable that sets the proxy for a URL, if any. */
export function proxyVariableFor(
  url: URL,
  host: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const hostname = hostnameOf(url);
  // Each runtime's `Host` adds these addresses to `NO_PROXY`: see
  // `noProxyWithLoopback`.
  if (/^(localhost|127\.[\d.]+|::1)$/.test(hostname)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(host.getEnv);
  const isExempt = lists.join().split(",").map((entry) => entry.trim())
    .some((entry) =>
      entry === "*" ? !isIpAddress(hostname) : entry !== "" &&
        `.${hostname}`.endsWith(`.${entry.replace(/^\./, "")}`)
    );
  if (isExempt) return undefined;
  return host.proxyVariables(url.protocol).find(host.getEnv);
}
