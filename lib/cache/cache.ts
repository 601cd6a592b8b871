/**
 * The cache of a daemon's results: the last results of `initialize` and
 * `server/discover`, and its lists.
 *
 * @module
 */

import {
  isOpening,
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
/** The longest lifetime of a cached result, in milliseconds: a day. */
const MAX_TTL_MS = 86_400_000;

/** JSON texts as the daemon sent them; an empty one for an evicted result. */
export interface CachedResults {
  /** Results of `initialize` by requested version. */
  readonly initialize: Readonly<Record<string, string>>;
  /** Results of lists by method, after the version if requests name one. */
  readonly lists: Readonly<Record<string, string>>;
  /** The result of `server/discover`, and its rest of `ttlMs` (2026-07-28). */
  readonly discover?: {
    readonly asked: string;
    readonly result: string;
    readonly forMs: number;
  };
  /** For how long daemons keep one connection, by name and version, in ms. */
  readonly one?: Readonly<Record<string, number>>;
}

/** How long the capacity of a daemon is cached, in milliseconds: a week. */
const CAPACITY_ONE_TTL_MS = 604_800_000;
/** The longest cached name of a daemon with its version, in UTF-16 units. */
const MAX_DAEMON_NAME_CHARS = 200;
const MAX_CAPACITY_ONE_DAEMONS = 8;

type ResultTable = "initialize" | "lists";

/** An empty cache. */
export const EMPTY_CACHED_RESULTS: CachedResults = {
  initialize: {},
  lists: {},
};

/** Merges what others have saved with what this process has stored since. */
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
  // The last entry of a daemon counts, which is the longest.
  const one = [stored, updates].flatMap((it) => Object.entries(it.one ?? {}))
    .toSorted(([, a], [, b]) => a - b).slice(-MAX_CAPACITY_ONE_DAEMONS);
  return {
    initialize: mergeResults("initialize"),
    lists: mergeResults("lists"),
    ...(discover && { discover }),
    ...(one.length > 0 && { one: Object.fromEntries(one) }),
  };
}

/**
 * Returns whether a result is stored for each update of `initialize` and the
 * lists: this one, or a newer one of another process.
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

// A daemon that is still starting has no tools yet; its empty list does not
// replace another one.
function isEmptyToolList(key: string, result: string): boolean {
  if (!key.endsWith("tools/list" satisfies Method)) return false;
  const tools = getMember(parseCachedResult(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/** Returns the daemon's name and version, which tell it from other daemons. */
export function daemonNameOf(result: unknown): string | undefined {
  const info = getMember(result, "serverInfo");
  if (!isRecord(info)) return undefined;
  return `${info.name} ${info.version}`.slice(0, MAX_DAEMON_NAME_CHARS);
}

/** The cache of a running process. */
export class DaemonCache {
  readonly #results: Readonly<Record<ResultTable, Map<string, string>>>;
  /** What this process has stored or evicted, of what it shares with others. */
  readonly #unsaved = {
    initialize: new Map<string, string>(),
    lists: new Map<string, string>(),
  };
  #discover:
    | { asked: string; result: string; until: number; isShared: boolean }
    | undefined;
  #isSharedDiscoverStale = false;
  /** By the daemon's name and version. */
  readonly #capacityOneUntil = new Map<string, number>();
  /** The daemons of which this process has learned it. */
  readonly #unsavedCapacityOne = new Set<string>();
  #hasWithheld = false;
  /** What is shared has changed since it was saved. */
  #hasChanged = false;
  /** The loaded results were searched for secrets. */
  #hasPurged = false;
  /** Incomplete lists: the next cursor, the requested ones, and the items. */
  readonly #pages = new Map<
    string,
    { cursor: string; cursors: Set<unknown>; items: Set<string>; size: number }
  >();

  /** Starts with the loaded results; what `redact` removes is not shared. */
  constructor(
    { initialize, lists, discover, one = {} }: CachedResults,
    now: number,
    private readonly redact: Redactor,
  ) {
    this.#results = {
      initialize: new Map(Object.entries(initialize)),
      lists: new Map(Object.entries(lists)),
    };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs, isShared: true };
    for (const [daemonName, forMs] of Object.entries(one)) {
      this.#capacityOneUntil.set(daemonName, now + forMs);
    }
  }

  /** Whether the daemon is known to keep one connection per client. */
  hasCapacityOne(daemonName: string, now: number): boolean {
    return now < (this.#capacityOneUntil.get(daemonName) ?? -Infinity);
  }

  /** Records that the daemon keeps one connection per client. */
  storeCapacityOne(daemonName: string, now: number): void {
    // The name may have been cut off within a secret.
    if (!this.#isClean(`${daemonName}...`)) return;
    this.#capacityOneUntil.set(daemonName, now + CAPACITY_ONE_TTL_MS);
    this.#unsavedCapacityOne.add(daemonName);
  }

  /** Returns once whether a result was not shared because of a secret. */
  takeWithheld(): boolean {
    const hasWithheld = this.#hasWithheld;
    this.#hasWithheld = false;
    return hasWithheld;
  }

  /** Returns the results to save. */
  resultsToSave(now: number): CachedResults {
    this.#hasChanged = false;
    const { asked = "", result = "", until = now, isShared } = this.#discover ??
      {};
    const forMs = Math.round(until - now);
    const isFresh = isShared === true && forMs > 0;
    const discover = isFresh
      ? { asked, result, forMs }
      : this.#isSharedDiscoverStale && { asked: "", result: "", forMs: 0 };
    const one = [...this.#capacityOneUntil]
      .filter(([daemonName]) => this.#unsavedCapacityOne.has(daemonName))
      .map(([daemonName, until]) => [daemonName, Math.round(until - now)]);
    return {
      initialize: Object.fromEntries(this.#unsaved.initialize),
      lists: Object.fromEntries(this.#unsaved.lists),
      ...(discover && { discover }),
      ...(one.length > 0 && { one: Object.fromEntries(one) }),
    };
  }

  /** Returns the result of the same request; of lists only the first page's. */
  lookup({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const cached = this.#discover;
      const isSame = cached?.asked === requestVersionOf(params);
      if (cached === undefined || !isSame || now >= cached.until) {
        return undefined;
      }
      // Part of its lifetime has passed.
      const rest = Math.floor(cached.until - now);
      return replaceValue(cached.result, ["ttlMs"], `${rest}`);
    }
    if (method === "initialize") {
      const asked = getMember(params, "protocolVersion");
      return this.#results.initialize.get(asked as string);
    }
    if (!isCacheableList(method, params)) return undefined;
    if (getMember(params, "cursor") !== undefined) return undefined;
    const cached = this.#results.lists.get(listKeyOf(method, params));
    // The age of a list is unknown.
    return cached && replaceValue(cached, ["ttlMs"], "0");
  }

  /** Shortens all lifetimes by a time that the clock did not count. */
  shortenBy(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
    for (const [daemonName, until] of this.#capacityOneUntil) {
      this.#capacityOneUntil.set(daemonName, until - ms);
    }
  }

  /** Evicts a result of `initialize`: the daemon now answers differently. */
  evictInitialize(requestedVersion: unknown): void {
    this.#evict("initialize", requestedVersion as string);
  }

  /** Stores a response; returns whether there is something new to save. */
  store(
    { method, params }: Pick<Request, "method" | "params">,
    response: Response,
    now: number,
  ): boolean {
    if (!isOpening(method) && !isCacheableList(method, params)) return false;
    this.#purgeSecrets();
    const { result, error } = response;
    const span = findValue(response.text, ["result"]);
    if (error?.code === ErrorCode.methodNotFound) {
      // A daemon that is still starting has no tools yet.
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

  // This does not run at the start, where a client waits.
  #purgeSecrets(): void {
    if (this.#hasPurged) return;
    this.#hasPurged = true;
    for (const table of ["initialize", "lists"] as const) {
      for (const [key, result] of this.#results[table]) {
        if (!this.#isClean(result)) this.#share(table, key, "");
      }
    }
  }

  #mayShare(result: string): boolean {
    if (this.redact === NO_REDACTION) return true;
    const isClean = this.#isClean(result) &&
      // In a long text, only its single strings show a secret that was cut off.
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
    const asked = requestVersionOf(params);
    const ttl = getMember(value, "ttlMs");
    if (asked === undefined) return;
    this.#evictDiscover();
    if (typeof ttl !== "number" || !(ttl > 0)) return;
    const until = now + Math.min(ttl, MAX_TTL_MS);
    const isShared = isPublicCacheScope(value) &&
      result.length <= MAX_RESULT_CHARS && this.#mayShare(result);
    this.#discover = { asked, result, until, isShared };
    this.#hasChanged ||= isShared;
  }

  #evictDiscover(): void {
    if (this.#discover?.isShared === true) {
      this.#isSharedDiscoverStale = this.#hasChanged = true;
    }
    this.#discover = undefined;
  }

  #storeInitialize(params: unknown, value: unknown, result: string): void {
    const known = this.#results.initialize;
    const asked = getMember(params, "protocolVersion");
    const isValid = typeof asked === "string" &&
      typeof getMember(value, "protocolVersion") === "string" &&
      result.length <= MAX_RESULT_CHARS &&
      (known.has(asked) || known.size < MAX_INITIALIZE_VERSIONS);
    if (!isValid || known.get(asked) === result) return;
    this.#replace("initialize", asked, result);
    if (this.#mayShare(result)) this.#share("initialize", asked, result);
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
    // A page is missing, or arrived twice.
    if (cursor !== undefined && before?.cursor !== cursor) return;
    const next = nextCursorOf(value);
    if (cursor === undefined && next === undefined) {
      return this.#storeList(key, text, value);
    }
    const { start, end } = findValue(text, [name])!;
    const page = elementTextsOf(text.slice(start, end));
    // A daemon that does not know its own cursor sends a page twice.
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
    // Most clients treat an empty cursor as the end, some do not.
    if (isEnd || next === "") {
      const all = replaceValue(text, [name], `[${[...items].join(",")}]`);
      this.#storeList(key, removeMembers(all, ["nextCursor"]), value);
    }
    if (!isEnd) this.#pages.set(key, { cursor: next, cursors, items, size });
  }

  #storeList(key: string, result: string, value: unknown): void {
    this.#pages.delete(key);
    // The cached list is older than this one, which is too large to cache.
    if (result.length > MAX_RESULT_CHARS) return this.#evict("lists", key);
    const previous = this.#results.lists.get(key);
    if (previous !== undefined) {
      if (previous === result || isEmptyToolList(key, result)) return;
    }
    this.#replace("lists", key, result);
    const isShared = isPublicCacheScope(value) && this.#mayShare(result);
    if (isShared) this.#share("lists", key, result);
  }

  // If the new result is not shared, the old one is not valid for others either.
  #replace(table: ResultTable, key: string, result: string): void {
    this.#evict(table, key);
    this.#results[table].set(key, result);
  }

  #evict(table: ResultTable, key: string): void {
    const isKnown = this.#results[table].delete(key);
    const isShared = this.#unsaved[table].get(key) !== "";
    if (isKnown && isShared) this.#share(table, key, "");
  }

  #share(table: ResultTable, key: string, result: string): void {
    this.#unsaved[table].set(key, result);
    this.#hasChanged = true;
  }
}

// MCP 2026-07-28, cacheScope; results of older versions have no scope.
function isPublicCacheScope(value: unknown): boolean {
  return (getMember(value, "cacheScope") ?? "public") === "public";
}

// A member other than these may select a part of the list.
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
