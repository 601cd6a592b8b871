/**
 * Splits the bytes of stdin into lines, and writes lines to stdout and stderr.
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
/** How many bytes are kept of each end of a line that is too long. */
const EDGE_BYTES = 1024;
/** The most UTF-16 units per write, except for a longer line. */
const MAX_WRITE_UNITS = 1024 * 1024;
/** Matches a header line of a client that frames its messages with headers. */
const FIRST_CONTENT_HEADER = /^content-/i;

/**
 * Splits bytes into lines. LF or CRLF ends a line. A line or a character may be
 * spread over several chunks. The work is linear in the number of bytes. After
 * a `Content-Length` header, the message ends after that many bytes instead.
 */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #decoder = new TextDecoder();
  /** Undefined until the first `Content-*` header. */
  #contentLengthParser: ContentLengthParser | undefined;
  /** The bytes of the unfinished line; only its end if it is over the limit. */
  #buffer = new Uint8Array();
  #bufferedBytes = 0;
  /** The length of the unfinished line so far. */
  #lineBytes = 0;
  /** The start of the unfinished line if it is over the limit. */
  #head: string | undefined;

  /** Creates a splitter that keeps only both ends of a line over `maxBytes`. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Yields the lines, headers and framed messages that end in this chunk. */
  *push(chunk: Uint8Array): Generator<InputLine | ContentLengthEvent> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      const parser = this.#contentLengthParser;
      const bodyBytes = parser?.remainingBytes ?? Infinity;
      const bodyEnd = start + bodyBytes - this.#lineBytes;
      if (
        parser !== undefined && bodyEnd <= chunk.length &&
        (end === -1 || bodyEnd <= end)
      ) {
        this.#append(chunk.subarray(start, bodyEnd));
        start = bodyEnd;
        yield parser.finishBody(this.#text);
        this.#startLine();
        continue;
      }
      if (end === -1) break;
      const bytes = this.#lineBytes + end + 1 - start;
      const line = this.#finishLine(chunk.subarray(start, end));
      start = end + 1;
      if (line.type === "line" && FIRST_CONTENT_HEADER.test(line.text)) {
        this.#contentLengthParser ??= new ContentLengthParser(this.#maxBytes);
      }
      if (this.#contentLengthParser === undefined) yield line;
      else yield* this.#contentLengthParser.handleLine(line, bytes);
    }
    if (start < chunk.length) this.#append(chunk.subarray(start));
  }

  /** Yields the unfinished line or framed message at the end of the input. */
  *flush(): Generator<InputLine | ContentLengthEvent> {
    if (this.#lineBytes > 0) yield* this.push(Uint8Array.of(LF));
    if (this.#contentLengthParser) yield* this.#contentLengthParser.flush();
  }

  #append(part: Uint8Array): void {
    const size = this.#bufferedBytes + part.length;
    if (size > this.#buffer.length) {
      const doubled = Math.min(2 * this.#buffer.length, this.#maxBytes);
      const larger = new Uint8Array(Math.max(size, doubled));
      larger.set(this.#buffer.subarray(0, this.#bufferedBytes));
      this.#buffer = larger;
    }
    this.#buffer.set(part, this.#bufferedBytes);
    this.#bufferedBytes = size;
    this.#lineBytes += part.length;
    if (this.#lineBytes <= this.#maxBytes) return;
    this.#head ??= this.#decode(this.#buffer.subarray(0, EDGE_BYTES));
    this.#buffer = this.#buffer.slice(Math.max(0, size - EDGE_BYTES), size);
    this.#bufferedBytes = this.#buffer.length;
  }

  #finishLine(part: Uint8Array): InputLine {
    // Most lines lie in one chunk, so they need no copy.
    if (this.#lineBytes === 0 && part.length <= this.#maxBytes) {
      return { type: "line", text: this.#decode(part) };
    }
    this.#append(part);
    const [text, bytes, head] = [this.#text, this.#lineBytes, this.#head];
    this.#startLine();
    return head === undefined
      ? { type: "line", text }
      : { type: "line-too-long", bytes, head, tail: text };
  }

  #startLine(): void {
    this.#buffer = new Uint8Array();
    this.#bufferedBytes = 0;
    this.#lineBytes = 0;
    this.#head = undefined;
  }

  get #text(): string {
    return this.#decode(this.#buffer.subarray(0, this.#bufferedBytes));
  }

  #decode(bytes: Uint8Array): string {
    const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    return this.#decoder.decode(bytes.subarray(0, end));
  }
}

/** Writes lines in order, and never blocks the caller. */
export class LineWriter {
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #maxUnits: number;
  readonly #onError: () => void;
  readonly #encoder = new TextEncoder();
  #pending: string[] = [];
  #backlog = 0;
  #isWriting = false;
  #isBroken = false;
  /** Resolves after the next write. */
  #written = Promise.withResolvers<void>();

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

  /** Queues a line. Drops it if the buffer is full or writing has failed. */
  push(line: string): void {
    if (this.#isBroken || this.#backlog > this.#maxUnits) return;
    this.#pending.push(line);
    this.#backlog += line.length + 1;
    if (!this.#isWriting) void this.#writePending();
  }

  /** The number of UTF-16 units that are not written yet. */
  get backlog(): number {
    return this.#backlog;
  }

  /** Resolves when at most `maxUnits` are unwritten, or writing has failed. */
  async drained(maxUnits: number = 0): Promise<void> {
    while (this.#backlog > maxUnits) await this.#written.promise;
  }

  async #writePending(): Promise<void> {
    this.#isWriting = true;
    // Waits, so that lines pushed in the same turn need only one write.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const batch = this.#takeBatch();
      try {
        const bytes = this.#encoder.encode(batch);
        for (let at = 0; at < bytes.length;) {
          at += await this.#write(bytes.subarray(at));
        }
        this.#backlog -= batch.length;
      } catch {
        this.#isBroken = true;
        this.#pending = [];
        this.#backlog = 0;
        this.#onError();
      }
      this.#written.resolve();
      this.#written = Promise.withResolvers();
    }
    this.#isWriting = false;
  }

  /** Removes and returns the lines for one write, at least one. */
  #takeBatch(): string {
    let units = 0;
    const end = this.#pending.findIndex((line) =>
      (units += line.length + 1) > MAX_WRITE_UNITS
    );
    const lines = this.#pending.splice(0, end === -1 ? Infinity : end || 1);
    return `${lines.join("\n")}\n`;
  }
}
