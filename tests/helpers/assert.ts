/**
 * Exports the standard library's assertions with types. Its package has none.
 *
 * @module
 */

import { assert as stdAssert } from "@std/assert/assert.js";
import { assertEquals as stdAssertEquals } from "@std/assert/equals.js";
import { assertMatch as stdAssertMatch } from "@std/assert/match.js";
import { assertThrows as stdAssertThrows } from "@std/assert/throws.js";

export const assert: (
  condition: unknown,
  message?: string,
) => asserts condition = stdAssert;

export const assertEquals: <T>(
  actual: T,
  expected: T,
  message?: string,
) => void = stdAssertEquals;

export const assertMatch: (
  actual: string,
  expected: RegExp,
  message?: string,
) => void = stdAssertMatch;

export const assertThrows: (
  fn: () => unknown,
  // deno-lint-ignore no-explicit-any
  ErrorClass: new (...args: any[]) => Error,
  message?: string,
) => void = stdAssertThrows;
