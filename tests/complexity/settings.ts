/**
 * Parsers of settings, each with its worst known inputs, to measure how their
 * time grows.
 *
 * @module
 */

import { explicitSettingsOf, readConfig } from "../../lib/config/config.ts";
import { parseEnvFile } from "../../lib/config/dotenv.ts";
import { parseHeaders } from "../../lib/config/parsers.ts";
import type { MeasuredCase } from "./measure.ts";
import { casesOf } from "./shapes.ts";

/** Returns `size` texts. */
function makeTexts(size: number, text: (i: number) => string): string[] {
  return Array.from({ length: size }, (_, i) => text(i));
}

/** Reads arguments or an environment twice, as the program and `doctor` do. */
function readTwice(
  name: string,
  size: number,
  args: (size: number) => string[],
  env: (size: number) => [string, string][] = () => [],
): MeasuredCase {
  return {
    name,
    size,
    prepareRun: (size) => {
      const sources = { args: args(size), env: Object.fromEntries(env(size)) };
      return () => [readConfig(sources, () => ""), explicitSettingsOf(sources)];
    },
  };
}

/** Parses header lines. Invalid ones give `undefined`. */
function parseHeaderLines(text: string): unknown {
  try {
    return parseHeaders(text);
  } catch {
    return undefined;
  }
}

export const SETTING_CASES: readonly MeasuredCase[] = [
  readTwice(
    "config: unknown flags",
    500,
    (n) => makeTexts(n, () => "--unknown"),
  ),
  readTwice(
    "config: words that are no flags",
    4000,
    (n) => makeTexts(n, () => "x"),
  ),
  readTwice(
    "config: headers",
    500,
    (n) => makeTexts(n, (i) => `--header=X-${i}: 1`),
  ),
  readTwice(
    "config: variables that limit providers' calls",
    2000,
    () => [],
    (n) => makeTexts(n, (i) => `A${i}_STREAM_TIMEOUT`).map((it) => [it, "5s"]),
  ),
  ...casesOf("parsers.headers", parseHeaderLines, {
    "lines": [2000, (n) => makeTexts(n, (i) => `X-${i}: 1`).join("\n")],
    "spaces": [2000, (n) => `X:${" ".repeat(n)}\x01x`],
    "a long name": [100_000, (n) => `${"x".repeat(n)}\x01`],
  }),
  ...casesOf("dotenv", (text) => parseEnvFile(text, {}), {
    "names": [
      2000,
      (n) => makeTexts(n, (i) => `A${i}=\${A${i - 1}}`).join("\n"),
    ],
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
