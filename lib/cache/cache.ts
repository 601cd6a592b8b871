/**
 * What is remembered of a daemon: its last answers to `initialize` and to
 * `server/discover`, and its lists.
 *
 * @module
 */

import { listingOf, nextCursor } from "../protocol/lists.ts";
import { META, type Method } from "../protocol/mcp_types.ts";
import { cut, elements, locate, mapStrings, replace } from "../json/spans.ts";
import {
  type Answer,
  Code,
  dig,
  isRecord,
  type Request,
} from "../protocol/jsonrpc.ts";
import { type Hide, UNCHANGED } from "../config/secrets.ts";

/** The largest result that is remembered, in UTF-16 units. */
const RESULT_LIMIT = 1024 * 1024;
/** For how many versions an answer to `initialize` is remembered. */
const VERSION_LIMIT = 8;
/** The longest time for which an answer holds, in milliseconds: a day. */
const TTL_LIMIT_MS = 86_400_000;

/** What is remembered; results are JSON texts, spelled as the daemon did. An empty text says that there is nothing any more. */
export interface Remembered {
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
const ONE_MS = 604_800_000;
/** How much of a daemon's name and version is kept, in UTF-16 units. */
const SERVER_LIMIT = 200;
/** Of how many daemons that is remembered. */
const ONE_LIMIT = 8;

/** Nothing. */
export const NOTHING: Remembered = { initialize: {}, lists: {} };

/** What another process has kept, with what this one has learned since. */
export function merged(kept: Remembered, learned: Remembered): Remembered {
  const join = (
    name: "initialize" | "lists",
  ): Record<string, string> => {
    const all = { ...kept[name] };
    for (const [key, result] of Object.entries(learned[name])) {
      if (result === "") delete all[key];
      else if (!isEmptier(key, result, all[key])) all[key] = result;
    }
    return all;
  };
  const latest = learned.discover ?? kept.discover;
  const discover = latest?.result === "" ? undefined : latest;
  const one = Object.entries({ ...kept.one, ...learned.one })
    .toSorted(([, a], [, b]) => b - a).slice(0, ONE_LIMIT);
  return {
    initialize: join("initialize"),
    lists: join("lists"),
    ...(discover && { discover }),
    ...(one.length > 0 && { one: Object.fromEntries(one) }),
  };
}

/** A daemon that is still starting has no tools yet: that is worth nothing. */
function isEmptier(
  key: string,
  result: string,
  known: string | undefined,
): boolean {
  if (known === undefined || !key.endsWith("tools/list" satisfies Method)) {
    return false;
  }
  const tools = dig(parsed(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/** The version that a request names (MCP 2026-07-28, basic: every request does). */
export function versionOf(params: unknown): string | undefined {
  const version = dig(
    params,
    "_meta",
    META.protocolVersion,
  );
  return typeof version === "string" ? version : undefined;
}

/** Under which name a daemon is remembered, by what it answers to `initialize` or `server/discover`. */
export function serverOf(result: unknown): string | undefined {
  const info = dig(result, "serverInfo");
  if (!isRecord(info)) return undefined;
  return `${info.name} ${info.version}`.slice(0, SERVER_LIMIT);
}

/** What the program remembers while it runs. */
export class Memory {
  readonly #initialize: Record<string, string>;
  readonly #lists: Record<string, string>;
  #discover:
    | { asked: string; result: string; until: number; isShared: boolean }
    | undefined;
  /** Until when it holds that a daemon keeps one connection, by its name and version. */
  readonly #one = new Map<string, number>();
  /** What others may still have been told of it is over. */
  #isUndiscovered = false;
  /** What was learned by this process, and may be kept for others. */
  readonly #learned = {
    initialize: {} as Record<string, string>,
    lists: {} as Record<string, string>,
  };
  readonly #learnedOne = new Set<string>();
  readonly #hide: Hide;
  /** Something is not kept for others, because a secret is in it. */
  #isWithholding = false;
  /** What was kept before has been looked through for secrets. */
  #isPurged = false;
  /** Pages of lists that are not complete yet, the cursors that they were asked for with, and that of the next. */
  readonly #pages = new Map<
    string,
    { cursor: string; cursors: Set<unknown>; items: Set<string>; size: number }
  >();

  /**
   * What was remembered before.
   *
   * @param hide takes out what must not be kept for others
   */
  constructor(
    { initialize, lists, discover, one }: Remembered,
    now: number,
    hide: Hide,
  ) {
    this.#hide = hide;
    for (const [server, forMs] of Object.entries(one ?? {})) {
      this.#one.set(server, now + forMs);
    }
    this.#initialize = { ...initialize };
    this.#lists = { ...lists };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs, isShared: true };
  }

  /** Whether it is remembered of a daemon that it keeps one connection for a client. */
  keepsOne(server: string, now: number): boolean {
    return now < (this.#one.get(server) ?? -Infinity);
  }

  /** The daemon keeps one connection for a client. */
  learnOne(server: string, now: number): void {
    this.#one.set(server, now + ONE_MS);
    // It may have been cut off within a secret.
    if (this.#isClean(`${server}...`)) this.#learnedOne.add(server);
  }

  /** Whether something was withheld from others, because a secret is in it; once. */
  takeWithheld(): boolean {
    const isWithholding = this.#isWithholding;
    this.#isWithholding = false;
    return isWithholding;
  }

  #mayKeep(result: string): boolean {
    if (this.#hide === UNCHANGED) return true;
    const isClean = this.#isClean(result) &&
      // Of a long text only the single strings show what was cut off.
      mapStrings(result, this.#hide) === result;
    this.#isWithholding ||= !isClean;
    return isClean;
  }

  #isClean(text: string): boolean {
    return this.#hide(text) === text;
  }

  /** What was kept before, and must not have been, is not kept any longer; says whether there is such a thing. Not at the start, where a client waits. */
  #purge(): boolean {
    if (this.#isPurged) return false;
    this.#isPurged = true;
    const kept = { initialize: this.#initialize, lists: this.#lists };
    let isNews = false;
    for (const name of ["initialize", "lists"] as const) {
      for (const [key, result] of Object.entries(kept[name])) {
        if (this.#isClean(result)) continue;
        this.#learned[name][key] = "";
        isNews = true;
      }
    }
    return isNews;
  }

  /** What there is to keep. */
  learned(now: number): Remembered {
    const { asked, result, until = -Infinity, isShared } = this.#discover ?? {};
    const forMs = Math.round(until - now);
    const isFresh = asked !== undefined && result !== undefined &&
      isShared === true && forMs > 0;
    const one = [...this.#learnedOne]
      .map((server) => [server, Math.round(this.#one.get(server)! - now)]);
    return {
      ...this.#learned,
      ...(one.length > 0 && { one: Object.fromEntries(one) }),
      ...(this.#isUndiscovered &&
        { discover: { asked: "", result: "", forMs: 0 } }),
      ...(isFresh && { discover: { asked, result, forMs } }),
    };
  }

  /** The result that the daemon gave to the same request, as a JSON text; of lists only the beginning can be asked for. */
  recall({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const known = this.#discover;
      const isFresh = known !== undefined && now < known.until;
      if (!isFresh || known.asked !== versionOf(params)) return undefined;
      // Some of its time has passed.
      const rest = Math.floor(known.until - now);
      return replace(known.result, ["ttlMs"], `${rest}`);
    }
    if (method === "initialize") {
      const asked = dig(params, "protocolVersion");
      return typeof asked === "string" && Object.hasOwn(this.#initialize, asked)
        ? this.#initialize[asked]
        : undefined;
    }
    if (!isPlain(method, params)) return undefined;
    if (dig(params, "cursor") !== undefined) return undefined;
    const known = this.#lists[keyOf(method, params)];
    // How old it is nobody knows.
    return known && replace(known, ["ttlMs"], "0");
  }

  /** So many milliseconds passed that our clock did not count. */
  slept(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
    for (const [server, until] of this.#one) this.#one.set(server, until - ms);
  }

  /** The daemon answers `initialize` for a version in another way now. */
  forget(asked: unknown): void {
    if (typeof asked !== "string") return;
    delete this.#initialize[asked];
    this.#learned.initialize[asked] = "";
  }

  /** Takes note of an answer; says whether there is something new to keep. */
  learn(
    request: Pick<Request, "method" | "params">,
    answer: Answer,
    now: number,
  ): boolean {
    const isPurge = this.#purge();
    return this.#learn(request, answer, now) || isPurge;
  }

  #learn(
    { method, params }: Pick<Request, "method" | "params">,
    answer: Answer,
    now: number,
  ): boolean {
    if (answer.error?.code === Code.methodNotFound) {
      return this.#lacks(method, params);
    }
    if (answer.error !== undefined) return false;
    const span = locate(answer.text, ["result"]);
    if (span === undefined) return false;
    const result = answer.text.slice(span.start, span.end);
    if (method === "server/discover") {
      return this.#discovered(params, answer.result, result, now);
    }
    if (method === "initialize") {
      return this.#initialized(params, answer.result, result);
    }
    if (!isPlain(method, params)) return false;
    return this.#list(method, params, answer.result, result);
  }

  /** The daemon knows the method no longer; one that is still starting has no tools yet. */
  #lacks(method: Method, params: unknown): boolean {
    if (method === "server/discover") return this.#undiscover();
    const isList = isPlain(method, params) && method !== "tools/list";
    return isList && this.#drop(keyOf(method, params));
  }

  #discovered(
    params: unknown,
    value: unknown,
    result: string,
    now: number,
  ): boolean {
    const asked = versionOf(params);
    const ttl = dig(value, "ttlMs");
    if (asked === undefined) return false;
    const isOver = this.#undiscover();
    if (typeof ttl !== "number" || !(ttl > 0)) return isOver;
    const until = now + Math.min(ttl, TTL_LIMIT_MS);
    const isShared = isPublic(value) && result.length <= RESULT_LIMIT &&
      this.#mayKeep(result);
    this.#discover = { asked, result, until, isShared };
    return isShared || isOver;
  }

  /** What it said of itself before holds no longer; says whether others may have been told. */
  #undiscover(): boolean {
    const wasShared = this.#discover?.isShared === true;
    this.#discover = undefined;
    this.#isUndiscovered ||= wasShared;
    return wasShared;
  }

  #initialized(params: unknown, value: unknown, result: string): boolean {
    const asked = dig(params, "protocolVersion");
    const version = dig(value, "protocolVersion");
    const isGood = typeof asked === "string" && typeof version === "string" &&
      result.length <= RESULT_LIMIT;
    if (!isGood || this.#initialize[asked] === result) return false;
    const isFull = Object.keys(this.#initialize).length >= VERSION_LIMIT;
    if (isFull && !Object.hasOwn(this.#initialize, asked)) return false;
    const isKnown = Object.hasOwn(this.#initialize, asked);
    const isKept = this.#mayKeep(result);
    this.#initialize[asked] = result;
    this.#learned.initialize[asked] = isKept ? result : "";
    return isKept || isKnown;
  }

  #list(
    method: Method,
    params: unknown,
    value: unknown,
    text: string,
  ): boolean {
    const name = listingOf(method)!;
    if (!Array.isArray(dig(value, name))) return false;
    const key = keyOf(method, params);
    const cursor = dig(params, "cursor");
    const before = cursor === undefined ? undefined : this.#pages.get(key);
    // Something is missing, or came already.
    if (cursor !== undefined && before?.cursor !== cursor) return false;
    const next = nextCursor(value);
    if (cursor === undefined && next === undefined) {
      return this.#whole(key, text, value);
    }
    const { start, end } = locate(text, [name])!;
    const page = elements(text.slice(start, end));
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
      size > RESULT_LIMIT;
    // Most clients take an empty cursor for the end, and some do not.
    const isNews = (isEnd || next === "") &&
      this.#whole(key, joined(text, name, items), value);
    if (!isEnd) this.#pages.set(key, { cursor: next, cursors, items, size });
    return isNews;
  }

  #whole(key: string, result: string, value: unknown): boolean {
    this.#pages.delete(key);
    // What is remembered is older than what cannot be.
    return result.length > RESULT_LIMIT
      ? this.#drop(key)
      : this.#keep(key, result, value);
  }

  #keep(key: string, result: string, value: unknown): boolean {
    const known = this.#lists[key];
    if (known === result || isEmptier(key, result, known)) return false;
    const isKept = isPublic(value) && this.#mayKeep(result);
    // What others were told is over, too.
    const isOver = !isKept && this.#drop(key);
    this.#lists[key] = result;
    if (!isKept) return isOver;
    this.#learned.lists[key] = result;
    return true;
  }

  #drop(key: string): boolean {
    const isKnown = this.#lists[key] !== undefined;
    const isNews = isKnown && this.#learned.lists[key] !== "";
    delete this.#lists[key];
    if (isNews) this.#learned.lists[key] = "";
    return isNews;
  }
}

/** A page's result with the items of all pages, and without a cursor. */
function joined(text: string, name: string, items: Iterable<string>): string {
  const all = replace(text, [name], `[${[...items].join(",")}]`);
  return cut(all, ["nextCursor"]);
}

/** Whether others may be told (MCP 2026-07-28, cacheScope); older results say nothing of it. */
function isPublic(value: unknown): boolean {
  return (dig(value, "cacheScope") ?? "public") === "public";
}

/** A list as every client asks for it; other members may ask for something else. */
function isPlain(method: Method, params: unknown): boolean {
  if (listingOf(method) === undefined) return false;
  const members = isRecord(params) ? Object.keys(params) : [];
  return members.every((name) => name === "cursor" || name === "_meta");
}

function keyOf(method: Method, params: unknown): string {
  const version = versionOf(params);
  return version === undefined ? method : `${version} ${method}`;
}

/** A remembered result. */
export function parsed(result: string): Record<string, unknown> {
  const value: unknown = result === "" ? {} : JSON.parse(result);
  return isRecord(value) ? value : {};
}
