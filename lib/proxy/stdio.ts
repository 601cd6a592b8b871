/**
 * Turns bytes into lines and lines into bytes.
 *
 * @module
 */

import {
  type ContentLengthEvent,
  ContentLengthParser,
  type InputLine,
} from "../protocol/content_length.ts";

const LF = 0x0a;
const CR = 0x0d;
/** How many bytes of each end of a line that is too long are kept. */
const EDGE_BYTES = 1024;
/** Parts of a line are joined up to this size, in bytes. */
const JOIN_LIMIT_BYTES = 16 * 1024;
/** How much is written at once, in UTF-16 units. */
const MAX_WRITE_UNITS = 1024 * 1024;

/**
 * Splits bytes into lines: LF or CRLF ends a line, and characters may be split
 * over chunks. The work is linear in the bytes: each one is read once and
 * copied at most twice. After a `Content-Length` header, the length ends the
 * message instead.
 */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #decoder = new TextDecoder();
  readonly #contentLengthParser: ContentLengthParser;
  #parts: Uint8Array[] = [];
  #size = 0;
  /** The two ends of a line over the limit. */
  #edges: { head: Uint8Array; tail: Uint8Array } | undefined;

  /**
   * Creates a splitter at the start of a line.
   *
   * @param maxBytes the longest line that is kept whole, in bytes; of a longer
   * one, only its length and its ends are
   */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#contentLengthParser = new ContentLengthParser(maxBytes);
  }

  /** Yields the lines that end in this chunk. */
  *push(chunk: Uint8Array): Generator<InputLine | ContentLengthEvent> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      const bodyEnd = start + this.#contentLengthParser.remainingBytes -
        this.#size;
      if (bodyEnd <= chunk.length && (end === -1 || bodyEnd <= end)) {
        this.#append(chunk.slice(start, bodyEnd));
        start = bodyEnd;
        const body = this.#contentLengthParser.tryFinishBody(
          this.#decode(concatBytes(this.#parts)),
        );
        if (body === undefined) continue;
        this.#reset();
        yield body;
        continue;
      }
      if (end === -1) break;
      const bytes = this.#size + end + 1 - start;
      yield* this.#contentLengthParser.handleLine(
        this.#finishLine(chunk.subarray(start, end)),
        bytes,
      );
      start = end + 1;
    }
    if (start < chunk.length) this.#append(chunk.slice(start));
  }

  /** Yields the last line, which has no line break. */
  *flush(): Generator<InputLine | ContentLengthEvent> {
    const size = this.#size;
    if (size > 0) {
      yield* this.#contentLengthParser.handleLine(
        this.#finishLine(new Uint8Array()),
        size,
      );
    }
    yield* this.#contentLengthParser.flush();
  }

  #append(part: Uint8Array): void {
    this.#size += part.length;
    this.#parts.push(part);
    // Single bytes must not cost an object each.
    for (let last = this.#parts.length - 1; last > 0; last--) {
      const pair = this.#parts.slice(last - 1);
      if (
        pair[0]!.length > pair[1]!.length || pair[1]!.length > JOIN_LIMIT_BYTES
      ) break;
      this.#parts.splice(last - 1, 2, concatBytes(pair));
    }
    if (this.#size <= this.#maxBytes) return;
    const whole = concatBytes(this.#parts);
    const head = this.#edges?.head ?? whole.slice(0, EDGE_BYTES);
    this.#edges = { head, tail: whole.slice(-EDGE_BYTES) };
    this.#parts = [this.#edges.tail];
  }

  #finishLine(part: Uint8Array): InputLine {
    // Most lines lie in one chunk and need no copy.
    if (this.#size === 0 && part.length <= this.#maxBytes) {
      return { type: "line", text: this.#decode(part) };
    }
    this.#append(part);
    const [bytes, edges, whole] = [
      this.#size,
      this.#edges,
      concatBytes(this.#parts),
    ];
    this.#reset();
    if (edges === undefined) return { type: "line", text: this.#decode(whole) };
    const [head, tail] = [this.#decode(edges.head), this.#decode(edges.tail)];
    return { type: "line-too-long", bytes, head, tail };
  }

  #reset(): void {
    this.#size = 0;
    this.#parts = [];
    this.#edges = undefined;
  }

  #decode(bytes: Uint8Array): string {
    const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    return this.#decoder.decode(bytes.subarray(0, end));
  }
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(
    parts.reduce((size, part) => size + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Writes lines in order, as fast as the reader accepts them, and never blocks
 * the caller.
 */
export class LineWriter {
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #maxUnits: number;
  readonly #onError: () => void;
  readonly #encoder = new TextEncoder();
  #pending: string[] = [];
  #pendingUnits = 0;
  #draining: Promise<void> | undefined;
  #isBroken = false;
  /** Callers that wait until less is buffered. */
  #waiters: { readonly level: number; readonly resolve: () => void }[] = [];

  /**
   * Creates a writer with an empty buffer.
   *
   * @param write writes some of the bytes and resolves with their number
   * @param maxUnits how many UTF-16 units may be buffered; lines above that are
   * dropped
   * @param onError called once, when a write has failed; nothing is written
   * after that
   */
  constructor(
    write: (bytes: Uint8Array) => Promise<number>,
    maxUnits: number,
    onError: () => void,
  ) {
    this.#write = write;
    this.#maxUnits = maxUnits;
    this.#onError = onError;
  }

  /** Writes a line after the lines before it. */
  push(line: string): void {
    if (this.#isBroken || this.#pendingUnits > this.#maxUnits) return;
    this.#pending.push(line);
    this.#pendingUnits += line.length;
    this.#draining ??= this.#drain();
  }

  /** How many UTF-16 units are buffered. */
  get pendingUnits(): number {
    return this.#pendingUnits;
  }

  /**
   * Resolves when at most `level` UTF-16 units are buffered, or writing has
   * failed.
   */
  async drainedTo(level: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push({ level, resolve });
    await Promise.race([promise, this.#draining]);
  }

  /** Resolves when the buffer is empty. */
  async drained(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    // Lines pushed in the same turn go out with the same write.
    await Promise.resolve();
    try {
      while (this.#pending.length > 0) {
        const bytes = this.#encoder.encode(this.#takeBatch());
        for (let at = 0; at < bytes.length;) {
          at += await this.#write(bytes.subarray(at));
        }
        for (const waiter of this.#waiters) {
          if (this.#pendingUnits <= waiter.level) waiter.resolve();
        }
        this.#waiters = this.#waiters.filter(({ level }) =>
          this.#pendingUnits > level
        );
      }
    } catch {
      this.#isBroken = true;
      this.#pending = [];
      this.#pendingUnits = 0;
      this.#onError();
    }
    this.#draining = undefined;
  }

  /** Takes as many lines as fit into one write, but at least one. */
  #takeBatch(): string {
    let size = 0;
    const isWithin = (line: string): boolean =>
      (size += line.length) <= MAX_WRITE_UNITS;
    const end = this.#pending.findIndex((line) => !isWithin(line));
    const lines = this.#pending.splice(0, end === -1 ? Infinity : end || 1);
    const text = lines.join("\n") + "\n";
    this.#pendingUnits -= text.length - lines.length;
    return text;
  }
}
