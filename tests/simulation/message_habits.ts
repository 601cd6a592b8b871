/**
 * The habits of form of a daemon of the simulated worlds: what it does to ids,
 * members, keys and frames, none of which changes what it means.
 *
 * @module
 */

import type { Json } from "../helpers/session/session_driver.ts";
import { Scheduler } from "./scheduler.ts";

/** What a daemon, or a bridge in front of it, does to what it says. */
export const MESSAGE_HABITS = [
  // Numbers come back as texts, and texts as numbers where they can.
  ...["retyped ids", "retyped tokens"],
  // Only whole numbers of 32 bits come back; every other id is null.
  "whole numbers only",
  ...["null members", "escaped keys"],
  // Byte order mark, NUL, 0x1e, blank lines; lines that are no message; several messages in one frame.
  ...["wrapped", "logging", "joined"],
  ...["malformed errors", "odd cursors", "falling progress"],
  // An error with id null, or a broken answer, instead of a proper one.
  ...["nameless errors", "broken answers"],
] as const;
export type MessageHabit = typeof MESSAGE_HABITS[number];

/** Those of them that take no time to be understood, and need nothing from the client. */
export const HARMLESS_HABITS: readonly MessageHabit[] = [
  ...["retyped ids", "whole numbers only", "null members"] as const,
  ...["escaped keys", "wrapped", "logging"] as const,
];

/** The types of ids, or of progress tokens, that a client uses. */
export const ID_TYPES = ["both", "numbers", "texts"] as const;
export type IdType = typeof ID_TYPES[number];

/** A message as the daemon spells it. */
export interface FormattedMessage {
  /** As it is put into a frame. */
  readonly text: string;
  /** What a client may get of it, if it gets it. */
  readonly acceptedTexts: readonly string[];
  /** It stands under an id, or a token, of the other type. */
  readonly isRetyped: boolean;
}

/** How long a message waits for others that go into the same frame, at most. */
const MAX_JOIN_DELAY_MS = 30;
/** What a daemon's log may quote of a message: it must reach nobody. */
export const QUOTED_TEXT = "quoted in a log line";
/** A key of a backslash and a u, as it is spelled. */
const PARSER_TRAP_KEY = "\\\\u";

export class MessageHabits {
  readonly habits: ReadonlySet<MessageHabit>;
  readonly idType: IdType;
  readonly tokenType: IdType;
  /** How often a message takes a form. */
  readonly #probability: number;
  readonly #scheduler: Scheduler;
  /** How many messages took one. */
  reformattedCount = 0;

  /** @param forms what the daemon may do; most daemons do nothing of that */
  constructor(seed: number, forms: readonly MessageHabit[]) {
    // Chance of its own: a world is the same with forms and without.
    const scheduler = this.#scheduler = new Scheduler(seed ^ 0x5f0f0f0f);
    const isOne = scheduler.chance(0.5);
    const isNone = scheduler.chance(0.6);
    const only = scheduler.pick(forms);
    this.habits = new Set(
      forms.filter((it) =>
        !isNone && (isOne ? it === only : scheduler.chance(0.35))
      ),
    );
    this.#probability = scheduler.pick([0.2, 1]);
    const isBridge = this.habits.has("whole numbers only");
    this.idType = isBridge ? "numbers" : scheduler.pick(ID_TYPES);
    this.tokenType = scheduler.pick(ID_TYPES);
  }

  /** Whether the daemon takes one of its forms now. */
  applies(form: MessageHabit): boolean {
    return this.habits.has(form) && this.#scheduler.chance(this.#probability);
  }

  chance(probability: number): boolean {
    return this.#scheduler.chance(probability);
  }

  pick<const T>(choices: readonly T[]): T {
    return this.#scheduler.pick(choices);
  }

  /** How long a message waits for others; 0 for one that does not. */
  get joinDelayMs(): number {
    return this.applies("joined")
      ? 1 + this.#scheduler.random() * MAX_JOIN_DELAY_MS
      : 0;
  }

  /** A message in a frame of its own, in the daemon's spelling. */
  formatFrame(message: Json): string {
    // The frames of exai have no envelope.
    if (message.op !== undefined || message.jsonrpc === undefined) {
      const isAnswers = message.op === "call_tool_res";
      const text = JSON.stringify(message);
      return this.joinIntoFrame([text], { isAnswers, id: message.request_id });
    }
    const { id } = message;
    const isAnswers = message.method === undefined;
    return this.joinIntoFrame([this.formatMessage(message).text], {
      isAnswers,
      id,
    });
  }

  /** A message in the daemon's spelling. */
  formatMessage(message: Json): FormattedMessage {
    const plain = Object.entries({ jsonrpc: "2.0", ...message });
    const { id, method, params } = message;
    let spelled = plain.map(([key, value]) => [key, JSON.stringify(value)]);
    // Clients take no result that is null.
    const asResult = (it: string[][]): string =>
      serializeMembers(it.map(([key, value]) => [
        key!,
        key === "result" && value === "null" ? "{}" : value!,
      ]));
    const acceptedTexts = [asResult(spelled)];
    let isRetyped = false;
    if (method === undefined && id !== undefined) {
      const other = this.#formatId(id);
      isRetyped = other.isRetyped;
      spelled = spelled.map(([key, value]) => [
        key!,
        key === "id" ? other.text : value!,
      ]);
      if (!isRetyped) acceptedTexts.push(asResult(spelled));
    }
    if (method === "notifications/progress") {
      const token = retypeId(params.progressToken);
      if (token !== undefined && this.applies("retyped tokens")) {
        isRetyped = true;
        const text = JSON.stringify({ ...params, progressToken: token });
        spelled = spelled.map(([key, value]) => [
          key!,
          key === "params" ? text : value!,
        ]);
      }
    }
    if (this.applies("null members")) {
      spelled = this.#addNullMembers(spelled, message);
    }
    if (message.result !== null && this.applies("escaped keys")) {
      if (this.chance(0.2)) {
        // The runtime's parser takes a key with an escape for this one, once it has seen it.
        const at = 1 + Math.floor(this.#scheduler.random() * spelled.length);
        spelled = spelled.toSpliced(at, 0, [PARSER_TRAP_KEY, "1"]);
      }
      const said = spelled.filter(([, value]) => value !== "null");
      acceptedTexts.push(serializeMembers(said));
      acceptedTexts.push(serializeMembers(said.map(([key, value]) => [
        key!,
        key === "id" ? JSON.stringify(id) : value!,
      ])));
      spelled = spelled.map(([key, value]) => [this.#escapeKey(key!), value!]);
    }
    const text = serializeMembers(spelled);
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
    // A language without whole numbers writes them so.
    if (typeof id === "number" && this.chance(0.2)) {
      return this.chance(0.5)
        ? { text: `"${id}.0"`, isRetyped: true }
        : { text: `${id}.0`, isRetyped: false };
    }
    return { text: JSON.stringify(other), isRetyped: true };
  }

  /** With members that say nothing, anywhere. */
  #addNullMembers(
    spelled: string[][],
    { id, method, error }: Json,
  ): string[][] {
    const names = method === undefined
      ? [error === undefined ? "error" : "result", "method", "params"]
      : id === undefined && /^notifications\//.test(method)
      ? ["id"]
      : [];
    const all = [...spelled];
    for (const name of names) {
      if (all.some(([key]) => key === name) || this.chance(0.3)) continue;
      const at = Math.floor(this.#scheduler.random() * (all.length + 1));
      all.splice(at, 0, [name, "null"]);
    }
    return all;
  }

  /** A key of an envelope in which a letter is spelled by its number. */
  #escapeKey(key: string): string {
    if (key === PARSER_TRAP_KEY) return key;
    const at = Math.floor(this.#scheduler.random() ** 2 * key.length);
    const code = key.charCodeAt(at).toString(16).padStart(4, "0");
    return this.chance(0.5)
      ? key
      : `${key.slice(0, at)}\\u${code}${key.slice(at + 1)}`;
  }

  /**
   * Messages in one frame. `isAnswers` says that all of them are answers, and
   * may stand beside other text; `ids` are what a log may quote.
   */
  joinIntoFrame(
    texts: readonly string[],
    { isAnswers = false, id = 0 }: { isAnswers?: boolean; id?: unknown } = {},
  ): string {
    if (texts.length > 1) this.reformattedCount++;
    // Nothing but a line break, NUL or 0x1e parts messages from other text.
    const lines = [...texts];
    const hasLog = isAnswers && this.applies("logging");
    if (hasLog) {
      const at = Math.floor(this.#scheduler.random() * (lines.length + 1));
      lines.splice(at, 0, this.logLine(id));
      // Whatever names nothing that it answers may be quoted, too.
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

  /** A line that is no message, and may quote one. */
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

  /** An error as a careless daemon writes it. */
  malformedError(words: string): Json {
    return this.pick([
      { message: words },
      { code: "E_FAILED", message: words },
      { code: "-32602", message: words },
      words,
      { code: null, message: words, data: { a: 1 } },
    ]);
  }
}

/** A message of JSON texts by their keys, as they are spelled. */
function serializeMembers(spelled: readonly (readonly string[])[]): string {
  return `{${spelled.map(([key, value]) => `"${key}":${value}`).join(",")}}`;
}

/** The same id as the other JSON type; `undefined` where there is none. */
export function retypeId(id: unknown): unknown {
  if (typeof id === "number") return String(id);
  if (typeof id !== "string") return undefined;
  const number = Number(id);
  return String(number) === id ? number : undefined;
}

function isInt32(id: unknown): boolean {
  return Number.isInteger(id) && Math.abs(Number(id)) < 2 ** 31;
}
