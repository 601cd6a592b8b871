/**
 * Parses JSON-RPC messages. Their texts change only where peers would reject
 * them.
 *
 * @module
 */

import {
  elementTextsOf,
  memberSpansOf,
  recoverLeadingMembers,
  removeMembers,
  replaceValue,
  tryParseJson,
} from "../json/spans.ts";
import { splitFrame } from "./frame_splitter.ts";
import {
  type Id,
  idOf,
  type InvalidMessage,
  isNotificationMethod,
  isRecord,
  type Message,
  MESSAGE_MEMBERS,
  type Response,
} from "./jsonrpc.ts";
import {
  isEmptyError,
  isErrorObject,
  normalizeError,
  replaceErrorMember,
} from "./malformed_errors.ts";
import type { Method } from "./mcp_types.ts";

/**
 * Parses one line; a batch (JSON-RPC 2.0 section 6, in MCP only 2025-03-26)
 * gives one message per element. Never throws.
 *
 * Many peers write every member into every message, with null for an absent
 * one. SDK peers reject such members, so they are removed from the forwarded
 * text.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const [message] = parseMessages('{"jsonrpc":"2.0","id":"0","method":"ping"}');
 * assertEquals(message?.kind, "request");
 * ```
 */
export function parseMessages(text: string): Message[] {
  // RFC 8259 section 8.1: a byte order mark may be ignored.
  if (text.startsWith("\ufeff")) text = text.slice(1);
  const value = tryParseJson(text);
  return value === undefined
    ? [diagnoseInvalidJson(text)]
    : classifyMessages(value, text);
}

/**
 * Parses a frame from the daemon. Next to other text only responses count,
 * because they name their request.
 */
export function parseFrame(text: string): Message[] {
  // Fast path: almost every frame is one JSON text.
  const value = tryParseJson(text);
  if (value !== undefined) return classifyMessages(value, text);
  const { jsonPieces, otherTexts, isTruncated } = splitFrame(
    text,
    (value, text) => unescapeMemberNames(value, text).value.jsonrpc === "2.0",
  );
  const messages = jsonPieces.flatMap(({ value, text }) =>
    classifyMessages(value, text)
  );
  if (isTruncated) {
    messages.push(
      createInvalidMessage(
        undefined,
        "request-or-notification",
        TOO_MANY_PIECES,
      ),
    );
  }
  if (jsonPieces.length > 0 && otherTexts.length === 0) return messages;
  const invalidMessages = (otherTexts.length === 0 ? [text] : otherTexts).map(
    diagnoseInvalidJson,
  );
  const hasId = ({ id }: InvalidMessage): boolean => id !== undefined;
  const isResponse = (it: Message): boolean =>
    it.kind === "response" ||
    it.kind === "invalid" && it.intendedKind === "response";
  const hasOtherMessages = !messages.every(isResponse);
  return [
    ...messages.filter(isResponse),
    ...invalidMessages.filter(hasId),
    // The rest becomes one log line.
    ...(hasOtherMessages
      ? [
        createInvalidMessage(
          undefined,
          "request-or-notification",
          ONLY_RESPONSES_BESIDE_TEXT,
        ),
      ]
      : invalidMessages.filter((it) => !hasId(it)).slice(0, 1)),
  ];
}

const TOO_MANY_PIECES =
  "a frame holds more than 1,000 messages or lines, and the " +
  "rest is dropped";
const ONLY_RESPONSES_BESIDE_TEXT =
  "beside other text in a frame only answers are taken";

/**
 * Describes invalid JSON. If a truncated response has its id before the invalid
 * part, the id is recovered (Python writes NaN and Infinity).
 */
function diagnoseInvalidJson(text: string): InvalidMessage {
  const reason = "it is not JSON (JSON-RPC 2.0 section 4)";
  const found = recoverLeadingMembers(text);
  const isResponse = found.has("result") || found.has("error");
  const idText = isResponse ? found.get("id") : undefined;
  const id = idText && idOf(JSON.parse(idText), `{"id":${idText}}`);
  return id === undefined
    ? createInvalidMessage(undefined, "request-or-notification", reason)
    : createInvalidMessage(id, "response", reason);
}

/** Classifies the messages in a parsed JSON text. */
function classifyMessages(value: unknown, text: string): Message[] {
  if (!Array.isArray(value)) return [classifyMessage(value, text)];
  if (value.length === 0) {
    return [
      createInvalidMessage(
        undefined,
        "request-or-notification",
        "a batch is empty (JSON-RPC 2.0 section 6)",
      ),
    ];
  }
  const texts = elementTextsOf(text);
  return value.map((element, i) => classifyMessage(element, texts[i] ?? ""));
}

function classifyMessage(parsed: unknown, sourceText: string): Message {
  if (!isRecord(parsed)) {
    return createInvalidMessage(
      undefined,
      "request-or-notification",
      "a message must be an object",
    );
  }
  const { value, text } = unescapeMemberNames(parsed, sourceText);
  const { jsonrpc, method, result, error } = value;
  const hasMethod = (method ?? undefined) !== undefined;
  const hasResult = "result" in value;
  // Some servers write all members into every message.
  const isError = hasResult || hasMethod
    ? !isEmptyError(error)
    : (error ?? undefined) !== undefined;
  // With a method and no id it is a notification.
  const isResponse = hasMethod
    ? (value.id ?? undefined) !== undefined &&
      (isError || (result ?? undefined) !== undefined)
    : isError || hasResult;
  const intendedKind = isResponse
    ? "response"
    : hasMethod || "params" in value
    ? "request-or-notification"
    : "any";
  if (jsonrpc !== "2.0") {
    // A log line may have an id and an error, too.
    const isMessageShaped = !isError || intendedKind !== "response" ||
      Object.keys(value).every((name) => MESSAGE_MEMBERS.includes(name));
    return createInvalidMessage(
      isMessageShaped ? idOf(value.id, text) : undefined,
      intendedKind,
      '"jsonrpc" must be "2.0" (JSON-RPC 2.0 section 4)',
    );
  }
  return isResponse
    ? toResponse(value, isError, text)
    : toRequestOrNotification(value, intendedKind, text);
}

/**
 * Parses a response: a message with a result or an error, whatever other
 * members it has.
 */
function toResponse(
  value: Record<string, unknown>,
  isError: boolean,
  text: string,
): Response {
  const id = idOf(value.id, text);
  const { result, error } = value;
  const forwardedText = withoutMembers(text, value, (name) => {
    if (name === "id") return false;
    if (name === "method" || name === "params") return true;
    if (name === (isError ? "result" : "error")) return true;
    return name !== "result" && value[name] === null;
  });
  if (isError) {
    const isWellFormed = isErrorObject(error);
    const normalizedError = isWellFormed
      ? error
      : normalizeError(error, forwardedText);
    return {
      kind: "response",
      id,
      result: undefined,
      error: normalizedError,
      text: isWellFormed
        ? forwardedText
        : replaceErrorMember(forwardedText, normalizedError),
    };
  }
  // SDK clients accept only an object, and PHP writes an empty one as an array.
  const isEmpty = result === null ||
    Array.isArray(result) && result.length === 0;
  return isEmpty
    ? {
      kind: "response",
      id,
      result: {},
      error: undefined,
      text: replaceValue(forwardedText, ["result"], "{}"),
    }
    : { kind: "response", id, result, error: undefined, text: forwardedText };
}

function toRequestOrNotification(
  value: Record<string, unknown>,
  intendedKind: InvalidMessage["intendedKind"],
  text: string,
): Message {
  const id = idOf(value.id, text);
  const { params } = value;
  if (typeof value.method !== "string") {
    return createInvalidMessage(
      id,
      intendedKind,
      '"method" must be a string (JSON-RPC 2.0 section 4)',
    );
  }
  const method = value.method as Method;
  const isNull = value.id === null;
  const isNotification = !("id" in value) ||
    isNull && isNotificationMethod(method);
  if (id === undefined && !isNotification) {
    return createInvalidMessage(
      isNull ? "null" : undefined,
      intendedKind,
      '"id" must be a string or a number (JSON-RPC 2.0 section 4, MCP RequestId)',
    );
  }
  // MCP has only objects here, and PHP writes an empty one as an array.
  const hasEmptyParams = Array.isArray(params) && params.length === 0;
  const forwardedText = withoutMembers(
    text,
    value,
    (name) =>
      value[name] === null || name === "error" || name === "result" ||
      name === "params" && hasEmptyParams,
  );
  const content = {
    method,
    params: hasEmptyParams ? undefined : params ?? undefined,
    text: forwardedText,
  };
  return id === undefined
    ? { kind: "notification", ...content }
    : { kind: "request", id, ...content };
}

/** Removes the members that do not belong in a message. */
function withoutMembers(
  text: string,
  value: Record<string, unknown>,
  isUnwanted: (name: string) => boolean,
): string {
  for (const name in value) {
    if (isUnwanted(name)) {
      return removeMembers(text, Object.keys(value).filter(isUnwanted));
    }
  }
  return text;
}

/** A parsed JSON object and its text. */
export interface ParsedObject {
  /** The members. */
  readonly value: Record<string, unknown>;
  /** The text; the names of message members are written without escapes. */
  readonly text: string;
}

/**
 * Returns a parsed message whose member names are written without escapes.
 * `JSON.parse` confuses a name written with an escape with another name it has
 * seen before (V8 in Deno 2.9.6), and the client's parser may do the same. So
 * such names are parsed here and forwarded without escapes.
 */
export function unescapeMemberNames(
  parsed: Record<string, unknown>,
  text: string,
): ParsedObject {
  if (!ESCAPED_NAME_CHAR.test(text)) return { value: parsed, text };
  const spans = memberSpansOf(text);
  const isEscaped = spans.some(({ start, nameEnd }) =>
    text.slice(start, nameEnd).includes("\\")
  );
  if (!isEscaped) return { value: parsed, text };
  const entries: (readonly [string, unknown])[] = [];
  let unescapedText = "";
  let from = 0;
  for (const member of spans) {
    const { name, start, nameEnd, value: { start: first, end } } = member;
    entries.push([name, JSON.parse(text.slice(first, end))]);
    if (!MESSAGE_MEMBERS.includes(name)) continue;
    unescapedText += text.slice(from, start) + JSON.stringify(name);
    from = nameEnd;
  }
  return {
    value: Object.fromEntries(entries),
    text: unescapedText + text.slice(from),
  };
}

/**
 * Matches the escaped letters of member names, and the underscore of exai's:
 * 005f to 007a.
 */
const ESCAPED_NAME_CHAR = /\\u00[567]/;

function createInvalidMessage(
  id: Id | undefined,
  intendedKind: InvalidMessage["intendedKind"],
  reason: string,
): InvalidMessage {
  return { kind: "invalid", id, intendedKind, reason };
}

const ID_MEMBER = /"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")\s*/.source;
/**
 * The members before `params` in most requests; nothing nested comes before the
 * id.
 */
const LEADING_ID = new RegExp(
  `^\\s*\\{\\s*(?:"(?:jsonrpc|method)"\\s*:\\s*"[^"\\\\]*"\\s*,\\s*)*${ID_MEMBER}[,}]`,
);
/** The last brace of a line closes the message itself. */
const TRAILING_ID = new RegExp(`[,{]\\s*${ID_MEMBER}\\}\\s*$`);

/**
 * Recovers the id of a request that is too long to be read, if the id is at one
 * of its ends; `undefined` otherwise.
 */
export function recoverRequestId(head: string, tail: string): Id | undefined {
  if (!/^\s*\{[^{[]*"method"\s*:/.test(head + tail)) return undefined;
  const text = LEADING_ID.exec(head)?.[1] ?? TRAILING_ID.exec(tail)?.[1];
  const [message] = parseMessages(`{"jsonrpc":"2.0","id":${text},"method":""}`);
  return message?.kind === "request" ? message.id : undefined;
}
