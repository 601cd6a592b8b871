/**
 * The message of whatever was thrown.
 *
 * @module
 */

/** What an error says, whatever was thrown. */
export function errorMessageOf(error: unknown): string {
  // Where a name has several addresses, only the errors in it have a text.
  if (error instanceof AggregateError && error.message === "") {
    return [...new Set(error.errors.map(errorMessageOf))].join(", ");
  }
  return error instanceof Error ? error.message : String(error);
}
