/**
 * Errors and others' texts as people see them.
 *
 * @module
 */

import { messageOf } from "../../lib/host.ts";
import { assertEquals } from "../tools/assert.ts";
import { test } from "../tools/pure.ts";

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
  test(`what an error says: ${what}`, () => {
    assertEquals(messageOf(error), says);
  });
}
