/**
 * A machine with a single file, for what reads settings.
 *
 * @module
 */

import { type Host, namesIn } from "../../lib/runtime/host.ts";

/** A machine with one file. */
export function hostWith(
  text: string,
  env: Record<string, string>,
  os: string,
): Host {
  const host: unknown = {
    os,
    env: () => namesIn(os, env),
    variable: (name: string) => env[name] || undefined,
    stat: () => ({ isFile: true, size: text.length }),
    readFile: () => text,
    program: () => ["/alwaysup"],
    realPath: (path: string) => path,
    list: () => [],
  };
  return host as Host;
}
