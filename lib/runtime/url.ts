/**
 * Where a WebSocket URL leads, and by which way.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** The host of a URL, an IPv6 address without its brackets. */
export function hostnameOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Whether a host is said by its address. */
export function isIpAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

/** The port of a WebSocket URL (RFC 6455 section 3). */
export function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === "wss:" ? 443 : 80);
}

/** The variable that names the proxy through which the runtime dials; `undefined` where it uses none. */
export function proxyVariableFor(
  url: URL,
  host: Pick<Host, "proxyVariables" | "getEnv">,
): string | undefined {
  const hostname = hostnameOf(url);
  // The hosts have seen to that.
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
