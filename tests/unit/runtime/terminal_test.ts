/**
 * Tests when a text is colored, and for which size it is laid out.
 *
 * @module
 */

import {
  colorize,
  outputSize,
  showsColors,
} from "../../../lib/runtime/terminal.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Terminal: a text is colored only if the terminal shows colors, and the color ends after the text", () => {
  const painted = (hasColors: boolean): string =>
    colorize({ hasColors }, "red", "a");
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

const SIZES: [
  what: string,
  size: [columns: number, rows: number] | undefined,
  env: Record<string, string>,
  expected: [columns: number, rows: number],
][] = [
  ["no terminal", undefined, {}, [Infinity, Infinity]],
  ["no terminal", undefined, { COLUMNS: "60" }, [Infinity, Infinity]],
  ["a terminal", [60, 20], {}, [60, 20]],
  // The variables may be older than the last resize.
  ["a terminal", [60, 20], { COLUMNS: "99", LINES: "9" }, [60, 20]],
  ["a terminal without a size", [0, 0], {}, [80, 24]],
  ["a terminal without a size", [0, 0], { COLUMNS: "99" }, [99, 24]],
  ["a terminal without a size", [0, 0], { LINES: "9" }, [80, 9]],
  ["a terminal without a size", [0, 0], { COLUMNS: "0", LINES: "x" }, [80, 24]],
  ["a terminal without a height", [60, 0], { COLUMNS: "99" }, [60, 24]],
];

test("Terminal: COLUMNS and LINES count only for a terminal that does not tell its size", () => {
  for (const [what, size, env, [columns, rows]] of SIZES) {
    const host = {
      getEnv: (name: string) => env[name],
      terminalSize: () => size && { columns: size[0], rows: size[1] },
    };
    const name = `${what}, ${JSON.stringify(env)}`;
    assertEquals(outputSize(host), { columns, rows }, name);
  }
});
