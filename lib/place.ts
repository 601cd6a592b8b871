/**
 * Where a WebSocket URL leads.
 *
 * @module
 */

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
