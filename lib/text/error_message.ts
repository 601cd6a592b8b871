/**
 * Reads the message of any thrown value.
 *
 * @module
 */

/** Returns the message of an error, or any other thrown value as a string. */
export function errorMessageOf(error: unknown): string {
  // If a host name has several addresses, only the inner errors have a message.
  if (error instanceof AggregateError && error.message === "") {
    return [...new Set(error.errors.map(errorMessageOf))].join(", ");
  }
  return error instanceof Error ? error.message : String(error);
}
