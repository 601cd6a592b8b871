/**
 * Lays out tables, pairs and blocks of lines for the size of a terminal. All
 * sizes are in characters, and may be `Infinity`.
 *
 * @module
 */

import {
  cutEnd,
  displayWidth,
  padToWidth,
  wrapText,
} from "../text/display_width.ts";

/** The spaces between two columns. */
const GAP = "  ";
/** The least space for the values of pairs, even on a narrow terminal. */
const MIN_VALUE_WIDTH = 10;

/** A column of a table. */
export interface TableColumn {
  /** The first line. */
  readonly title: string;
  /** The other lines. */
  readonly cells: readonly string[];
  /** A column with a lower number is left out before one with a higher. */
  readonly importance: number;
  /** The width to which cells may be shortened; `undefined` if they may not. */
  readonly minWidth?: number;
  /** Shortens a cell to a width; the default cuts its end. */
  readonly shorten?: (cell: string, width: number) => string;
}

/** A column whose lines all have the same width. */
export interface FittedColumn {
  /** The title, without spaces after it. */
  readonly title: string;
  /** The title and the cells. */
  readonly lines: readonly string[];
}

/**
 * Fits a table into a width: shortens cells, the longest first, and leaves out
 * columns if that is not enough. One column stays in any case.
 */
export function fitColumns(
  columns: readonly TableColumn[],
  width: number,
): FittedColumn[] {
  let kept = columns.map((it) => ({ ...it, fullWidth: fullWidthOf(it) }));
  const widthAt = (cap: number): number =>
    tableWidth(kept.map((it) => cappedWidth(it, cap)));
  while (kept.length > 1 && widthAt(0) > width) {
    const least = Math.min(...kept.map(({ importance }) => importance));
    kept = kept.filter(({ importance }) => importance !== least);
  }
  let cap = Math.max(...kept.map(({ fullWidth }) => fullWidth));
  while (cap > 1 && widthAt(cap) > width) cap--;
  return kept.map((column) => {
    const { title, cells, shorten = cutEnd } = column;
    const columnWidth = Math.min(cappedWidth(column, cap), width);
    return {
      title,
      lines: [cutEnd(title, columnWidth), ...cells].map((cell) =>
        padToWidth(shorten(cell, columnWidth), columnWidth)
      ),
    };
  });
}

interface MeasuredColumn extends TableColumn {
  /** The width at which no cell is shortened. */
  readonly fullWidth: number;
}

function fullWidthOf({ title, cells }: TableColumn): number {
  return Math.max(...[title, ...cells].map(displayWidth));
}

/** Returns the width of a column if wider cells are shortened to the cap. */
function cappedWidth(
  { fullWidth, minWidth = fullWidth }: MeasuredColumn,
  cap: number,
): number {
  return Math.min(fullWidth, Math.max(cap, minWidth));
}

function tableWidth(widths: readonly number[]): number {
  const gaps = (widths.length - 1) * GAP.length;
  return widths.reduce((sum, width) => sum + width, gaps);
}

/** Returns the line of a table from its cells. */
export function joinCells(cells: readonly string[]): string {
  return cells.join(GAP).trimEnd();
}

/** A name and its value, which may have several lines. */
export type Pair = readonly [name: string, ...value: string[]];

/** Returns pairs as two columns; wraps values at the width. */
export function layOutPairs(
  pairs: readonly Pair[],
  width: number,
  indent: string = "",
): string[] {
  const nameWidth = Math.max(...pairs.map(([name]) => displayWidth(name)));
  const start = indent.length + nameWidth + GAP.length;
  const valueWidth = Math.max(MIN_VALUE_WIDTH, width - start);
  return pairs.flatMap(([name, ...value]) =>
    value.flatMap((line) => wrapText(line, valueWidth)).map((line, i) =>
      indent + padToWidth(i === 0 ? name : "", nameWidth) + GAP + line
    )
  );
}

/**
 * Returns the lines of a heading and of one block for each proxy. If there are
 * more than `height`, the last line says how many are not shown: proxies, or
 * the lines of the last one.
 */
export function fitBlocks(
  heading: readonly string[],
  blocks: readonly (readonly string[])[],
  height: number,
): string[] {
  const lines = [...heading, ...blocks.flat()];
  if (lines.length <= height) return lines;
  const shown = lines.slice(0, Math.max(0, height - 1));
  let start = heading.length;
  const hidden = blocks.filter(({ length }) => {
    start += length;
    return start - length >= shown.length;
  });
  const missing = hidden.length > 0
    ? countOf(hidden.length, "more proxy", "more proxies")
    : countOf(lines.length - shown.length, "more line");
  return [...shown, `\u2026 ${missing}`];
}

/** Returns a number with its noun, e.g. `1 attempt`. */
export function countOf(
  count: number,
  noun: string,
  plural: string = `${noun}s`,
): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
