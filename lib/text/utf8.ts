/**
 * Decodes UTF-8, and rejects everything else.
 *
 * @module
 */

/** The bytes are not UTF-8. The message quotes nothing of them. */
export class NotUtf8Error extends Error {}

/**
 * Decodes bytes as UTF-8. A byte order mark is kept, so that text that is
 * written back has the same bytes.
 *
 * @throws {NotUtf8Error} if the bytes are not valid UTF-8
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
