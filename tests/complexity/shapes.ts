/**
 * Texts that are expensive to parse.
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

/** Nested lists. */
export function nestedLists(size: number): string {
  return "[".repeat(size) + "]".repeat(size);
}

/** Quotes and backslashes, as they are written in a JSON string. */
export function quotesAndBackslashes(size: number): string {
  return '\\\\\\"\\\\'.repeat(size);
}

/** A case that parses the text made for a size. */
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

/** One case per shape for the same parser. */
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
