/**
 * Readers of settings, each with the worst shapes that are known for it, for
 * the measurement of how their time grows.
 *
 * @module
 */

import { made, readConfig } from "../../lib/config/config.ts";
import { parseEnvText } from "../../lib/config/dotenv.ts";
import { headers } from "../../lib/config/parsers.ts";
import type { Reader } from "./measure.ts";
import { each } from "./shapes.ts";

/** So many texts. */
function many(size: number, text: (i: number) => string): string[] {
  return Array.from({ length: size }, (_, i) => text(i));
}

/** Reads arguments or an environment twice, as the program and as `doctor` does. */
function both(
  name: string,
  size: number,
  args: (size: number) => string[],
  env: (size: number) => [string, string][] = () => [],
): Reader {
  return {
    name,
    size,
    prepare: (size) => {
      const sources = { args: args(size), env: Object.fromEntries(env(size)) };
      return () => [readConfig(sources, () => ""), made(sources)];
    },
  };
}

/** Header lines, which may be refused. */
function lines(text: string): unknown {
  try {
    return headers(text);
  } catch {
    return undefined;
  }
}

/** The readers of settings. */
export const SETTING_READERS: readonly Reader[] = [
  both("config: unknown flags", 500, (n) => many(n, () => "--unknown")),
  both("config: words that are no flags", 4000, (n) => many(n, () => "x")),
  both("config: headers", 500, (n) => many(n, (i) => `--header=X-${i}: 1`)),
  both(
    "config: variables that limit providers' calls",
    2000,
    () => [],
    (n) => many(n, (i) => `A${i}_STREAM_TIMEOUT`).map((it) => [it, "5s"]),
  ),
  ...each("parsers.headers", lines, {
    "lines": [2000, (n) => many(n, (i) => `X-${i}: 1`).join("\n")],
    "spaces": [2000, (n) => `X:${" ".repeat(n)}\x01x`],
    "a long name": [100_000, (n) => `${"x".repeat(n)}\x01`],
  }),
  ...each("dotenv", (text) => parseEnvText(text, {}), {
    "names": [2000, (n) => many(n, (i) => `A${i}=\${A${i - 1}}`).join("\n")],
    "what cannot be read": [4000, (n) => "=\n".repeat(n)],
    "white space": [100_000, (n) => `${" ".repeat(n)}a=x${"\t".repeat(n)}x`],
    "empty lines": [100_000, (n) => `a=b${"\n".repeat(n)}c d`],
    "export": [20_000, (n) => "export ".repeat(n)],
    "quotes that nothing closes": [100_000, (n) => `a='\n${'b="'.repeat(n)}`],
    "escaped quotes": [10_000, (n) => `a="${'\\"'.repeat(n)}`],
    "escaped quotes in lines": [4000, (n) => "a='\\'\n".repeat(n)],
    "a name that nothing closes": [4000, (n) => `'${"a\n".repeat(n)}`],
    "braces that nothing closes": [50_000, (n) => `a=${"${".repeat(n)}`],
    "colons in braces": [20_000, (n) => `a=${"${:".repeat(n)}`],
    "defaults that end nowhere": [50_000, (n) => `a=${"${:-".repeat(n)}`],
    "names that are defaults": [50_000, (n) => `a=${"${b:-".repeat(n)}}`],
    "marks in a value": [100_000, (n) => `a=${"#".repeat(n)} ${"#".repeat(n)}`],
  }),
];
