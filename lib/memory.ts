/**
 * What is remembered of a daemon: its last answers to `initialize` and to
 * `server/discover`, and its lists.
 *
 * @module
 */

import { listingOf } from "./catalog.ts";
import { locate } from "./json_text.ts";
import { type Answer, dig, isRecord, type Request } from "./jsonrpc.ts";

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
}

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
  const discover = learned.discover ?? kept.discover;
  return {
    initialize: join("initialize"),
    lists: join("lists"),
    ...(discover && { discover }),
  };
}

/** A daemon that is still starting has no tools yet: that is worth nothing. */
function isEmptier(
  key: string,
  result: string,
  known: string | undefined,
): boolean {
  if (known === undefined || !key.endsWith("tools/list")) return false;
  const tools = dig(parsed(result), "tools");
  return Array.isArray(tools) && tools.length === 0;
}

/** The version that a request names (MCP 2026-07-28, basic: every request does). */
export function versionOf(params: unknown): string | undefined {
  const version = dig(
    params,
    "_meta",
    "io.modelcontextprotocol/protocolVersion",
  );
  return typeof version === "string" ? version : undefined;
}

/** What the program remembers while it runs. */
export class Memory {
  readonly #initialize: Record<string, string>;
  readonly #lists: Record<string, string>;
  #discover:
    | { asked: string; result: string; until: number; isShared: boolean }
    | undefined;
  /** What was learned by this process, and may be kept for others. */
  readonly #learned = {
    initialize: {} as Record<string, string>,
    lists: {} as Record<string, string>,
  };
  /** Pages of lists that are not complete yet, and the cursor of the next. */
  readonly #pages = new Map<string, { cursor: string; items: unknown[] }>();

  /** What was remembered before. */
  constructor({ initialize, lists, discover }: Remembered, now: number) {
    this.#initialize = { ...initialize };
    this.#lists = { ...lists };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs, isShared: true };
  }

  /** What there is to keep. */
  learned(now: number): Remembered {
    const { asked, result, until = -Infinity, isShared } = this.#discover ?? {};
    const forMs = Math.round(until - now);
    const isFresh = asked !== undefined && result !== undefined &&
      isShared === true && forMs > 0;
    return {
      ...this.#learned,
      ...(isFresh && { discover: { asked, result, forMs } }),
    };
  }

  /** The result that the daemon gave to the same request, as a JSON text; of lists only the beginning can be asked for. */
  recall({ method, params }: Request, now: number): string | undefined {
    if (method === "server/discover") {
      const known = this.#discover;
      const isFresh = known !== undefined && now < known.until;
      return isFresh && known.asked === versionOf(params)
        ? known.result
        : undefined;
    }
    if (method === "initialize") {
      const asked = dig(params, "protocolVersion");
      return typeof asked === "string" && Object.hasOwn(this.#initialize, asked)
        ? this.#initialize[asked]
        : undefined;
    }
    if (!isPlain(method, params)) return undefined;
    return dig(params, "cursor") === undefined
      ? this.#lists[keyOf(method, params)]
      : undefined;
  }

  /** So many milliseconds passed that our clock did not count. */
  slept(ms: number): void {
    if (this.#discover !== undefined) this.#discover.until -= ms;
  }

  /** The daemon answers `initialize` for a version in another way now. */
  forget(asked: unknown): void {
    if (typeof asked !== "string") return;
    delete this.#initialize[asked];
    this.#learned.initialize[asked] = "";
  }

  /** Takes note of an answer; says whether there is something new to keep. */
  learn(
    { method, params }: Pick<Request, "method" | "params">,
    answer: Answer,
    now: number,
  ): boolean {
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

  #discovered(
    params: unknown,
    value: unknown,
    result: string,
    now: number,
  ): boolean {
    const asked = versionOf(params);
    const ttl = dig(value, "ttlMs");
    if (asked === undefined || typeof ttl !== "number" || !(ttl > 0)) {
      return false;
    }
    const until = now + Math.min(ttl, TTL_LIMIT_MS);
    const isShared = isPublic(value) && result.length <= RESULT_LIMIT;
    this.#discover = { asked, result, until, isShared };
    return isShared;
  }

  #initialized(params: unknown, value: unknown, result: string): boolean {
    const asked = dig(params, "protocolVersion");
    const version = dig(value, "protocolVersion");
    const isGood = typeof asked === "string" && typeof version === "string" &&
      result.length <= RESULT_LIMIT;
    if (!isGood || this.#initialize[asked] === result) return false;
    if (Object.keys(this.#initialize).length >= VERSION_LIMIT) return false;
    this.#initialize[asked] = this.#learned.initialize[asked] = result;
    return true;
  }

  #list(
    method: string,
    params: unknown,
    value: unknown,
    text: string,
  ): boolean {
    const name = listingOf(method)!;
    const items = dig(value, name);
    if (!Array.isArray(items)) return false;
    const key = keyOf(method, params);
    const cursor = dig(params, "cursor");
    const before = cursor === undefined ? [] : this.#before(key, cursor);
    if (before === undefined) return false;
    const all = [...before, ...items as unknown[]];
    const { nextCursor, ...rest } = isRecord(value) ? value : {};
    const isFirst = cursor === undefined;
    const result = isFirst && typeof nextCursor !== "string"
      ? text
      : JSON.stringify({ ...rest, [name]: all });
    if (result.length > RESULT_LIMIT) {
      // What is remembered is older than what cannot be.
      this.#pages.delete(key);
      return this.#set(key, "", value);
    }
    if (typeof nextCursor === "string") {
      this.#pages.set(key, { cursor: nextCursor, items: all });
      return false;
    }
    this.#pages.delete(key);
    return this.#set(key, result, value);
  }

  /** What came before a page; `undefined` where something is missing, or came already. */
  #before(key: string, cursor: unknown): unknown[] | undefined {
    const pages = this.#pages.get(key);
    return pages?.cursor === cursor ? pages?.items : undefined;
  }

  #set(key: string, result: string, value: unknown): boolean {
    const known = this.#lists[key];
    if ((known ?? "") === result || isEmptier(key, result, known)) return false;
    if (result === "") delete this.#lists[key];
    else this.#lists[key] = result;
    if (!isPublic(value)) return false;
    this.#learned.lists[key] = result;
    return true;
  }
}

/** Whether others may be told (MCP 2026-07-28, cacheScope); older results say nothing of it. */
function isPublic(value: unknown): boolean {
  return (dig(value, "cacheScope") ?? "public") === "public";
}

/** A list as every client asks for it; other members may ask for something else. */
function isPlain(method: string, params: unknown): boolean {
  if (listingOf(method) === undefined) return false;
  const members = isRecord(params) ? Object.keys(params) : [];
  return members.every((name) => name === "cursor" || name === "_meta");
}

function keyOf(method: string, params: unknown): string {
  const version = versionOf(params);
  return version === undefined ? method : `${version} ${method}`;
}

/** A remembered result. */
export function parsed(result: string): Record<string, unknown> {
  const value: unknown = result === "" ? {} : JSON.parse(result);
  return isRecord(value) ? value : {};
}
