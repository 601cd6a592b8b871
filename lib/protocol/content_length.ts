/**
 * Parses messages that are framed with `Content-Length` headers, as in the
 * Language Server Protocol, among plain lines.
 *
 * @module
 */

import { tryParseJson } from "../json/spans.ts";

/** A line of input, or what was kept of one that was too long. */
export type InputLine =
  /** A complete line. */
  | { readonly type: "line"; readonly text: string }
  /** A line that was too long to be kept; only its ends were. */
  | {
    readonly type: "line-too-long";
    readonly bytes: number;
    readonly head: string;
    readonly tail: string;
  };
/**
 * Reports that a client uses `Content-Length` framing, or carries the body of
 * such a frame.
 */
export interface ContentLengthEvent {
  /** Identifies this event. */
  readonly type: "content-length";
  /** The body; absent for the first header. */
  readonly text?: string;
}

const HEADER_LINE = /^[\w-]+[ \t]*:/;
const CONTENT_HEADER = /^content-(?:length|type)[ \t]*:/i;
const LENGTH_HEADER = /^content-length[ \t]*:(.*)/i;
/** A body need not end with a line break before the next header. */
const TRAILING_LENGTH_HEADER =
  /(?:^|[^\w"-])(?=content-length[ \t]*:[ \t]*\d+[ \t]*$)/i;
/** How far from its end a line is searched for a header, in UTF-16 units. */
const HEADER_SEARCH_CHARS = 80;

/**
 * Separates framed bodies from lines. A body ends at its `Content-Length` if it
 * is valid JSON there. If not, the length was wrong, and the body ends with the
 * line. A line that is a message by itself, or ends with another header, ends
 * the body in any case. So a wrong length costs one body, and nothing after it.
 */
export class ContentLengthParser {
  readonly #maxBodyBytes: number;
  #state: "lines" | "headers" | "body" = "lines";
  /**
   * The length in the headers; `NaN` if it is invalid, `undefined` if there is
   * none yet.
   */
  #contentLength: number | undefined;
  /** The complete lines of the body. */
  #bodyLines: string[] = [];
  #remainingBytes = Infinity;
  #hasReportedHeader = false;

  /**
   * Creates a parser that has seen no header.
   *
   * @param maxBodyBytes the longest body that is read by its length, in bytes
   */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /**
   * How many bytes, from the start of the current line, the body may still
   * have; `Infinity` if only a line break can end it.
   */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /**
   * Returns the body if it ends with this part of a line, at its
   * `Content-Length`.
   */
  tryFinishBody(part: string): ContentLengthEvent | undefined {
    const text = [...this.#bodyLines, part].join("\n");
    if (tryParseJson(text) !== undefined) return this.#finishBody(text);
    // The length is wrong: the line break must end the body.
    this.#remainingBytes = Infinity;
    return undefined;
  }

  /** Handles a line; `bytes` is its length with the line break. */
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

  /** Yields the body that was not complete at the end of the input. */
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
    // A body that is too large to buffer cannot be read by its length.
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
