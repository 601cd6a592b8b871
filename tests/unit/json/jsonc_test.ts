import { parse as library, type ParseError } from "jsonc-parser";
import {
  findJsoncExtensions,
  parseJsonc,
  toJsonValue,
} from "../../../lib/json/jsonc.ts";
import { assert, assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { randomText } from "../../simulation/scheduler.ts";

const READ: [text: string, value: unknown][] = [
  ['"a\\u0041\\"//"', 'aA"//'],
  [" -2.5e3 ", -2500],
  ["/**/[/*,*/1,// 2\n[],{},]//", [1, [], {}]],
  ["[1, // 2\r3]", [1, 3]],
  ['{"a":{"b":null,},"c":true}', { a: { b: null }, c: true }],
  ['{"a":1,"a":2}', { a: 2 }],
  ['{"__proto__":1}', JSON.parse('{"__proto__":1}')],
];

for (const [text, value] of READ) {
  test(`JSONC reader: reads ${text}`, () =>
    assertEquals(toJsonValue(parseJsonc(text)), value));
}

const WRONG = [
  ...["", "//", "/* {}", "{", "[", '{"a"', '{"a":', '{"a":1', "[1"],
  ...["{,}", "[,]", "[1,,2]", "[1 2]", '{"a" 1}', "{a:1}", "{1:1}", "{}{}"],
  ...['"a', '"\\x"', "'a'", "01", "1.", "+1", "nul", "True", "undefined", "[}"],
  ...["\u00a0{}", "#", "/", '"\n"'],
];

test("JSONC reader: refuses what is not JSONC, and names the line", () => {
  for (const text of WRONG) {
    assertThrows(() => parseJsonc(text), Error, "it is not JSON (line 1)");
  }
  assertThrows(() => parseJsonc("{\n// a\n/* b\n*/ c}"), Error, "(line 4)");
});

test("JSONC reader: gives the place of each value", () => {
  const value = parseJsonc(' { "a" : [ 1 ] , }');
  const [member] = value.kind === "object" ? value.members : [];
  assertEquals([value.start, value.end], [1, 18]);
  assertEquals([member?.start, member?.end, member?.value.start], [3, 14, 9]);
});

test("JSONC reader: reads and refuses the same seeded texts as jsonc-parser", () => {
  const pieces = [
    ...["{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-2.5e3", "true"],
    ...["null", " ", "\n", "\r\n", "\t", "// c\n", "/* d */", '"\\u0041"', "x"],
    ...['{"a":', "/*", "//", '"', "\\", "0", "1.5"],
  ];
  let read = 0;
  for (let seed = 0; seed < 10_000; seed++) {
    const text = randomText(pieces, seed);
    const errors: ParseError[] = [];
    const value = library(text, errors, { allowTrailingComma: true });
    const expected = errors.length > 0 ? "wrong" : { value };
    let found: unknown;
    try {
      found = { value: toJsonValue(parseJsonc(text)) };
    } catch {
      found = "wrong";
    }
    assertEquals(found, expected, `seed ${seed}: ${text}`);
    if (found !== "wrong") read++;
  }
  assert(read > 500, `${read} of them are JSON`);
});

const ASKED: [text: string, path: string, value: unknown][] = [
  ['{"a":{"b":[1]},"c":{"d":2}}', "a", { a: { b: [1] }, c: undefined }],
  ['{"a":[{"b":1}],"c":3}', "x", { a: undefined, c: 3 }],
  ['{"a":{"b":{"x":1},"c":{"d":{}}}}', "a b", {
    a: { b: { x: 1 }, c: undefined },
  }],
];

test("JSONC reader: values outside the chosen paths are checked, but not kept", () => {
  for (const [text, path, value] of ASKED) {
    const names = path.split(" ");
    const read = parseJsonc(
      text,
      (at) => at.every((name, i) => (names[i] ?? name) === name),
    );
    assertEquals(toJsonValue(read), value, text);
    const whole = parseJsonc(text);
    assertEquals([read.start, read.end], [whole.start, whole.end]);
  }
  for (const text of WRONG) {
    assertThrows(
      () => parseJsonc(`{"a":${text}}`, () => false),
      Error,
      "it is not",
    );
  }
  for (const text of ['{"a":{"b":[1,,2]}}', '{"a":{"b" 1}}', '{"a":["\\x"]}']) {
    assertThrows(() => parseJsonc(text, () => false), Error, "it is not JSON");
  }
});

const ADDITIONS: [
  text: string,
  comment: number | undefined,
  comma: number | undefined,
][] = [
  ['{"a": "/* */ // ,}", "b": [1, 2]}', undefined, undefined],
  ["[1, 2,\n]", undefined, 1],
  ["{\n}// a", 2, undefined],
  ['{"a": {"b": {"c": 1,}}}', undefined, 1],
  ['\n\n/* a\n */ {"a": 1,\n}// b', 3, 4],
  ["[[1,],\n[2,],// c\n]", 2, 1],
];

test("JSONC reader: finds the first comment and the first trailing comma", () => {
  for (const [text, comment, comma] of ADDITIONS) {
    const found = findJsoncExtensions(text);
    assertEquals([found.get("comment"), found.get("comma")], [comment, comma]);
  }
});
