/**
 * Tests how values in a JSON text are found and edited.
 *
 * @module
 */

import {
  elementTextsOf,
  findValue,
  memberSpansOf,
  prependMember,
  recoverLeadingMembers,
  removeMembers,
  replaceValue,
} from "../../../lib/json/spans.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TRICKY = ' { "a" : [ {"id":"]}"} , 1.0e+2 ] , "b\\"\\\\" : "\\"{",' +
  '"id" : 12345678901234567890 , "__proto__":{"id":null},"id":1.50 } ';

test("JSON spans: findValue finds a value in any surroundings", () => {
  const at = (path: string[], text = TRICKY): string | undefined => {
    const span = findValue(text, path);
    return span && text.slice(span.start, span.end);
  };
  assertEquals(at(["a"]), '[ {"id":"]}"} , 1.0e+2 ]');
  assertEquals(at(['b"\\']), '"\\"{"');
  assertEquals(at(["id"]), "1.50", "of repeated names the last one counts");
  assertEquals(at(["__proto__", "id"]), "null");
  assertEquals(at(["a", "id"]), undefined, "an array has no names");
  assertEquals(at(["id", "x"]), undefined);
  assertEquals(at(["c"]), undefined);
  assertEquals(at([]), TRICKY.trim());
  assertEquals(at(["x"], "{}"), undefined);
  assertEquals(at(["\u00e9"], '{"\\u00e9":true}'), "true");
});

test("JSON spans: findValue agrees with JSON.parse on every member of generated texts", () => {
  let seed = 1;
  const random = (): number =>
    (seed = (seed * 48271) % 2147483647) / 2147483647;
  const value = (depth: number): unknown => {
    const kind = Math.floor(random() * (depth > 3 ? 4 : 6));
    if (kind === 0) return random() * 1e6 - 5e5;
    if (kind === 1) return random() < 0.5 ? null : random() < 0.5;
    if (kind < 4) {
      return String.fromCharCode(
        ...'"\\[]{},: \n\u00e9'.split("").map((c) =>
          random() < 0.5 ? c.charCodeAt(0) : 97
        ),
      );
    }
    const size = Math.floor(random() * 4);
    if (kind === 4) return Array.from({ length: size }, () => value(depth + 1));
    return Object.fromEntries(
      Array.from({ length: size }, (_, i) => [`k"${i}}`, value(depth + 1)]),
    );
  };
  let seen = 0;
  for (let i = 0; i < 500; i++) {
    const whole = { a: value(0), b: value(0), "c]": value(0) };
    const text = JSON.stringify(whole, null, i % 3);
    for (const [name, expected] of Object.entries(whole)) {
      const span = findValue(text, [name])!;
      assertEquals(JSON.parse(text.slice(span.start, span.end)), expected);
      seen++;
    }
  }
  assertEquals(seen, 1500);
});

test("JSON spans: replaceValue and prependMember change nothing else", () => {
  assertEquals(
    replaceValue('{"a":1.0,"id":7 }', ["id"], '"x"'),
    '{"a":1.0,"id":"x" }',
  );
  assertEquals(replaceValue('{"a":1}', ["id"], "2"), '{"a":1}');
  assertEquals(
    prependMember('{"a":{ }}', ["a"], "b", "true"),
    '{"a":{"b":true}}',
  );
  assertEquals(
    prependMember('{"a":{ "c":1.0 }}', ["a"], "b", "true"),
    '{"a":{"b":true,"c":1.0 }}',
  );
  assertEquals(prependMember('{"a":[]}', ["a"], "b", "true"), '{"a":[]}');
});

test("JSON spans: elementTextsOf keeps the exact text of each element", () => {
  assertEquals(elementTextsOf(' [ {"a":1.0} , "x,]" , [2] ] '), [
    '{"a":1.0}',
    '"x,]"',
    "[2]",
  ]);
  assertEquals(elementTextsOf("[]"), []);
});

const CUTS: [text: string, names: string[], rest: string][] = [
  ['{"a":1}', ["b"], '{"a":1}'],
  ['{"a":1}', ["a"], "{}"],
  [
    '{ "a" : 1.0 , "b" : null , "c":[ {"b":2} ] }',
    ["b"],
    '{ "a" : 1.0 , "c":[ {"b":2} ] }',
  ],
  ['{"b":null,"a":"b"}', ["b"], '{"a":"b"}'],
  ['{"a":1, "b":null }', ["b"], '{"a":1 }'],
  ['{"b":1,"a":2,"b":3,"c":4,"b":null}', ["b"], '{"a":2,"c":4}'],
  ['{"a":1,"b":2,"c":3}', ["b", "c"], '{"a":1}'],
  ['{ "a":1,"b":2 }', ["a", "b"], "{  }"],
  ['{"\\u0062":null,"a":"}"}', ["b"], '{"a":"}"}'],
];

for (const [text, names, rest] of CUTS) {
  test(`JSON spans: removeMembers removes ${names} from ${text}`, () => {
    assertEquals(removeMembers(text, names), rest);
    JSON.parse(rest);
  });
}

const BROKEN_TEXTS: [text: string, found: [string, string | undefined][]][] = [
  ["", []],
  ["[1", []],
  ["{", []],
  ['{"a', []],
  ['{"a"', []],
  ['{"a":', [["a", undefined]]],
  ['{"a":1', [["a", undefined]]],
  ['{"a":1,', [["a", "1"]]],
  ['{"a":1,"b":{"c":"}"},"d":[1,', [["a", "1"], ["b", '{"c":"}"}'], [
    "d",
    undefined,
  ]]],
  ['{"a":NaN,"b":2}', [["a", undefined]]],
  ['{"a":"x\ny","b":2}', [["a", undefined]]],
  ['{"a":1;"b":2}', [["a", undefined]]],
  ['{"a":1 x', [["a", "1"]]],
  ['{"a":1}x', []],
  ['{"a":1} }', []],
];

for (const [text, found] of BROKEN_TEXTS) {
  test(`JSON spans: recoverLeadingMembers of ${JSON.stringify(text)}`, () => {
    assertEquals(
      [...recoverLeadingMembers(text)],
      found,
    );
  });
}

test("JSON spans: memberSpansOf gives the same name for escaped and plain keys", () => {
  assertEquals(memberSpansOf('{"a":1,"\\u0061":2}').map(({ name }) => name), [
    "a",
    "a",
  ]);
});
