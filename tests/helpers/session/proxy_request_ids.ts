/**
 * The ids of the proxy's own requests.
 *
 * @module
 */

/**
 * Whether a request's id is one of the proxy's own, which no client of the
 * tests uses.
 */
export function isProxyRequestId(id: unknown): boolean {
  if (typeof id === "string") return id.startsWith("alwaysup:");
  return Number.isInteger(id) && Number(id) >= 2 ** 30 &&
    Number(id) < 2 ** 31;
}
