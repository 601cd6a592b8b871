/**
 * Reads a JSON-RPC message's envelope, and keeps the message's text.
 *
 * @module
 */

import {
  cut,
  elements,
  jsonIn,
  members,
  membersBeforeBreak,
  replace,
} from "./json_text.ts";
import {
  type Answer,
  type Id,
  idOf,
  type Invalid,
  isRecord,
  type Message,
} from "./jsonrpc.ts";
import { isErrorObject, isNoError, meant, withError } from "./malformed.ts";

/**
 * Reads one line or frame; a batch (JSON-RPC 2.0 section 6, in MCP only 2025-03-26)
 * gives one message per element. Never throws.
 *
 * Many servers and clients write every member into every message, with null for
 * what is absent. SDK peers refuse these forms, so they are cut out of the text
 * that goes on.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const [message] = read('{"jsonrpc":"2.0","id":"0","method":"ping"}');
 * assertEquals(message?.kind, "request");
 * ```
 */
export function read(text: string): Message[] {
  // RFC 8259 section 8.1: a byte order mark may be ignored.
  if (text.startsWith("\ufeff")) text = text.slice(1);
  const value = jsonIn(text);
  return value === undefined ? [unreadable(text)] : understood(value, text);
}

/** What is no JSON; the id of an answer that stands whole in front of the break is known (Python writes NaN and Infinity). */
export function unreadable(text: string): Invalid {
  const reason = "it is not JSON (JSON-RPC 2.0 section 4)";
  const found = membersBeforeBreak(text);
  const last = (name: string) => found.findLast((it) => it.name === name);
  const isAnswer = last("result") !== undefined || last("error") !== undefined;
  const spelled = isAnswer ? last("id")?.value : undefined;
  const id = spelled && idOf(JSON.parse(spelled), `{"id":${spelled}}`);
  return id === undefined
    ? invalid(undefined, "call", reason)
    : { ...invalid(id, "answer", reason), isBroken: true };
}

/** The messages in a JSON text that is parsed already. */
export function understood(value: unknown, text: string): Message[] {
  if (!Array.isArray(value)) return [classify(value, text)];
  if (value.length === 0) {
    return [
      invalid(undefined, "call", "a batch is empty (JSON-RPC 2.0 section 6)"),
    ];
  }
  const texts = elements(text);
  return value.map((element, i) => classify(element, texts[i] ?? ""));
}

function classify(parsed: unknown, said: string): Message {
  if (!isRecord(parsed)) {
    return invalid(undefined, "call", "a message must be an object");
  }
  const { value, text } = envelopeOf(parsed, said);
  const { jsonrpc, method, params, result, error } = value;
  const id = idOf(value.id, text);
  const hasResult = (result ?? undefined) !== undefined;
  const isError = hasResult
    ? !isNoError(error)
    : (error ?? undefined) !== undefined;
  const hasMethod = (method ?? undefined) !== undefined;
  const isAnswer = hasResult || isError || !hasMethod && "result" in value;
  const like = isAnswer
    ? "answer"
    : hasMethod || "params" in value
    ? "call"
    : "either";
  if (jsonrpc !== "2.0") {
    return invalid(
      id,
      like,
      '"jsonrpc" must be "2.0" (JSON-RPC 2.0 section 4)',
    );
  }
  if (isAnswer) return answerOf(id, value, isError, text);
  if (typeof method !== "string") {
    return invalid(
      id,
      like,
      '"method" must be a string (JSON-RPC 2.0 section 4)',
    );
  }
  const isNull = value.id === null;
  const isTold = !("id" in value) || isNull && isNotification(method);
  if (id === undefined && !isTold) {
    return invalid(
      isNull ? "null" : undefined,
      like,
      '"id" must be a string or a number (JSON-RPC 2.0 section 4, MCP RequestId)',
    );
  }
  const isPlain = params !== null && result === undefined &&
    error === undefined && !isNull;
  const carried = isPlain ? text : cut(
    text,
    ["params", "result", "error", ...(isNull ? ["id"] : [])]
      .filter((name) => value[name] === null),
  );
  const call = { method, params: params ?? undefined, text: carried };
  return id === undefined
    ? { kind: "notification", ...call }
    : { kind: "request", id, ...call };
}

/** Whether a method is that of a notification, which has no id; `initialized` is what it once was called. */
function isNotification(method: string): boolean {
  return method.startsWith("notifications/") || method === "initialized";
}

/** A message with a result or an error is an answer, whatever else stands in it. */
function answerOf(
  id: Id | undefined,
  value: Record<string, unknown>,
  isError: boolean,
  text: string,
): Answer {
  const { method, params, result, error } = value;
  const other = isError ? result : error;
  const isPlain = method === undefined && params === undefined &&
    other === undefined;
  const carried = isPlain
    ? text
    : cut(text, ["method", "params", isError ? "result" : "error"]);
  if (isError) {
    const isGood = isErrorObject(error);
    const said = isGood ? error : meant(error);
    const told = isGood ? carried : withError(carried, said);
    return { kind: "answer", id, result: undefined, error: said, text: told };
  }
  // SDK clients take an object only.
  return result === null
    ? {
      ...{ kind: "answer", id, result: {}, error: undefined },
      text: replace(carried, ["result"], "{}"),
    }
    : { kind: "answer", id, result, error: undefined, text: carried };
}

/** A JSON object, parsed, and its text. */
export interface Envelope {
  /** Its members. */
  readonly value: Record<string, unknown>;
  /** Its text, with keys that are written without escapes. */
  readonly text: string;
}

/**
 * The members of an envelope that is parsed. `JSON.parse` takes a key that is
 * written with an escape for another one that it has seen before (V8 in Deno
 * 2.9.6), and so may the client's: such keys are read here, and go on plain.
 */
export function envelopeOf(
  parsed: Record<string, unknown>,
  text: string,
): Envelope {
  // The names in an envelope are lower-case letters: 0061 to 007a.
  const mayEscape = text.includes("\\u006") || text.includes("\\u007");
  if (!mayEscape) return { value: parsed, text };
  const found: (readonly [string, unknown])[] = [];
  let plain = "";
  let from = 0;
  for (const member of members(text)) {
    const { name, start, nameEnd, value: { start: first, end } } = member;
    found.push([name, JSON.parse(text.slice(first, end))]);
    if (!NAMES.includes(name)) continue;
    plain += text.slice(from, start) + JSON.stringify(name);
    from = nameEnd;
  }
  return {
    value: Object.fromEntries(found),
    text: plain + text.slice(from),
  };
}

/** The members of an envelope (JSON-RPC 2.0 sections 4 and 5). */
const NAMES = ["jsonrpc", "id", "method", "params", "result", "error"];

function invalid(
  id: Id | undefined,
  like: Invalid["like"],
  reason: string,
): Invalid {
  return { kind: "invalid", id, like, reason };
}

const ID = /"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")\s*/.source;
/** The members that stand before `params` in most requests; nothing nested comes before the id. */
const ID_FIRST = new RegExp(
  `^\\s*\\{\\s*(?:"(?:jsonrpc|method)"\\s*:\\s*"[^"\\\\]*"\\s*,\\s*)*${ID}[,}]`,
);
/** The last brace of a line closes the message itself. */
const ID_LAST = new RegExp(`[,{]\\s*${ID}\\}\\s*$`);

/**
 * The id of a request that is too long to be read, if it stands at one of its
 * ends; `undefined` for everything else.
 */
export function skim(head: string, tail: string): Id | undefined {
  if (!/^\s*\{[^{[]*"method"\s*:/.test(head + tail)) return undefined;
  const text = ID_FIRST.exec(head)?.[1] ?? ID_LAST.exec(tail)?.[1];
  const [message] = read(`{"jsonrpc":"2.0","id":${text},"method":""}`);
  return message?.kind === "request" ? message.id : undefined;
}
