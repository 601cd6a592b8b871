/**
 * What is remembered of a daemon: its last answers to `initialize` and to
 * `server/discover`, and its lists.
 *
 * @module
 */

import { listKindOf, nextCursorOf } from "../protocol/lists.ts";
import { META, type Method } from "../protocol/mcp_types.ts";
import {
  elementTextsOf,
  findValue,
  mapStrings,
  removeMembers,
  replaceValue,
} from "../json/spans.ts";
import {
  ErrorCode,
  getNested,
  isRecord,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import { NO_REDACTION, type Redactor } from "../config/secrets.ts";

/** The largest result that is remembered, in UTF-16 units. */
const MAX_RESULT_CHARS = 1024 * 1024;
/** For how many versions an answer to `initialize` is remembered. */
const MAX_INITIALIZE_VERSIONS = 8;
/** The longest time for which an answer holds, in milliseconds: a day. */
const MAX_TTL_MS = 86_400_000;

/** What is remembered; results are JSON texts, spelled as the daemon did. An empty text says that there is nothing any more. */
export interface CachedResults {
  /** Results of `initialize` by the version that was asked for. */
  readonly initialize: Readonly<Record<string, string>>;
  /** Results of lists by method, and by version in front of it where requests name one. */
  readonly lists: Readonly<Record<string, string>>;
  /** What `server/discover` was answered, and for how many milliseconds that holds (MCP 2026-07-28, ttlMs). */
  readonly discover?: {
    readonly asked: string;
    readonly result: string;
    readonly forMs: number;
  };
  /** The daemons that keep one connection for a client, by name and version, and for how many milliseconds that holds. */
  readonly one?: Readonly<Record<string, number>>;
}

/** For how long it holds that a daemon keeps one connection, in milliseconds: a week. */
const CAPACITY_ONE_TTL_MS = 604_800_000;
/** How much of a daemon's name and version is kept, in UTF-16 units. */
const MAX_DAEMON_NAME_CHARS = 200;
/** Of how many daemons that is remembered. */
const MAX_CAPACITY_ONE_DAEMONS = 8;

/** Nothing. */
export const EMPTY_CACHED_RESULTS: CachedResults = {
  initialize: {},
  lists: {},
};

/** What another process has kept, with what this one has learned since. */
export function mergeCachedResults(
  stored: CachedResults,
  news: CachedResults,
): CachedResults {
  const mergeResults = (
    name: "initialize" | "lists",
  ): Record<string, string> => {
    const all = { ...stored[name] };
    for (const [key, result] of Object.entries(news[name])) {
      if (result === "") delete all[key];
      else if (!losesTools(key, result, all[key])) all[key] = result;
    }
    return all;
  };
  const latest = news.discover ?? stored.discover;
  const discover = latest?.result === "" ? undefined : latest;
  const one = Object.entries({ ...stored.one, ...news.one })
    .toSorted(([, a], [, b]) => b - a).slice(0, MAX_CAPACITY_ONE_DAEMONS);
  return {
    initialize: mergeResults("initialize"),
    lists: mergeResults("lists"),
    ...(discover && { discover }),
    ...(one.length > 0 && { one: Object.fromEntries(one) }),
  };
}

/** A daemon that is still starting has no tools yet: that is worth nothing. */
function losesTools(
  key: string,
  result: string,
  previous: string | undefined,
): boolean {
  if (previous === undefined || !key.endsWith("tools/list" satisfies Method)) {
    return false;
  }
  const tools = getNested(parseCachedResult(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/** The version that a request names (MCP 2026-07-28, basic: every request does). */
export function requestVersionOf(params: unknown): string | undefined {
  const version = getNested(
    params,
    "_meta",
    META.protocolVersion,
  );
  return typeof version === "string" ? version : undefined;
}

/** Under which name a daemon is remembered, by what it answers to `initialize` or `server/discover`. */
export function daemonNameOf(result: unknown): string | undefined {
  const info = getNested(result, "serverInfo");
  if (!isRecord(info)) return undefined;
  return `${info.name} ${info.version}`.slice(0, MAX_DAEMON_NAME_CHARS);
}

/** What the program remembers while it runs. */
export class DaemonCache {
  readonly #initialize: Record<string, string>;
  readonly #lists: Record<string, string>;
  #discover:
    | { asked: string; result: string; until: number; isShared: boolean }
    | undefined;
  /** Until when it holds that a daemon keeps one connection, by its name and version. */
  readonly #capacityOneUntil = new Map<string, number>();
  /** What others may still have been told of it is over. */
  #isSharedDiscoverStale = false;
  /** What was learned by this process, and may be kept for others. */
  readonly #unsaved = {
    initialize: {} as Record<string, string>,
    lists: {} as Record<string, string>,
  };
  readonly #unsavedCapacityOne = new Set<string>();
  readonly #redact: Redactor;
  /** Something is not kept for others, because a secret is in it. */
  #hasWithheld = false;
  /** What was kept before has been looked through for secrets. */
  #hasPurged = false;
  /** Pages of lists that are not complete yet, the cursors that they were asked for with, and that of the next. */
  readonly #pages = new Map<
    string,
    { cursor: string; cursors: Set<unknown>; items: Set<string>; size: number }
  >();

  /**
   * What was remembered before.
   *
   * @param redact takes out what must not be kept for others
   */
  constructor(
    { initialize, lists, discover, one }: CachedResults,
    now: number,
    redact: Redactor,
  ) {
    this.#redact = redact;
    for (const [server, forMs] of Object.entries(one ?? {})) {
      this.#capacityOneUntil.set(server, now + forMs);
    }
    this.#initialize = { ...initialize };
    this.#lists = { ...lists };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs, isShared: true };
  }

  /** Whether it is remembered of a daemon that it keeps one connection for a client. */
  hasCapacityOne(daemonName: string, now: number): boolean {
    return now < (this.#capacityOneUntil.get(daemonName) ?? -Infinity);
  }

  /** The daemon keeps one connection for a client. */
  storeCapacityOne(daemonName: string, now: number): void {
    this.#capacityOneUntil.set(daemonName, now + CAPACITY_ONE_TTL_MS);
    // It may have been cut off within a secret.
    if (this.#isClean(`${daemonName}...`)) {
      this.#unsavedCapacityOne.add(daemonName);
    }
  }

  /** Whether something was withheld from others, because a secret is in it; once. */
  takeWithheld(): boolean {
    const hasWithheld = this.#hasWithheld;
    this.#hasWithheld = false;
    return hasWithheld;
  }

  #mayShare(result: string): boolean {
    if (this.#redact === NO_REDACTION) return true;
    const isClean = this.#isClean(result) &&
      // Of a long text only the single strings show what was cut off.
      mapStrings(result, this.#redact) === result;
    this.#hasWithheld ||= !isClean;
    return isClean;
  }

  #isClean(text: string): boolean {
    return this.#redact(text) === text;
  }

  /** What was kept before, and must not have been, is not kept any longer; says whether there is such a thing. Not at the start, where a client waits. */
  #purgeSecrets(): boolean {
    if (this.#hasPurged) return false;
    this.#hasPurged = true;
    const loaded = { initialize: this.#initialize, lists: this.#lists };
    let isNews = false;
    for (const name of ["initialize", "lists"] as const) {
      for (const [key, result] of Object.entries(loaded[name])) {
        if (this.#isClean(result)) continue;
        this.#unsaved[name][key] = "";
        isNews = true;
      }
    }
    return isNews;
  }

  /** What there is to keep. */
  resultsToSave(now: number): CachedResults {
    const { asked, result, until = -Infinity, isShared } = this.#discover ?? {};
    const forMs = Math.round(until - now);
    const isFresh = asked !== undefined && result !== undefined &&
      isShared === true && forMs > 0;
    const one = [...this.#unsavedCapacityOne]
      .map((
        server,
      ) => [server, Math.round(this.#capacityOneUntil.get(server)! - now)]);
    return {
      ...this.#unsaved,
      ...(one.length > 0 && { one: Object.fromEntries(one) }),
      ...(this.#isSharedDiscoverStale &&
        { discover: { asked: "", result: "", forMs: 0 } }),
      ...(isFresh && { discover: { asked, result, forMs } }),
    };
  }

  /** The result that the daemon gave to the same request, as a JSON text; of lists only the beginning can be asked for. */
  lookup({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const known = this.#discover;
      const isFresh = known !== undefined && now < known.until;
      if (!isFresh || known.asked !== requestVersionOf(params)) {
        return undefined;
      }
      // Some of its time has passed.
      const rest = Math.floor(known.until - now);
      return replaceValue(known.result, ["ttlMs"], `${rest}`);
    }
    if (method === "initialize") {
      const asked = getNested(params, "protocolVersion");
      return typeof asked === "string" && Object.hasOwn(this.#initialize, asked)
        ? this.#initialize[asked]
        : undefined;
    }
    if (!isCacheableList(method, params)) return undefined;
    if (getNested(params, "cursor") !== undefined) return undefined;
    const known = this.#lists[listKeyOf(method, params)];
    // How old it is nobody knows.
    return known && replaceValue(known, ["ttlMs"], "0");
  }

  /** So many milliseconds passed that our clock did not count. */
  shortenBy(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
    for (const [server, until] of this.#capacityOneUntil) {
      this.#capacityOneUntil.set(server, until - ms);
    }
  }

  /** The daemon answers `initialize` for a version in another way now. */
  evictInitialize(requestedVersion: unknown): void {
    if (typeof requestedVersion !== "string") return;
    delete this.#initialize[requestedVersion];
    this.#unsaved.initialize[requestedVersion] = "";
  }

  /** Takes note of an answer; says whether there is something new to keep. */
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

  /** The daemon knows the method no longer; one that is still starting has no tools yet. */
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
    const ttl = getNested(value, "ttlMs");
    if (asked === undefined) return false;
    const isOver = this.#clearDiscover();
    if (typeof ttl !== "number" || !(ttl > 0)) return isOver;
    const until = now + Math.min(ttl, MAX_TTL_MS);
    const isShared = isPublicCacheScope(value) &&
      result.length <= MAX_RESULT_CHARS &&
      this.#mayShare(result);
    this.#discover = { asked, result, until, isShared };
    return isShared || isOver;
  }

  /** What it said of itself before holds no longer; says whether others may have been told. */
  #clearDiscover(): boolean {
    const wasShared = this.#discover?.isShared === true;
    this.#discover = undefined;
    this.#isSharedDiscoverStale ||= wasShared;
    return wasShared;
  }

  #storeInitialize(params: unknown, value: unknown, result: string): boolean {
    const asked = getNested(params, "protocolVersion");
    const version = getNested(value, "protocolVersion");
    const isGood = typeof asked === "string" && typeof version === "string" &&
      result.length <= MAX_RESULT_CHARS;
    if (!isGood || this.#initialize[asked] === result) return false;
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
    if (!Array.isArray(getNested(value, name))) return false;
    const key = listKeyOf(method, params);
    const cursor = getNested(params, "cursor");
    const before = cursor === undefined ? undefined : this.#pages.get(key);
    // Something is missing, or came already.
    if (cursor !== undefined && before?.cursor !== cursor) return false;
    const next = nextCursorOf(value);
    if (cursor === undefined && next === undefined) {
      return this.#storeCompleteList(key, text, value);
    }
    const { start, end } = findValue(text, [name])!;
    const page = elementTextsOf(text.slice(start, end));
    // A daemon that does not know its own cursor gives a page twice.
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
    // Most clients take an empty cursor for the end, and some do not.
    const isNews = (isEnd || next === "") &&
      this.#storeCompleteList(key, joinPages(text, name, items), value);
    if (!isEnd) this.#pages.set(key, { cursor: next, cursors, items, size });
    return isNews;
  }

  #storeCompleteList(key: string, result: string, value: unknown): boolean {
    this.#pages.delete(key);
    // What is remembered is older than what cannot be.
    return result.length > MAX_RESULT_CHARS
      ? this.#dropList(key)
      : this.#storeList(key, result, value);
  }

  #storeList(key: string, result: string, value: unknown): boolean {
    const previous = this.#lists[key];
    if (previous === result || losesTools(key, result, previous)) return false;
    const isShared = isPublicCacheScope(value) && this.#mayShare(result);
    // What others were told is over, too.
    const isOver = !isShared && this.#dropList(key);
    this.#lists[key] = result;
    if (!isShared) return isOver;
    this.#unsaved.lists[key] = result;
    return true;
  }

  #dropList(key: string): boolean {
    const isKnown = this.#lists[key] !== undefined;
    const isNews = isKnown && this.#unsaved.lists[key] !== "";
    delete this.#lists[key];
    if (isNews) this.#unsaved.lists[key] = "";
    return isNews;
  }
}

/** A page's result with the items of all pages, and without a cursor. */
function joinPages(
  text: string,
  name: string,
  items: Iterable<string>,
): string {
  const all = replaceValue(text, [name], `[${[...items].join(",")}]`);
  return removeMembers(all, ["nextCursor"]);
}

/** Whether others may be told (MCP 2026-07-28, cacheScope); older results say nothing of it. */
function isPublicCacheScope(value: unknown): boolean {
  return (getNested(value, "cacheScope") ?? "public") === "public";
}

/** A list as every client asks for it; other members may ask for something else. */
function isCacheableList(method: Method, params: unknown): boolean {
  if (listKindOf(method) === undefined) return false;
  const members = isRecord(params) ? Object.keys(params) : [];
  return members.every((name) => name === "cursor" || name === "_meta");
}

function listKeyOf(method: Method, params: unknown): string {
  const version = requestVersionOf(params);
  return version === undefined ? method : `${version} ${method}`;
}

/** A remembered result. */
export function parseCachedResult(result: string): Record<string, unknown> {
  const value: unknown = result === "" ? {} : JSON.parse(result);
  return isRecord(value) ? value : {};
}
