/**
 * `alwaysup doctor`.
 *
 * @module
 */

import type { Host } from "./host.ts";
import type { Output } from "./output.ts";

/** To come. */
export function doctor(
  _args: readonly string[],
  _host: Host,
  _output: Output,
): Promise<number> {
  return Promise.resolve(0);
}
