/**
 * The messages in a frame. A frame should hold one JSON text (RFC 6455 knows
 * messages), but bridges carry whatever a process has written: several lines,
 * a byte order mark, NUL or 0x1e (RFC 7464) around a text, log lines beside it.
 *
 * @module
 */

import { closedEnd, jsonIn } from "./json_text.ts";
import { isRecord } from "./jsonrpc.ts";

/** A JSON text in a frame, and its value. */
export interface Piece {
  /** The text. */
  readonly text: string;
  /** What it says. */
  readonly value: unknown;
}

/** What a frame holds. */
export interface Pieces {
  /** The JSON texts, in order. */
  readonly found: readonly Piece[];
  /** The lines that hold other text; the last may be all that is left. */
  readonly others: readonly string[];
  /** There was more than is looked at. */
  readonly isCut: boolean;
}

/** Tells a message from any other JSON object. */
export type IsMessage = (
  value: Record<string, unknown>,
  text: string,
) => boolean;

/** How many pieces of a frame are looked at. */
const PIECE_LIMIT = 1_000;
/** Line breaks, and the marks that some peers put between texts. */
// deno-lint-ignore no-control-regex
const BREAKS = /[\r\n\0\x1e]+/g;
const BLANKS = " \t\r\n\0\x1e\ufeff";
const BLANK = new RegExp(`[${BLANKS}]*`, "y");

/**
 * Takes a frame apart, in linear time. Only a frame that is no JSON text as a
 * whole is looked into: it is messages one after another, or else each of its
 * lines is. JSON inside other text is never looked for, because a line of a log
 * may quote a message.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert/equals.js";
 *
 * const { found } = piecesOf('{"a":1}\n{"a":2}\n', () => true);
 * assertEquals(found.map(({ text }) => text), ['{"a":1}', '{"a":2}']);
 * ```
 */
export function piecesOf(text: string, isMessage: IsMessage): Pieces {
  const none = { others: [], isCut: false };
  const value = jsonIn(text);
  if (value !== undefined) return { found: [{ text, value }], ...none };
  const bare = text.slice(skipBlank(text, 0), blankEnd(text));
  const inside = jsonIn(bare);
  if (inside !== undefined) {
    return { found: [{ text: bare, value: inside }], ...none };
  }
  const whole = sequence(bare, isMessage);
  if (whole.isFull || whole.end === bare.length) {
    return { ...none, found: whole.pieces, isCut: whole.isFull };
  }
  return lines(bare, isMessage);
}

/** The messages that lines are, each one or several; what is behind a line that breaks off may belong to it, and is one text with it. */
function lines(text: string, isMessage: IsMessage): Pieces {
  const found: Piece[] = [];
  const others: string[] = [];
  for (let at = 0; at < text.length;) {
    if (found.length + others.length >= PIECE_LIMIT) {
      return { found, others, isCut: true };
    }
    BREAKS.lastIndex = at;
    const { index: end } = BREAKS.exec(text) ?? { index: text.length };
    const line = text.slice(skipBlank(text, at), end);
    const { pieces, end: read, isOpen, isFull } = sequence(line, isMessage);
    if (isFull) return { found: [...found, ...pieces], others, isCut: true };
    if (isOpen) {
      others.push(text.slice(skipBlank(text, at)));
      break;
    }
    if (read === line.length) found.push(...pieces);
    else others.push(line);
    at = skipBlank(text, end);
  }
  return { found, others, isCut: false };
}

/**
 * The messages that a text begins with, one after another.
 *
 * @returns also where they end, whether a value begins there that does not end,
 * and whether there are more than are looked at
 */
function sequence(
  text: string,
  isMessage: IsMessage,
): { pieces: Piece[]; end: number; isOpen: boolean; isFull: boolean } {
  const pieces: Piece[] = [];
  let at = skipBlank(text, 0);
  let isOpen = /[["]/.test(text[at] ?? "") && closedEnd(text, at) === undefined;
  while (text[at] === "{" && pieces.length < PIECE_LIMIT) {
    const end = closedEnd(text, at);
    isOpen = end === undefined;
    if (end === undefined) break;
    const piece = text.slice(at, end);
    const value = jsonIn(piece);
    if (!isRecord(value) || !isMessage(value, piece)) break;
    pieces.push({ text: piece, value });
    at = skipBlank(text, end);
  }
  const isFull = pieces.length === PIECE_LIMIT && at < text.length;
  return { pieces, end: at, isOpen, isFull };
}

/** Where the blanks begin that end a text. */
function blankEnd(text: string): number {
  let at = text.length;
  while (at > 0 && BLANKS.includes(text[at - 1]!)) at--;
  return at;
}

function skipBlank(text: string, at: number): number {
  BLANK.lastIndex = at;
  BLANK.test(text);
  return BLANK.lastIndex;
}
