/**
 * Tests when a text is colored.
 *
 * @module
 */

import { colorize, showsColors } from "../../../lib/runtime/terminal.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Terminal: a text is colored only if the terminal shows colors, and the color ends after the text", () => {
  const painted = (hasColors: boolean): string =>
    colorize({ hasColors, print: () => {}, printError: () => {} }, "red", "a");
  assertEquals(painted(true), "\x1b[31ma\x1b[0m");
  assertEquals(painted(false), "a");
});

const COLORS: [env: Record<string, string>, isTty: boolean, shows: boolean][] =
  [
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: "1" }, true, false],
    [{ NO_COLOR: "" }, true, true],
    [{ TERM: "dumb" }, true, false],
    [{ TERM: "xterm" }, true, true],
    [{ FORCE_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "" }, false, false],
    [{ FORCE_COLOR: "0" }, true, false],
    [{ FORCE_COLOR: "false" }, true, false],
    [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "1", TERM: "dumb" }, false, true],
  ];

test("Terminal: FORCE_COLOR decides about colors, then NO_COLOR and TERM=dumb, then the terminal", () => {
  for (const [env, isTty, shows] of COLORS) {
    const host = {
      // An empty variable counts as not set.
      getEnv: (name: string) => env[name] || undefined,
      isTty: () => isTty,
    };
    assertEquals(showsColors(host), shows, JSON.stringify([env, isTty]));
  }
});
