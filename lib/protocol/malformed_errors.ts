/**
 * Normalizes what daemons write in the place of an error object (JSON-RPC 2.0
 * section 5.1), and keeps the daemon's message.
 *
 * @module
 */

import { findValue, prependMember, replaceValue } from "../json/spans.ts";
import { ErrorCode, type ErrorObject, getNested, isRecord } from "./jsonrpc.ts";

/** Whether a value is a valid JSON-RPC error, with an integer code. */
export function isErrorObject(value: unknown): value is ErrorObject {
  return isRecord(value) && Number.isSafeInteger(value.code) &&
    typeof value.message === "string";
}

/**
 * Whether an `error` value next to a result means that there is no error: a
 * falsy value, or an object or array with nothing in it.
 */
export function isEmptyError(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return !value;
  return Object.values(value).every((it) =>
    !it || typeof it === "object" && Object.keys(it).length === 0
  );
}

/**
 * Builds the intended error. A code that is neither an integer nor the text of
 * one becomes -32603; a code that is another text goes into the message.
 *
 * @param text the text of the response
 */
export function normalizeError(error: unknown, text: string): ErrorObject {
  const code = integerCodeOf(getNested(error, "code"));
  const message = errorTextOf(error, code, text);
  const hasData = isRecord(error) && "data" in error;
  return {
    code: code ?? ErrorCode.internal,
    message,
    ...(hasData && { data: error.data }),
  };
}

/** Replaces the error in a response's text; its `data` keeps its text. */
export function replaceErrorMember(text: string, error: ErrorObject): string {
  const { code, message } = error;
  const data = findValue(text, ["error", "data"]);
  const codeAndMessage = JSON.stringify({ code, message });
  const errorText = data === undefined ? codeAndMessage : prependMember(
    codeAndMessage,
    [],
    "data",
    text.slice(data.start, data.end),
  );
  return replaceValue(text, ["error"], errorText);
}

function integerCodeOf(code: unknown): number | undefined {
  const isText = typeof code === "string" && /^-?\d+$/.test(code);
  const number = isText ? Number(code) : code;
  return Number.isSafeInteger(number) ? number as number : undefined;
}

/** How much of a whole error is quoted, in UTF-16 units. */
const MAX_ERROR_TEXT_CHARS = 1_000;
/** The members in which servers put their error message. */
const ERROR_TEXT_MEMBERS = [
  "message",
  "error",
  "detail",
  "reason",
  "description",
];

function errorTextOf(
  error: unknown,
  code: number | undefined,
  text: string,
): string {
  if (typeof error === "string" && error !== "") return error;
  const statedText = isRecord(error)
    ? ERROR_TEXT_MEMBERS.map((name) => getNested(error, name)).find((it) =>
      typeof it === "string" && it !== ""
    )
    : undefined;
  const rawCode = getNested(error, "code");
  const hasTextCode = code === undefined && typeof rawCode === "string";
  if (typeof statedText === "string") {
    return hasTextCode ? `${rawCode}: ${statedText}` : statedText;
  }
  if (hasTextCode) return rawCode;
  const isEmpty = error === "" || isRecord(error) &&
      Object.keys(error).every((name) => name === "code" || name === "data");
  const span = findValue(text, ["error"]);
  return isEmpty || span === undefined
    ? "The daemon did not say why"
    : text.slice(
      span.start,
      Math.min(span.end, span.start + MAX_ERROR_TEXT_CHARS),
    );
}
