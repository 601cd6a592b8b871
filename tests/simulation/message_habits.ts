/**
 * The habits of simulated daemons in writing messages: how they change ids,
 * members, keys and frames. No habit changes the meaning of a message.
 *
 * @module
 */

import type { Json } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";

/** How a daemon, or a bridge in front of it, changes its messages. */
export const MESSAGE_HABITS = [
  // Numbers come back as strings, and strings as numbers if possible.
  ...["retyped ids", "retyped tokens"],
  // Only 32-bit integers come back; any other id becomes null.
  "whole numbers only",
  ...["null members", "escaped keys"],
  // Byte order mark, NUL, 0x1e, blank lines; lines that are not messages;
  // several messages in one frame.
  ...["wrapped", "logging", "joined"],
  ...["malformed errors", "odd cursors", "falling progress"],
  // An error with the id null, or a broken response, replaces the response.
  ...["nameless errors", "broken answers"],
  // The proxy parses such a result only if it needs the content.
  "large results",
] as const;
export type MessageHabit = typeof MESSAGE_HABITS[number];

/** The habits that cause no delay and need nothing from the client. */
export const HARMLESS_HABITS: readonly MessageHabit[] = [
  ...["retyped ids", "whole numbers only", "null members"] as const,
  ...["escaped keys", "wrapped", "logging", "large results"] as const,
];

/** The JSON types of the ids, or progress tokens, that a client uses. */
export const ID_TYPES = ["both", "numbers", "texts"] as const;
export type IdType = typeof ID_TYPES[number];

/** A message as the daemon formats it. */
export interface FormattedMessage {
  readonly text: string;
  /** The forms in which the client may get the message. */
  readonly acceptedTexts: readonly string[];
  /** True if the id or the token changed its JSON type. */
  readonly isRetyped: boolean;
}

/** How long a message waits, at most, to share a frame with others. */
const MAX_JOIN_DELAY_MS = 30;
/** The content of a message that a log line quotes. No client may get it. */
export const QUOTED_TEXT = "quoted in a log line";
/** Spaces that make a result too large for the proxy to parse at once. */
const LARGE_PADDING = " ".repeat(66_000);
const LARGE_PROBABILITY = 0.5;
/** The JSON form of a key that consists of a backslash and a u. */
const PARSER_TRAP_KEY = "\\\\u";

export class MessageHabits {
  readonly habits: ReadonlySet<MessageHabit>;
  readonly idType: IdType;
  readonly tokenType: IdType;
  /** The probability that a habit changes a message. */
  readonly #probability: number;
  readonly #scheduler: Scheduler;
  /** How many messages were changed. */
  reformattedCount = 0;

  /**
   * @param allowedHabits the habits that the daemon may have; most daemons have none
   */
  constructor(seed: number, allowedHabits: readonly MessageHabit[]) {
    // This generator is separate, so that habits do not change the rest of a
    // simulation.
    const scheduler = this.#scheduler = new Scheduler(seed ^ 0x5f0f0f0f);
    const isOne = scheduler.chance(0.5);
    const isNone = scheduler.chance(0.6);
    const only = scheduler.pick(allowedHabits);
    this.habits = new Set(
      allowedHabits.filter((it) =>
        !isNone && (isOne ? it === only : scheduler.chance(0.35))
      ),
    );
    this.#probability = scheduler.pick([0.2, 1]);
    const isBridge = this.habits.has("whole numbers only");
    this.idType = isBridge ? "numbers" : scheduler.pick(ID_TYPES);
    this.tokenType = scheduler.pick(ID_TYPES);
  }

  /** Returns whether a habit applies to the next message. */
  applies(form: MessageHabit): boolean {
    return this.habits.has(form) && this.#scheduler.chance(this.#probability);
  }

  chance(probability: number): boolean {
    return this.#scheduler.chance(probability);
  }

  pick<const T>(choices: readonly T[]): T {
    return this.#scheduler.pick(choices);
  }

  /** How long a message waits for others, in milliseconds; 0 if it does not. */
  get joinDelayMs(): number {
    return this.applies("joined")
      ? 1 + this.#scheduler.random() * MAX_JOIN_DELAY_MS
      : 0;
  }

  /** Returns a frame with one message, as the daemon formats it. */
  formatFrame(message: Json): string {
    // The frames of exai are not JSON-RPC.
    if (message.op !== undefined || message.jsonrpc === undefined) {
      const allAreResponses = message.op === "call_tool_res";
      const text = JSON.stringify(message);
      return this.joinIntoFrame([text], {
        allAreResponses,
        id: message.request_id,
      });
    }
    const { id } = message;
    const allAreResponses = message.method === undefined;
    return this.joinIntoFrame([this.formatMessage(message).text], {
      allAreResponses,
      id,
    });
  }

  /** Returns a message as the daemon formats it. */
  formatMessage(message: Json): FormattedMessage {
    const plain = Object.entries({ jsonrpc: "2.0", ...message });
    const { id, method, params } = message;
    const isLarge = message.result && this.applies("large results") &&
      this.chance(LARGE_PROBABILITY);
    const padding = isLarge ? LARGE_PADDING : "";
    let members = plain.map(([key, value]) => [
      key,
      key === "result"
        ? JSON.stringify(value).replace(/^\{/, `{${padding}`)
        : JSON.stringify(value),
    ]);
    // Clients reject a null result.
    const serializeForClient = (it: string[][]): string =>
      serializeMembers(it.map(([key, value]) => [
        key!,
        key === "result" && value === "null" ? "{}" : value!,
      ]));
    const acceptedTexts = [serializeForClient(members)];
    let isRetyped = false;
    if (method === undefined && id !== undefined) {
      const other = this.#formatId(id);
      isRetyped = other.isRetyped;
      members = members.map(([key, value]) => [
        key!,
        key === "id" ? other.text : value!,
      ]);
      if (!isRetyped) acceptedTexts.push(serializeForClient(members));
    }
    if (method === "notifications/progress") {
      const token = retypeId(params.progressToken);
      if (token !== undefined && this.applies("retyped tokens")) {
        isRetyped = true;
        const text = JSON.stringify({ ...params, progressToken: token });
        members = members.map(([key, value]) => [
          key!,
          key === "params" ? text : value!,
        ]);
      }
    }
    if (this.applies("null members")) {
      members = this.#addNullMembers(members, message);
    }
    if (message.result !== null && this.applies("escaped keys")) {
      if (this.chance(0.2)) {
        // Once the runtime's JSON parser has read this key, it mistakes keys
        // with escapes for it.
        const at = 1 + Math.floor(this.#scheduler.random() * members.length);
        members = members.toSpliced(at, 0, [PARSER_TRAP_KEY, "1"]);
      }
      const nonNullMembers = members.filter(([, value]) => value !== "null");
      acceptedTexts.push(serializeMembers(nonNullMembers));
      acceptedTexts.push(serializeMembers(nonNullMembers.map(([key, value]) => [
        key!,
        key === "id" ? JSON.stringify(id) : value!,
      ])));
      members = members.map(([key, value]) => [this.#escapeKey(key!), value!]);
    }
    const text = serializeMembers(members);
    if (text !== acceptedTexts[0]) this.reformattedCount++;
    return { text, acceptedTexts, isRetyped };
  }

  #formatId(id: unknown): { text: string; isRetyped: boolean } {
    const text = JSON.stringify(id);
    if (this.habits.has("whole numbers only") && !isInt32(id)) {
      return { text: "null", isRetyped: false };
    }
    if (!this.applies("retyped ids")) return { text, isRetyped: false };
    const other = retypeId(id);
    if (other === undefined) return { text, isRetyped: false };
    // A language without integers writes numbers like this.
    if (typeof id === "number" && this.chance(0.2)) {
      return this.chance(0.5)
        ? { text: `"${id}.0"`, isRetyped: true }
        : { text: `${id}.0`, isRetyped: false };
    }
    return { text: JSON.stringify(other), isRetyped: true };
  }

  /** Adds null members at random places. */
  #addNullMembers(
    members: string[][],
    { id, method, error }: Json,
  ): string[][] {
    const names = method === undefined
      ? [error === undefined ? "error" : "result", "method", "params"]
      : id === undefined && /^notifications\//.test(method)
      ? ["id"]
      : [];
    const all = [...members];
    for (const name of names) {
      if (all.some(([key]) => key === name) || this.chance(0.3)) continue;
      const at = Math.floor(this.#scheduler.random() * (all.length + 1));
      all.splice(at, 0, [name, "null"]);
    }
    return all;
  }

  /** Escapes one letter of an envelope key, or none. */
  #escapeKey(key: string): string {
    if (key === PARSER_TRAP_KEY) return key;
    const at = Math.floor(this.#scheduler.random() ** 2 * key.length);
    const code = key.charCodeAt(at).toString(16).padStart(4, "0");
    return this.chance(0.5)
      ? key
      : `${key.slice(0, at)}\\u${code}${key.slice(at + 1)}`;
  }

  /**
   * Joins messages into one frame. If `allAreResponses`, other text may stand
   * beside them. `id` is an id that a log line may quote.
   */
  joinIntoFrame(
    texts: readonly string[],
    { allAreResponses = false, id = 0 }: {
      allAreResponses?: boolean;
      id?: unknown;
    } = {},
  ): string {
    if (texts.length > 1) this.reformattedCount++;
    // Only a line break, NUL or 0x1e separates messages from other text.
    const lines = [...texts];
    const hasLog = allAreResponses && this.applies("logging");
    if (hasLog) {
      const at = Math.floor(this.#scheduler.random() * (lines.length + 1));
      lines.splice(at, 0, this.logLine(id));
      // A log line may also quote a message that is not a response.
      if (this.chance(0.3)) lines.push(this.#quotingLine());
    }
    const breaks = ["\n", "\r\n", "\n\n \n", "\x1e", "\0"] as const;
    const part = hasLog || texts.length === 1
      ? this.pick(["\n", "\r\n", "\n\t\n"])
      : this.pick(["", " ", ...breaks]);
    let text = lines.join(part);
    if (!this.applies("wrapped")) return text;
    this.reformattedCount++;
    text += this.pick(["", "\n", "\r\n", "\0", "\0\0", "\x1e", " \0\n"]);
    return this.pick(["", "\ufeff", "\x1e", "\n", " "]) + text;
  }

  /** Returns a line that is not a message, but may quote one. */
  logLine(id: unknown): string {
    const quoted = JSON.stringify({
      ...{ jsonrpc: "2.0", id, result: { mark: QUOTED_TEXT } },
    });
    return this.pick([
      "INFO ready",
      `DEBUG sent ${quoted}`,
      `${quoted} <- sent`,
      `"${quoted}"`,
      `[${quoted}`,
    ]);
  }

  #quotingLine(): string {
    const params = { level: "info", data: QUOTED_TEXT };
    const message = { jsonrpc: "2.0", method: "notifications/message", params };
    const id = this.#scheduler.random();
    return JSON.stringify(this.chance(0.5) ? message : { ...message, id });
  }

  /** Returns a malformed error, as careless daemons send them. */
  malformedError(errorText: string): Json {
    return this.pick([
      { message: errorText },
      { code: "E_FAILED", message: errorText },
      { code: "-32602", message: errorText },
      errorText,
      { code: null, message: errorText, data: { a: 1 } },
    ]);
  }
}

/** Returns the text of a JSON object, given JSON texts as member values. */
function serializeMembers(members: readonly (readonly string[])[]): string {
  return `{${members.map(([key, value]) => `"${key}":${value}`).join(",")}}`;
}

/** Returns an id as the other JSON type, or `undefined` if it has none. */
export function retypeId(id: unknown): unknown {
  if (typeof id === "number") return String(id);
  if (typeof id !== "string") return undefined;
  const number = Number(id);
  return String(number) === id ? number : undefined;
}

function isInt32(id: unknown): boolean {
  return Number.isInteger(id) && Math.abs(Number(id)) < 2 ** 31;
}
