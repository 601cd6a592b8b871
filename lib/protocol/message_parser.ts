/**
 * Parses JSON-RPC messages, including malformed ones from daemons. The text of
 * a message changes only if peers would reject it.
 *
 * @module
 */

import {
  elementTextsOf,
  findValue,
  isEscaped,
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

const BYTE_ORDER_MARK = 0xfeff;

/**
 * Parses one line. A batch (JSON-RPC 2.0 section 6; in MCP only 2025-03-26)
 * gives one message for each element. Some peers write null instead of leaving
 * out a member. SDK peers reject this, so such members are removed from the
 * forwarded text.
 */
export function parseMessages(text: string): Message[] {
  // A parser may ignore a byte order mark (RFC 8259 section 8.1).
  if (text.charCodeAt(0) === BYTE_ORDER_MARK) text = text.slice(1);
  const value = tryParseJson(text);
  return value === undefined
    ? [diagnoseInvalidJson(text)]
    : classifyMessages(value, text);
}

/**
 * Parses a daemon's frame. If it also has other text, only responses count.
 *
 * @param maxEagerChars the largest frame whose result is parsed at once
 */
export function parseFrame(
  text: string,
  maxEagerChars: number = MAX_EAGERLY_PARSED_CHARS,
): Message[] {
  const large = text.length > maxEagerChars
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
  // The rest becomes one invalid message, so it causes one log line.
  const rest = messages.every(isResponse)
    ? invalidMessages.filter((it) => !hasId(it)).slice(0, 1)
    : [createInvalidMessage(ONLY_RESPONSES_BESIDE_TEXT)];
  return [
    ...messages.filter(isResponse),
    ...invalidMessages.filter(hasId),
    ...rest,
  ];
}

/** The largest frame, in UTF-16 units, whose result is parsed at once. */
const MAX_EAGERLY_PARSED_CHARS = 65_536;

/**
 * The maximum size of the envelope at each end of a larger frame. It is also at
 * most half of the frame.
 */
const MAX_ENVELOPE_CHARS = 1_024;
const ID_OR_VERSION = /"(?:jsonrpc|id)"\s*:\s*(?:"[^"\\]*"|-?\d+)\s*/.source;
const RESULT_START = new RegExp(
  `^\\s*\\{\\s*(?:${ID_OR_VERSION},\\s*)*"result"\\s*:\\s*\\{`,
);
const RESULT_END = new RegExp(`\\}\\s*(?:,\\s*${ID_OR_VERSION})*\\}\\s*$`);
/**
 * Signs of a second message, and of values from Python that are not JSON. The
 * search for a text that begins with a quote would take much longer.
 */
const SLOW_PATH_SIGNS: readonly string[] = ['jsonrpc"', "NaN", "Infinity"];
/**
 * Signs that the result ends before the body does, and that what follows may be
 * another text, or may change the message. Only spaces are between the tokens.
 */
const PART_AFTER_OBJECT = /\} *[,{] *"/;
const NOTABLE_PART =
  /, *"(?:id|error|result|method|params)" *:|\\u00[567]|\} *\{/;

/**
 * Reads a frame that is clearly one response, without parsing its result. Any
 * other frame gives `undefined`. This takes about half of the time of
 * `JSON.parse`, and makes no objects. It is fast at once, while a scanner in
 * JavaScript must first warm up.
 *
 * If the frame is JSON, the message is the one that `JSON.parse` would give,
 * with one exception. If the frame ends with a large object behind the result,
 * a null member between the two may be forwarded. If the frame is not JSON:
 *
 * - {@linkcode requireResult} finds that;
 * - the id is the same as in a smaller frame, unless that gives no id;
 * - other text that follows a whole response on its line is forwarded with it,
 *   if that text also ends like a response.
 */
function readLargeResponse(text: string): Response | undefined {
  const envelopeChars = Math.min(MAX_ENVELOPE_CHARS, text.length >> 1);
  const [start] = RESULT_START.exec(text.slice(0, envelopeChars)) ?? [];
  const tail = text.slice(text.length - envelopeChars);
  const [end] = RESULT_END.exec(tail) ?? [];
  if (start === undefined || end === undefined) return undefined;
  const body = text.slice(start.length, -end.length);
  const isPlain =
    // Otherwise the last object of the frame is not the result.
    countOpenObjects(tail.slice(0, tail.length - end.length)) !== 0 &&
    !SLOW_PATH_SIGNS.some((part) => body.includes(part)) &&
    // A JSON string cannot contain control characters (RFC 8259 section 7).
    // Outside strings they are white space, which a compact text does not have.
    // deno-lint-ignore no-control-regex
    !/[\0-\x1f]/.test(body) &&
    // Few bodies have both signs, so few are scanned.
    !(PART_AFTER_OBJECT.test(body) && NOTABLE_PART.test(body) &&
      countOpenObjects(body) !== 1);
  if (!isPlain) return undefined;
  const envelopeText = start + end;
  const envelope = classifyMessage(tryParseJson(envelopeText), envelopeText);
  // If the envelope's text must change, the frame is parsed like any other.
  const isUnchanged = envelope.kind === "response" &&
    envelope.id !== undefined && envelope.text === envelopeText;
  // Of two ids, the second may be that of another object.
  const isIdRepeated =
    envelopeText.indexOf('"id"') !== envelopeText.lastIndexOf('"id"');
  if (!isUnchanged || isIdRepeated) return undefined;
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
 * Returns how many objects are open at the start of a text, if one is open at
 * its end; 0 if that one starts in the text. If a string is open at the start,
 * the number is negative.
 */
function countOpenObjects(text: string): number {
  let depth = 1;
  for (let at = text.length - 1; at >= 0 && depth > 0; at--) {
    const code = text.charCodeAt(at);
    if (code === CLOSING_BRACE) depth++;
    else if (code === OPENING_BRACE) depth--;
    else if (code === QUOTE) {
      // The text is not JSON if a string ends with an escaped quote.
      if (isEscaped(text, at)) return 0;
      do {
        // A negative offset would count as 0.
        at = at === 0 ? -1 : text.lastIndexOf('"', at - 1);
      } while (at !== -1 && isEscaped(text, at));
      if (at === -1) return -depth;
    }
  }
  return depth;
}

const QUOTE = 0x22;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * Returns the response, or an invalid message if the result of a large response
 * is not JSON.
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
  "a frame that also has other text may contain only responses";

function createInvalidMessage(
  reason: string,
  intendedKind: InvalidMessage["intendedKind"] = "request-or-notification",
  id: Id | undefined = undefined,
): InvalidMessage {
  return { kind: "invalid", id, intendedKind, reason };
}

/** Describes a text that is not JSON, and recovers the id of a response. */
function diagnoseInvalidJson(text: string): InvalidMessage {
  const found = recoverLeadingMembers(text);
  const isResponse = found.has("result") || found.has("error");
  const id = isResponse ? parseId(found.get("id")) : undefined;
  return id === undefined
    ? createInvalidMessage(NO_JSON)
    : createInvalidMessage(NO_JSON, "response", id);
}

/** Returns the id in a JSON text; `undefined` if the text is not an id. */
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
  // `includes` is much faster than the regular expression in that function.
  let value = parsed;
  let text = sourceText;
  if (sourceText.includes("\\u00")) {
    ({ value, text } = unescapeMemberNames(parsed, sourceText));
  }
  // Almost all messages are plain ones.
  if (isPlainMessage(value)) {
    const id = idOf(value.id, text);
    const { method, params, result } = value;
    if (id === undefined && value.id === undefined) {
      if (typeof method === "string") {
        const kind = "notification";
        return { kind, method: method as Method, params, text };
      }
    } else if (id !== undefined) {
      return typeof method === "string"
        ? { kind: "request", id, method: method as Method, params, text }
        : { kind: "response", id, result, error: undefined, text };
    }
  }
  return classifyUnusualMessage(value, text);
}

/**
 * Returns true for a call or result of the usual form: version 2.0, no `error`,
 * either a string `method` or an object `result`, `params` only if they are an
 * object, an id that is neither null nor of another type, and nothing null.
 */
function isPlainMessage(value: Record<string, unknown>): boolean {
  const { jsonrpc, id, method, params, result, error } = value;
  if (jsonrpc !== "2.0" || error !== undefined) return false;
  if (typeof method === "string") {
    if (result !== undefined) return false;
    if (params !== undefined && !isRecord(params)) return false;
    if (id !== undefined && typeof id !== "number" && typeof id !== "string") {
      return false;
    }
  } else if (
    method !== undefined || params !== undefined || !isRecord(result)
  ) {
    return false;
  }
  for (const name in value) if (value[name] === null) return false;
  return true;
}

function classifyUnusualMessage(
  value: Record<string, unknown>,
  text: string,
): Message {
  const { error } = value;
  const hasMethod = isPresent(value.method);
  const hasResult = "result" in value;
  // Some servers write all members into every message, with empty values.
  const isError = hasResult || hasMethod
    ? !isEmptyError(error)
    : isPresent(error);
  // A message with a method and without an id is a notification.
  const isResponse = hasMethod
    ? isPresent(value.id) && (isError || isPresent(value.result))
    : isError || hasResult;
  const intendedKind = isResponse
    ? "response"
    : hasMethod || "params" in value
    ? "request-or-notification"
    : "any";
  if (value.jsonrpc !== "2.0") {
    // A log line may also have an id and an error. Its other members show that
    // it is not a response, so its id is not used.
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

/** Creates a response. Removes the members that do not belong in it. */
function toResponse(
  value: Record<string, unknown>,
  isError: boolean,
  text: string,
): Response {
  const id = idOf(value.id, text);
  const forwardedText = withoutMembers(
    text,
    value,
    isError ? isUnwantedInError : isUnwantedInResult,
  );
  if (isError) {
    const normalized = normalizeError(value.error, forwardedText);
    return { kind: "response", id, result: undefined, ...normalized };
  }
  const { result } = value;
  // SDK clients accept only an object. PHP writes an empty object as an array.
  const isEmpty = result === null || isEmptyArray(result);
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
  const keptParams = isEmptyArray(params) ? undefined : params ?? undefined;
  const forwardedText = withoutMembers(text, value, isUnwantedInCall);
  return id === undefined
    ? { kind: "notification", method, params: keptParams, text: forwardedText }
    : { kind: "request", id, method, params: keptParams, text: forwardedText };
}

/** MCP allows only objects here. PHP writes an empty object as an array. */
function isEmptyArray(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** Returns true if peers reject a member with this name and value. */
type MemberPredicate = (name: string, value: unknown) => boolean;

function isUnwantedInCall(name: string, value: unknown): boolean {
  return value === null || name === "error" || name === "result" ||
    name === "params" && isEmptyArray(value);
}

function isUnwantedInResult(name: string, value: unknown): boolean {
  return name === "method" || name === "params" || name === "error" ||
    value === null && name !== "id" && name !== "result";
}

function isUnwantedInError(name: string, value: unknown): boolean {
  return name === "method" || name === "params" || name === "result" ||
    value === null && name !== "id";
}

function withoutMembers(
  text: string,
  value: Record<string, unknown>,
  isUnwanted: MemberPredicate,
): string {
  // Almost no message has such a member, so the check allocates nothing.
  for (const name in value) {
    if (!isUnwanted(name, value[name])) continue;
    const names = Object.keys(value)
      .filter((it) => isUnwanted(it, value[it]));
    return removeMembers(text, names);
  }
  return text;
}

/** Returns true if an error next to a result is falsy, or has no content. */
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
 * Returns a valid error (JSON-RPC 2.0 section 5.1), and the response's text
 * with that error. A code becomes -32603 if it is neither an integer nor a
 * string with one. If it is another string, the message begins with it.
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
    [value, ...ERROR_TEXT_MEMBERS.map((name) => members[name])].find(
      isNonEmptyString,
    ),
  ];
  const message = statedTexts.filter(isNonEmptyString).join(": ") ||
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

function isNonEmptyString(value: unknown): boolean {
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
/** Matches an id at the start. No nested value may come before it. */
const LEADING_ID = new RegExp(
  `^\\s*\\{\\s*(?:"(?:jsonrpc|method)"\\s*:\\s*"[^"\\\\]*"\\s*,\\s*)*${ID_MEMBER}[,}]`,
);
/** Matches an id at the end. The last brace of a line closes the message. */
const TRAILING_ID = new RegExp(`[,{]\\s*${ID_MEMBER}\\}\\s*$`);

/** Returns the id of a request that is too long, from one of its two ends. */
export function recoverRequestId(head: string, tail: string): Id | undefined {
  if (!/^\s*\{[^{[]*"method"\s*:/.test(head + tail)) return undefined;
  return parseId(LEADING_ID.exec(head)?.[1] ?? TRAILING_ID.exec(tail)?.[1]);
}
