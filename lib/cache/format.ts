/**
 * The text format of the cache file.
 *
 * @module
 */

import { listKindOf } from "../protocol/lists.ts";
import { memberSpansOf } from "../json/spans.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";
import type { CachedResults } from "./cache.ts";

/** The largest file that is read or written, in bytes. */
export const MAX_CACHE_FILE_BYTES = 8 * 1024 * 1024;

/** Identifies the daemon and the user of a cache file. */
export interface CacheKey {
  /** The daemon's address, without secrets. */
  readonly daemon: string;
  /**
   * A digest that distinguishes daemons whose addresses look the same without
   * secrets.
   */
  readonly key: string;
  /**
   * What distinguishes users by the credentials they send; a configured file is
   * shared by all users.
   */
  readonly user: string;
  /** The name of the dialect. */
  readonly dialect: string;
}

/** Serializes the cache for its file. */
export function serializeCache(
  cacheKey: CacheKey,
  results: CachedResults,
): string {
  const { initialize, lists, discover, one } = results;
  const object = (texts: Readonly<Record<string, string>>): string =>
    `{${
      Object.entries(texts)
        .map(([key, result]) => `${JSON.stringify(key)}:${result}`).join(",")
    }}`;
  const parts = [
    '"alwaysup":1',
    ...(["daemon", "key", "dialect"] as const)
      .map((name) => `"${name}":${JSON.stringify(cacheKey[name])}`),
    `"initialize":${object(initialize)}`,
    `"lists":${object(lists)}`,
  ];
  if (discover !== undefined) {
    const { asked, forMs, result } = discover;
    parts.push(
      `"discover":{"asked":${JSON.stringify(asked)},"forMs":${forMs},` +
        `"result":${result}}`,
    );
  }
  if (one !== undefined) parts.push(`"one":${JSON.stringify(one)}`);
  return `{${parts.join(",")}}\n`;
}

/**
 * Whether a text was made by {@linkcode serializeCache}, or is what a power
 * failure has left of one: nothing, or zeros.
 */
export function isCacheFileText(text: string): boolean {
  return /^(\{"alwaysup":1[,}]|\0*$)/.test(text);
}

/**
 * Parses a cache file; a string says, without a full stop, why it cannot be
 * used.
 *
 * @param ageMs the age of the file
 */
export function parseCache(
  text: string,
  cacheKey: CacheKey,
  ageMs = 0,
): CachedResults | string {
  if (text.length > MAX_CACHE_FILE_BYTES) return "it is too large";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "it is not JSON";
  }
  if (getNested(value, "alwaysup") !== 1) return "it is of another version";
  const isSameDaemon = (["daemon", "key", "dialect"] as const)
    .every((name) => getNested(value, name) === cacheKey[name]);
  if (!isSameDaemon) return "it is another daemon's";
  const parts = memberTextsOf(text);
  const resultsOf = (
    name: "initialize" | "lists",
    isValid: (key: string, result: unknown) => boolean,
  ): Record<string, string> => {
    const found = getNested(value, name);
    const validResults: Record<string, string> = {};
    for (const [key, result] of memberTextsOf(parts.get(name) ?? "")) {
      if (isValid(key, getNested(found, key))) validResults[key] = result;
    }
    return validResults;
  };
  return {
    initialize: resultsOf(
      "initialize",
      (_, result) => typeof getNested(result, "protocolVersion") === "string",
    ),
    lists: resultsOf("lists", (key, result) => {
      const method = key.split(" ").at(-1)!;
      return Array.isArray(getNested(result, listKindOf(method) ?? ""));
    }),
    ...parseDiscover(
      value,
      memberTextsOf(parts.get("discover") ?? "").get("result"),
      ageMs,
    ),
    ...parseCapacityOne(value, ageMs),
  };
}

/**
 * Returns the texts of an object's members by name, the last one of repeated
 * names; empty if the text is not an object.
 */
function memberTextsOf(text: string): Map<string, string> {
  if (!/^\s*\{/.test(text)) return new Map();
  return new Map(
    memberSpansOf(text).map(({ name, value: { start, end } }) => [
      name,
      text.slice(start, end),
    ]),
  );
}

/** The daemons that keep one connection per client, if that is still valid. */
function parseCapacityOne(
  value: unknown,
  ageMs: number,
): Pick<CachedResults, "one"> {
  const one: Record<string, number> = {};
  const found = getNested(value, "one");
  for (const daemonName of isRecord(found) ? Object.keys(found) : []) {
    const forMs = getNested(found, daemonName);
    if (typeof forMs === "number" && forMs > ageMs) {
      one[daemonName] = forMs - ageMs;
    }
  }
  return Object.keys(one).length === 0 ? {} : { one };
}

function parseDiscover(
  value: unknown,
  result: string | undefined,
  ageMs: number,
): Pick<CachedResults, "discover"> {
  const asked = getNested(value, "discover", "asked");
  const forMs = getNested(value, "discover", "forMs");
  const isValid = typeof asked === "string" && typeof forMs === "number" &&
    forMs > ageMs && isRecord(getNested(value, "discover", "result"));
  if (!isValid || result === undefined) return {};
  return { discover: { asked, result, forMs: forMs - ageMs } };
}
