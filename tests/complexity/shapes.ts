/**
 * Texts that are hard on readers.
 *
 * @module
 */

import type { MeasuredCase } from "./measure.ts";

/** So many texts, joined. */
export function repeat(
  size: number,
  text: (i: number) => string,
  between: string = ",",
): string {
  return Array.from({ length: size }, (_, i) => text(i)).join(between);
}

/** A JSON object with so many members. */
export function wideObject(size: number, value: string = "1"): string {
  return `{${repeat(size, (i) => `"k${i}":${value}`)}}`;
}

/** Lists in lists. */
export function nestedLists(size: number): string {
  return "[".repeat(size) + "]".repeat(size);
}

/** Quotes and backslashes, as they stand in a JSON string. */
export function quotesAndBackslashes(size: number): string {
  return '\\\\\\"\\\\'.repeat(size);
}

/** A reader of the text that a size makes. */
function caseOf(
  name: string,
  size: number,
  text: (size: number) => string,
  run: (text: string) => unknown,
): MeasuredCase {
  const prepareRun = (size: number): () => unknown => {
    const made = text(size);
    return () => run(made);
  };
  return { name, size, prepareRun };
}

/** The same reader for a shape each. */
export function casesOf(
  name: string,
  run: (text: string) => unknown,
  shapes: Readonly<Record<string, readonly [number, (size: number) => string]>>,
): MeasuredCase[] {
  return Object.entries(shapes).map(([shape, [size, text]]) =>
    caseOf(`${name}: ${shape}`, size, text, run)
  );
}

/** So many spaces. */
export const spaces = (size: number): string => " ".repeat(size);
