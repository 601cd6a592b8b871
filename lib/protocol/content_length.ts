/**
 * Messages that are framed with `Content-Length` headers, as the Language
 * Server Protocol has them, among lines.
 *
 * @module
 */

import { jsonIn } from "../json/spans.ts";

/** A line as it came, or what is left of one that was not kept. */
export type Line =
  /** A line came on stdin. */
  | { readonly type: "line"; readonly text: string }
  /** A line on stdin was too long to be kept, but for its ends. */
  | {
    readonly type: "overlong";
    readonly bytes: number;
    readonly head: string;
    readonly tail: string;
  };
/** What says that a client frames its messages, or what stood in such a frame. */
export interface Framed {
  /** What kind of event it is. */
  readonly type: "framed";
  /** The text of a body; absent for the first header. */
  readonly text?: string;
}

const HEADER = /^[\w-]+[ \t]*:/;
const KNOWN = /^content-(?:length|type)[ \t]*:/i;
const AT_START = /^content-length[ \t]*:(.*)/i;
/** The body before a header may have no line break. */
const AT_END = /(?:^|[^\w"-])(?=content-length[ \t]*:[ \t]*\d+[ \t]*$)/i;
/** How far from its end a line is searched for a header, in UTF-16 units. */
const NEAR = 80;

/**
 * Tells bodies from lines. A body ends where its header says if it is JSON
 * there. If not, the length was wrong, and it ends with the line. A line that
 * is a message by itself, or ends with another header, ends it in any case: so
 * a wrong length costs one body, and never what comes behind it.
 */
export class ContentLength {
  readonly #limit: number;
  #state: "lines" | "headers" | "body" = "lines";
  /** What the headers say; `NaN` where it is no length, `undefined` as long as they do not say it. */
  #length: number | undefined;
  /** The lines of the body that have ended. */
  #lines: string[] = [];
  #room = Infinity;
  #isKnown = false;

  /** A reader that knows of no header. @param limit the longest body that is read by its length, in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many bytes from the start of the current line the body may still have; infinite where only a line break can end it. */
  get room(): number {
    return this.#room;
  }

  /** The body, if it ends with this part of a line, where its length says. */
  whole(part: string): Framed | undefined {
    const text = [...this.#lines, part].join("\n");
    if (jsonIn(text) !== undefined) return this.#close(text);
    // A wrong length: the line break has to end it.
    this.#room = Infinity;
    return undefined;
  }

  /** What a line means that had so many bytes with its line break. */
  *take(line: Line, bytes: number): Generator<Line | Framed> {
    if (line.type === "overlong") {
      this.#close("");
      return yield line;
    }
    const { text } = line;
    if (this.#state === "body") {
      yield* this.#inBody(line, bytes);
    } else if (KNOWN.test(text)) {
      this.#state = "headers";
      yield* this.#header(text);
    } else if (this.#state === "headers" && text.trim() === "") {
      this.#open();
    } else if (this.#state === "lines" || !HEADER.test(text)) {
      this.#state = "lines";
      this.#length = undefined;
      yield line;
    }
  }

  /** The body that nothing ended. */
  *flush(): Generator<Framed> {
    if (this.#lines.length > 0) yield this.#close(this.#lines.join("\n"));
  }

  *#inBody(
    line: Extract<Line, { type: "line" }>,
    bytes: number,
  ): Generator<Line | Framed> {
    const { text } = line;
    const near = Math.max(0, text.length - NEAR);
    const header = AT_END.exec(text.slice(near));
    if (header !== null) {
      const end = near + header.index + header[0].length;
      yield this.#close([...this.#lines, text.slice(0, end)].join("\n"));
      this.#state = "headers";
      yield* this.#header(text.slice(end));
    } else if (/^[{[]/.test(text) && jsonIn(text) !== undefined) {
      if (this.#lines.length > 0) {
        yield this.#close(this.#lines.join("\n"));
        yield line;
      } else yield this.#close(text);
    } else {
      this.#lines.push(text);
      this.#room -= bytes;
      const isOver = this.#room <= 0 || this.#room === Infinity;
      if (isOver) yield this.#close(this.#lines.join("\n"));
    }
  }

  *#header(text: string): Generator<Framed> {
    const [, found] = AT_START.exec(text) ?? [];
    if (found === undefined) return;
    this.#length = /^\s*\d+\s*$/.test(found) ? Number(found) : NaN;
    if (!this.#isKnown) yield { type: "framed" };
    this.#isKnown = true;
  }

  #open(): void {
    const length = this.#length;
    this.#length = undefined;
    this.#state = length === undefined || length === 0 ? "lines" : "body";
    // What cannot be kept cannot be read either.
    const isUsable = length !== undefined && length > 0 &&
      length <= this.#limit;
    this.#room = isUsable ? length : Infinity;
  }

  #close(text: string): Framed {
    this.#state = "lines";
    this.#lines = [];
    this.#room = Infinity;
    return { type: "framed", text };
  }
}
