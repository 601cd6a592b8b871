/**
 * The format of the cache file: a JSON object. Each result in it is a string
 * with the daemon's own JSON text, so that its spelling is kept.
 *
 * @module
 */

import { listKindOf } from "../protocol/methods.ts";
import { getMember, getNested, isRecord } from "../protocol/jsonrpc.ts";
import { tryParseJson } from "../json/spans.ts";
import { type CachedResults, EMPTY_CACHED_RESULTS } from "./cache.ts";

/** The largest file that is read or written, in bytes. */
export const MAX_CACHE_FILE_BYTES = 8 * 1024 * 1024;

const CACHE_FORMAT_VERSION = 2;
/** A file of version 1, with results as objects, counts as empty. */
const OWN_VERSIONS: readonly unknown[] = [1, CACHE_FORMAT_VERSION];

/** The identity of a cache: the daemon, the user and the dialect. */
export interface CacheKey {
  /** The daemon's address without secrets. */
  readonly daemon: string;
  /** A digest of the address with its secrets. */
  readonly key: string;
  /** A digest of the credentials, for the default name of the file only. */
  readonly user: string;
  /** The name of the dialect. */
  readonly dialect: string;
}

/** Returns the text of the cache file. */
export function serializeCache(
  { daemon, key, dialect }: CacheKey,
  results: CachedResults,
): string {
  const { initialize, lists, discover, oneConnectionDaemons } = results;
  const file = {
    alwaysup: CACHE_FORMAT_VERSION,
    daemon,
    key,
    dialect,
    initialize,
    lists,
    discover: discover && {
      asked: discover.requestedVersion,
      result: discover.result,
      forMs: discover.remainingMs,
    },
    one: oneConnectionDaemons,
  };
  return `${JSON.stringify(file)}\n`;
}

/** Parses a cache file of this age, or returns why the file is unusable. */
export function parseCache(
  text: string,
  cacheKey: CacheKey,
  ageMs = 0,
): CachedResults | string {
  if (text.length > MAX_CACHE_FILE_BYTES) return "it is too large";
  // After a power cut, a file may be empty or consist of zeros.
  if (/^\0*$/.test(text)) return EMPTY_CACHED_RESULTS;
  const value = tryParseJson(text);
  if (value === undefined) return "it is not JSON";
  if (!isRecord(value) || !OWN_VERSIONS.includes(value.alwaysup)) {
    return "this version of alwaysup does not know its format";
  }
  const isSameDaemon = (["daemon", "key", "dialect"] as const)
    .every((name) => value[name] === cacheKey[name]);
  if (!isSameDaemon) return "it belongs to another daemon or dialect";
  if (value.alwaysup !== CACHE_FORMAT_VERSION) return EMPTY_CACHED_RESULTS;
  const oneConnectionDaemons = Object.entries(
    isRecord(value.one) ? value.one : {},
  ).map(([daemonName, ms]) => [daemonName, Number(ms) - ageMs] as const)
    .filter(([, remainingMs]) => remainingMs > 0);
  const discover = parseDiscover(value.discover, ageMs);
  return {
    initialize: parseResults(
      value.initialize,
      (_, result) => typeof getMember(result, "protocolVersion") === "string",
    ),
    lists: parseResults(value.lists, (key, result) => {
      const method = key.split(" ").at(-1)!;
      return Array.isArray(getNested(result, listKindOf(method) ?? ""));
    }),
    ...(discover && { discover }),
    ...(oneConnectionDaemons.length > 0 && {
      oneConnectionDaemons: Object.fromEntries(oneConnectionDaemons),
    }),
  };
}

function parseResults(
  texts: unknown,
  isValid: (key: string, result: unknown) => boolean,
): Record<string, string> {
  const validResults: Record<string, string> = {};
  for (const [key, text] of Object.entries(isRecord(texts) ? texts : {})) {
    if (typeof text === "string" && isValid(key, tryParseJson(text))) {
      validResults[key] = text;
    }
  }
  return validResults;
}

function parseDiscover(
  value: unknown,
  ageMs: number,
): CachedResults["discover"] {
  if (!isRecord(value)) return undefined;
  const { asked: requestedVersion, result } = value;
  const remainingMs = Number(value.forMs) - ageMs;
  const isValid = typeof requestedVersion === "string" &&
    typeof result === "string" && isRecord(tryParseJson(result)) &&
    remainingMs > 0;
  return isValid ? { requestedVersion, result, remainingMs } : undefined;
}
