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

function classify(parsed: unknown, text: string): Message {
  if (!isRecord(parsed)) {
    return invalid(undefined, "call", "a message must be an object");
  }
  const value = envelopeOf(parsed, text);
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
  const said = params ?? undefined;
  return id === undefined
    ? { kind: "notification", method, params: said, text: carried }
    : { kind: "request", id, method, params: said, text: carried };
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

/**
 * The members of an envelope that is parsed. `JSON.parse` confuses a key that is written with
 * an escape with one that it has seen before and that begins with a backslash
 * (V8 in Deno 2.9.6), so that such keys are read here.
 */
export function envelopeOf(
  parsed: Record<string, unknown>,
  text: string,
): Record<string, unknown> {
  let isConfused = false;
  for (const key in parsed) isConfused ||= key.includes("\\");
  if (!isConfused) return parsed;
  const found = members(text).map(({ name, value }) =>
    [name, JSON.parse(text.slice(value.start, value.end))] as const
  );
  return Object.fromEntries(found);
}

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
