/**
 * Makes texts that are expensive to parse.
 *
 * @module
 */

import type { MeasuredCase } from "./measure.ts";

/** Returns `size` texts, joined. */
export function repeat(
  size: number,
  text: (i: number) => string,
  between: string = ",",
): string {
  return Array.from({ length: size }, (_, i) => text(i)).join(between);
}

/** Returns a JSON object with `size` members. */
export function wideObject(size: number, value: string = "1"): string {
  return `{${repeat(size, (i) => `"k${i}":${value}`)}}`;
}

/** Returns lists nested to a depth of `size`. */
export function nestedLists(size: number): string {
  return "[".repeat(size) + "]".repeat(size);
}

/** Returns quotes and backslashes, escaped for a JSON string. */
export function quotesAndBackslashes(size: number): string {
  return '\\\\\\"\\\\'.repeat(size);
}

/** Returns a case that parses a text made for a size. */
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

/** Returns one case for each shape of input to the same parser. */
export function casesOf(
  name: string,
  run: (text: string) => unknown,
  shapes: Readonly<Record<string, readonly [number, (size: number) => string]>>,
): MeasuredCase[] {
  return Object.entries(shapes).map(([shape, [size, text]]) =>
    caseOf(`${name}: ${shape}`, size, text, run)
  );
}

/** Returns `size` spaces. */
export const spaces = (size: number): string => " ".repeat(size);
