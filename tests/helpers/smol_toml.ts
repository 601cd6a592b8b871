/**
 * Compares our TOML parser with `smol-toml`.
 *
 * @module
 */

import { parse as library, TomlDate } from "smol-toml";
import { parseTomlFile } from "../../lib/clients/toml_edit.ts";
import { assert } from "./assert.ts";

/**
 * Whether two parsers return the same. Dates and large integers are compared as
 * texts.
 */
function isSame(ours: unknown, theirs: unknown): boolean {
  if (theirs instanceof Date) {
    return typeof ours === "string" &&
      new TomlDate(ours).getTime() === theirs.getTime();
  }
  if (typeof theirs === "bigint") {
    return typeof ours === "string" &&
      BigInt(ours.replaceAll("_", "")) === theirs;
  }
  if (typeof ours !== "object" || typeof theirs !== "object") {
    return Object.is(ours, theirs);
  }
  const [a, b] = [Object.entries(ours!), Object.entries(theirs!)];
  return Array.isArray(ours) === Array.isArray(theirs) &&
    a.length === b.length &&
    a.every(([name, value]) =>
      Object.hasOwn(theirs!, name) &&
      isSame(value, (theirs as Record<string, unknown>)[name])
    );
}

/** The result of a parser for a text. */
export function tryRead(
  read: () => unknown,
): { value?: unknown; wrong?: string } {
  try {
    return { value: read() };
  } catch (error) {
    return { wrong: String(error) };
  }
}

/** Asserts that both parsers read a text alike, or both reject it. */
export function agrees(text: string, what: string): "read" | "refused" {
  const ours = tryRead(() => parseTomlFile(text));
  const theirs = tryRead(() => library(text, { integersAsBigInt: "asNeeded" }));
  const isOne = (ours.wrong === undefined) === (theirs.wrong === undefined) &&
    isSame(ours.value, theirs.value);
  assert(
    isOne,
    `${what}: ${JSON.stringify(text)}\n${ours.wrong}\n${theirs.wrong}\n${
      Deno.inspect([ours.value, theirs.value])
    }`,
  );
  return ours.wrong === undefined ? "read" : "refused";
}
