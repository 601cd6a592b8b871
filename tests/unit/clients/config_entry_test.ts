/**
 * The start, the line ends and the end of a client's file.
 *
 * @module
 */

import {
  lineBreakOf,
  splitBom,
  trimmedLength,
} from "../../../lib/clients/config_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Client file text: a byte order mark is split off at the start only", () => {
  assertEquals(splitBom("\ufeffa\ufeff"), ["\ufeff", "a\ufeff"]);
  assertEquals(splitBom("a\ufeff"), ["", "a\ufeff"]);
});

test("Client file text: CRLF wins over LF", () => {
  assertEquals(["", "a\nb", "a\nb\r\n"].map(lineBreakOf), ["\n", "\n", "\r\n"]);
});

test("Client file text: finds the blanks at the end", () => {
  assertEquals([
    trimmedLength("a b \n", " \n"),
    trimmedLength(" \n", " "),
    trimmedLength("  ", " "),
  ], [
    ...[3, 2, 0],
  ]);
});
