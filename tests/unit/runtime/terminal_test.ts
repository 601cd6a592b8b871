/**
 * Tests when a text is colored.
 *
 * @module
 */

import { colorize } from "../../../lib/runtime/terminal.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Terminal: a text is colored only if the terminal shows colors, and the color ends after the text", () => {
  const painted = (hasColors: boolean): string =>
    colorize({ hasColors, print: () => {}, printError: () => {} }, "red", "a");
  assertEquals(painted(true), "\x1b[31ma\x1b[0m");
  assertEquals(painted(false), "a");
});
