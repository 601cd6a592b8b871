import { parse, plain } from "../../lib/jsonc.ts";
import { assertEquals, assertThrows } from "../tools/assert.ts";
import { test } from "../tools/pure.ts";

const READ: [text: string, value: unknown][] = [
  ['"a\\u0041\\"//"', 'aA"//'],
  [" -2.5e3 ", -2500],
  ["/**/[/*,*/1,// 2\n[],{},]//", [1, [], {}]],
  ['{"a":{"b":null,},"c":true}', { a: { b: null }, c: true }],
  ['{"a":1,"a":2}', { a: 2 }],
  ['{"__proto__":1}', JSON.parse('{"__proto__":1}')],
];

for (const [text, value] of READ) {
  test(`jsonc: ${text}`, () => assertEquals(plain(parse(text)), value));
}

const WRONG = [
  ...["", "//", "/* {}", "{", "[", '{"a"', '{"a":', '{"a":1', "[1"],
  ...["{,}", "[,]", "[1,,2]", "[1 2]", '{"a" 1}', "{a:1}", "{1:1}", "{}{}"],
  ...['"a', '"\\x"', "'a'", "01", "1.", "+1", "nul", "True", "undefined", "[}"],
  ...["\u00a0{}", "#", "/", '"\n"'],
];

test("jsonc: what is not JSON", () => {
  for (const text of WRONG) {
    assertThrows(() => parse(text), Error, "it is not JSON (line 1)");
  }
  assertThrows(() => parse("{\n// a\n/* b\n*/ c}"), Error, "(line 4)");
});

test("jsonc: places", () => {
  const value = parse(' { "a" : [ 1 ] , }');
  const [member] = value.kind === "object" ? value.members : [];
  assertEquals([value.start, value.end], [1, 18]);
  assertEquals([member?.start, member?.end, member?.value.start], [3, 14, 9]);
});
