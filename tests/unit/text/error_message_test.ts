/**
 * Tests the message of an error, or of any other thrown value.
 *
 * @module
 */

import { errorMessageOf } from "../../../lib/text/error_message.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const ERRORS: [what: string, error: unknown, says: string][] = [
  ["an error", new Error("a"), "a"],
  ["a thrown string", "a", "a"],
  [
    "several errors, one for each address of a host",
    new AggregateError([new Error("a 1"), new Error("a 2"), new Error("a 1")]),
    "a 1, a 2",
  ],
  [
    "several errors with a common message",
    new AggregateError([new Error("a")], "b"),
    "b",
  ],
];

for (const [what, error, says] of ERRORS) {
  test(`Error message: ${what}`, () => {
    assertEquals(errorMessageOf(error), says);
  });
}
