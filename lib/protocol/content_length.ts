/**
 * Parses messages that are framed with `Content-Length` headers, as in the
 * Language Server Protocol. Plain lines may stand between them.
 *
 * @module
 */

/** A line of input, or the two ends of a line that was too long. */
export type InputLine =
  /** A complete line. */
  | { readonly type: "line"; readonly text: string }
  /** A line that was too long to keep. Only its first and last part remain. */
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
 * Separates framed bodies from plain lines. The `Content-Length` says where a
 * body ends. If it is invalid, the text after the headers is read as lines.
 */
export class ContentLengthParser {
  readonly #maxBodyBytes: number;
  /** The body's length while headers are read: 0 until it is known. */
  #contentLength: number | undefined;
  #bodyLines: string[] = [];
  #remainingBytes = Infinity;
  #hasReportedHeader = false;

  /** Creates a parser. A body over `maxBodyBytes` is read as lines. */
  constructor(maxBodyBytes: number) {
    this.#maxBodyBytes = maxBodyBytes;
  }

  /** The body's bytes after its complete lines; `Infinity` outside a body. */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /** Ends the body with this part of a line, and returns the body. */
  finishBody(part: string): ContentLengthEvent {
    const text = [...this.#bodyLines, part].join("\n");
    this.#bodyLines = [];
    this.#remainingBytes = Infinity;
    return { type: "content-length", text };
  }

  /**
   * Handles a line, and yields it if it is neither a header nor in a body.
   * `bytes` is its length, including the line break.
   */
  *handleLine(
    line: InputLine,
    bytes: number,
  ): Generator<InputLine | ContentLengthEvent> {
    // A body is not longer than a line may be, so its lines are complete.
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

  /** Yields the body that is incomplete when the input ends. */
  *flush(): Generator<ContentLengthEvent> {
    if (this.#bodyLines.length > 0) yield this.finishBody("");
  }
}
