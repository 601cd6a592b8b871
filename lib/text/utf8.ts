/**
 * Strict decoding of UTF-8.
 *
 * @module
 */

/** The message names the encoding and shows nothing of the content. */
export class NotUtf8Error extends Error {}

/**
 * Decodes bytes as text and keeps a byte order mark: what is written back must
 * not differ from what was read. Throws a {@linkcode NotUtf8Error}.
 */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch {
    const [first, second] = bytes;
    const isUtf16 = first === 0xff && second === 0xfe ||
      first === 0xfe && second === 0xff;
    throw new NotUtf8Error(
      isUtf16
        ? "it is text in UTF-16, as Windows PowerShell's > writes it, and " +
          "must be in UTF-8"
        : "it is not text in UTF-8",
    );
  }
}
