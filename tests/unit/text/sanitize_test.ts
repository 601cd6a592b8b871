/**
 * Tests that a text of a peer becomes one line without control characters.
 *
 * @module
 */

import { sanitizeLine } from "../../../lib/text/sanitize.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Sanitize: makes one line without control characters", () => {
  assertEquals(sanitizeLine("a\r\nb\tc\x1b[31md\x7f\u009be"), "a b c [31md e");
  // Characters that change the text direction can reorder the shown text.
  const turns = [0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e];
  for (const code of [...turns, 0x2066, 0x2069]) {
    const text = `a${String.fromCodePoint(code)}b`;
    assertEquals(sanitizeLine(text), "a b", code.toString(16));
  }
  assertEquals(sanitizeLine("\u05d0\u200d\u00e9"), "\u05d0\u200d\u00e9");
  assertEquals(sanitizeLine("abcd", 3), "abc...");
});
