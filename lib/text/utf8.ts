/**
 * Bytes as text in UTF-8.
 *
 * @module
 */

/** Thrown where a file is no text that we read; says what it is, and shows nothing of it. */
export class NotUtf8Error extends Error {}

/**
 * Bytes as text, with their byte order mark if they have one. Throws if they are
 * not UTF-8: a decoder that is not fatal puts U+FFFD in their place, which a file
 * may hold itself, and what is written back would not be what was read.
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
