/**
 * What the benchmark prints: medians with their spread, and ratios to the
 * floors, as text or as tables in Markdown.
 *
 * @module
 */

import type { Program } from "./programs.ts";
import type { Row, RowName } from "./rows.ts";
import type { Figure } from "./steps.ts";

/** The figures of one program in one row, in the order of the rounds. */
export type Figures = readonly Figure[];

/** Every figure, by program and row. */
export type Results = ReadonlyMap<string, ReadonlyMap<RowName, Figures>>;

/** What a benchmark has measured. */
export interface Measured {
  readonly programs: readonly Program[];
  readonly rows: readonly Row[];
  readonly results: Results;
}

/** A median and the values at a quarter and three quarters. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Returns the value at a fraction of the sorted values, between two if need be. */
function quantile(sorted: readonly number[], fraction: number): number {
  const position = (sorted.length - 1) * fraction;
  const below = Math.floor(position);
  const [low, high] = [sorted[below]!, sorted[Math.ceil(position)]!];
  return low + (high - low) * (position - below);
}

/** Returns the median and the quartiles. There must be a value. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
  };
}

/** Returns a figure with three digits, or all digits before the point. */
export function formatFigure(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

/** What a cell says: a spread, or one word. */
export type Cell = Spread | "failed" | "no" | "-";

/** Returns a cell. It has failed if fewer than half of the rounds succeeded. */
export function cellOf(figures: Figures | undefined): Cell {
  if (figures === undefined || figures.length === 0) return "-";
  const values = figures.flatMap((it) => "value" in it ? [it.value] : []);
  if (2 * values.length >= figures.length) return spreadOf(values);
  return figures.some((it) => "no" in it) ? "no" : "failed";
}

/** Returns a program's cell of a row. */
function findCell({ results }: Measured, program: string, row: RowName): Cell {
  return cellOf(results.get(program)?.get(row));
}

/** Returns the ratio of a program's median to its floor's, if both are known. */
export function ratioOf(
  measured: Measured,
  { name, floor }: Program,
  row: RowName,
): number | undefined {
  if (floor === undefined) return undefined;
  const own = findCell(measured, name, row);
  const bare = findCell(measured, floor, row);
  if (typeof own === "string" || typeof bare === "string") return undefined;
  return own.median / bare.median;
}

/** Returns the results as text: a block for each row, a line for each program. */
export function textReport(measured: Measured): string {
  const { programs, rows } = measured;
  const width = Math.max(...programs.map(({ name }) => name.length)) + 2;
  const blocks = rows.map((row) => {
    const lines = programs.map((program) => {
      const cell = findCell(measured, program.name, row.name);
      const name = `  ${program.name.padEnd(width)}`;
      if (typeof cell === "string") return name + cell.padStart(9);
      const [median, low, high] = [cell.median, cell.low, cell.high]
        .map(formatFigure);
      const ratio = ratioOf(measured, program, row.name);
      const spread = `  (${low} to ${high})`.padEnd(22);
      const compared = ratio === undefined
        ? ""
        : `${ratio.toFixed(2)} of ${program.floor}`;
      return (name + median!.padStart(9) + spread + compared).trimEnd();
    });
    return [`${row.name}: ${row.label}, ${row.unit}`, ...lines].join("\n");
  });
  return blocks.join("\n\n");
}

/** Returns a table in Markdown. A cell has the median and the ratio. */
export function markdownReport(measured: Measured): string {
  const { programs, rows } = measured;
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const body = rows.map((row) =>
    line([
      `${row.label}, ${row.unit}`,
      ...programs.map((program) => {
        const cell = findCell(measured, program.name, row.name);
        if (typeof cell === "string") return cell;
        const ratio = ratioOf(measured, program, row.name);
        const figure = formatFigure(cell.median);
        return ratio === undefined ? figure : `${figure} (${ratio.toFixed(2)})`;
      }),
    ])
  );
  return [
    line(["", ...programs.map(({ label }) => label)]),
    line(["---", ...programs.map(() => "---:")]),
    ...body,
  ].join("\n");
}

/**
 * Returns a line for each program that needs a note, and for each cell without
 * a figure: why there is none.
 */
export function noteLines({ programs, rows, results }: Measured): string[] {
  const notes = programs.flatMap(({ name, note }) =>
    note === undefined ? [] : [`${name}: ${note}`]
  );
  const reasons = programs.flatMap(({ name }) =>
    rows.flatMap((row) => {
      const figures = results.get(name)?.get(row.name) ?? [];
      const reasons = figures.flatMap((it) =>
        "no" in it ? [it.no] : "failed" in it ? [it.failed] : []
      );
      if (reasons.length === 0) return [];
      const rounds = `${reasons.length} of ${figures.length} rounds`;
      return [`${name}, ${row.name} (${rounds}): ${reasons[0]}`];
    })
  );
  return [...notes, ...reasons];
}
