/**
 * What is remembered of a daemon: its last answer to `initialize`, and its
 * lists.
 *
 * @module
 */

import { locate } from "./json_text.ts";
import { type Answer, dig, isRecord, type Request } from "./jsonrpc.ts";

/** The lists that are remembered, by method, and the member that their items are in. */
export const LISTINGS: Readonly<Record<string, string>> = {
  "tools/list": "tools",
  "prompts/list": "prompts",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates",
};

/** The longest time for which an answer holds, in milliseconds: a day. */
const TTL_LIMIT_MS = 86_400_000;

/** The largest memory that is read or kept, in UTF-16 units. */
export const MEMORY_LIMIT = 8 * 1024 * 1024;

/** What is remembered; results are JSON texts, spelled as the daemon did. */
export interface Remembered {
  /** The version that a client asked for, and the result. */
  readonly initialize?: { readonly asked: string; readonly result: string };
  /** Results by method, and by version in front of it where requests name one. */
  readonly lists: Readonly<Record<string, string>>;
  /** What `server/discover` was answered, and for how many milliseconds that holds (MCP 2026-07-28, ttlMs). */
  readonly discover?: {
    readonly asked: string;
    readonly result: string;
    readonly forMs: number;
  };
}

/** Whose memory it is. */
export interface Owner {
  /** Where the daemon is, without secrets. */
  readonly daemon: string;
  /** How it speaks. */
  readonly dialect: string;
}

/** The memory as it is kept in a file. */
export function toText(owner: Owner, remembered: Remembered): string {
  const { initialize, lists, discover } = remembered;
  const parts = [
    '"alwaysup":1',
    `"daemon":${JSON.stringify(owner.daemon)}`,
    `"dialect":${JSON.stringify(owner.dialect)}`,
  ];
  if (initialize !== undefined) {
    const asked = JSON.stringify(initialize.asked);
    parts.push(`"initialize":{"asked":${asked},"result":${initialize.result}}`);
  }
  if (discover !== undefined) {
    const { asked, forMs, result } = discover;
    parts.push(
      `"discover":{"asked":${JSON.stringify(asked)},"forMs":${forMs},` +
        `"result":${result}}`,
    );
  }
  const results = Object.entries(lists)
    .map(([method, result]) => `${JSON.stringify(method)}:${result}`);
  parts.push(`"lists":{${results.join(",")}}`);
  return `{${parts.join(",")}}\n`;
}

/**
 * Reads a memory; a string says why it is none of this daemon's, without a full
 * stop.
 *
 * @param ageMs how old it is
 */
export function fromText(
  text: string,
  owner: Owner,
  ageMs = 0,
): Remembered | string {
  if (text.length > MEMORY_LIMIT) return "it is too large";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "it is not JSON";
  }
  if (dig(value, "alwaysup") !== 1) return "it is of another version";
  const isOurs = dig(value, "daemon") === owner.daemon &&
    dig(value, "dialect") === owner.dialect;
  if (!isOurs) return "it is another daemon's";
  const slice = (...path: string[]): string | undefined => {
    const span = locate(text, path);
    return span && text.slice(span.start, span.end);
  };
  const lists: Record<string, string> = {};
  const found = dig(value, "lists");
  for (const key of isRecord(found) ? Object.keys(found) : []) {
    const method = key.split(" ").at(-1)!;
    const items = Object.hasOwn(LISTINGS, method) ? LISTINGS[method] : "";
    const result = slice("lists", key);
    if (result === undefined) continue;
    if (Array.isArray(dig(found, key, items!))) lists[key] = result;
  }
  const asked = dig(value, "initialize", "asked");
  const result = slice("initialize", "result");
  const isResult = typeof asked === "string" && result !== undefined &&
    typeof dig(value, "initialize", "result", "protocolVersion") === "string";
  return {
    lists,
    ...(isResult && { initialize: { asked, result } }),
    ...discovered(value, slice("discover", "result"), ageMs),
  };
}

function discovered(
  value: unknown,
  result: string | undefined,
  ageMs: number,
): Pick<Remembered, "discover"> {
  const asked = dig(value, "discover", "asked");
  const forMs = dig(value, "discover", "forMs");
  const isGood = typeof asked === "string" && typeof forMs === "number" &&
    forMs > ageMs && isRecord(dig(value, "discover", "result"));
  if (!isGood || result === undefined) return {};
  return { discover: { asked, result, forMs: forMs - ageMs } };
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
  #initialize: Remembered["initialize"];
  readonly #lists: Record<string, string>;
  #discover: { asked: string; result: string; until: number } | undefined;
  /** Pages of lists that are not complete yet. */
  readonly #pages = new Map<string, unknown[]>();

  /** What was remembered before. */
  constructor({ initialize, lists, discover }: Remembered, now: number) {
    this.#initialize = initialize;
    this.#lists = { ...lists };
    this.#discover = discover &&
      { ...discover, until: now + discover.forMs };
  }

  /** All of it. */
  all(now: number): Remembered {
    const initialize = this.#initialize;
    const { asked, result, until = -Infinity } = this.#discover ?? {};
    const forMs = Math.round(until - now);
    const isFresh = asked !== undefined && result !== undefined && forMs > 0;
    return {
      lists: this.#lists,
      ...(initialize && { initialize }),
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
      const known = this.#initialize;
      return known?.asked === asked ? known?.result : undefined;
    }
    if (!Object.hasOwn(LISTINGS, method)) return undefined;
    return dig(params, "cursor") === undefined
      ? this.#lists[keyOf(method, params)]
      : undefined;
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
    if (result.length > MEMORY_LIMIT / 8) return false;
    if (method === "server/discover") {
      const asked = versionOf(params);
      const ttl = dig(answer.result, "ttlMs");
      if (asked === undefined || typeof ttl !== "number" || !(ttl > 0)) {
        return false;
      }
      this.#discover = {
        asked,
        result,
        until: now + Math.min(ttl, TTL_LIMIT_MS),
      };
      return true;
    }
    if (method === "initialize") {
      const asked = dig(params, "protocolVersion");
      const version = dig(answer.result, "protocolVersion");
      if (typeof asked !== "string" || typeof version !== "string") {
        return false;
      }
      const known = this.#initialize;
      this.#initialize = { asked, result };
      return known?.asked !== asked || known?.result !== result;
    }
    if (!Object.hasOwn(LISTINGS, method)) return false;
    return this.#list(method, params, answer.result, result);
  }

  #list(
    method: string,
    params: unknown,
    value: unknown,
    text: string,
  ): boolean {
    const name = LISTINGS[method]!;
    const items = dig(value, name);
    if (!Array.isArray(items)) return false;
    const isFirst = dig(params, "cursor") === undefined;
    const key = keyOf(method, params);
    const before = isFirst ? [] : this.#pages.get(key);
    if (before === undefined) return false; // the first pages were not seen
    const all = [...before, ...items as unknown[]];
    if (typeof dig(value, "nextCursor") === "string") {
      this.#pages.set(key, all);
      return false;
    }
    this.#pages.delete(key);
    const { nextCursor: _, ...rest } = isRecord(value) ? value : {};
    const result = isFirst ? text : JSON.stringify({ ...rest, [name]: all });
    const known = this.#lists[key];
    // A daemon that is still starting has no tools yet: that is worth nothing.
    const isEmptier = all.length === 0 && known !== undefined;
    if (isEmptier || known === result) return false;
    this.#lists[key] = result;
    return true;
  }
}

function keyOf(method: string, params: unknown): string {
  const version = versionOf(params);
  return version === undefined ? method : `${version} ${method}`;
}

/** The items of a remembered list, to be compared later. */
export function parsed(result: string): Record<string, unknown> {
  const value: unknown = JSON.parse(result);
  return isRecord(value) ? value : {};
}
