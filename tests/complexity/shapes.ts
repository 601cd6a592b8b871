/**
 * Texts that are hard on readers.
 *
 * @module
 */

import type { Reader } from "./measure.ts";

/** So many texts, joined. */
export function many(
  size: number,
  text: (i: number) => string,
  between: string = ",",
): string {
  return Array.from({ length: size }, (_, i) => text(i)).join(between);
}

/** A JSON object with so many members. */
export function wide(size: number, value: string = "1"): string {
  return `{${many(size, (i) => `"k${i}":${value}`)}}`;
}

/** Lists in lists. */
export function deep(size: number): string {
  return "[".repeat(size) + "]".repeat(size);
}

/** Quotes and backslashes, as they stand in a JSON string. */
export function slashes(size: number): string {
  return '\\\\\\"\\\\'.repeat(size);
}

/** A reader of the text that a size makes. */
function of(
  name: string,
  size: number,
  text: (size: number) => string,
  run: (text: string) => unknown,
): Reader {
  const prepare = (size: number): () => unknown => {
    const made = text(size);
    return () => run(made);
  };
  return { name, size, prepare };
}

/** The same reader for a shape each. */
export function each(
  name: string,
  run: (text: string) => unknown,
  shapes: Readonly<Record<string, readonly [number, (size: number) => string]>>,
): Reader[] {
  return Object.entries(shapes).map(([shape, [size, text]]) =>
    of(`${name}: ${shape}`, size, text, run)
  );
}

/** So many spaces. */
export const SPACES = (size: number): string => " ".repeat(size);
