/**
 * Creates cache writers that write to a disk in memory.
 *
 * @module
 */

import {
  type CachedResults,
  EMPTY_CACHED_RESULTS,
} from "../../lib/cache/cache.ts";
import type { Config } from "../../lib/config/config.ts";
import type { LogEffect } from "../../lib/events.ts";
import { type cacheKeyOf, CacheWriter } from "../../lib/proxy/cache_file.ts";
import type { Host } from "../../lib/runtime/host.ts";
import { assertEquals } from "./assert.ts";
import type { MemoryDisk } from "./memory_disk.ts";

/** Returns results with an `initialize` result for one version. */
export function cacheWithVersion(version: string): CachedResults {
  const result = `{"protocolVersion":"${version}"}`;
  return { ...EMPTY_CACHED_RESULTS, initialize: { [version]: result } };
}

/** Runs a callback at once, or never if its delay is 100 ms or more. */
const runShortTimersAtOnce = (ms: number, callback: () => void): void => {
  if (ms < 100) callback();
};

/** Creates a cache writer. Collects its warnings, which must name the file. */
export function createCacheWriter(
  disk: MemoryDisk,
  config: Parameters<typeof cacheKeyOf>[0] & Pick<Config, "cache">,
  more: Partial<Host> = {},
): { it: CacheWriter; warnings: string[] } {
  const warnings: string[] = [];
  const log = ({ level, message }: LogEffect): void => {
    const [, file, why] = /(\S+\.json): (.*) \(--cache off /.exec(message)!;
    if (config.cache !== "on") assertEquals(file, config.cache);
    warnings.push(`${level}: ${why}`);
  };
  const host = disk.host({ setTimer: runShortTimersAtOnce, ...more });
  return { it: new CacheWriter(config as Config, host, log), warnings };
}
