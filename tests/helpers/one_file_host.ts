/**
 * Creates hosts with a single file, for code that reads settings.
 *
 * @module
 */

import { type Host, normalizeEnv } from "../../lib/runtime/host.ts";

/** Returns a host on which every path is the same file. */
export function hostWith(
  text: string,
  env: Record<string, string>,
  os: string,
): Host {
  const host: unknown = {
    os,
    env: () => normalizeEnv(os, env),
    getEnv: (name: string) => env[name] || undefined,
    stat: () => ({ isFile: true, size: text.length }),
    readFile: () => text,
    launchCommand: () => ["/alwaysup"],
    realPath: (path: string) => path,
    listFolder: () => [],
  };
  return host as Host;
}
