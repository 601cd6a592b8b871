/**
 * Errors and others' texts as people see them.
 *
 * @module
 */

import { messageOf } from "../../../lib/text/error_message.ts";
import { tame } from "../../../lib/text/sanitize.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const ERRORS: [what: string, error: unknown, says: string][] = [
  ["an error", new Error("a"), "a"],
  ["no error", "a", "a"],
  [
    "one for each address of a name",
    new AggregateError([new Error("a 1"), new Error("a 2"), new Error("a 1")]),
    "a 1, a 2",
  ],
  ["several with a text", new AggregateError([new Error("a")], "b"), "b"],
];
for (const [what, error, says] of ERRORS) {
  test(`Error message: ${what}`, () => {
    assertEquals(messageOf(error), says);
  });
}

test("Sanitize: makes one line without control characters", () => {
  assertEquals(tame("a\r\nb\tc\x1b[31md\x7f\u009be"), "a b c [31md e");
  // What turns the direction of a line lets it say something else.
  const turns = [0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e];
  for (const code of [...turns, 0x2066, 0x2069]) {
    const text = `a${String.fromCodePoint(code)}b`;
    assertEquals(tame(text), "a b", code.toString(16));
  }
  assertEquals(tame("\u05d0\u200d\u00e9"), "\u05d0\u200d\u00e9");
  assertEquals(tame("abcd", 3), "abc...");
});
