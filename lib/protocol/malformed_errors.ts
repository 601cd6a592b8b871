/**
 * What daemons write where an error object belongs (JSON-RPC 2.0 section 5.1):
 * the error as it was meant, with the daemon's words.
 *
 * @module
 */

import { insert, locate, replace } from "../json/spans.ts";
import { Code, dig, type ErrorObject, isRecord } from "./jsonrpc.ts";

/** Whether a value is an error as JSON-RPC has it, with a whole number for a code. */
export function isErrorObject(value: unknown): value is ErrorObject {
  return isRecord(value) && Number.isSafeInteger(value.code) &&
    typeof value.message === "string";
}

/** Whether a value beside a result says that there is no error: nothing, or an object or a list in which nothing is said. */
export function isNoError(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return !value;
  return Object.values(value).every((it) =>
    !it || typeof it === "object" && Object.keys(it).length === 0
  );
}

/**
 * An error as it was meant. A code that is neither a whole number nor the text
 * of one becomes -32603; a code that is another text is among the words.
 *
 * @param text the answer's
 */
export function meant(error: unknown, text: string): ErrorObject {
  const code = codeOf(dig(error, "code"));
  const message = wordsOf(error, code, text);
  const isData = isRecord(error) && "data" in error;
  return {
    code: code ?? Code.internal,
    message,
    ...(isData && { data: error.data }),
  };
}

/** An answer's text with the error as it was meant; its `data` stays as it is spelled. */
export function withError(text: string, error: ErrorObject): string {
  const { code, message } = error;
  const data = locate(text, ["error", "data"]);
  const said = JSON.stringify({ code, message });
  const whole = data === undefined
    ? said
    : insert(said, [], "data", text.slice(data.start, data.end));
  return replace(text, ["error"], whole);
}

function codeOf(code: unknown): number | undefined {
  const isText = typeof code === "string" && /^-?\d+$/.test(code);
  const number = isText ? Number(code) : code;
  return Number.isSafeInteger(number) ? number as number : undefined;
}

/** How much of a whole error is said, in UTF-16 units. */
const WORDS_LIMIT = 1_000;
/** The members in which servers put what they have to say. */
const WORDS = ["message", "error", "detail", "reason", "description"];

function wordsOf(
  error: unknown,
  code: number | undefined,
  text: string,
): string {
  if (typeof error === "string" && error !== "") return error;
  const said = isRecord(error)
    ? WORDS.map((name) => dig(error, name)).find((it) =>
      typeof it === "string" && it !== ""
    )
    : undefined;
  const kind = dig(error, "code");
  const isNamed = code === undefined && typeof kind === "string";
  if (typeof said === "string") return isNamed ? `${kind}: ${said}` : said;
  if (isNamed) return kind;
  const isEmpty = error === "" || isRecord(error) &&
      Object.keys(error).every((name) => name === "code" || name === "data");
  const span = locate(text, ["error"]);
  return isEmpty || span === undefined
    ? "The daemon did not say why"
    : text.slice(span.start, Math.min(span.end, span.start + WORDS_LIMIT));
}
