/**
 * Reads JSON-RPC messages, and changes in their texts only what peers refuse.
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
} from "../json/spans.ts";
import { piecesOf } from "./frames.ts";
import {
  type Answer,
  type Id,
  idOf,
  type Invalid,
  isNotification,
  isRecord,
  MEMBERS,
  type Message,
} from "./jsonrpc.ts";
import {
  isErrorObject,
  isNoError,
  meant,
  withError,
} from "./malformed_errors.ts";
import type { Method } from "./mcp_types.ts";

/**
 * Reads one line; a batch (JSON-RPC 2.0 section 6, in MCP only 2025-03-26) gives
 * one message per element. Never throws.
 *
 * Many peers write every member into every message, with null for what is
 * absent. SDK peers refuse such members, so they are cut out of the text that
 * goes on.
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

/**
 * Reads a frame of the daemon's. Beside other text only answers count, because
 * they name what they answer.
 */
export function readFrame(text: string): Message[] {
  // Almost every frame is one JSON text.
  const value = jsonIn(text);
  if (value !== undefined) return understood(value, text);
  const { found, others, isCut } = piecesOf(
    text,
    (value, text) => envelopeOf(value, text).value.jsonrpc === "2.0",
  );
  const messages = found.flatMap(({ value, text }) => understood(value, text));
  if (isCut) messages.push(invalid(undefined, "call", TOO_MANY));
  if (found.length > 0 && others.length === 0) return messages;
  const broken = (others.length === 0 ? [text] : others).map(unreadable);
  const isNamed = ({ id }: Invalid): boolean => id !== undefined;
  const isAnswer = (it: Message): boolean =>
    it.kind === "answer" || it.kind === "invalid" && it.like === "answer";
  const isDropped = !messages.every(isAnswer);
  return [
    ...messages.filter(isAnswer),
    ...broken.filter(isNamed),
    // The rest is one line for the log.
    ...(isDropped
      ? [invalid(undefined, "call", BESIDE)]
      : broken.filter((it) => !isNamed(it)).slice(0, 1)),
  ];
}

const TOO_MANY = "a frame holds more than 1,000 messages or lines, and the " +
  "rest is dropped";
const BESIDE = "beside other text in a frame only answers are taken";

/** What is no JSON; the id of an answer that has begun is known if it stands before the break (Python writes NaN and Infinity). */
function unreadable(text: string): Invalid {
  const reason = "it is not JSON (JSON-RPC 2.0 section 4)";
  const found = membersBeforeBreak(text);
  const isAnswer = found.has("result") || found.has("error");
  const spelled = isAnswer ? found.get("id") : undefined;
  const id = spelled && idOf(JSON.parse(spelled), `{"id":${spelled}}`);
  return id === undefined
    ? invalid(undefined, "call", reason)
    : invalid(id, "answer", reason);
}

/** The messages in a JSON text that is parsed already. */
function understood(value: unknown, text: string): Message[] {
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
  const { jsonrpc, method, result, error } = value;
  const hasMethod = (method ?? undefined) !== undefined;
  const hasResult = "result" in value;
  // Some servers write all members into every message.
  const isError = hasResult || hasMethod
    ? !isNoError(error)
    : (error ?? undefined) !== undefined;
  // With a method and no id it is a notification.
  const isAnswer = hasMethod
    ? (value.id ?? undefined) !== undefined &&
      (isError || (result ?? undefined) !== undefined)
    : isError || hasResult;
  const like = isAnswer
    ? "answer"
    : hasMethod || "params" in value
    ? "call"
    : "either";
  if (jsonrpc !== "2.0") {
    // A line of a log may have an id and an error, too.
    const isMeant = !isError || like !== "answer" ||
      Object.keys(value).every((name) => MEMBERS.includes(name));
    return invalid(
      isMeant ? idOf(value.id, text) : undefined,
      like,
      '"jsonrpc" must be "2.0" (JSON-RPC 2.0 section 4)',
    );
  }
  return isAnswer ? answerOf(value, isError, text) : callOf(value, like, text);
}

/** A message with a result or an error is an answer, whatever else stands in it. */
function answerOf(
  value: Record<string, unknown>,
  isError: boolean,
  text: string,
): Answer {
  const id = idOf(value.id, text);
  const { result, error } = value;
  const carried = without(text, value, (name) => {
    if (name === "id") return false;
    if (name === "method" || name === "params") return true;
    if (name === (isError ? "result" : "error")) return true;
    return name !== "result" && value[name] === null;
  });
  if (isError) {
    const isGood = isErrorObject(error);
    const told = isGood ? error : meant(error, carried);
    return {
      ...{ kind: "answer", id, result: undefined, error: told },
      text: isGood ? carried : withError(carried, told),
    };
  }
  // SDK clients take an object only, and PHP writes an empty one as an array.
  const isEmpty = result === null ||
    Array.isArray(result) && result.length === 0;
  return isEmpty
    ? {
      ...{ kind: "answer", id, result: {}, error: undefined },
      text: replace(carried, ["result"], "{}"),
    }
    : { kind: "answer", id, result, error: undefined, text: carried };
}

function callOf(
  value: Record<string, unknown>,
  like: Invalid["like"],
  text: string,
): Message {
  const id = idOf(value.id, text);
  const { params } = value;
  if (typeof value.method !== "string") {
    return invalid(
      id,
      like,
      '"method" must be a string (JSON-RPC 2.0 section 4)',
    );
  }
  const method = value.method as Method;
  const isNull = value.id === null;
  const isTold = !("id" in value) || isNull && isNotification(method);
  if (id === undefined && !isTold) {
    return invalid(
      isNull ? "null" : undefined,
      like,
      '"id" must be a string or a number (JSON-RPC 2.0 section 4, MCP RequestId)',
    );
  }
  // MCP has objects only, and PHP writes an empty one as an array.
  const hasNone = Array.isArray(params) && params.length === 0;
  const carried = without(
    text,
    value,
    (name) =>
      value[name] === null || name === "error" || name === "result" ||
      name === "params" && hasNone,
  );
  const call = {
    method,
    params: hasNone ? undefined : params ?? undefined,
    text: carried,
  };
  return id === undefined
    ? { kind: "notification", ...call }
    : { kind: "request", id, ...call };
}

/** An envelope's text without the members that do not belong to it. */
function without(
  text: string,
  value: Record<string, unknown>,
  isForeign: (name: string) => boolean,
): string {
  for (const name in value) {
    if (isForeign(name)) return cut(text, Object.keys(value).filter(isForeign));
  }
  return text;
}

/** A JSON object, parsed, and its text. */
export interface Envelope {
  /** Its members. */
  readonly value: Record<string, unknown>;
  /** Its text, in which the names of an envelope's members are written without escapes. */
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
  if (!ESCAPED.test(text)) return { value: parsed, text };
  const all = members(text);
  const isEscaped = all.some(({ start, nameEnd }) =>
    text.slice(start, nameEnd).includes("\\")
  );
  if (!isEscaped) return { value: parsed, text };
  const found: (readonly [string, unknown])[] = [];
  let plain = "";
  let from = 0;
  for (const member of all) {
    const { name, start, nameEnd, value: { start: first, end } } = member;
    found.push([name, JSON.parse(text.slice(first, end))]);
    if (!MEMBERS.includes(name)) continue;
    plain += text.slice(from, start) + JSON.stringify(name);
    from = nameEnd;
  }
  return {
    value: Object.fromEntries(found),
    text: plain + text.slice(from),
  };
}

/** The letters of the members' names, and the underscore of exai's: 005f to 007a. */
const ESCAPED = /\\u00[567]/;

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
