/**
 * Tests which bytes are decoded as UTF-8, and which are refused.
 *
 * @module
 */

import { decodeUtf8, NotUtf8Error } from "../../../lib/text/utf8.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const BYTES: [what: string, bytes: number[], text: string | undefined][] = [
  ["U+FFFD", [0xef, 0xbf, 0xbd], "\ufffd"],
  ["a byte order mark", [0xef, 0xbb, 0xbf, 0x7b], "\ufeff{"],
  ["four bytes", [0xf0, 0x9f, 0x98, 0x80], "\u{1f600}"],
  ["Latin 1", [0x22, 0xe4, 0x22], undefined],
  ["UTF-16", [0xff, 0xfe, 0x7b, 0x00], undefined],
  ["half a character", [0x22, 0xc3], undefined],
  ["a surrogate", [0xed, 0xa0, 0x80], undefined],
  ["a character in more bytes than it needs", [0xc0, 0xaf], undefined],
];

test("UTF-8: refuses every sequence of bytes that is not UTF-8", () => {
  for (const [what, bytes, text] of BYTES) {
    const read = (): string => decodeUtf8(new Uint8Array(bytes));
    if (text !== undefined) assertEquals(read(), text, what);
    else assertThrows(read, NotUtf8Error, "text in UTF-");
  }
});

test("UTF-8: the error names UTF-16 only if the bytes begin with its byte order mark", () => {
  for (
    const [why, ...bytes] of [
      ["it is text in UTF-16, as Windows PowerShell", 0xff, 0xfe, 0x7b, 0x00],
      ["it is text in UTF-16, as Windows PowerShell", 0xfe, 0xff, 0x00, 0x7b],
      ["it is not text in UTF-8", 0x22, 0xe4],
      ["it is not text in UTF-8", 0xff],
      ["it is not text in UTF-8", 0x7b, 0xff, 0xfe],
    ] as [string, ...number[]][]
  ) {
    assertThrows(() => decodeUtf8(new Uint8Array(bytes)), NotUtf8Error, why);
  }
});
