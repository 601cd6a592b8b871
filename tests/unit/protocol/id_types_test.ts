/**
 * Tests ids that a daemon returns as the other JSON type: a number as a string,
 * or a string as a number.
 *
 * @module
 */

import {
  ObservedIdTypes,
  toOtherIdType,
} from "../../../lib/protocol/id_types.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TYPES: [id: string, other: string | undefined][] = [
  ["5", '"5"'],
  ["-1", '"-1"'],
  ['"5"', "5"],
  ['"0"', "0"],
  ['"-7"', "-7"],
  ['"12345678901234567890"', "12345678901234567890"],
  ['"5.0"', "5"],
  ['"1.073741824e+09"', "1073741824"],
  ['"1E3"', "1000"],
  ['"007"', undefined],
  ['"5.5"', undefined],
  ['"1e400"', undefined],
  ['""', undefined],
  ['" 5"', undefined],
  ['"five"', undefined],
  ['"0x10"', undefined],
  ['"1e-3"', undefined],
];

for (const [id, other] of TYPES) {
  test(`Id types: the other type of ${id}`, () =>
    assertEquals(toOtherIdType(id), other));
}

test("Id types: an id of the other type matches only while all of the client's ids have one type", () => {
  const types = new ObservedIdTypes();
  assertEquals(types.guessClientId('"1"'), undefined, "no id was used");
  types.observe("1");
  assertEquals([types.guessClientId('"1"'), types.guessClientId("1")], [
    "1",
    undefined,
  ]);
  types.observe("2");
  assertEquals(types.guessClientId('"7"'), "7");
  types.observe('"a"');
  assertEquals(
    types.guessClientId('"7"'),
    "7",
    "'a' is ignored, because it is no number",
  );
  types.observe('"3"');
  assertEquals([types.guessClientId('"1"'), types.guessClientId("1")], [
    undefined,
    undefined,
  ]);
});

test("Id types: once the client's ids are mixed, an id of the other type never matches again", () => {
  const types = new ObservedIdTypes();
  for (const id of ["1", '"2"', "3"]) types.observe(id);
  assertEquals([
    types.isMixed,
    types.guessClientId('"3"'),
    types.guessClientId("2"),
  ], [
    ...[true, undefined, undefined],
  ]);
});

test("Id types: if the client uses string ids, a number may stand for a string", () => {
  const types = new ObservedIdTypes();
  types.observe('"1"');
  assertEquals([types.guessClientId("1"), types.guessClientId('"1"')], [
    '"1"',
    undefined,
  ]);
});
