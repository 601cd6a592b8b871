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
/** The most UTF-16 units that are joined, except for a longer line. */
const MAX_JOINED_UNITS = 1024 * 1024;
/** The most bytes per write. */
const WRITE_BUFFER_BYTES = 256 * 1024;
/** After a write, lines that follow within this time are written together. */
const BUSY_MS = 0.1;
/** The least bytes of the lines that are decoded together. */
const DECODED_BYTES = 4 * 1024;
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

  /** Returns the lines, headers and framed messages that end in this chunk. */
  push(chunk: Uint8Array): (InputLine | ContentLengthEvent)[] {
    const events: (InputLine | ContentLengthEvent)[] = [];
    for (let at = 0; at < chunk.length;) {
      const end = this.#readLines(chunk, at, events);
      at = end > at ? end : this.#readOne(chunk, at, events);
    }
    return events;
  }

  /**
   * Reads a group of complete lines and returns its end. Decoding them together
   * takes a third of the time. Reads nothing and returns `start` if the first
   * line is unfinished or too long, or if a line may be a `Content-*` header.
   */
  #readLines(
    chunk: Uint8Array,
    start: number,
    events: (InputLine | ContentLengthEvent)[],
  ): number {
    if (this.#lineBytes > 0 || this.#contentLengthParser) return start;
    const end = endOfLines(chunk, start);
    if (end === start || end - start > this.#maxBytes) return start;
    const lines = this.#decoder.decode(chunk.subarray(start, end)).split("\n");
    lines.pop();
    if (lines.some(mayBeContentHeader)) return start;
    for (const line of lines) {
      const isCrLf = line.charCodeAt(line.length - 1) === CR;
      events.push({ type: "line", text: isCrLf ? line.slice(0, -1) : line });
    }
    return end;
  }

  /**
   * Reads one line or framed message, or the unfinished rest of the chunk.
   * Returns its end.
   */
  #readOne(
    chunk: Uint8Array,
    start: number,
    events: (InputLine | ContentLengthEvent)[],
  ): number {
    const end = chunk.indexOf(LF, start);
    const parser = this.#contentLengthParser;
    const bodyBytes = parser?.remainingBytes ?? Infinity;
    const bodyEnd = start + bodyBytes - this.#lineBytes;
    if (
      parser !== undefined && bodyEnd <= chunk.length &&
      (end === -1 || bodyEnd <= end)
    ) {
      this.#append(chunk.subarray(start, bodyEnd));
      events.push(parser.finishBody(this.#text));
      this.#startLine();
      return bodyEnd;
    }
    if (end === -1) {
      this.#append(chunk.subarray(start));
      return chunk.length;
    }
    const bytes = this.#lineBytes + end + 1 - start;
    const line = this.#finishLine(chunk.subarray(start, end));
    if (line.type === "line" && FIRST_CONTENT_HEADER.test(line.text)) {
      this.#contentLengthParser ??= new ContentLengthParser(this.#maxBytes);
    }
    if (this.#contentLengthParser === undefined) events.push(line);
    else events.push(...this.#contentLengthParser.handleLine(line, bytes));
    return end + 1;
  }

  /** Returns the unfinished line or framed message at the end of the input. */
  flush(): (InputLine | ContentLengthEvent)[] {
    const events = this.#lineBytes > 0 ? this.push(Uint8Array.of(LF)) : [];
    return [...events, ...this.#contentLengthParser?.flush() ?? []];
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

/**
 * Returns the end of a group of complete lines from `start` on, or `start` if
 * no line ends. A group has {@linkcode DECODED_BYTES} or one line more, because
 * a line that is kept for long keeps the text of its whole group.
 */
function endOfLines(chunk: Uint8Array, start: number): number {
  const rest = chunk.length - start;
  return rest <= DECODED_BYTES
    ? Math.max(start, chunk.lastIndexOf(LF) + 1)
    : Math.max(start, chunk.indexOf(LF, start + DECODED_BYTES) + 1);
}

/** Returns true if a line begins with the first letter of `Content-`. */
function mayBeContentHeader(line: string): boolean {
  const first = line.charCodeAt(0);
  return first === 0x63 || first === 0x43;
}

/** Writes some of the bytes. The number is a promise if that takes time. */
export type WriteBytes = (bytes: Uint8Array) => number | Promise<number>;

/** Writes lines in order, and never blocks the caller. */
export class LineWriter {
  readonly #write: WriteBytes;
  readonly #maxUnits: number;
  readonly #onError: () => void;
  readonly #yieldToEvents: () => Promise<void>;
  readonly #encoder = new TextEncoder();
  /** Takes the bytes of each write, so that none needs a new buffer. */
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #pending: string[] = [];
  #backlog = 0;
  #isWriting = false;
  #isBroken = false;
  /** When the last write ended that took no time, in ms. */
  #wroteAtOnceAt = -Infinity;
  /** The functions to call after the next write. */
  #waiting: (() => void)[] = [];

  /**
   * Creates a writer with an empty buffer.
   *
   * @param maxUnits how many UTF-16 units may be buffered; lines above that are
   * dropped
   * @param onError called once, when a write has failed; nothing is written
   * after that
   * @param yieldToEvents waits for other events, whose lines are then written
   * together
   */
  constructor(
    write: WriteBytes,
    maxUnits: number,
    onError: () => void,
    yieldToEvents: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#write = write;
    this.#maxUnits = maxUnits;
    this.#onError = onError;
    this.#yieldToEvents = yieldToEvents;
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
    while (this.#backlog > maxUnits) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async #writePending(): Promise<void> {
    this.#isWriting = true;
    // Waits, so that lines pushed in the same turn need only one write. If the
    // last write was just now, many lines arrive, so it waits for the others.
    const idleMs = performance.now() - this.#wroteAtOnceAt;
    await (idleMs < BUSY_MS ? this.#yieldToEvents() : Promise.resolve());
    const buffer = this.#buffer ??= new Uint8Array(WRITE_BUFFER_BYTES);
    while (this.#pending.length > 0) {
      const batch = this.#takeBatch();
      try {
        for (let at = 0; at < batch.length;) {
          const rest = at === 0 ? batch : batch.slice(at);
          const { read, written } = this.#encoder.encodeInto(rest, buffer);
          for (let start = 0; start < written;) {
            const size = this.#write(buffer.subarray(start, written));
            if (typeof size === "number") {
              start += size;
              this.#wroteAtOnceAt = performance.now();
            } else start += await size;
          }
          at += read;
        }
        this.#backlog -= batch.length;
      } catch {
        this.#isBroken = true;
        this.#pending = [];
        this.#backlog = 0;
        this.#onError();
      }
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resolve of waiting) resolve();
    }
    this.#isWriting = false;
  }

  /** Removes and returns the lines for one write, at least one. */
  #takeBatch(): string {
    const lines = this.#pending;
    if (this.#backlog <= MAX_JOINED_UNITS) {
      this.#pending = [];
      return lines.length === 1 ? `${lines[0]}\n` : `${lines.join("\n")}\n`;
    }
    let units = 0;
    const end = lines.findIndex((line) =>
      (units += line.length + 1) > MAX_JOINED_UNITS
    );
    const taken = lines.splice(0, end === -1 ? Infinity : end || 1);
    return `${taken.join("\n")}\n`;
  }
}
