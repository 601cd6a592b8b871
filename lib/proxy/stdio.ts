/**
 * Bytes to lines and lines to bytes.
 *
 * @module
 */

import {
  ContentLength,
  type Framed,
  type Line,
} from "../protocol/content_length.ts";

const LF = 0x0a;
const CR = 0x0d;
/** How much is kept of each end of a line that is too long, in bytes. */
const END = 1024;
/** Up to here parts of a line are joined while it grows, in bytes. */
const SMALL = 16 * 1024;
/** How much is written at once, in UTF-16 units. */
const BATCH = 1024 * 1024;

/**
 * Splits bytes into lines: LF or CRLF ends one, and characters may be split
 * over chunks. The work is linear in the bytes: each is looked at once and
 * copied at most twice. Only after a `Content-Length` header does something
 * else end a piece: the length.
 */
export class LineSplitter {
  readonly #limit: number;
  readonly #decoder = new TextDecoder();
  readonly #framing: ContentLength;
  #parts: Uint8Array[] = [];
  #size = 0;
  /** The ends of a line over the limit. */
  #ends: { head: Uint8Array; tail: Uint8Array } | undefined;

  /**
   * A splitter at the start of a line.
   *
   * @param limit the longest line that is kept, in bytes; of a longer one only the length is
   */
  constructor(limit: number) {
    this.#limit = limit;
    this.#framing = new ContentLength(limit);
  }

  /** The lines that end in this chunk. */
  *push(chunk: Uint8Array): Generator<Line | Framed> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      const due = start + this.#framing.room - this.#size;
      if (due <= chunk.length && (end === -1 || due <= end)) {
        this.#keep(chunk.slice(start, due));
        start = due;
        const body = this.#framing.whole(this.#decode(join(this.#parts)));
        if (body === undefined) continue;
        this.#forget();
        yield body;
        continue;
      }
      if (end === -1) break;
      const bytes = this.#size + end + 1 - start;
      yield* this.#framing.take(this.#end(chunk.subarray(start, end)), bytes);
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.slice(start));
  }

  /** The line that nothing ended. */
  *flush(): Generator<Line | Framed> {
    const size = this.#size;
    if (size > 0) yield* this.#framing.take(this.#end(new Uint8Array()), size);
    yield* this.#framing.flush();
  }

  #keep(part: Uint8Array): void {
    this.#size += part.length;
    this.#parts.push(part);
    // Bytes that come one by one must not cost an object each.
    for (let last = this.#parts.length - 1; last > 0; last--) {
      const pair = this.#parts.slice(last - 1);
      if (pair[0]!.length > pair[1]!.length || pair[1]!.length > SMALL) break;
      this.#parts.splice(last - 1, 2, join(pair));
    }
    if (this.#size <= this.#limit) return;
    const whole = join(this.#parts);
    const head = this.#ends?.head ?? whole.slice(0, END);
    this.#ends = { head, tail: whole.slice(-END) };
    this.#parts = [this.#ends.tail];
  }

  #end(part: Uint8Array): Line {
    // Most lines lie in one chunk, and need no copy.
    if (this.#size === 0 && part.length <= this.#limit) {
      return { type: "line", text: this.#decode(part) };
    }
    this.#keep(part);
    const [bytes, ends, whole] = [this.#size, this.#ends, join(this.#parts)];
    this.#forget();
    if (ends === undefined) return { type: "line", text: this.#decode(whole) };
    const [head, tail] = [this.#decode(ends.head), this.#decode(ends.tail)];
    return { type: "overlong", bytes, head, tail };
  }

  #forget(): void {
    this.#size = 0;
    this.#parts = [];
    this.#ends = undefined;
  }

  #decode(bytes: Uint8Array): string {
    const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
    return this.#decoder.decode(bytes.subarray(0, end));
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
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
 * Writes lines in order, as fast as the reader takes them, without ever making
 * the caller wait.
 */
export class LineWriter {
  readonly #write: (bytes: Uint8Array) => Promise<number>;
  readonly #limit: number;
  readonly #onError: () => void;
  readonly #encoder = new TextEncoder();
  #pending: string[] = [];
  #size = 0;
  #pump: Promise<void> | undefined;
  #isBroken = false;
  /** Who waits until less is left to be written. */
  #low: { readonly mark: number; readonly reached: () => void }[] = [];

  /**
   * A writer to which nothing has been said.
   *
   * @param write writes some of the bytes and says how many
   * @param limit how many UTF-16 units may wait; what comes above is dropped
   * @param onError called once, when writing has failed; nothing is written after that
   */
  constructor(
    write: (bytes: Uint8Array) => Promise<number>,
    limit: number,
    onError: () => void,
  ) {
    this.#write = write;
    this.#limit = limit;
    this.#onError = onError;
  }

  /** Writes a line when the lines before it are written. */
  push(line: string): void {
    if (this.#isBroken || this.#size > this.#limit) return;
    this.#pending.push(line);
    this.#size += line.length;
    this.#pump ??= this.#drain();
  }

  /** How much waits to be written, in UTF-16 units. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when no more than so many UTF-16 units wait, or nothing can be written any more. */
  async below(mark: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#low.push({ mark, reached: resolve });
    await Promise.race([promise, this.#pump]);
  }

  /** Resolves when nothing waits to be written. */
  async idle(): Promise<void> {
    await this.#pump;
  }

  async #drain(): Promise<void> {
    // What else is said in this turn goes out with the same write.
    await Promise.resolve();
    try {
      while (this.#pending.length > 0) {
        const bytes = this.#encoder.encode(this.#batch());
        for (let at = 0; at < bytes.length;) {
          at += await this.#write(bytes.subarray(at));
        }
        for (const it of this.#low) if (this.#size <= it.mark) it.reached();
        this.#low = this.#low.filter(({ mark }) => this.#size > mark);
      }
    } catch {
      this.#isBroken = true;
      this.#pending = [];
      this.#size = 0;
      this.#onError();
    }
    this.#pump = undefined;
  }

  /** As many of the lines as one write is good for, but at least one. */
  #batch(): string {
    let size = 0;
    const isWithin = (line: string): boolean => (size += line.length) <= BATCH;
    const end = this.#pending.findIndex((line) => !isWithin(line));
    const lines = this.#pending.splice(0, end === -1 ? Infinity : end || 1);
    const text = lines.join("\n") + "\n";
    this.#size -= text.length - lines.length;
    return text;
  }
}
