/**
 * The messages in a frame. A frame should hold one JSON text (RFC 6455 knows
 * messages), but bridges carry whatever a process has written: several lines,
 * a byte order mark, NUL or 0x1e (RFC 7464) around a text, log lines beside it.
 *
 * @module
 */

import { jsonIn, valueEnd } from "./json_text.ts";
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
  /** The lines that hold other text. */
  readonly others: readonly string[];
}

/** Tells a message from any other JSON object. */
export type IsMessage = (
  value: Record<string, unknown>,
  text: string,
) => boolean;

/** How many pieces of a frame are looked at. */
const PIECE_LIMIT = 1_000;
/** What stands in no JSON text but between its tokens. */
// deno-lint-ignore no-control-regex
const BREAKS = /[\r\n\0\x1e]+/;
// deno-lint-ignore no-control-regex
const BLANK = /[ \t\r\n\0\x1e\ufeff]*/y;
const BLANKS = " \t\r\n\0\x1e\ufeff";

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
  const value = jsonIn(text);
  if (value !== undefined) return { found: [{ text, value }], others: [] };
  const bare = text.slice(skipBlank(text, 0), blankEnd(text));
  const inside = jsonIn(bare);
  if (inside !== undefined) {
    return { found: [{ text: bare, value: inside }], others: [] };
  }
  const whole = sequence(text, isMessage, PIECE_LIMIT);
  if (whole !== undefined) return { found: whole, others: [] };
  const found: Piece[] = [];
  const others: string[] = [];
  // The last one is only known to be there.
  const lines = text.split(BREAKS, PIECE_LIMIT + 1);
  for (const line of lines.slice(0, PIECE_LIMIT)) {
    if (line.trim() === "") continue;
    const pieces = sequence(line, isMessage, PIECE_LIMIT - found.length);
    if (pieces === undefined) others.push(line);
    else found.push(...pieces);
  }
  if (lines.length > PIECE_LIMIT) others.push("");
  return { found, others };
}

/** The messages that a text is, one after another; `undefined` where it is, or also is, something else. */
function sequence(
  text: string,
  isMessage: IsMessage,
  limit: number,
): Piece[] | undefined {
  const pieces: Piece[] = [];
  for (
    let at = skipBlank(text, 0);
    at < text.length;
    at = skipBlank(text, at)
  ) {
    if (text[at] !== "{" || pieces.length >= limit) return undefined;
    const end = valueEnd(text, at);
    const piece = text.slice(at, end);
    const value = jsonIn(piece);
    if (!isRecord(value) || !isMessage(value, piece)) return undefined;
    pieces.push({ text: piece, value });
    at = end;
  }
  return pieces.length > 0 ? pieces : undefined;
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
