/**
 * Tests how the text of a `.env` file is parsed. `tests/e2e/dotenv_test.ts`
 * compares the same forms with python-dotenv.
 *
 * @module
 */

import {
  MAX_EXPANSION_CHARS,
  parseEnvFile,
} from "../../../lib/config/dotenv.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/assert.ts";
import { DOTENV_CASES, DOTENV_CASES_ENV } from "../../helpers/dotenv_cases.ts";
import { test } from "../../helpers/no_permissions.ts";

for (const [what, forms] of Object.entries(DOTENV_CASES)) {
  test(`.env reader: ${what}`, () => {
    assert(forms.length >= 3);
    for (const [text, expected, lines = []] of forms) {
      const { values, unreadableLines } = parseEnvFile(text, DOTENV_CASES_ENV);
      const found = Object.entries(values).map(([name, value]) => {
        return [name, value ?? null];
      });
      const why = JSON.stringify(text);
      assertEquals(found.toSorted(), Object.entries(expected).toSorted(), why);
      assertEquals(unreadableLines, lines, why);
    }
  });
}

test(".env reader: skips a byte order mark only at the start", () => {
  for (
    const [text, values] of [
      ["\ufeffa=b", { a: "b" }],
      ["\ufeff\r\n a=b", { a: "b" }],
      ["\ufeff# c\na=b\ufeff", { a: "b\ufeff" }],
      ["a=b\n\ufeffc=d", { "a": "b", "\ufeffc": "d" }],
    ] as const
  ) assertEquals(parseEnvFile(text, {}).values, values);
});

test(".env reader: names each variable without a value, with its line", () => {
  for (
    const [text, unset] of [
      ["a=${NONE}", [[1, "NONE"]]],
      ["\n\na=${A}-${B}\nb=${C}", [[3, "A"], [3, "B"], [4, "C"]]],
      ['a="\n${A}"\nb=c', [[1, "A"]]],
      ["a\nb=${a:-c}", [[2, "a"]]],
      ["a=${a}\na=${a}", [[1, "a"]]],
      ["a=${OUTER}${EMPTY}${NONE:-}${NONE:-b}", []],
      ["a=${NONE\nb=$NONE", []],
    ] as [string, [number, string][]][]
  ) {
    const found = parseEnvFile(text, DOTENV_CASES_ENV).unsetVariables;
    assertEquals(found, unset.map(([line, name]) => ({ line, name })));
  }
});

test(".env reader: refuses values that grow too large by expansion", () => {
  for (const count of [24, 100, 10_000]) {
    const text = `a=xx\n${"a=${a}${a}\n".repeat(count)}`;
    assertThrows(() => parseEnvFile(text, {}), Error, "16,777,216 characters");
  }
  const half = "x".repeat(MAX_EXPANSION_CHARS / 2);
  const { values } = parseEnvFile("a=${X}${X}", { X: half });
  assertEquals(values.a?.length, MAX_EXPANSION_CHARS);
});
