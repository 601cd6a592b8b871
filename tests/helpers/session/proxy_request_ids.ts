/**
 * Recognizes the ids of the proxy's own requests.
 *
 * @module
 */

/**
 * Returns whether an id belongs to one of the proxy's own requests. No client
 * in the tests uses such an id.
 */
export function isProxyRequestId(id: unknown): boolean {
  if (typeof id === "string") return id.startsWith("alwaysup:");
  return Number.isInteger(id) && Number(id) >= 2 ** 30 &&
    Number(id) < 2 ** 31;
}
