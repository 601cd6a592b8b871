/**
 * What is remembered of a daemon as the text of a file.
 *
 * @module
 */

import { listKindOf } from "../protocol/lists.ts";
import { memberSpansOf } from "../json/spans.ts";
import { getNested, isRecord } from "../protocol/jsonrpc.ts";
import type { CachedResults } from "./cache.ts";

/** The largest file that is read or written, in bytes. */
export const MAX_CACHE_FILE_BYTES = 8 * 1024 * 1024;

/** Whose memory it is. */
export interface CacheKey {
  /** Where the daemon is, without secrets. */
  readonly daemon: string;
  /** What tells it from others that look the same without their secrets. */
  readonly key: string;
  /** What tells its users apart by what they show it; a file that is named is for all of them. */
  readonly user: string;
  /** How it speaks. */
  readonly dialect: string;
}

/** The memory as it is kept. */
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

/** Whether a text is one that {@linkcode serializeCache} has made, or what a power cut has left of it: nothing, or zeros. */
export function isCacheFileText(text: string): boolean {
  return /^(\{"alwaysup":1[,}]|\0*$)/.test(text);
}

/**
 * Reads a memory; a string says why it is none of this daemon's, without a full
 * stop.
 *
 * @param ageMs how old it is
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
  const isOurs = (["daemon", "key", "dialect"] as const)
    .every((name) => getNested(value, name) === cacheKey[name]);
  if (!isOurs) return "it is another daemon's";
  const parts = memberTextsOf(text);
  const resultsOf = (
    name: "initialize" | "lists",
    isGood: (key: string, result: unknown) => boolean,
  ): Record<string, string> => {
    const found = getNested(value, name);
    const good: Record<string, string> = {};
    for (const [key, result] of memberTextsOf(parts.get(name) ?? "")) {
      if (isGood(key, getNested(found, key))) good[key] = result;
    }
    return good;
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

/** The texts of an object's members by name, of repeated names the last; none of what is no object. */
function memberTextsOf(text: string): Map<string, string> {
  if (!/^\s*\{/.test(text)) return new Map();
  return new Map(
    memberSpansOf(text).map(({ name, value: { start, end } }) => [
      name,
      text.slice(start, end),
    ]),
  );
}

/** The daemons that keep one connection for a client, while that still holds. */
function parseCapacityOne(
  value: unknown,
  ageMs: number,
): Pick<CachedResults, "one"> {
  const one: Record<string, number> = {};
  const found = getNested(value, "one");
  for (const server of isRecord(found) ? Object.keys(found) : []) {
    const forMs = getNested(found, server);
    if (typeof forMs === "number" && forMs > ageMs) one[server] = forMs - ageMs;
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
  const isGood = typeof asked === "string" && typeof forMs === "number" &&
    forMs > ageMs && isRecord(getNested(value, "discover", "result"));
  if (!isGood || result === undefined) return {};
  return { discover: { asked, result, forMs: forMs - ageMs } };
}
