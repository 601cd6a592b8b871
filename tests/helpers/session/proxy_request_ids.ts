/**
 * The ids that the proxy gives to requests of its own.
 *
 * @module
 */

/** Whether a request's id is one that the proxy has made up, and no client of the tests. */
export function isProxyRequestId(id: unknown): boolean {
  if (typeof id === "string") return id.startsWith("alwaysup:");
  return Number.isInteger(id) && Number(id) >= 2 ** 30 &&
    Number(id) < 2 ** 31;
}
