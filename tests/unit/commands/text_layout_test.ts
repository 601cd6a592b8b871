/**
 * Tests tables, pairs and blocks in several sizes.
 *
 * @module
 */

import {
  countOf,
  fitBlocks,
  fitColumns,
  joinCells,
  layOutPairs,
  type TableColumn,
} from "../../../lib/commands/text_layout.ts";
import { cutMiddle } from "../../../lib/text/display_width.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const COLUMNS: TableColumn[] = [
  { title: "ID", importance: 2, cells: ["1", "22"] },
  {
    title: "NAME",
    importance: 3,
    minWidth: 4,
    cells: ["abcdefgh", "\u5929\u5730"],
  },
  {
    ...{ title: "URL", importance: 4, minWidth: 5, shorten: cutMiddle },
    cells: ["ws://h:1/", "-"],
  },
  { title: "NOTE", importance: 1, cells: ["x", "y"] },
];

const TABLES: [width: number, lines: string[]][] = [
  [Infinity, [
    "ID  NAME      URL        NOTE",
    "1   abcdefgh  ws://h:1/  x",
    "22  \u5929\u5730      -          y",
  ]],
  [29, [
    "ID  NAME      URL        NOTE",
    "1   abcdefgh  ws://h:1/  x",
    "22  \u5929\u5730      -          y",
  ]],
  [28, [
    "ID  NAME      URL       NOTE",
    "1   abcdefgh  ws:/\u2026:1/  x",
    "22  \u5929\u5730      -         y",
  ]],
  [21, [
    "ID  NAME  URL    NOTE",
    "1   abc\u2026  ws\u20261/  x",
    "22  \u5929\u5730  -      y",
  ]],
  [20, [
    "ID  NAME     URL",
    "1   abcdef\u2026  ws:\u2026:1/",
    "22  \u5929\u5730     -",
  ]],
  [11, ["NAME  URL", "abc\u2026  ws\u20261/", "\u5929\u5730  -"]],
  [3, ["URL", "w\u2026/", "-"]],
  [0, ["", "", ""]],
];

for (const [width, lines] of TABLES) {
  test(`Table: its lines in a width of ${width}`, () => {
    const columns = fitColumns(COLUMNS, width);
    const lineOf = (row: number): string =>
      joinCells(columns.map((column) => column.lines[row]!));
    assertEquals([0, 1, 2].map(lineOf), lines);
  });
}

test("Pairs: the values are aligned, and wrapped at the width", () => {
  const pairs = [
    ["a", "one two three four five"],
    ["long name", "x", "\u5929\u5730 y"],
    ["\u5929", "z"],
  ] as const;
  assertEquals(layOutPairs(pairs, Infinity), [
    "a          one two three four five",
    "long name  x",
    "           \u5929\u5730 y",
    "\u5929         z",
  ]);
  assertEquals(layOutPairs(pairs, 30, "  "), [
    "  a          one two three",
    "             four five",
    "  long name  x",
    "             \u5929\u5730 y",
    "  \u5929         z",
  ]);
  assertEquals(layOutPairs(pairs.slice(0, 1), 5), [
    ...["a  one two", "   three four", "   five"],
  ]);
  assertEquals(layOutPairs([], 30), []);
});

const HEIGHTS: [height: number, lines: string][] = [
  [Infinity, "H a1 a2 b1 c1 c2"],
  [6, "H a1 a2 b1 c1 c2"],
  [5, "H a1 a2 b1 \u2026 1 more proxy"],
  [4, "H a1 a2 \u2026 2 more proxies"],
  [3, "H a1 \u2026 2 more proxies"],
  [2, "H \u2026 3 more proxies"],
  [1, "\u2026 3 more proxies"],
];

for (const [height, lines] of HEIGHTS) {
  test(`Blocks: ${height} lines of them`, () => {
    const blocks = [["a1", "a2"], ["b1"], ["c1", "c2"]];
    assertEquals(fitBlocks(["H"], blocks, height).join(" "), lines);
  });
}

test("Blocks: the lines of the last block that do not fit are counted", () => {
  assertEquals(fitBlocks([], [["a", "b", "c", "d"]], 3), [
    ...["a", "b", "\u2026 2 more lines"],
  ]);
});

test("Counts: one has another noun than several", () => {
  const counts = [0, 1, 2].map((count) => countOf(count, "attempt"));
  assertEquals(counts, ["0 attempts", "1 attempt", "2 attempts"]);
});
