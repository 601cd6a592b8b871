/**
 * Ids that come back as the other JSON type.
 *
 * @module
 */

import { IdTypes, otherType } from "../../../lib/protocol/id_types.ts";
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
    assertEquals(otherType(id), other));
}

test("Id types: another type counts only while all ids are of one type", () => {
  const types = new IdTypes();
  assertEquals(types.meant('"1"'), undefined, "none was used");
  types.note("1");
  assertEquals([types.meant('"1"'), types.meant("1")], ["1", undefined]);
  types.note("2");
  assertEquals(types.meant('"7"'), "7");
  types.note('"a"');
  assertEquals(types.meant('"7"'), "7", "no number is meant by that");
  types.note('"3"');
  assertEquals([types.meant('"1"'), types.meant("1")], [undefined, undefined]);
});

test("Id types: mixed ids are never taken for each other again", () => {
  const types = new IdTypes();
  for (const id of ["1", '"2"', "3"]) types.note(id);
  assertEquals([types.isMixed, types.meant('"3"'), types.meant("2")], [
    ...[true, undefined, undefined],
  ]);
});

test("Id types: of a client with string ids, a number may mean a string", () => {
  const types = new IdTypes();
  types.note('"1"');
  assertEquals([types.meant("1"), types.meant('"1"')], ['"1"', undefined]);
});
