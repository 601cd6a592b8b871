/**
 * Parses messages that are framed with `Content-Length` headers, as in the
 * Language Server Protocol, among plain lines.
 *
 * @module
 */

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

/** A client's first `Content-Length` header, or a body framed with one. */
export interface ContentLengthEvent {
  /** Identifies this event. */
  readonly type: "content-length";
  /** The body; absent for the first header. */
  readonly text?: string;
}

const HEADER_LINE = /^[\w-]+[ \t]*:/;
const CONTENT_HEADER = /^content-(?:length|type)[ \t]*:/i;
const LENGTH_HEADER = /^content-length[ \t]*:(.*)/i;

/**
 * Separates framed bodies from lines. A body ends at its `Content-Length`;
 * without a valid one, what follows the headers is lines.
 */
export class ContentLengthParser {
  readonly #maxBodyBytes: number;
  /** Set in headers: 0 before the length. */
  #contentLength: number | undefined;
  #bodyLines: string[] = [];
  #remainingBytes = Infinity;
  #hasReportedHeader = false;

  /** Creates a parser; a body of more bytes is read as lines. */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** How many bytes, from the start of this line, a body still has. */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /** Returns the body, which ends with this part of a line. */
  finishBody(part: string): ContentLengthEvent {
    const text = [...this.#bodyLines, part].join("\n");
    this.#bodyLines = [];
    this.#remainingBytes = Infinity;
    return { type: "content-length", text };
  }

  /** Handles a line; `bytes` is its length with the line break. */
  *handleLine(
    line: InputLine,
    bytes: number,
  ): Generator<InputLine | ContentLengthEvent> {
    // A body has no line that is too long.
    const text = line.type === "line" ? line.text : "too long";
    if (this.#remainingBytes !== Infinity) {
      this.#bodyLines.push(text);
      this.#remainingBytes -= bytes;
    } else if (CONTENT_HEADER.test(text)) {
      this.#contentLength ??= 0;
      const [, lengthText] = LENGTH_HEADER.exec(text) ?? [];
      if (lengthText === undefined) return;
      this.#contentLength = Number(lengthText);
      if (!this.#hasReportedHeader) yield { type: "content-length" };
      this.#hasReportedHeader = true;
    } else if (this.#contentLength !== undefined && text.trim() === "") {
      const length = this.#contentLength;
      const isValid = length > 0 && length <= this.#maxBodyBytes;
      if (isValid) this.#remainingBytes = length;
      this.#contentLength = undefined;
    } else if (this.#contentLength === undefined || !HEADER_LINE.test(text)) {
      this.#contentLength = undefined;
      yield line;
    }
  }

  /** Yields the body that was not complete at the end of the input. */
  *flush(): Generator<ContentLengthEvent> {
    if (this.#bodyLines.length > 0) yield this.finishBody("");
  }
}
