/**
 * The cache of a daemon's results: the last results of `initialize` and
 * `server/discover`, and its lists.
 *
 * @module
 */

import { listKindOf, nextCursorOf } from "../protocol/lists.ts";
import { type Method } from "../protocol/mcp_types.ts";
import { requestVersionOf } from "../protocol/versions.ts";
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
/** For how many versions a result of `initialize` is cached. */
const MAX_INITIALIZE_VERSIONS = 8;
/** The longest lifetime of a cached result, in milliseconds: a day. */
const MAX_TTL_MS = 86_400_000;

/**
 * The cached results as JSON texts, formatted as the daemon sent them. An empty
 * text means that the result was evicted.
 */
export interface CachedResults {
  /** Results of `initialize` by requested version. */
  readonly initialize: Readonly<Record<string, string>>;
  /**
   * Results of lists by method, with the version as a prefix if requests name
   * one.
   */
  readonly lists: Readonly<Record<string, string>>;
  /**
   * The result of `server/discover`, and for how many milliseconds it is valid
   * (MCP 2026-07-28, ttlMs).
   */
  readonly discover?: {
    readonly asked: string;
    readonly result: string;
    readonly forMs: number;
  };
  /**
   * The daemons that keep one connection per client, by name and version, and
   * for how many milliseconds that is valid.
   */
  readonly one?: Readonly<Record<string, number>>;
}

/** How long the capacity of a daemon is cached, in milliseconds: a week. */
const CAPACITY_ONE_TTL_MS = 604_800_000;
/** The longest cached name of a daemon with its version, in UTF-16 units. */
const MAX_DAEMON_NAME_CHARS = 200;
/** For how many daemons the capacity is cached. */
const MAX_CAPACITY_ONE_DAEMONS = 8;

/** An empty cache. */
export const EMPTY_CACHED_RESULTS: CachedResults = {
  initialize: {},
  lists: {},
};

/**
 * Merges what another process has saved with what this one has stored since.
 */
export function mergeCachedResults(
  stored: CachedResults,
  updates: CachedResults,
): CachedResults {
  const mergeResults = (
    name: "initialize" | "lists",
  ): Record<string, string> => {
    const all = { ...stored[name] };
    for (const [key, result] of Object.entries(updates[name])) {
      if (result === "") delete all[key];
      else if (!losesTools(key, result, all[key])) all[key] = result;
    }
    return all;
  };
  const latest = updates.discover ?? stored.discover;
  const discover = latest?.result === "" ? undefined : latest;
  const one = Object.entries({ ...stored.one, ...updates.one })
    .toSorted(([, a], [, b]) => b - a).slice(0, MAX_CAPACITY_ONE_DAEMONS);
  return {
    initialize: mergeResults("initialize"),
    lists: mergeResults("lists"),
    ...(discover && { discover }),
    ...(one.length > 0 && { one: Object.fromEntries(one) }),
  };
}

/**
 * A daemon that is still starting has no tools yet; its empty list does not
 * replace another one.
 */
function losesTools(
  key: string,
  result: string,
  previous: string | undefined,
): boolean {
  if (previous === undefined || !key.endsWith("tools/list" satisfies Method)) {
    return false;
  }
  const tools = getMember(parseCachedResult(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/**
 * Returns the daemon's name and version from its result of `initialize` or
 * `server/discover`; the cache tells daemons apart by it.
 */
export function daemonNameOf(result: unknown): string | undefined {
  const info = getMember(result, "serverInfo");
  if (!isRecord(info)) return undefined;
  return `${info.name} ${info.version}`.slice(0, MAX_DAEMON_NAME_CHARS);
}

/** The cache of a running process. */
export class DaemonCache {
  readonly #initialize: Record<string, string>;
  readonly #lists: Record<string, string>;
  #discover:
    | { asked: string; result: string; until: number; isShared: boolean }
    | undefined;
  /**
   * Until when a daemon is known to keep one connection, by its name and
   * version.
   */
  readonly #capacityOneUntil = new Map<string, number>();
  /** The shared result of `server/discover` is no longer valid. */
  #isSharedDiscoverStale = false;
  /** What this process has stored and may share with others. */
  readonly #unsaved = {
    initialize: {} as Record<string, string>,
    lists: {} as Record<string, string>,
  };
  readonly #unsavedCapacityOne = new Set<string>();
  readonly #redact: Redactor;
  /** A result is not shared because it contains a secret. */
  #hasWithheld = false;
  /** The loaded results were searched for secrets. */
  #hasPurged = false;
  /**
   * The pages of incomplete lists, the cursors they were requested with, and
   * the next cursor.
   */
  readonly #pages = new Map<
    string,
    { cursor: string; cursors: Set<unknown>; items: Set<string>; size: number }
  >();

  /**
   * Starts with the loaded results.
   *
   * @param redact removes what must not be shared
   */
  constructor(
    { initialize, lists, discover, one }: CachedResults,
    now: number,
    redact: Redactor,
  ) {
    this.#redact = redact;
    for (const [daemonName, forMs] of Object.entries(one ?? {})) {
      this.#capacityOneUntil.set(daemonName, now + forMs);
    }
    this.#initialize = { ...initialize };
    this.#lists = { ...lists };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs, isShared: true };
  }

  /** Whether the daemon is known to keep one connection per client. */
  hasCapacityOne(daemonName: string, now: number): boolean {
    return now < (this.#capacityOneUntil.get(daemonName) ?? -Infinity);
  }

  /** Records that the daemon keeps one connection per client. */
  storeCapacityOne(daemonName: string, now: number): void {
    this.#capacityOneUntil.set(daemonName, now + CAPACITY_ONE_TTL_MS);
    // The name may have been cut off within a secret.
    if (this.#isClean(`${daemonName}...`)) {
      this.#unsavedCapacityOne.add(daemonName);
    }
  }

  /**
   * Returns once whether a result was not shared because it contains a secret.
   */
  takeWithheld(): boolean {
    const hasWithheld = this.#hasWithheld;
    this.#hasWithheld = false;
    return hasWithheld;
  }

  #mayShare(result: string): boolean {
    if (this.#redact === NO_REDACTION) return true;
    const isClean = this.#isClean(result) &&
      // In a long text, only its single strings show a secret that was cut off.
      mapStrings(result, this.#redact) === result;
    this.#hasWithheld ||= !isClean;
    return isClean;
  }

  #isClean(text: string): boolean {
    return this.#redact(text) === text;
  }

  /**
   * Evicts loaded results that contain secrets; returns whether there were any.
   * This does not run at the start, where a client waits.
   */
  #purgeSecrets(): boolean {
    if (this.#hasPurged) return false;
    this.#hasPurged = true;
    const loaded = { initialize: this.#initialize, lists: this.#lists };
    let hasChanged = false;
    for (const name of ["initialize", "lists"] as const) {
      for (const [key, result] of Object.entries(loaded[name])) {
        if (this.#isClean(result)) continue;
        this.#unsaved[name][key] = "";
        hasChanged = true;
      }
    }
    return hasChanged;
  }

  /** Returns the results to save. */
  resultsToSave(now: number): CachedResults {
    const { asked, result, until = -Infinity, isShared } = this.#discover ?? {};
    const forMs = Math.round(until - now);
    const isFresh = asked !== undefined && result !== undefined &&
      isShared === true && forMs > 0;
    const one = [...this.#unsavedCapacityOne]
      .map((
        daemonName,
      ) => [
        daemonName,
        Math.round(this.#capacityOneUntil.get(daemonName)! - now),
      ]);
    return {
      ...this.#unsaved,
      ...(one.length > 0 && { one: Object.fromEntries(one) }),
      ...(this.#isSharedDiscoverStale &&
        { discover: { asked: "", result: "", forMs: 0 } }),
      ...(isFresh && { discover: { asked, result, forMs } }),
    };
  }

  /**
   * Returns the cached result of the same request as a JSON text; for lists,
   * only a request for the first page has one.
   */
  lookup({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const cached = this.#discover;
      const isFresh = cached !== undefined && now < cached.until;
      if (!isFresh || cached.asked !== requestVersionOf(params)) {
        return undefined;
      }
      // Part of its lifetime has passed.
      const rest = Math.floor(cached.until - now);
      return replaceValue(cached.result, ["ttlMs"], `${rest}`);
    }
    if (method === "initialize") {
      const asked = getMember(params, "protocolVersion");
      return typeof asked === "string" && Object.hasOwn(this.#initialize, asked)
        ? this.#initialize[asked]
        : undefined;
    }
    if (!isCacheableList(method, params)) return undefined;
    if (getMember(params, "cursor") !== undefined) return undefined;
    const cached = this.#lists[listKeyOf(method, params)];
    // The age of a list is unknown.
    return cached && replaceValue(cached, ["ttlMs"], "0");
  }

  /**
   * Shortens all lifetimes by a time that the monotonic clock did not count.
   */
  shortenBy(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
    for (const [daemonName, until] of this.#capacityOneUntil) {
      this.#capacityOneUntil.set(daemonName, until - ms);
    }
  }

  /**
   * Evicts the result of `initialize` for a version: the daemon now answers
   * differently.
   */
  evictInitialize(requestedVersion: unknown): void {
    if (typeof requestedVersion !== "string") return;
    delete this.#initialize[requestedVersion];
    this.#unsaved.initialize[requestedVersion] = "";
  }

  /** Stores a response; returns whether there is something new to save. */
  store(
    request: Pick<Request, "method" | "params">,
    response: Response,
    now: number,
  ): boolean {
    const hasPurged = this.#purgeSecrets();
    return this.#storeResponse(request, response, now) || hasPurged;
  }

  #storeResponse(
    { method, params }: Pick<Request, "method" | "params">,
    response: Response,
    now: number,
  ): boolean {
    if (response.error?.code === ErrorCode.methodNotFound) {
      return this.#dropUnsupported(method, params);
    }
    if (response.error !== undefined) return false;
    const span = findValue(response.text, ["result"]);
    if (span === undefined) return false;
    const result = response.text.slice(span.start, span.end);
    if (method === "server/discover") {
      return this.#storeDiscover(params, response.result, result, now);
    }
    if (method === "initialize") {
      return this.#storeInitialize(params, response.result, result);
    }
    if (!isCacheableList(method, params)) return false;
    return this.#storeListPage(method, params, response.result, result);
  }

  /**
   * Evicts the result of a method that the daemon no longer supports; a daemon
   * that is still starting has no tools yet.
   */
  #dropUnsupported(method: Method, params: unknown): boolean {
    if (method === "server/discover") return this.#clearDiscover();
    const isList = isCacheableList(method, params) && method !== "tools/list";
    return isList && this.#dropList(listKeyOf(method, params));
  }

  #storeDiscover(
    params: unknown,
    value: unknown,
    result: string,
    now: number,
  ): boolean {
    const asked = requestVersionOf(params);
    const ttl = getMember(value, "ttlMs");
    if (asked === undefined) return false;
    const wasSharedBefore = this.#clearDiscover();
    if (typeof ttl !== "number" || !(ttl > 0)) return wasSharedBefore;
    const until = now + Math.min(ttl, MAX_TTL_MS);
    const isShared = isPublicCacheScope(value) &&
      result.length <= MAX_RESULT_CHARS &&
      this.#mayShare(result);
    this.#discover = { asked, result, until, isShared };
    return isShared || wasSharedBefore;
  }

  /** Evicts the result of `server/discover`; returns whether it was shared. */
  #clearDiscover(): boolean {
    const wasShared = this.#discover?.isShared === true;
    this.#discover = undefined;
    this.#isSharedDiscoverStale ||= wasShared;
    return wasShared;
  }

  #storeInitialize(params: unknown, value: unknown, result: string): boolean {
    const asked = getMember(params, "protocolVersion");
    const version = getMember(value, "protocolVersion");
    const isValid = typeof asked === "string" && typeof version === "string" &&
      result.length <= MAX_RESULT_CHARS;
    if (!isValid || this.#initialize[asked] === result) return false;
    const isFull =
      Object.keys(this.#initialize).length >= MAX_INITIALIZE_VERSIONS;
    if (isFull && !Object.hasOwn(this.#initialize, asked)) return false;
    const isKnown = Object.hasOwn(this.#initialize, asked);
    const isShared = this.#mayShare(result);
    this.#initialize[asked] = result;
    this.#unsaved.initialize[asked] = isShared ? result : "";
    return isShared || isKnown;
  }

  #storeListPage(
    method: Method,
    params: unknown,
    value: unknown,
    text: string,
  ): boolean {
    const name = listKindOf(method)!;
    if (!Array.isArray(getMember(value, name))) return false;
    const key = listKeyOf(method, params);
    const cursor = getMember(params, "cursor");
    const before = cursor === undefined ? undefined : this.#pages.get(key);
    // A page is missing, or arrived twice.
    if (cursor !== undefined && before?.cursor !== cursor) return false;
    const next = nextCursorOf(value);
    if (cursor === undefined && next === undefined) {
      return this.#storeCompleteList(key, text, value);
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
    const hasChanged = (isEnd || next === "") &&
      this.#storeCompleteList(key, joinPages(text, name, items), value);
    if (!isEnd) this.#pages.set(key, { cursor: next, cursors, items, size });
    return hasChanged;
  }

  #storeCompleteList(key: string, result: string, value: unknown): boolean {
    this.#pages.delete(key);
    // The cached list is older than this one, which is too large to cache.
    return result.length > MAX_RESULT_CHARS
      ? this.#dropList(key)
      : this.#storeList(key, result, value);
  }

  #storeList(key: string, result: string, value: unknown): boolean {
    const previous = this.#lists[key];
    if (previous === result || losesTools(key, result, previous)) return false;
    const isShared = isPublicCacheScope(value) && this.#mayShare(result);
    // The shared list is no longer valid either.
    const wasSharedBefore = !isShared && this.#dropList(key);
    this.#lists[key] = result;
    if (!isShared) return wasSharedBefore;
    this.#unsaved.lists[key] = result;
    return true;
  }

  #dropList(key: string): boolean {
    const isKnown = this.#lists[key] !== undefined;
    const hasChanged = isKnown && this.#unsaved.lists[key] !== "";
    delete this.#lists[key];
    if (hasChanged) this.#unsaved.lists[key] = "";
    return hasChanged;
  }
}

/** Joins the items of all pages in one result without a cursor. */
function joinPages(
  text: string,
  name: string,
  items: Iterable<string>,
): string {
  const all = replaceValue(text, [name], `[${[...items].join(",")}]`);
  return removeMembers(all, ["nextCursor"]);
}

/**
 * Whether a result may be shared (MCP 2026-07-28, cacheScope); results of older
 * versions have no scope.
 */
function isPublicCacheScope(value: unknown): boolean {
  return (getMember(value, "cacheScope") ?? "public") === "public";
}

/**
 * Whether a list was requested without filters; other members may select
 * something else.
 */
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
export function parseCachedResult(result: string): Record<string, unknown> {
  const value: unknown = result === "" ? {} : JSON.parse(result);
  return isRecord(value) ? value : {};
}
