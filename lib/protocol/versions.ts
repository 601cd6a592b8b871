/**
 * The protocol versions whose clients open with `initialize`.
 *
 * @module
 */

/** The newest first (MCP, lifecycle). */
const LEGACY: readonly [string, ...string[]] = [
  "2025-11-25",
  "2025-06-18",
  "2025-03-26",
  "2024-11-05",
  "2024-10-07",
];

/** Whether it is one of them. */
export function isLegacy(version: unknown): boolean {
  return LEGACY.some((known) => known === version);
}

/** What a server that knows them all answers to a client that asks for one (MCP, lifecycle: version negotiation). */
export function agree(asked: unknown): string {
  return LEGACY.find((known) => known === asked) ?? LEGACY[0];
}
