/**
 * Tests that an entry in a client's JSON file is added, replaced and removed.
 * Everything else in the file stays, including comments. Also tests the parser
 * for JSON with comments.
 *
 * @module
 */

import {
  findNodeAtLocation,
  parse as library,
  type ParseError,
  parseTree,
} from "jsonc-parser";
import { clientFileFormatOf } from "../../../lib/clients/client_file.ts";
import {
  findJsoncExtensions,
  jsonFormatOf,
} from "../../../lib/clients/json_edit.ts";
import { CLIENTS } from "../../../lib/clients/registry.ts";
import { lineNumberOf } from "../../../lib/json/spans.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { seededRandom } from "../../simulation/scheduler.ts";

const CLIENT = CLIENTS.find(({ name }) => name === "vscode")!;

const {
  parseClientFile: parseJsonFile,
  removeEntry: removeJsonEntry,
  setEntry: setJsonEntry,
} = clientFileFormatOf(CLIENT);

const { parse } = jsonFormatOf(CLIENT);

const ENTRY_NAME = "us";

const ENTRY = { type: "stdio", command: "c", args: ["a"] };

const READ: [text: string, value: unknown][] = [
  ['"a\\u0041\\"//"', 'aA"//'],
  [" -2.5e3 ", -2500],
  ["/**/[/*,*/1,// 2\n[],{},]//", [1, [], {}]],
  ["[1, // 2\r3]", [1, 3]],
  ['{"a":{"b":null,},"c":true}', { a: { b: null }, c: true }],
  ['{"a":1,"a":2}', { a: 2 }],
];

for (const [text, value] of READ) {
  test(`JSON edit: reads ${text}`, () => assertEquals(parse(text), value));
}

const WRONG = [
  ...["", "//", "/* {}", "{", "[", '{"a"', '{"a":', '{"a":1', "[1"],
  ...["{,}", "[,]", "[1,,2]", "[1 2]", '{"a" 1}', "{a:1}", "{1:1}", "{}{}"],
  ...['"a', '"\\x"', "'a'", "01", "1.", "+1", "nul", "True", "undefined", "[}"],
  ...["\u00a0{}", "#", "/", '"\n"'],
];

test("JSON edit: refuses a text that is not JSONC, and names the line", () => {
  for (const text of WRONG) {
    assertThrows(() => parse(text), Error, "it is not JSON (line 1)");
    assertThrows(
      () => removeJsonEntry(`{"a":${text}}`, ENTRY_NAME),
      Error,
      "it is not JSON (line 1)",
    );
  }
  const text = "{\n// a\n/* b\n*/ c}";
  assertThrows(() => parse(text), Error, "(line 4)");
  assertThrows(() => removeJsonEntry(text, ENTRY_NAME), Error, "(line 4)");
});

test("JSON edit: refuses a text that is not an object or is nested too deeply", () => {
  for (const text of ["[]", '[{"a":1}]', "null", '"{}"']) {
    assertThrows(
      () => removeJsonEntry(text, ENTRY_NAME),
      Error,
      "it is not a JSON object",
    );
  }
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  const why = "it is nested too deeply";
  assertThrows(() => parse(deep), Error, why);
  assertThrows(() => removeJsonEntry(`{"a":${deep}}`, ENTRY_NAME), Error, why);
});

const EXTENSIONS: [
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

test("JSON edit: finds the first comment and the first trailing comma", () => {
  for (const [text, comment, comma] of EXTENSIONS) {
    const all = findJsoncExtensions(text);
    const lines = ["comment", "comma"].map((extension) => {
      const found = all.find(([name]) => name === extension);
      return found && lineNumberOf(text, found[1]);
    });
    assertEquals(lines, [comment, comma], text);
  }
});

const REPLACED: [what: string, before: string, after: string][] = [
  [
    "member by member, and keeps the comments between them",
    '{"servers": {\n  "us": { // mine\n    "command": "old", // why\n' +
    '    "args": ["x"],\n    /* secrets */ "env": {\n      // of the test\n' +
    '      "T": "1",\n    },\n    "type": "stdio"\n  },\n}}',
    '{"servers": {\n  "us": { // mine\n    "command": "c", // why\n' +
    '    "args": [\n      "a"\n    ],\n    /* secrets */ "env": {\n      // of the test\n' +
    '      "T": "1",\n    },\n    "type": "stdio"\n  },\n}}',
  ],
  [
    "adds missing members at the end, and removes the members of a remote server",
    '{"servers": {\n  "us": {\n    "url": "http://h", // there\n    "timeout": 9 // s\n  }\n}}',
    '{"servers": {\n  "us": {\n    // there\n    "timeout": 9, // s\n' +
    '    "type": "stdio",\n    "command": "c",\n    "args": [\n      "a"\n    ]\n  }\n}}',
  ],
  [
    "on one line",
    '{"servers": { "us": { "command": "old", "env": {} } }}',
    '{"servers": { "us": { "command": "c", "env": {}, "type":"stdio", "args":["a"] } }}',
  ],
  [
    "names that every object inherits",
    '{"servers": { "us": { "command": "c", "args": { "x": { "toString": 1 }, ' +
    '"valueOf": { "toString": {} } } } }}',
    '{"servers": { "us": { "command": "c", "args": ["a"], "type":"stdio" } }}',
  ],
  [
    "no object",
    '{"servers": {"us": null /* ? */}}',
    '{"servers": {"us": {"type":"stdio","command":"c","args":["a"]} /* ? */}}',
  ],
];

for (const [what, before, after] of REPLACED) {
  test(`JSON edit: replacing an entry: ${what}`, () => {
    assertEquals(setJsonEntry(before, ENTRY_NAME, ENTRY), after);
    assertEquals(setJsonEntry(after, ENTRY_NAME, ENTRY), after);
  });
}

const OTHERS: [what: string, text: string][] = [
  ["a brace in the last line", '{"servers": {"a": {\n  "command": "x"\n}}}'],
  [
    "spaces before the closing brace",
    '{"servers": {\r\n  "a": {\r\n  } \t}}\r\n',
  ],
  [
    "a comment before the closing brace",
    '{"servers": {\n  "a": {} /* x */ }\n}',
  ],
  ["a comma before the closing brace", '{"servers": {\n  "a": {}, }\n}'],
  ["a comma on one line", '{"servers": { "a": {} , }}'],
  ["blanks at the end of a line", '{\n  "servers": {\n    "a": {}  \n  }\n}'],
  [
    "spaces after a comment at the end of a line",
    '{"servers": {\n  "a": {} // x \t\n}}',
  ],
  [
    "spaces after a comma at the end of a line",
    '{"servers": {\n  "a": {} , \t\r\n}}',
  ],
];

for (const [what, text] of OTHERS) {
  test(`JSON edit: removing an added entry restores the text: ${what}`, () => {
    const put = setJsonEntry(text, ENTRY_NAME, ENTRY);
    assertEquals(library(put).servers, {
      a: library(text).servers.a,
      us: ENTRY,
    });
    assertEquals(removeJsonEntry(put, ENTRY_NAME), text);
  });
}

test("JSON edit: removing an entry keeps the line break that ends a comment", () => {
  const text = '{"servers": {\n  "a": {} // x\n  , // y\n  "us": {} }}';
  assertEquals(
    removeJsonEntry(text, ENTRY_NAME),
    '{"servers": {\n  "a": {} // x\n   // y\n }}',
  );
});

type Pair = [name: string, value: string];

/**
 * Returns a random text for a seed, with numbered comments in all places that
 * allow them. An edit must keep some members of the entry, but not others.
 */
function generateJson(seed: number): string {
  const random = seededRandom(seed);
  const pick = <T>(...all: T[]): T => all[Math.floor(random() * all.length)]!;
  let count = 0;
  const gap = (): string => {
    const parts = ["", "", " ", "\n", "  ", "\r\n\t"];
    const comments = [() => `/*${count++}*/`, () => `//${count++}\n`];
    return random() < 0.4
      ? pick(...parts) + pick(...comments)() + pick(...parts)
      : pick(...parts);
  };
  const list = (
    open: string,
    items: readonly string[],
    close: string,
  ): string => {
    const end = items.length > 0 && random() < 0.3 ? `${gap()},` : "";
    return open + items.map((item) => gap() + item).join(`${gap()},`) + end +
      gap() + close;
  };
  const object = (members: readonly Pair[]): string =>
    list(
      "{",
      members.map(([name, value]) => `"${name}"${gap()}:${gap()}${value}`),
      "}",
    );
  const some = <T>(all: readonly T[]): T[] =>
    all.filter(() => random() < 0.6).toSorted(() => random() - 0.5);
  const env = (): string =>
    object(some<Pair>([["A", '"1"'], ["B", '"/*,*/"']]));
  const us = object(some<Pair>([
    ["command", '"old"'],
    ["args", list("[", some(['"x"', '"//"']), "]")],
    ["url", '"http://h"'],
    ["headers", env()],
    ["env", env()],
    ["timeout", "1.0"],
  ]));
  const servers = some<Pair>([["a", "{}"], ["b", env()], ["c", "[1]"]]);
  const at = Math.floor(random() * (servers.length + 1));
  const all = servers.toSpliced(at, 0, ["us", us]);
  const root = some<Pair>([["x", "1"], ["y", env()]]);
  root.push(["servers", object(all)]);
  return gap() + object(root) + gap();
}

/** Returns the numbers of the comments in a text. */
function comments(text: string): number[] {
  const parts = /"(?:[^"\\]|\\.)*"|\/\*(\d+)\*\/|\/\/(\d+)/g;
  return [...text.matchAll(parts)]
    .flatMap(([, block, line]) => block ?? line ?? [])
    .map(Number);
}

/**
 * Returns the numbers of the comments outside the members at these paths. If a
 * path ends with `=`, only the value of the member is excluded.
 */
function outside(text: string, places: readonly string[]): number[] {
  const tree = parseTree(text, [], { allowTrailingComma: true })!;
  let rest = text;
  for (const place of places) {
    const path = place.replace("=", "").split(".");
    const value = findNodeAtLocation(tree, path);
    if (value === undefined) continue;
    const { offset, length } = place.endsWith("=") ? value : value.parent!;
    const blank = " ".repeat(length);
    rest = rest.slice(0, offset) + blank + rest.slice(offset + length);
  }
  return comments(rest);
}

// deno-lint-ignore no-explicit-any
function read(text: string, seed: number): any {
  const errors: ParseError[] = [];
  const value = library(text, errors, { allowTrailingComma: true });
  assertEquals(errors, [], `seed ${seed}: ${text}`);
  return value;
}

test("JSON edit: in seeded texts, only comments inside removed or replaced members are lost", () => {
  for (let seed = 0; seed < 2_500; seed++) {
    const text = generateJson(seed);
    const what = `seed ${seed}:\n${text}`;
    const before = read(text, seed);
    const gone = removeJsonEntry(text, ENTRY_NAME);
    const { us, ...others } = before.servers;
    assertEquals(read(gone, seed), { ...before, servers: others }, what);
    assertEquals(comments(gone), outside(text, ["servers.us"]), what);
    if (Object.keys(others).length > 0) {
      const back = removeJsonEntry(
        setJsonEntry(gone, ENTRY_NAME, ENTRY),
        ENTRY_NAME,
      );
      assertEquals(back, gone, what);
    }

    const put = setJsonEntry(text, ENTRY_NAME, ENTRY);
    const { url: _, headers: __, ...rest } = us;
    const servers = { ...before.servers, us: { ...rest, ...ENTRY } };
    assertEquals(read(put, seed), { ...before, servers }, what);
    const lost = ["url", "headers", "command=", "args="]
      .map((name) => `servers.us.${name}`);
    assertEquals(comments(put), outside(text, lost), what);
    assertEquals(setJsonEntry(put, ENTRY_NAME, ENTRY), put, what);
  }
});

const PLAIN_ENTRY = { command: "c", args: ["a"] };

/** Texts without and with the entry. Removing it restores the first text. */
const TEXTS: [what: string, without: string, with_: string][] = [
  [
    "the last of others, with comments and a comma at the end",
    '// top\n{\n  "servers": {\n    "a": {}, // a\n    // "b": {},\n  },\n}\n',
    '// top\n{\n  "servers": {\n    "a": {}, // a\n    // "b": {},\n    "us": {\n' +
    '      "command": "c",\n      "args": [\n        "a"\n      ]\n    },\n  },\n}\n',
  ],
  [
    "the last of others, without such a comma",
    '{\n\t"servers": {\n\t\t"a": {} // a\n\t}\n}',
    '{\n\t"servers": {\n\t\t"a": {}, // a\n\t\t"us": {\n\t\t\t"command": "c",\n' +
    '\t\t\t"args": [\n\t\t\t\t"a"\n\t\t\t]\n\t\t}\n\t}\n}',
  ],
  [
    "the only one",
    '{\n    "x": 1.0,\n    "servers": {}\n}\n',
    '{\n    "x": 1.0,\n    "servers": {\n        "us": {\n            "command": "c",\n' +
    '            "args": [\n                "a"\n            ]\n        }\n    }\n}\n',
  ],
  [
    "the only one beside a comment",
    '{\n  "servers": {\n    // mine\n  }\n}\n',
    '{\n  "servers": {\n    // mine\n    "us": {\n      "command": "c",\n' +
    '      "args": [\n        "a"\n      ]\n    }\n  }\n}\n',
  ],
  [
    "one line",
    '{"servers":{"a":{}},"b":[1]}',
    '{"servers":{"a":{},"us":{"command":"c","args":["a"]}},"b":[1]}',
  ],
  [
    "one line without servers",
    '{"servers":{}}',
    '{"servers":{"us":{"command":"c","args":["a"]}}}',
  ],
  [
    "CRLF and a byte order mark",
    '\ufeff{\r\n  "servers": {\r\n    "a": {}\r\n  }\r\n}\r\n',
    '\ufeff{\r\n  "servers": {\r\n    "a": {},\r\n    "us": {\r\n      "command": "c",\r\n' +
    '      "args": [\r\n        "a"\r\n      ]\r\n    }\r\n  }\r\n}\r\n',
  ],
];

for (const [what, without, with_] of TEXTS) {
  test(`JSON edit: adds an entry, and removes it again: ${what}`, () => {
    assertEquals(setJsonEntry(without, ENTRY_NAME, PLAIN_ENTRY), with_);
    assertEquals(setJsonEntry(with_, ENTRY_NAME, PLAIN_ENTRY), with_);
    assertEquals(removeJsonEntry(with_, ENTRY_NAME), without);
    assertEquals(removeJsonEntry(without, ENTRY_NAME), without);
    const { servers } = parseJsonFile(with_) as { servers: { us: unknown } };
    assertEquals(JSON.stringify(servers.us), JSON.stringify(PLAIN_ENTRY));
  });
}

test("JSON edit: adds the object of servers if a file has none", () => {
  const whole = '{\n  "servers": {\n    "us": {\n      "command": "c",\n' +
    '      "args": [\n        "a"\n      ]\n    }\n  }\n}';
  assertEquals(setJsonEntry("", ENTRY_NAME, PLAIN_ENTRY), `${whole}\n`);
  assertEquals(
    setJsonEntry("\ufeff \n", ENTRY_NAME, PLAIN_ENTRY),
    `\ufeff${whole}\n`,
  );
  assertEquals(setJsonEntry("{}", ENTRY_NAME, PLAIN_ENTRY), whole);
  const more = setJsonEntry('{\n  "a": 1\n}\n', ENTRY_NAME, PLAIN_ENTRY);
  assertEquals(more, `{\n  "a": 1,\n${whole.slice(2)}\n`);
  assertEquals(
    removeJsonEntry(more, ENTRY_NAME),
    '{\n  "a": 1,\n  "servers": {}\n}\n',
  );
  assertEquals(removeJsonEntry("", ENTRY_NAME), "");
});

const REMOVED: [what: string, before: string, after: string][] = [
  [
    "first, between comments",
    '{"servers": {\n  // all\n  "us": {}, // us\n  // b\n  "b": {}\n}}',
    '{"servers": {\n  // all\n  // us\n  // b\n  "b": {}\n}}',
  ],
  [
    "last, behind a comment that ends a line",
    '{"servers": {\n  "a": {}, // a\n  "us": {}}}',
    '{"servers": {\n  "a": {} // a\n}}',
  ],
  [
    "in the middle of a line",
    '{ "servers": { "a": 1, "us": {}, "b": 2 } }',
    '{ "servers": { "a": 1, "b": 2 } }',
  ],
  [
    "the last of a line",
    '{ "servers": { "a": 1, "us": {} } }',
    '{ "servers": { "a": 1 } }',
  ],
  [
    "the only one of a line",
    '{ "servers": { "us": {}, }, }',
    '{ "servers": {}, }',
  ],
  [
    "between commas in comments",
    '{"servers": {"a": 1 /*,*/, "us": {} /*,*/}}',
    '{"servers": {"a": 1 /*,*/ /*,*/}}',
  ],
];

for (const [what, before, after] of REMOVED) {
  test(`JSON edit: removes an entry: ${what}`, () => {
    assertEquals(removeJsonEntry(before, ENTRY_NAME), after);
    parseJsonFile(after);
  });
}

test("JSON edit: replaces an entry of the same name at the same position", () => {
  const before =
    '{\n  "servers": {\n    "us": { "url": "x" }, // us\n    "b": 1\n  }\n}';
  assertEquals(
    setJsonEntry(before, ENTRY_NAME, PLAIN_ENTRY),
    '{\n  "servers": {\n    "us": {\n      "command": "c",\n      "args": [\n' +
      '        "a"\n      ]\n    }, // us\n    "b": 1\n  }\n}',
  );
  const same = '{"servers":{"us":{ "args": [ "a" ], "command": "c" }}}';
  assertEquals(
    setJsonEntry(same, ENTRY_NAME, PLAIN_ENTRY),
    same,
    "in another order",
  );
});

const REFUSED: [text: string, why: string][] = [
  ["{", "it is not JSON (line 1)"],
  ['{\n  "servers": {\n    "a": }\n}', "it is not JSON (line 3)"],
  ["// nothing", "it is not JSON"],
  ["{} {}", "it is not JSON"],
  ["[]", "it is not a JSON object"],
  ["null", "it is not a JSON object"],
  ['{"servers": []}', '"servers" in it is not an object'],
  ['{"servers": {}, "servers": {}}', '"servers" occurs twice'],
  ['{"servers": {"us": 1, "us": 2}}', '"us" occurs twice'],
];

test("JSON edit: refuses a file that is not JSON or has another structure", () => {
  for (const [text, why] of REFUSED) {
    assertThrows(() => setJsonEntry(text, ENTRY_NAME, PLAIN_ENTRY), Error, why);
    assertThrows(() => removeJsonEntry(text, ENTRY_NAME), Error, why);
  }
});
