/**
 * MCP's protocol versions: those whose clients open with `initialize`, and the
 * version that a request names.
 *
 * @module
 */

import { getMember } from "./jsonrpc.ts";
import { META_KEYS } from "./mcp_types.ts";

/** The newest first (MCP, lifecycle). */
const INITIALIZE_VERSIONS: readonly [string, ...string[]] = [
  "2025-11-25",
  "2025-06-18",
  "2025-03-26",
  "2024-11-05",
  "2024-10-07",
];

/** Whether clients of this version open with `initialize`. */
export function usesInitialize(version: unknown): boolean {
  return INITIALIZE_VERSIONS.some((known) => known === version);
}

/**
 * Returns the version that a server supporting all of them selects for a
 * client's version (MCP, lifecycle: version negotiation).
 */
export function negotiateVersion(requested: unknown): string {
  return INITIALIZE_VERSIONS.find((known) => known === requested) ??
    INITIALIZE_VERSIONS[0];
}

/**
 * Returns the protocol version that a request names (MCP 2026-07-28, basic:
 * every request does).
 */
export function requestVersionOf(params: unknown): string | undefined {
  const version = getMember(
    params,
    "_meta",
    META_KEYS.protocolVersion,
  );
  return typeof version === "string" ? version : undefined;
}
