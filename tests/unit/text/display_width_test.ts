/**
 * Tests how wide a text is on a terminal, and how it is shortened and wrapped.
 *
 * @module
 */

import {
  cutEnd,
  cutMiddle,
  displayWidth,
  padToWidth,
  wrapText,
} from "../../../lib/text/display_width.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const WIDTHS: [what: string, text: string, width: number][] = [
  ["ASCII", "ws://h/", 7],
  ["Latin with a mark of its own", "e\u0301te\u0301", 3],
  ["Latin in one piece", "\xe9t\xe9", 3],
  ["the ellipsis", "\u2026", 1],
  ["Chinese", "\u5929\u5730", 4],
  ["Japanese", "\u30c6\u30b9\u30c8", 6],
  ["Korean syllables", "\ud55c\uad6d", 4],
  ["Korean in parts", "\u1112\u1161\u11ab", 2],
  ["full-width Latin", "\uff41\uff42", 4],
  ["half-width Katakana", "\uff76\uff85", 2],
  ["an emoji", "\u{1f680}", 2],
  ["a symbol as an emoji", "\u26a0\ufe0f", 2],
  ["a symbol as text", "\u26a0", 1],
  ["a flag", "\u{1f1e9}\u{1f1ea}", 2],
  ["characters without width", "a\u200bb\u200d", 2],
  ["a Chinese character outside the basic plane", "\u{20000}", 2],
  ["nothing", "", 0],
];

for (const [what, text, width] of WIDTHS) {
  test(`Display width: ${what}: ${width}`, () => {
    assertEquals(displayWidth(text), width);
    assertEquals(displayWidth(padToWidth(text, 9)), 9);
  });
}

const CUTS: [text: string, columns: number, end: string, middle: string][] = [
  ["ws://h:8079/a", 13, "ws://h:8079/a", "ws://h:8079/a"],
  ["ws://h:8079/a", 12, "ws://h:8079\u2026", "ws://h\u2026079/a"],
  ["ws://h:8079/a", 7, "ws://h\u2026", "ws:\u20269/a"],
  ["ws://h:8079/a", 2, "w\u2026", "w\u2026"],
  ["ws://h:8079/a", 1, "\u2026", "\u2026"],
  ["ws://h:8079/a", 0, "", ""],
  ["ws://h:8079/a", -3, "", ""],
  ["\u5929\u5730\u7384\u9ec4", 8, ...twice("\u5929\u5730\u7384\u9ec4")],
  [
    "\u5929\u5730\u7384\u9ec4",
    7,
    "\u5929\u5730\u7384\u2026",
    "\u5929\u2026\u9ec4",
  ],
  ["\u5929\u5730\u7384\u9ec4", 6, "\u5929\u5730\u2026", "\u5929\u2026\u9ec4"],
];

function twice(text: string): [string, string] {
  return [text, text];
}

for (const [text, columns, end, middle] of CUTS) {
  test(`Cut text: ${text} in ${columns} columns`, () => {
    assertEquals([cutEnd(text, columns), cutMiddle(text, columns)], [
      end,
      middle,
    ]);
    for (const cut of [end, middle]) {
      assert(displayWidth(cut) <= Math.max(0, columns), cut);
    }
  });
}

const WRAPS: [text: string, columns: number, lines: string[]][] = [
  ["one two three", Infinity, ["one two three"]],
  ["one two three", 7, ["one two", "three"]],
  ["one two three", 3, ["one", "two", "thr", "ee"]],
  ["\u5929\u5730 \u7384\u9ec4", 5, ["\u5929\u5730", "\u7384\u9ec4"]],
  ["\u5929\u5730\u7384", 5, ["\u5929\u5730", "\u7384"]],
  ["", 5, [""]],
];

for (const [text, columns, lines] of WRAPS) {
  test(`Wrapped text: "${text}" in ${columns} columns`, () => {
    assertEquals(wrapText(text, columns), lines);
  });
}
