/**
 * Parses JSON-RPC messages, also those that daemons write malformed. Their
 * texts change only where peers would reject them.
 *
 * @module
 */

import {
  elementTextsOf,
  findValue,
  prependMember,
  recoverLeadingMembers,
  removeMembers,
  replaceValue,
  tryParseJson,
} from "../json/spans.ts";
import { splitFrame, unescapeMemberNames } from "./frame_splitter.ts";
import {
  ErrorCode,
  type ErrorObject,
  getNested,
  type Id,
  idOf,
  type InvalidMessage,
  isNotificationMethod,
  isPresent,
  isRecord,
  type Message,
  MESSAGE_MEMBERS,
  type Response,
} from "./jsonrpc.ts";
import type { Method } from "./mcp_types.ts";

/**
 * Parses one line; a batch (JSON-RPC 2.0 section 6, in MCP only 2025-03-26)
 * gives one message per element. SDK peers reject null for an absent member:
 * such members are removed from the forwarded text.
 */
export function parseMessages(text: string): Message[] {
  // RFC 8259 section 8.1: a byte order mark may be ignored.
  if (text.startsWith("\ufeff")) text = text.slice(1);
  const value = tryParseJson(text);
  return value === undefined
    ? [diagnoseInvalidJson(text)]
    : classifyMessages(value, text);
}

/** Parses a daemon's frame; next to other text only responses count. */
export function parseFrame(text: string): Message[] {
  const large = text.length > MAX_VALIDATED_CHARS
    ? readLargeResponse(text)
    : undefined;
  if (large !== undefined) return [large];
  // Fast path: almost every frame is one JSON text.
  const value = tryParseJson(text);
  if (value !== undefined) return classifyMessages(value, text);
  const { jsonPieces, otherTexts, isTruncated } = splitFrame(
    text,
    ({ jsonrpc }) => jsonrpc === "2.0",
    MESSAGE_MEMBERS,
  );
  const messages = jsonPieces.flatMap(({ value, text }) =>
    classifyMessages(value, text)
  );
  if (isTruncated) messages.push(createInvalidMessage(TOO_MANY_PIECES));
  if (jsonPieces.length > 0 && otherTexts.length === 0) return messages;
  const invalidMessages = (otherTexts.length === 0 ? [text] : otherTexts).map(
    diagnoseInvalidJson,
  );
  const hasId = ({ id }: InvalidMessage): boolean => id !== undefined;
  const isResponse = (it: Message): boolean =>
    it.kind === "response" ||
    it.kind === "invalid" && it.intendedKind === "response";
  // The rest becomes one log line.
  const rest = messages.every(isResponse)
    ? invalidMessages.filter((it) => !hasId(it)).slice(0, 1)
    : [createInvalidMessage(ONLY_RESPONSES_BESIDE_TEXT)];
  return [
    ...messages.filter(isResponse),
    ...invalidMessages.filter(hasId),
    ...rest,
  ];
}

/** A longer result is read only when it is used, in UTF-16 units of its frame. */
const MAX_VALIDATED_CHARS = 65_536;

/** How much of each end of such a frame may be the envelope. */
const MAX_ENVELOPE_CHARS = 1_024;
const ID_OR_VERSION = /"(?:jsonrpc|id)"\s*:\s*(?:"[^"\\]*"|-?\d+)\s*/.source;
const RESULT_START = new RegExp(
  `^\\s*\\{\\s*(?:${ID_OR_VERSION},\\s*)*"result"\\s*:\\s*\\{`,
);
const RESULT_END = new RegExp(`\\}\\s*(?:,\\s*${ID_OR_VERSION})*\\}\\s*$`);
/** Another message, and what Python writes instead of JSON. */
const NOT_PLAIN: readonly string[] = ['"jsonrpc"', "NaN", "Infinity"];

/**
 * Reads a frame that is plainly one response, except for its result, which may
 * be no JSON: see {@linkcode requireResult}. This takes a fourth of the time of
 * `JSON.parse`, and needs no warming up, as a scanner in JavaScript does.
 */
function readLargeResponse(text: string): Response | undefined {
  const [start] = RESULT_START.exec(text.slice(0, MAX_ENVELOPE_CHARS)) ?? [];
  const tail = text.slice(-MAX_ENVELOPE_CHARS);
  const [end] = RESULT_END.exec(tail) ?? [];
  if (start === undefined || end === undefined) return undefined;
  const body = text.slice(start.length, -end.length);
  const isPlain = !startsObjectAtEnd(tail.slice(0, tail.length - end.length)) &&
    !NOT_PLAIN.some((part) => body.includes(part)) &&
    // JSON has no such characters in strings, and a line none outside.
    // deno-lint-ignore no-control-regex
    !/[\0-\x1f]/.test(body);
  if (!isPlain) return undefined;
  const envelopeText = start + end;
  const envelope = classifyMessage(tryParseJson(envelopeText), envelopeText);
  // If its text must change, the frame is parsed as any other.
  const isUnchanged = envelope.kind === "response" &&
    envelope.id !== undefined && envelope.text === envelopeText;
  if (!isUnchanged) return undefined;
  let parsed: { readonly result: unknown } | undefined;
  return {
    kind: "response",
    id: envelope.id,
    get result(): unknown {
      parsed ??= { result: getNested(tryParseJson(text), "result") };
      return parsed.result;
    },
    error: undefined,
    text,
  };
}

/**
 * Whether the object that a JSON text ends in starts in it, too. Then the last
 * object of a frame is another member than the large result.
 */
function startsObjectAtEnd(text: string): boolean {
  let depth = 1;
  let isInString = false;
  for (let i = text.length - 1; i >= 0 && depth > 0; i--) {
    if (text[i] === '"') {
      let backslashes = 0;
      while (text[i - 1 - backslashes] === "\\") backslashes++;
      if (backslashes % 2 === 0) isInString = !isInString;
    } else if (isInString) continue;
    else if (text[i] === "}") depth++;
    else if (text[i] === "{") depth--;
  }
  return depth === 0;
}

/**
 * Returns a response whose result can be used. The result of a large one may be
 * no JSON: then the response is invalid.
 */
export function requireResult(response: Response): Response | InvalidMessage {
  const { id, error, result } = response;
  return error === undefined && result === undefined
    ? createInvalidMessage(NO_JSON, "response", id)
    : response;
}

const NO_JSON = "it is not JSON (JSON-RPC 2.0 section 4)";
const TOO_MANY_PIECES =
  "a frame holds more than 1,000 messages or lines, and the rest is dropped";
const ONLY_RESPONSES_BESIDE_TEXT =
  "beside other text in a frame only answers are taken";

function createInvalidMessage(
  reason: string,
  intendedKind: InvalidMessage["intendedKind"] = "request-or-notification",
  id: Id | undefined = undefined,
): InvalidMessage {
  return { kind: "invalid", id, intendedKind, reason };
}

/** Of a broken response the id is recovered (Python writes NaN). */
function diagnoseInvalidJson(text: string): InvalidMessage {
  const found = recoverLeadingMembers(text);
  const isResponse = found.has("result") || found.has("error");
  const id = isResponse ? parseId(found.get("id")) : undefined;
  return id === undefined
    ? createInvalidMessage(NO_JSON)
    : createInvalidMessage(NO_JSON, "response", id);
}

/** Returns the id that a JSON text is; `undefined` if it is none. */
function parseId(text: string | undefined): Id | undefined {
  return text === undefined ? undefined : idOf(tryParseJson(text), text, []);
}

function classifyMessages(value: unknown, text: string): Message[] {
  if (!Array.isArray(value)) return [classifyMessage(value, text)];
  if (value.length === 0) {
    return [createInvalidMessage("a batch is empty (JSON-RPC 2.0 section 6)")];
  }
  const texts = elementTextsOf(text);
  return value.map((element, i) => classifyMessage(element, texts[i] ?? ""));
}

function classifyMessage(parsed: unknown, sourceText: string): Message {
  if (!isRecord(parsed)) {
    return createInvalidMessage("a message must be an object");
  }
  const { value, text } = unescapeMemberNames(parsed, sourceText);
  const { error } = value;
  const hasMethod = isPresent(value.method);
  const hasResult = "result" in value;
  // Some servers write all members into every message.
  const isError = hasResult || hasMethod
    ? !isEmptyError(error)
    : isPresent(error);
  // With a method and no id it is a notification.
  const isResponse = hasMethod
    ? isPresent(value.id) && (isError || isPresent(value.result))
    : isError || hasResult;
  const intendedKind = isResponse
    ? "response"
    : hasMethod || "params" in value
    ? "request-or-notification"
    : "any";
  if (value.jsonrpc !== "2.0") {
    // A log line may have an id and an error, too.
    const isMessageShaped = !isError || intendedKind !== "response" ||
      Object.keys(value).every((name) => MESSAGE_MEMBERS.includes(name));
    return createInvalidMessage(
      '"jsonrpc" must be "2.0" (JSON-RPC 2.0 section 4)',
      intendedKind,
      isMessageShaped ? idOf(value.id, text) : undefined,
    );
  }
  return isResponse
    ? toResponse(value, isError, text)
    : toRequestOrNotification(value, intendedKind, text);
}

/** A response has a result or an error, whatever other members it has. */
function toResponse(
  value: Record<string, unknown>,
  isError: boolean,
  text: string,
): Response {
  const id = idOf(value.id, text);
  const forwardedText = withoutMembers(text, value, (name) => {
    if (name === "id") return false;
    if (name === "method" || name === "params") return true;
    if (name === (isError ? "result" : "error")) return true;
    return name !== "result" && value[name] === null;
  });
  if (isError) {
    const normalized = normalizeError(value.error, forwardedText);
    return { kind: "response", id, result: undefined, ...normalized };
  }
  const { result } = value;
  // SDK clients accept only an object, and PHP writes an empty one as an array.
  const isEmpty = result === null ||
    Array.isArray(result) && result.length === 0;
  return {
    kind: "response",
    id,
    result: isEmpty ? {} : result,
    error: undefined,
    text: isEmpty
      ? replaceValue(forwardedText, ["result"], "{}")
      : forwardedText,
  };
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
      '"method" must be a string (JSON-RPC 2.0 section 4)',
      intendedKind,
      id,
    );
  }
  const method = value.method as Method;
  const isNull = value.id === null;
  const isNotification = !("id" in value) ||
    isNull && isNotificationMethod(method);
  if (id === undefined && !isNotification) {
    return createInvalidMessage(
      '"id" must be a string or a number (JSON-RPC 2.0 section 4, MCP RequestId)',
      intendedKind,
      isNull ? "null" : undefined,
    );
  }
  // MCP has only objects here, and PHP writes an empty one as an array.
  const hasEmptyParams = Array.isArray(params) && params.length === 0;
  const content = {
    method,
    params: hasEmptyParams ? undefined : params ?? undefined,
    text: withoutMembers(
      text,
      value,
      (name) =>
        value[name] === null || name === "error" || name === "result" ||
        name === "params" && hasEmptyParams,
    ),
  };
  return id === undefined
    ? { kind: "notification", ...content }
    : { kind: "request", id, ...content };
}

function withoutMembers(
  text: string,
  value: Record<string, unknown>,
  isUnwanted: (name: string) => boolean,
): string {
  // Almost no message has one: nothing is allocated to find out.
  for (const name in value) {
    if (!isUnwanted(name)) continue;
    return removeMembers(text, Object.keys(value).filter(isUnwanted));
  }
  return text;
}

/** Whether an error next to a result is none: falsy, or with nothing in it. */
function isEmptyError(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return !value;
  return Object.values(value).every((it) =>
    !it || typeof it === "object" && Object.keys(it).length === 0
  );
}

const MAX_ERROR_TEXT_CHARS = 1_000;
const ERROR_TEXT_MEMBERS = [
  "message",
  "error",
  "detail",
  "reason",
  "description",
];

/**
 * Returns the error that was meant (JSON-RPC 2.0 section 5.1), and the
 * response's text with it. A code that is no integer becomes -32603; if it is a
 * text, it goes into the message.
 */
function normalizeError(
  value: unknown,
  text: string,
): { readonly error: ErrorObject; readonly text: string } {
  const members = isRecord(value) ? value : {};
  if (
    Number.isSafeInteger(members.code) && typeof members.message === "string"
  ) {
    return { error: value as ErrorObject, text };
  }
  const isNumeric = typeof members.code === "string" &&
    /^-?\d+$/.test(members.code);
  const number = isNumeric ? Number(members.code) : members.code;
  const code = Number.isSafeInteger(number) ? number as number : undefined;
  const statedTexts = [
    code === undefined ? members.code : undefined,
    [value, ...ERROR_TEXT_MEMBERS.map((name) => members[name])].find(isWords),
  ];
  const message = statedTexts.filter(isWords).join(": ") ||
    quoteError(value, text);
  const data = findValue(text, ["error", "data"]);
  const withoutData = JSON.stringify({
    code: code ?? ErrorCode.internal,
    message,
  });
  const errorText = data === undefined
    ? withoutData
    : prependMember(withoutData, [], "data", text.slice(data.start, data.end));
  return {
    error: JSON.parse(errorText),
    text: replaceValue(text, ["error"], errorText),
  };
}

function isWords(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function quoteError(error: unknown, text: string): string {
  const isEmpty = error === "" || isRecord(error) &&
      Object.keys(error).every((name) => name === "code" || name === "data");
  const span = findValue(text, ["error"]);
  return isEmpty || span === undefined
    ? "The daemon did not say why"
    : text.slice(span.start, span.end).slice(0, MAX_ERROR_TEXT_CHARS);
}

const ID_MEMBER = /"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")\s*/.source;
/** The members before the id: nothing nested. */
const LEADING_ID = new RegExp(
  `^\\s*\\{\\s*(?:"(?:jsonrpc|method)"\\s*:\\s*"[^"\\\\]*"\\s*,\\s*)*${ID_MEMBER}[,}]`,
);
/** The last brace of a line closes the message itself. */
const TRAILING_ID = new RegExp(`[,{]\\s*${ID_MEMBER}\\}\\s*$`);

/** Recovers the id of a request that is too long, from one of its ends. */
export function recoverRequestId(head: string, tail: string): Id | undefined {
  if (!/^\s*\{[^{[]*"method"\s*:/.test(head + tail)) return undefined;
  return parseId(LEADING_ID.exec(head)?.[1] ?? TRAILING_ID.exec(tail)?.[1]);
}
