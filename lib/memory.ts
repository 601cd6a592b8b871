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

/** The largest memory that is read or kept, in UTF-16 units. */
export const MEMORY_LIMIT = 8 * 1024 * 1024;

/** What is remembered; results are JSON texts, spelled as the daemon did. */
export interface Remembered {
  /** The version that a client asked for, and the result. */
  readonly initialize?: { readonly asked: string; readonly result: string };
  /** Results by method. */
  readonly lists: Readonly<Record<string, string>>;
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
  const { initialize, lists } = remembered;
  const parts = [
    '"alwaysup":1',
    `"daemon":${JSON.stringify(owner.daemon)}`,
    `"dialect":${JSON.stringify(owner.dialect)}`,
  ];
  if (initialize !== undefined) {
    const asked = JSON.stringify(initialize.asked);
    parts.push(`"initialize":{"asked":${asked},"result":${initialize.result}}`);
  }
  const results = Object.entries(lists)
    .map(([method, result]) => `${JSON.stringify(method)}:${result}`);
  parts.push(`"lists":{${results.join(",")}}`);
  return `{${parts.join(",")}}\n`;
}

/** Reads a memory; a string says why it is none of this daemon's, without a full stop. */
export function fromText(text: string, owner: Owner): Remembered | string {
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
  for (const [method, items] of Object.entries(LISTINGS)) {
    const result = slice("lists", method);
    if (result === undefined) continue;
    if (Array.isArray(dig(value, "lists", method, items))) {
      lists[method] = result;
    }
  }
  const asked = dig(value, "initialize", "asked");
  const result = slice("initialize", "result");
  const isResult = typeof asked === "string" && result !== undefined &&
    typeof dig(value, "initialize", "result", "protocolVersion") === "string";
  return { lists, ...(isResult && { initialize: { asked, result } }) };
}

/** What the program remembers while it runs. */
export class Memory {
  #initialize: Remembered["initialize"];
  readonly #lists: Record<string, string>;
  /** Pages of lists that are not complete yet. */
  readonly #pages = new Map<string, unknown[]>();

  /** What was remembered before. */
  constructor({ initialize, lists }: Remembered) {
    this.#initialize = initialize;
    this.#lists = { ...lists };
  }

  /** All of it. */
  get all(): Remembered {
    const initialize = this.#initialize;
    return { lists: this.#lists, ...(initialize && { initialize }) };
  }

  /** The result that the daemon gave to the same request, as a JSON text; of lists only the beginning can be asked for. */
  recall({ method, params }: Request): string | undefined {
    if (method === "initialize") {
      const asked = dig(params, "protocolVersion");
      const known = this.#initialize;
      return known?.asked === asked ? known?.result : undefined;
    }
    if (!Object.hasOwn(LISTINGS, method)) return undefined;
    return dig(params, "cursor") === undefined
      ? this.#lists[method]
      : undefined;
  }

  /** Takes note of an answer; says whether there is something new to keep. */
  learn(
    { method, params }: Pick<Request, "method" | "params">,
    answer: Answer,
  ): boolean {
    if (answer.error !== undefined) return false;
    const span = locate(answer.text, ["result"]);
    if (span === undefined) return false;
    const result = answer.text.slice(span.start, span.end);
    if (result.length > MEMORY_LIMIT / 8) return false;
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
    const before = isFirst ? [] : this.#pages.get(method);
    if (before === undefined) return false; // the first pages were not seen
    const all = [...before, ...items as unknown[]];
    if (typeof dig(value, "nextCursor") === "string") {
      this.#pages.set(method, all);
      return false;
    }
    this.#pages.delete(method);
    const result = isFirst ? text : JSON.stringify({ [name]: all });
    const known = this.#lists[method];
    // A daemon that is still starting has no tools yet: that is worth nothing.
    const isEmptier = all.length === 0 && known !== undefined;
    if (isEmptier || known === result) return false;
    this.#lists[method] = result;
    return true;
  }
}

/** The items of a remembered list, to be compared later. */
export function parsed(result: string): Record<string, unknown> {
  const value: unknown = JSON.parse(result);
  return isRecord(value) ? value : {};
}
