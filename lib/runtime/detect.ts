/**
 * The host of the runtime that runs this program.
 *
 * @module
 */

import type { Host } from "./host.ts";
import { denoHost } from "./deno.ts";
import { nodeHost } from "./node.ts";

/** Deno's host under Deno, that of Node elsewhere. */
export async function detectHost(): Promise<Host> {
  return "Deno" in globalThis ? denoHost() : await nodeHost();
}
