/**
 * Strict decoding of UTF-8.
 *
 * @module
 */

/**
 * Thrown for a file that is not UTF-8; the message names the encoding and shows
 * nothing of the content.
 */
export class NotUtf8Error extends Error {}

/**
 * Decodes bytes as text and keeps a byte order mark. A decoder that is not
 * fatal would put U+FFFD in the place of invalid bytes. A file may contain that
 * character itself, so what is written back would differ from what was read.
 *
 * @throws {NotUtf8Error} if the bytes are not UTF-8
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
