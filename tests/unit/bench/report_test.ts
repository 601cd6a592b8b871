import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/time_limit.ts";
import {
  listPrograms,
  type Program,
  selectPrograms,
} from "../../bench/throughput/programs.ts";
import {
  cellOf,
  formatFigure,
  markdownReport,
  type Measured,
  noteLines,
  ratioOf,
  spreadOf,
  textReport,
} from "../../bench/throughput/report.ts";
import {
  type Row,
  type RowName,
  selectRows,
} from "../../bench/throughput/rows.ts";
import type { Figure } from "../../bench/throughput/steps.ts";

const FLOOR: Program = {
  name: "floor",
  label: "the floor",
  role: "floor",
  note: "forwards",
  command: () => ["floor"],
};
const OURS: Program = {
  name: "ours",
  label: "the program",
  role: "ours",
  floor: "floor",
  command: () => ["ours"],
};
const START: Row = { name: "start", label: "start", unit: "ms" };

/** Returns what one row has measured. */
function measured(floor: Figure[], ours: Figure[]): Measured {
  const rowsOf = (figures: Figure[]): Map<RowName, Figure[]> =>
    new Map([["start", figures]]);
  return {
    programs: [FLOOR, OURS],
    rows: [START],
    results: new Map([["floor", rowsOf(floor)], ["ours", rowsOf(ours)]]),
  };
}

function values(...all: number[]): Figure[] {
  return all.map((value) => ({ value }));
}

test("Benchmark: the spread is the median and the quartiles", () => {
  const cases: [number[], [number, number, number]][] = [
    [[7], [7, 7, 7]],
    [[4, 2], [2.5, 3, 3.5]],
    [[5, 1, 3], [2, 3, 4]],
    [[70, 10, 30, 20, 50, 40, 60], [25, 40, 55]],
  ];
  for (const [input, [low, median, high]] of cases) {
    assertEquals(spreadOf(input), { low, median, high });
  }
});

test("Benchmark: large figures have no digits after the point", () => {
  const cases: [number, string][] = [
    [0.123, "0.12"],
    [9.876, "9.88"],
    [10.04, "10.0"],
    [99.96, "100.0"],
    [1234.5, "1235"],
  ];
  for (const [value, text] of cases) assertEquals(formatFigure(value), text);
});

test("Benchmark: a cell needs half of its rounds", () => {
  const [one] = values(1);
  const failed = { failed: "it hangs" };
  assertEquals(cellOf(undefined), "-");
  assertEquals(cellOf([]), "-");
  assertEquals(cellOf([one!, failed]), { median: 1, low: 1, high: 1 });
  assertEquals(cellOf([one!, failed, failed]), "failed");
  assertEquals(cellOf([{ no: "an error" }]), "no");
});

test("Benchmark: a ratio compares the medians", () => {
  const all = measured(values(10, 30, 20), values(50, 30, 40));
  assertEquals(ratioOf(all, OURS, "start"), 2);
  assertEquals(ratioOf(all, FLOOR, "start"), undefined);
  const broken = measured([{ failed: "it hangs" }], values(1));
  assertEquals(ratioOf(broken, OURS, "start"), undefined);
});

test("Benchmark: the reports", () => {
  const all = measured(values(10), [{ value: 25 }, { failed: "it hangs" }]);
  assertEquals(
    textReport(all),
    "start: start, ms\n" +
      "  floor       10.0  (10.0 to 10.0)\n" +
      "  ours        25.0  (25.0 to 25.0)      2.50 of floor",
  );
  assertEquals(
    markdownReport(all),
    "|  | the floor | the program |\n" +
      "| --- | ---: | ---: |\n" +
      "| start, ms | 10.0 | 25.0 (2.50) |",
  );
  assertEquals(noteLines(all), [
    "floor: forwards",
    "ours, start (1 of 2 rounds): it hangs",
  ]);
});

test("Benchmark: columns bring their floors", () => {
  const names = (list: Program[]): string[] => list.map(({ name }) => name);
  const all = listPrograms("/folder");
  assertEquals(selectPrograms(all, undefined), all);
  assertEquals(names(selectPrograms(all, ["npm-package", "source"])), [
    ...["deno-floor", "source", "node-floor", "npm-package"],
  ]);
  assertThrows(() => selectPrograms(all, ["none"]), Error, "must be one of");
});

test("Benchmark: the minute is measured only on request", () => {
  assertEquals(selectRows(undefined).has("minute"), false);
  assertEquals([...selectRows(["minute", "p50"])], ["minute", "p50"]);
  assertThrows(() => selectRows(["none"]), Error, "must be one of");
});
