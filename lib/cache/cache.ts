/**
 * The cache of the daemon's results, which answers a client while the daemon is
 * down. It holds the last results of `initialize`, `server/discover` and the
 * list methods. This folder decides which results are cached, for how long, and
 * in which format they are saved. `lib/proxy/cache_file.ts` writes the file.
 *
 * @module
 */

import {
  isOpeningMethod,
  listKindOf,
  nextCursorOf,
  requestVersionOf,
} from "../protocol/methods.ts";
import { type Method } from "../protocol/mcp_types.ts";
import {
  elementTextsOf,
  findValue,
  mapStrings,
  removeMembers,
  replaceValue,
} from "../json/spans.ts";
import {
  ErrorCode,
  getMember,
  isRecord,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import { NO_REDACTION, type Redactor } from "../config/secrets.ts";

/** The largest result that is cached, in UTF-16 units. */
const MAX_RESULT_CHARS = 1024 * 1024;
const MAX_INITIALIZE_VERSIONS = 8;
/** The longest lifetime of a `server/discover` result: a day. */
const MAX_TTL_MS = 86_400_000;

/** The daemon's results as JSON. In updates, "" evicts the stored result. */
export interface CachedResults {
  /** The results of `initialize`, by the protocol version in the request. */
  readonly initialize: Readonly<Record<string, string>>;
  /** Lists by `METHOD`, or by `VERSION METHOD` if requests name a version. */
  readonly lists: Readonly<Record<string, string>>;
  /** `server/discover`: requested version, result, remaining lifetime in ms. */
  readonly discover?: {
    readonly requestedVersion: string;
    readonly result: string;
    readonly remainingMs: number;
  };
  /** Daemons with one connection, by name and version: the lifetime in ms. */
  readonly oneConnectionDaemons?: Readonly<Record<string, number>>;
}

/** How long the capacity of a daemon is cached: a week. */
const CAPACITY_ONE_TTL_MS = 604_800_000;
/** The longest cached name of a daemon with its version, in UTF-16 units. */
const MAX_DAEMON_NAME_CHARS = 200;
const MAX_CAPACITY_ONE_DAEMONS = 8;

type ResultTable = "initialize" | "lists";

/** The content of an empty cache. */
export const EMPTY_CACHED_RESULTS: CachedResults = {
  initialize: {},
  lists: {},
};

/** Merges the results of a cache file with the updates of this process. */
export function mergeCachedResults(
  stored: CachedResults,
  updates: CachedResults,
): CachedResults {
  const mergeResults = (table: ResultTable): Record<string, string> => {
    const all = { ...stored[table] };
    for (const [key, result] of Object.entries(updates[table])) {
      if (result === "") delete all[key];
      else if (all[key] === undefined || !isEmptyToolList(key, result)) {
        all[key] = result;
      }
    }
    return all;
  };
  const latest = updates.discover ?? stored.discover;
  const discover = latest?.result === "" ? undefined : latest;
  // Of a daemon's two entries, the one that is valid longer replaces the other.
  const daemons = [stored, updates]
    .flatMap((it) => Object.entries(it.oneConnectionDaemons ?? {}))
    .toSorted(([, a], [, b]) => a - b).slice(-MAX_CAPACITY_ONE_DAEMONS);
  return {
    initialize: mergeResults("initialize"),
    lists: mergeResults("lists"),
    ...(discover && { discover }),
    ...(daemons.length > 0 && {
      oneConnectionDaemons: Object.fromEntries(daemons),
    }),
  };
}

/**
 * Returns true if each result that the updates add is stored. The stored result
 * may also be a newer one, from another process.
 */
export function hasAllResults(
  stored: CachedResults,
  updates: CachedResults,
): boolean {
  return (["initialize", "lists"] as const).every((table) =>
    Object.entries(updates[table]).every(([key, result]) =>
      result === "" || Object.hasOwn(stored[table], key)
    )
  );
}

// A daemon that is still starting lists no tools. Such a list must not replace
// one with tools.
function isEmptyToolList(key: string, result: string): boolean {
  if (!key.endsWith("tools/list" satisfies Method)) return false;
  const tools = getMember(parseCachedResult(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/** Returns a daemon's name and version; `undefined` without `serverInfo`. */
export function daemonNameOf(result: unknown): string | undefined {
  const info = getMember(result, "serverInfo");
  if (!isRecord(info)) return undefined;
  return `${info.name} ${info.version}`.slice(0, MAX_DAEMON_NAME_CHARS);
}

/** The cache of a running process. */
export class DaemonCache {
  readonly #results: Readonly<Record<ResultTable, Map<string, string>>>;
  /** The updates of this process; an empty text evicts a result. */
  readonly #updates = {
    initialize: new Map<string, string>(),
    lists: new Map<string, string>(),
  };
  #discover:
    | {
      requestedVersion: string;
      result: string;
      until: number;
      isSaved: boolean;
    }
    | undefined;
  #isSavedDiscoverStale = false;
  /** Daemons with one connection, by name and version: the end of validity. */
  readonly #capacityOneUntil = new Map<string, number>();
  /** The names and versions of those that this process has found. */
  readonly #capacityOneUpdates = new Set<string>();
  #hasWithheld = false;
  /** True if a result to save has changed since the last save. */
  #hasChanged = false;
  /** True once the loaded results were searched for secrets. */
  #hasPurged = false;
  /** Incomplete lists: next cursor, requested cursors, and items so far. */
  readonly #pages = new Map<
    string,
    { cursor: string; cursors: Set<unknown>; items: Set<string>; size: number }
  >();

  /** Starts with loaded results. A result with a secret in it is not saved. */
  constructor(
    { initialize, lists, discover, oneConnectionDaemons = {} }: CachedResults,
    now: number,
    private readonly redact: Redactor,
  ) {
    this.#results = {
      initialize: new Map(Object.entries(initialize)),
      lists: new Map(Object.entries(lists)),
    };
    this.#discover = discover &&
      { ...discover, until: now + discover.remainingMs, isSaved: true };
    for (
      const [daemonName, remainingMs] of Object.entries(oneConnectionDaemons)
    ) {
      this.#capacityOneUntil.set(daemonName, now + remainingMs);
    }
  }

  /** Returns true if the daemon is known to keep one connection per client. */
  keepsOneConnection(daemonName: string, now: number): boolean {
    return now < (this.#capacityOneUntil.get(daemonName) ?? -Infinity);
  }

  /** Records that the daemon keeps one connection per client. */
  recordOneConnection(daemonName: string, now: number): void {
    // The name may be cut off within a secret. The dots tell `redact` so.
    if (!this.#isClean(`${daemonName}...`)) return;
    this.#capacityOneUntil.set(daemonName, now + CAPACITY_ONE_TTL_MS);
    this.#capacityOneUpdates.add(daemonName);
  }

  /** Returns true, once, if a result was not saved because of a secret. */
  takeWithheldFlag(): boolean {
    const hasWithheld = this.#hasWithheld;
    this.#hasWithheld = false;
    return hasWithheld;
  }

  /** Returns the updates to save, with remaining lifetimes. */
  resultsToSave(now: number): CachedResults {
    this.#hasChanged = false;
    const { requestedVersion = "", result = "", until = now, isSaved } =
      this.#discover ??
        {};
    const remainingMs = Math.round(until - now);
    const isFresh = isSaved === true && remainingMs > 0;
    const discover = isFresh
      ? { requestedVersion, result, remainingMs }
      : this.#isSavedDiscoverStale &&
        { requestedVersion: "", result: "", remainingMs: 0 };
    const one = [...this.#capacityOneUntil]
      .filter(([daemonName]) => this.#capacityOneUpdates.has(daemonName))
      .map(([daemonName, until]) => [daemonName, Math.round(until - now)]);
    return {
      initialize: Object.fromEntries(this.#updates.initialize),
      lists: Object.fromEntries(this.#updates.lists),
      ...(discover && { discover }),
      ...(one.length > 0 && { oneConnectionDaemons: Object.fromEntries(one) }),
    };
  }

  /** Returns the cached result of a request; none for a list with a cursor. */
  lookup({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const cached = this.#discover;
      const isSame = cached?.requestedVersion === requestVersionOf(params);
      if (cached === undefined || !isSame || now >= cached.until) {
        return undefined;
      }
      // Part of the lifetime has already passed.
      const rest = Math.floor(cached.until - now);
      return replaceValue(cached.result, ["ttlMs"], `${rest}`);
    }
    if (method === "initialize") {
      const requestedVersion = getMember(params, "protocolVersion");
      return this.#results.initialize.get(requestedVersion as string);
    }
    if (!isCacheableList(method, params)) return undefined;
    if (getMember(params, "cursor") !== undefined) return undefined;
    const cached = this.#results.lists.get(listKeyOf(method, params));
    // The age of the list is unknown, so it must not count as fresh.
    return cached && replaceValue(cached, ["ttlMs"], "0");
  }

  /** Shortens all lifetimes by a sleep that `now` did not count. */
  shortenBy(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
    for (const [daemonName, until] of this.#capacityOneUntil) {
      this.#capacityOneUntil.set(daemonName, until - ms);
    }
  }

  /** Evicts a result of `initialize`: the daemon now gives another one. */
  evictInitialize(requestedVersion: unknown): void {
    this.#evict("initialize", requestedVersion as string);
  }

  /** Stores a response if it can be cached; returns true if a save is due. */
  store(
    { method, params }: Pick<Request, "method" | "params">,
    response: Response,
    now: number,
  ): boolean {
    if (!isOpeningMethod(method) && !isCacheableList(method, params)) {
      return false;
    }
    this.#purgeSecrets();
    const { result, error } = response;
    const span = findValue(response.text, ["result"]);
    if (error?.code === ErrorCode.methodNotFound) {
      // A daemon that is still starting may not know `tools/list` yet.
      if (method === "server/discover") this.#evictDiscover();
      else if (method !== "initialize" && method !== "tools/list") {
        this.#evict("lists", listKeyOf(method, params));
      }
    } else if (error === undefined && span !== undefined) {
      const text = response.text.slice(span.start, span.end);
      if (method === "server/discover") {
        this.#storeDiscover(params, result, text, now);
      } else if (method === "initialize") {
        this.#storeInitialize(params, result, text);
      } else this.#storeListPage(method, params, result, text);
    }
    return this.#hasChanged;
  }

  // This runs at the first response, because the client waits during the start.
  #purgeSecrets(): void {
    if (this.#hasPurged) return;
    this.#hasPurged = true;
    for (const table of ["initialize", "lists"] as const) {
      for (const [key, result] of this.#results[table]) {
        if (!this.#isClean(result)) this.#addUpdate(table, key, "");
      }
    }
  }

  #maySave(result: string): boolean {
    if (this.redact === NO_REDACTION) return true;
    const isClean = this.#isClean(result) &&
      // A long text is not searched for truncated secrets, but its strings are.
      mapStrings(result, this.redact) === result;
    this.#hasWithheld ||= !isClean;
    return isClean;
  }

  #isClean(text: string): boolean {
    return this.redact(text) === text;
  }

  #storeDiscover(
    params: unknown,
    value: unknown,
    result: string,
    now: number,
  ): void {
    const requestedVersion = requestVersionOf(params);
    const ttl = getMember(value, "ttlMs");
    if (requestedVersion === undefined) return;
    this.#evictDiscover();
    if (typeof ttl !== "number" || !(ttl > 0)) return;
    const until = now + Math.min(ttl, MAX_TTL_MS);
    const isSaved = isPublicCacheScope(value) &&
      result.length <= MAX_RESULT_CHARS && this.#maySave(result);
    this.#discover = { requestedVersion, result, until, isSaved };
    this.#hasChanged ||= isSaved;
  }

  #evictDiscover(): void {
    if (this.#discover?.isSaved === true) {
      this.#isSavedDiscoverStale = this.#hasChanged = true;
    }
    this.#discover = undefined;
  }

  #storeInitialize(params: unknown, value: unknown, result: string): void {
    const known = this.#results.initialize;
    const requestedVersion = getMember(params, "protocolVersion");
    const isValid = typeof requestedVersion === "string" &&
      typeof getMember(value, "protocolVersion") === "string" &&
      result.length <= MAX_RESULT_CHARS &&
      (known.has(requestedVersion) || known.size < MAX_INITIALIZE_VERSIONS);
    if (!isValid || known.get(requestedVersion) === result) return;
    this.#replace("initialize", requestedVersion, result);
    if (this.#maySave(result)) {
      this.#addUpdate("initialize", requestedVersion, result);
    }
  }

  #storeListPage(
    method: Method,
    params: unknown,
    value: unknown,
    text: string,
  ): void {
    const name = listKindOf(method)!;
    if (!Array.isArray(getMember(value, name))) return;
    const key = listKeyOf(method, params);
    const cursor = getMember(params, "cursor");
    const before = cursor === undefined ? undefined : this.#pages.get(key);
    // A page was skipped, or arrives twice.
    if (cursor !== undefined && before?.cursor !== cursor) return;
    const next = nextCursorOf(value);
    if (cursor === undefined && next === undefined) {
      return this.#storeList(key, text, value);
    }
    const { start, end } = findValue(text, [name])!;
    const page = elementTextsOf(text.slice(start, end));
    // A daemon that ignores the cursor sends the same page twice.
    const items = before?.items ?? new Set();
    let size = before?.size ?? 0;
    for (const item of page) {
      size += items.has(item) ? 0 : item.length + 1;
      items.add(item);
    }
    const cursors = before?.cursors ?? new Set();
    cursors.add(cursor);
    const isEnd = next === undefined || cursors.has(next) ||
      size > MAX_RESULT_CHARS;
    // Most clients treat an empty cursor as the end; some request that page.
    if (isEnd || next === "") {
      const all = replaceValue(text, [name], `[${[...items].join(",")}]`);
      this.#storeList(key, removeMembers(all, ["nextCursor"]), value);
    }
    if (!isEnd) this.#pages.set(key, { cursor: next, cursors, items, size });
  }

  #storeList(key: string, result: string, value: unknown): void {
    this.#pages.delete(key);
    // The new list is too large to cache, and the cached one is out of date.
    if (result.length > MAX_RESULT_CHARS) return this.#evict("lists", key);
    const previous = this.#results.lists.get(key);
    if (previous !== undefined) {
      if (previous === result || isEmptyToolList(key, result)) return;
    }
    this.#replace("lists", key, result);
    const isSaved = isPublicCacheScope(value) && this.#maySave(result);
    if (isSaved) this.#addUpdate("lists", key, result);
  }

  // The old result is out of date, even if the new one must not be saved.
  #replace(table: ResultTable, key: string, result: string): void {
    this.#evict(table, key);
    this.#results[table].set(key, result);
  }

  #evict(table: ResultTable, key: string): void {
    const isKnown = this.#results[table].delete(key);
    const isEvictionNew = this.#updates[table].get(key) !== "";
    if (isKnown && isEvictionNew) this.#addUpdate(table, key, "");
  }

  #addUpdate(table: ResultTable, key: string, result: string): void {
    this.#updates[table].set(key, result);
    this.#hasChanged = true;
  }
}

// `cacheScope` exists since MCP 2026-07-28; without it, a result is public.
function isPublicCacheScope(value: unknown): boolean {
  return (getMember(value, "cacheScope") ?? "public") === "public";
}

// Any other parameter may select a part of the list.
function isCacheableList(method: Method, params: unknown): boolean {
  if (listKindOf(method) === undefined) return false;
  const members = isRecord(params) ? Object.keys(params) : [];
  return members.every((name) => name === "cursor" || name === "_meta");
}

function listKeyOf(method: Method, params: unknown): string {
  const version = requestVersionOf(params);
  return version === undefined ? method : `${version} ${method}`;
}

/** Parses a cached result. */
export function parseCachedResult(result: string): unknown {
  return JSON.parse(result);
}
