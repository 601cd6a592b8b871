/**
 * Finds the messages in a WebSocket frame. A frame should hold one JSON text.
 * But bridges forward whatever a process writes: several lines, a byte order
 * mark, NUL or 0x1e (RFC 7464) around a text, or log lines next to it.
 *
 * @module
 */

import {
  findClosedValueEnd,
  memberSpansOf,
  recoverLeadingMembers,
  skipChars,
  tryParseJson,
} from "../json/spans.ts";
import { isRecord } from "./jsonrpc.ts";

/** A JSON text in a frame. Its top-level member names contain no escapes. */
export interface JsonPiece {
  /** The JSON text. */
  readonly text: string;
  /** The parsed value. */
  readonly value: unknown;
}

/** The parts of a frame. */
export interface FramePieces {
  /** The JSON texts, in order. */
  readonly jsonPieces: readonly JsonPiece[];
  /** The lines with other text. The last item may be several lines. */
  readonly otherTexts: readonly string[];
  /** True if a limit was reached, and the rest was not examined. */
  readonly isTruncated: boolean;
}

/** Returns true if a JSON object is a message. */
export type MessagePredicate = (value: Record<string, unknown>) => boolean;

const MAX_PIECES = 1_000;
/**
 * The maximum number of invalid objects that are examined although they are
 * not closed on their line. For each one, the search for its end may reach the
 * end of the frame.
 */
const MAX_BROKEN_OBJECTS = 10;
/** How many characters of such an object are searched for message members. */
const OBJECT_HEAD_CHARS = 1_000;
/** Line breaks, and separators that some peers put between texts. */
// deno-lint-ignore no-control-regex
const TEXT_SEPARATOR = /[\r\n\0\x1e]/g;
const FRAME_BLANKS = " \t\r\n\0\x1e\ufeff";
/**
 * Splits a frame in linear time. A frame that is not one JSON text is examined
 * line by line. The messages at the start of a line count, unless text that is
 * not an object follows them. JSON inside other text is ignored, because a log
 * line may quote a message.
 *
 * @param memberNames a broken object with one of these members is a message
 */
export function splitFrame(
  text: string,
  isMessage: MessagePredicate,
  memberNames: readonly string[],
): FramePieces {
  const start = skipChars(text, 0, FRAME_BLANKS);
  let end = text.length;
  while (end > start && FRAME_BLANKS.includes(text[end - 1]!)) end--;
  const trimmedText = text.slice(start, end);
  const value = tryParseJson(trimmedText);
  if (value === undefined) {
    return splitLines(trimmedText, isMessage, memberNames);
  }
  const jsonPieces = [
    isRecord(value)
      ? unescapeMemberNames(value, trimmedText)
      : { text: trimmedText, value },
  ];
  return { jsonPieces, otherTexts: [], isTruncated: false };
}

/** Splits lines. A line may hold several messages; a message may span lines. */
function splitLines(
  text: string,
  isMessage: MessagePredicate,
  memberNames: readonly string[],
): FramePieces {
  const jsonPieces: JsonPiece[] = [];
  const otherTexts: string[] = [];
  let brokenCount = 0;
  for (
    let at = 0;
    at < text.length;
    at = skipChars(text, at, FRAME_BLANKS)
  ) {
    const remaining = MAX_PIECES - jsonPieces.length - otherTexts.length;
    if (remaining <= 0 || brokenCount > MAX_BROKEN_OBJECTS) {
      return { jsonPieces, otherTexts, isTruncated: true };
    }
    const messages = readMessagesAt(text, at, isMessage, remaining);
    TEXT_SEPARATOR.lastIndex = messages.otherEnd;
    const { index: end } = TEXT_SEPARATOR.exec(text) ?? { index: text.length };
    if (messages.isBroken) {
      const rest = text.slice(messages.end, end);
      if (findClosedValueEnd(rest, 0) === undefined) {
        const head = text.slice(messages.end, messages.end + OBJECT_HEAD_CHARS);
        const found = recoverLeadingMembers(head);
        // This is a broken message. The rest of the frame may belong to it,
        // even if it looks like a message.
        if (memberNames.some((name) => found.has(name))) {
          jsonPieces.push(...messages.pieces);
          otherTexts.push(text.slice(messages.end));
          break;
        }
        brokenCount++;
      }
    }
    // If other text follows a message, the text quotes that message.
    const isCounted = messages.end === end || text[messages.end] === "{";
    if (isCounted) jsonPieces.push(...messages.pieces);
    const start = isCounted && messages.pieces.length > 0 ? messages.end : at;
    const isFull = messages.pieces.length === remaining;
    if (start < end && !isFull) otherTexts.push(text.slice(start, end));
    at = isFull ? messages.end : end;
  }
  return { jsonPieces, otherTexts, isTruncated: false };
}

/**
 * Reads consecutive messages. If `isBroken`, a broken object is at `end`.
 * Another object at `end` reaches to `otherEnd`, possibly on a later line.
 */
function readMessagesAt(
  text: string,
  start: number,
  isMessage: MessagePredicate,
  limit: number,
): {
  pieces: JsonPiece[];
  end: number;
  otherEnd: number;
  isBroken: boolean;
} {
  const pieces: JsonPiece[] = [];
  let at = start;
  while (text[at] === "{" && pieces.length < limit) {
    const end = findClosedValueEnd(text, at);
    const pieceText = text.slice(at, end);
    const value = end === undefined ? undefined : tryParseJson(pieceText);
    if (end === undefined || !isRecord(value)) {
      return { pieces, end: at, otherEnd: at, isBroken: true };
    }
    const piece = unescapeMemberNames(value, pieceText);
    if (!isMessage(piece.value)) {
      return { pieces, end: at, otherEnd: end, isBroken: false };
    }
    pieces.push(piece);
    at = skipChars(text, end, " \t");
  }
  return { pieces, end: at, otherEnd: at, isBroken: false };
}

/** Matches escapes from 0050 to 007f, which include `_` and small letters. */
const ESCAPED_NAME_CHAR = /\\u00[567]/;

/**
 * Returns a parsed message whose member names are written without escapes.
 * `JSON.parse` confuses a name that has an escape with another name that it has
 * seen before (V8 in Deno 2.9.6). The client's parser may do the same.
 */
export function unescapeMemberNames(
  parsed: Record<string, unknown>,
  text: string,
): JsonPiece & { readonly value: Record<string, unknown> } {
  if (!ESCAPED_NAME_CHAR.test(text)) return { value: parsed, text };
  const escaped = memberSpansOf(text).filter(({ start, nameEnd }) =>
    text.slice(start, nameEnd).includes("\\")
  );
  if (escaped.length === 0) return { value: parsed, text };
  let unescapedText = "";
  let from = 0;
  for (const { name, start, nameEnd } of escaped) {
    unescapedText += text.slice(from, start) + JSON.stringify(name);
    from = nameEnd;
  }
  unescapedText += text.slice(from);
  return { value: JSON.parse(unescapedText), text: unescapedText };
}
