/**
 * The messages in a frame. A frame should hold one JSON text (RFC 6455 knows
 * messages), but bridges carry whatever a process has written: several lines,
 * a byte order mark, NUL or 0x1e (RFC 7464) around a text, log lines beside it.
 *
 * @module
 */

import { closedEnd, jsonIn, membersBeforeBreak } from "../json/spans.ts";
import { isRecord, MEMBERS } from "./jsonrpc.ts";

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
/** How many objects that do not end with their line, and are no JSON, are looked at: the end of each may be looked for until that of the frame. */
const BROKEN_LIMIT = 10;
/** How much of such an object shows whether it begins as a message. */
const HEAD = 1_000;
/** The members that messages have, exai's too. */
const NAMES = [...MEMBERS, "op", "request_id"];
/** Line breaks, and the marks that some peers put between texts. */
// deno-lint-ignore no-control-regex
const BREAK = /[\r\n\0\x1e]/g;
const BLANKS = " \t\r\n\0\x1e\ufeff";
const BLANK = new RegExp(`[${BLANKS}]*`, "y");
const SPACE = /[ \t]*/y;

/**
 * Takes a frame apart, in linear time. Only a frame that is no JSON text as a
 * whole is looked into: a line counts if it is messages one after another. JSON
 * inside other text is never looked for, because a line of a log may quote a
 * message.
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
  if (value !== undefined) return whole(text, value);
  const bare = text.slice(skip(BLANK, text, 0), blankEnd(text));
  const inside = bare.length < text.length ? jsonIn(bare) : undefined;
  return inside === undefined ? lines(bare, isMessage) : whole(bare, inside);
}

function whole(text: string, value: unknown): Pieces {
  return { found: [{ text, value }], others: [], isCut: false };
}

/** The messages that lines are, each one or several; a message may have several lines. */
function lines(text: string, isMessage: IsMessage): Pieces {
  const found: Piece[] = [];
  const others: string[] = [];
  let broken = 0;
  for (
    let at = skip(BLANK, text, 0);
    at < text.length;
    at = skip(BLANK, text, at)
  ) {
    const room = PIECE_LIMIT - found.length - others.length;
    if (room <= 0 || broken > BROKEN_LIMIT) {
      return { found, others, isCut: true };
    }
    const line = messagesAt(text, at, isMessage, room);
    BREAK.lastIndex = line.end;
    const { index: end } = BREAK.exec(text) ?? { index: text.length };
    if (line.isBroken) {
      const rest = text.slice(line.end, end);
      const isClosed = closedEnd(rest, 0) !== undefined;
      // What is behind it may belong to it, even where it looks like a message.
      if (!isClosed && isBegun(text.slice(line.end, line.end + HEAD))) {
        found.push(...line.pieces);
        others.push(text.slice(line.end));
        break;
      }
      if (!isClosed) broken++;
    }
    // Other text behind a message makes it a quoted one.
    const isCounted = line.end === end || text[line.end] === "{";
    if (isCounted) found.push(...line.pieces);
    const start = isCounted && line.pieces.length > 0 ? line.end : at;
    const isFull = line.pieces.length === room;
    if (start < end && !isFull) others.push(text.slice(start, end));
    at = isFull ? line.end : end;
  }
  return { found, others, isCut: false };
}

/**
 * The messages one after another that begin at a place.
 *
 * @returns also where they end, and whether an object begins there that is no JSON
 */
function messagesAt(
  text: string,
  start: number,
  isMessage: IsMessage,
  limit: number,
): { pieces: Piece[]; end: number; isBroken: boolean } {
  const pieces: Piece[] = [];
  let at = start;
  while (text[at] === "{" && pieces.length < limit) {
    const end = closedEnd(text, at);
    const piece = text.slice(at, end);
    const value = end === undefined ? undefined : jsonIn(piece);
    if (end === undefined || value === undefined) {
      return { pieces, end: at, isBroken: true };
    }
    if (!isRecord(value) || !isMessage(value, piece)) break;
    pieces.push({ text: piece, value });
    at = skip(SPACE, text, end);
  }
  return { pieces, end: at, isBroken: false };
}

/** Whether a text that breaks off begins as a message. */
function isBegun(head: string): boolean {
  const found = membersBeforeBreak(head);
  return NAMES.some((name) => found.has(name));
}

/** Where the blanks begin that end a text. */
function blankEnd(text: string): number {
  let at = text.length;
  while (at > 0 && BLANKS.includes(text[at - 1]!)) at--;
  return at;
}

/** The place behind what a sticky expression matches there. */
function skip(blanks: RegExp, text: string, at: number): number {
  blanks.lastIndex = at;
  blanks.test(text);
  return blanks.lastIndex;
}
