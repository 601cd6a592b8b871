/**
 * Where a WebSocket URL leads, and by which way.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** The host of a URL, an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Whether a host is said by its address. */
export function isAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

/** The port of a WebSocket URL (RFC 6455 section 3). */
export function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === "wss:" ? 443 : 80);
}

/** The variable that names the proxy through which the runtime dials; `undefined` where it uses none. */
export function proxyOf(
  url: URL,
  host: Pick<Host, "proxies" | "variable">,
): string | undefined {
  const name = hostOf(url);
  // The hosts have seen to that.
  if (/^(localhost|127\.[\d.]+|::1)$/.test(name)) return undefined;
  const lists = ["NO_PROXY", "no_proxy"].map(host.variable);
  const isExempt = lists.join().split(",").map((entry) => entry.trim())
    .some((entry) =>
      entry === "*" ? !isAddress(name) : entry !== "" &&
        `.${name}`.endsWith(`.${entry.replace(/^\./, "")}`)
    );
  if (isExempt) return undefined;
  return host.proxies(url.protocol).find(host.variable);
}
