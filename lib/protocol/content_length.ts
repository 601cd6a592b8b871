/**
 * Messages that are framed with `Content-Length` headers, as the Language
 * Server Protocol has them, among lines.
 *
 * @module
 */

import { tryParseJson } from "../json/spans.ts";

/** A line as it came, or what is left of one that was not kept. */
export type InputLine =
  /** A line came on stdin. */
  | { readonly type: "line"; readonly text: string }
  /** A line on stdin was too long to be kept, but for its ends. */
  | {
    readonly type: "line-too-long";
    readonly bytes: number;
    readonly head: string;
    readonly tail: string;
  };
/** What says that a client frames its messages, or what stood in such a frame. */
export interface ContentLengthEvent {
  /** What kind of event it is. */
  readonly type: "content-length";
  /** The text of a body; absent for the first header. */
  readonly text?: string;
}

const HEADER_LINE = /^[\w-]+[ \t]*:/;
const CONTENT_HEADER = /^content-(?:length|type)[ \t]*:/i;
const LENGTH_HEADER = /^content-length[ \t]*:(.*)/i;
/** The body before a header may have no line break. */
const TRAILING_LENGTH_HEADER =
  /(?:^|[^\w"-])(?=content-length[ \t]*:[ \t]*\d+[ \t]*$)/i;
/** How far from its end a line is searched for a header, in UTF-16 units. */
const HEADER_SEARCH_CHARS = 80;

/**
 * Tells bodies from lines. A body ends where its header says if it is JSON
 * there. If not, the length was wrong, and it ends with the line. A line that
 * is a message by itself, or ends with another header, ends it in any case: so
 * a wrong length costs one body, and never what comes behind it.
 */
export class ContentLengthParser {
  readonly #maxBodyBytes: number;
  #state: "lines" | "headers" | "body" = "lines";
  /** What the headers say; `NaN` where it is no length, `undefined` as long as they do not say it. */
  #contentLength: number | undefined;
  /** The lines of the body that have ended. */
  #bodyLines: string[] = [];
  #remainingBytes = Infinity;
  #hasReportedHeader = false;

  /** A reader that knows of no header. @param maxBodyBytes the longest body that is read by its length, in bytes */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** How many bytes from the start of the current line the body may still have; infinite where only a line break can end it. */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /** The body, if it ends with this part of a line, where its length says. */
  tryFinishBody(part: string): ContentLengthEvent | undefined {
    const text = [...this.#bodyLines, part].join("\n");
    if (tryParseJson(text) !== undefined) return this.#finishBody(text);
    // A wrong length: the line break has to end it.
    this.#remainingBytes = Infinity;
    return undefined;
  }

  /** What a line means that had so many bytes with its line break. */
  *handleLine(
    line: InputLine,
    bytes: number,
  ): Generator<InputLine | ContentLengthEvent> {
    if (line.type === "line-too-long") {
      this.#finishBody("");
      return yield line;
    }
    const { text } = line;
    if (this.#state === "body") {
      yield* this.#handleBodyLine(line, bytes);
    } else if (CONTENT_HEADER.test(text)) {
      this.#state = "headers";
      yield* this.#handleHeader(text);
    } else if (this.#state === "headers" && text.trim() === "") {
      this.#startBody();
    } else if (this.#state === "lines" || !HEADER_LINE.test(text)) {
      this.#state = "lines";
      this.#contentLength = undefined;
      yield line;
    }
  }

  /** The body that nothing ended. */
  *flush(): Generator<ContentLengthEvent> {
    if (this.#bodyLines.length > 0) {
      yield this.#finishBody(this.#bodyLines.join("\n"));
    }
  }

  *#handleBodyLine(
    line: Extract<InputLine, { type: "line" }>,
    bytes: number,
  ): Generator<InputLine | ContentLengthEvent> {
    const { text } = line;
    const searchStart = Math.max(0, text.length - HEADER_SEARCH_CHARS);
    const header = TRAILING_LENGTH_HEADER.exec(text.slice(searchStart));
    if (header !== null) {
      const end = searchStart + header.index + header[0].length;
      yield this.#finishBody(
        [...this.#bodyLines, text.slice(0, end)].join("\n"),
      );
      this.#state = "headers";
      yield* this.#handleHeader(text.slice(end));
    } else if (/^[{[]/.test(text) && tryParseJson(text) !== undefined) {
      if (this.#bodyLines.length > 0) {
        yield this.#finishBody(this.#bodyLines.join("\n"));
        yield line;
      } else yield this.#finishBody(text);
    } else {
      this.#bodyLines.push(text);
      this.#remainingBytes -= bytes;
      const isOver = this.#remainingBytes <= 0 ||
        this.#remainingBytes === Infinity;
      if (isOver) yield this.#finishBody(this.#bodyLines.join("\n"));
    }
  }

  *#handleHeader(text: string): Generator<ContentLengthEvent> {
    const [, lengthText] = LENGTH_HEADER.exec(text) ?? [];
    if (lengthText === undefined) return;
    this.#contentLength = /^\s*\d+\s*$/.test(lengthText)
      ? Number(lengthText)
      : NaN;
    if (!this.#hasReportedHeader) yield { type: "content-length" };
    this.#hasReportedHeader = true;
  }

  #startBody(): void {
    const length = this.#contentLength;
    this.#contentLength = undefined;
    this.#state = length === undefined || length === 0 ? "lines" : "body";
    // What cannot be kept cannot be read either.
    const isUsable = length !== undefined && length > 0 &&
      length <= this.#maxBodyBytes;
    this.#remainingBytes = isUsable ? length : Infinity;
  }

  #finishBody(text: string): ContentLengthEvent {
    this.#state = "lines";
    this.#bodyLines = [];
    this.#remainingBytes = Infinity;
    return { type: "content-length", text };
  }
}
