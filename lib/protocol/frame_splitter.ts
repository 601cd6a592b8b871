/**
 * Finds the messages in a WebSocket frame. A frame should hold one JSON text
 * (RFC 6455 has message boundaries), but bridges forward whatever a process has
 * written: several lines, a byte order mark, NUL or 0x1e (RFC 7464) around a
 * text, log lines next to it.
 *
 * @module
 */

import {
  findClosedValueEnd,
  recoverLeadingMembers,
  tryParseJson,
} from "../json/spans.ts";
import { isRecord, MESSAGE_MEMBERS } from "./jsonrpc.ts";

/** A JSON text in a frame, and its value. */
export interface JsonPiece {
  /** The JSON text. */
  readonly text: string;
  /** The parsed value. */
  readonly value: unknown;
}

/** The contents of a frame. */
export interface FramePieces {
  /** The JSON texts, in order. */
  readonly jsonPieces: readonly JsonPiece[];
  /** The lines with other text; the last one may be the whole rest. */
  readonly otherTexts: readonly string[];
  /** There was more than the limit; the rest was not examined. */
  readonly isTruncated: boolean;
}

/** Returns whether a JSON object is a message. */
export type MessagePredicate = (
  value: Record<string, unknown>,
  text: string,
) => boolean;

/** How many pieces of a frame are examined. */
const MAX_PIECES = 1_000;
/**
 * How many invalid objects without an end on their line are examined: finding
 * the end of each may take a search to the end of the frame.
 */
const MAX_BROKEN_OBJECTS = 10;
/**
 * How much of such an object is examined to see whether it begins like a
 * message.
 */
const OBJECT_HEAD_CHARS = 1_000;
/** The members of messages, including exai's. */
const KNOWN_MEMBERS = [...MESSAGE_MEMBERS, "op", "request_id"];
/** Line breaks, and the separators that some peers put between texts. */
// deno-lint-ignore no-control-regex
const TEXT_SEPARATOR = /[\r\n\0\x1e]/g;
const FRAME_BLANK_CHARS = " \t\r\n\0\x1e\ufeff";
const FRAME_BLANKS = new RegExp(`[${FRAME_BLANK_CHARS}]*`, "y");
const INLINE_SPACES = /[ \t]*/y;

/**
 * Splits a frame, in linear time. A frame that is not one JSON text is examined
 * line by line: a line counts if it consists of messages only. JSON inside
 * other text is ignored, because a log line may quote a message.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const { jsonPieces } = splitFrame('{"a":1}\n{"a":2}\n', () => true);
 * assertEquals(jsonPieces.map(({ text }) => text), ['{"a":1}', '{"a":2}']);
 * ```
 */
export function splitFrame(
  text: string,
  isMessage: MessagePredicate,
): FramePieces {
  const value = tryParseJson(text);
  if (value !== undefined) return toSinglePiece(text, value);
  const trimmedText = text.slice(
    skipMatch(FRAME_BLANKS, text, 0),
    findTrailingBlanks(text),
  );
  const trimmedValue = trimmedText.length < text.length
    ? tryParseJson(trimmedText)
    : undefined;
  return trimmedValue === undefined
    ? splitLines(trimmedText, isMessage)
    : toSinglePiece(trimmedText, trimmedValue);
}

function toSinglePiece(text: string, value: unknown): FramePieces {
  return { jsonPieces: [{ text, value }], otherTexts: [], isTruncated: false };
}

/**
 * Splits a text by lines; a line may hold several messages, and a message may
 * span several lines.
 */
function splitLines(text: string, isMessage: MessagePredicate): FramePieces {
  const jsonPieces: JsonPiece[] = [];
  const otherTexts: string[] = [];
  let brokenCount = 0;
  for (
    let at = skipMatch(FRAME_BLANKS, text, 0);
    at < text.length;
    at = skipMatch(FRAME_BLANKS, text, at)
  ) {
    const remaining = MAX_PIECES - jsonPieces.length - otherTexts.length;
    if (remaining <= 0 || brokenCount > MAX_BROKEN_OBJECTS) {
      return { jsonPieces, otherTexts, isTruncated: true };
    }
    const line = readMessagesAt(text, at, isMessage, remaining);
    TEXT_SEPARATOR.lastIndex = line.end;
    const { index: end } = TEXT_SEPARATOR.exec(text) ?? { index: text.length };
    if (line.isBroken) {
      const rest = text.slice(line.end, end);
      const isClosed = findClosedValueEnd(rest, 0) !== undefined;
      // What follows may belong to it, even if it looks like a message.
      if (
        !isClosed &&
        startsLikeMessage(text.slice(line.end, line.end + OBJECT_HEAD_CHARS))
      ) {
        jsonPieces.push(...line.pieces);
        otherTexts.push(text.slice(line.end));
        break;
      }
      if (!isClosed) brokenCount++;
    }
    // A message followed by other text is a quoted one.
    const isCounted = line.end === end || text[line.end] === "{";
    if (isCounted) jsonPieces.push(...line.pieces);
    const start = isCounted && line.pieces.length > 0 ? line.end : at;
    const isFull = line.pieces.length === remaining;
    if (start < end && !isFull) otherTexts.push(text.slice(start, end));
    at = isFull ? line.end : end;
  }
  return { jsonPieces, otherTexts, isTruncated: false };
}

/**
 * Reads consecutive messages from an offset.
 *
 * @returns also where they end, and whether an object begins there that is not
 * valid JSON
 */
function readMessagesAt(
  text: string,
  start: number,
  isMessage: MessagePredicate,
  limit: number,
): { pieces: JsonPiece[]; end: number; isBroken: boolean } {
  const pieces: JsonPiece[] = [];
  let at = start;
  while (text[at] === "{" && pieces.length < limit) {
    const end = findClosedValueEnd(text, at);
    const piece = text.slice(at, end);
    const value = end === undefined ? undefined : tryParseJson(piece);
    if (end === undefined || value === undefined) {
      return { pieces, end: at, isBroken: true };
    }
    if (!isRecord(value) || !isMessage(value, piece)) break;
    pieces.push({ text: piece, value });
    at = skipMatch(INLINE_SPACES, text, end);
  }
  return { pieces, end: at, isBroken: false };
}

/** Whether a truncated text begins like a message. */
function startsLikeMessage(head: string): boolean {
  const found = recoverLeadingMembers(head);
  return KNOWN_MEMBERS.some((name) => found.has(name));
}

/** The offset of the trailing blanks of a text. */
function findTrailingBlanks(text: string): number {
  let at = text.length;
  while (at > 0 && FRAME_BLANK_CHARS.includes(text[at - 1]!)) at--;
  return at;
}

/** The offset after the match of a sticky expression. */
function skipMatch(blanks: RegExp, text: string, at: number): number {
  blanks.lastIndex = at;
  blanks.test(text);
  return blanks.lastIndex;
}
