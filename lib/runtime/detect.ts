/**
 * Selects the host for the current runtime.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { denoHost } from "./deno.ts";
import { nodeHost } from "./node.ts";

/** Returns Deno's host under Deno, and Node's host under Node and Bun. */
export async function detectHost(): Promise<Host> {
  return "Deno" in globalThis ? denoHost() : await nodeHost();
}
