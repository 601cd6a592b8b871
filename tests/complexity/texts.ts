/**
 * Readers of JSON, of TOML, of files and of messages, each with the worst shapes that are
 * known for it, for the measurement of how their time grows.
 *
 * @module
 */

import { envelopeOf, read, readFrame } from "../../lib/protocol/envelope.ts";
import { piecesOf } from "../../lib/protocol/frames.ts";
import {
  closedEnd,
  cut,
  elements,
  insert,
  locate,
  members,
  membersBeforeBreak,
  replace,
} from "../../lib/json/spans.ts";
import { parse, plain } from "../../lib/json/jsonc.ts";
import { Memory, merged } from "../../lib/cache/cache.ts";
import * as memory from "../../lib/cache/format.ts";
import * as running from "../../lib/proxy/status_format.ts";
import {
  parseFile,
  withEntry,
  withoutEntry,
} from "../../lib/clients/json_edit.ts";
import * as toml from "../../lib/clients/toml_edit.ts";
import type { Reader } from "./measure.ts";
import { deep, each, many, slashes, SPACES, wide } from "./shapes.ts";

const id = `"jsonrpc":"2.0","id":1`;

const JSON_TEXT = [
  ...each("spans.members", members, {
    "many": [3000, (n) => wide(n)],
    "deep": [20_000, (n) => `{"a":${deep(n)}}`],
    "quotes and backslashes": [50_000, (n) => `{"a":"${slashes(n)}"}`],
    "backslashes only": [200_000, (n) => `{"a":"${"\\\\".repeat(n)}"}`],
    "spaces": [30_000, (n) => `{${SPACES(n)}"a"${SPACES(n)}:1${SPACES(n)}}`],
  }),
  ...each("spans.elements", elements, {
    "many": [10_000, (n) => `[${many(n, () => "1")}]`],
    "objects": [4000, (n) => `[${many(n, () => '{"a":[1]}')}]`],
  }),
  ...each("spans.locate", (text) => locate(text, ["a", "b", "c"]), {
    "last of many, three times": [
      1000,
      (n) => {
        const around = (text: string, name: string): string =>
          `${wide(n).slice(0, -1)},"${name}":${text}}`;
        return around(around(around("1", "c"), "b"), "a");
      },
    ],
    "one name again and again": [
      3000,
      (n) => `{${many(n, () => '"a":{"b":{"c":1}}')}}`,
    ],
  }),
  ...each("spans.cut", (text) => cut(text, ["a"]), {
    "every second member": [
      2000,
      (n) => `{${many(n, (i) => `"a":1,"k${i}":1`)}}`,
    ],
    "all members": [5000, (n) => `{${many(n, () => '"a":1')}}`],
  }),
  ...each(
    "spans.replace and insert",
    (text) => insert(replace(text, ["a"], "2"), [], "b", "3"),
    { "many": [4000, (n) => `${wide(n).slice(0, -1)},"a":1}`] },
  ),
  ...each("spans.membersBeforeBreak", membersBeforeBreak, {
    "many": [3000, (n) => wide(n).slice(0, -1)],
    "many, each an object": [2000, (n) => wide(n, '{"a":[]}').slice(0, -1)],
    "deep and open": [50_000, (n) => `{"a":${"[".repeat(n)}`],
    "an open string": [50_000, (n) => `{"a":"${slashes(n)}`],
  }),
  ...each("spans.closedEnd", (text) => closedEnd(text, 0), {
    "open": [10_000, (n) => '{"a":['.repeat(n)],
    "quotes": [30_000, (n) => `{${'"",'.repeat(n)}`],
    "an odd number of backslashes": [
      200_000,
      (n) => `"${"\\".repeat(2 * n + 1)}"`,
    ],
  }),
];

const REMEMBERED = {
  daemon: "ws://d/",
  key: "k",
  user: "u",
  dialect: "mcp",
};

/** A cache with a text for each of its objects. */
function cache(initialize: string, lists: string, more = ""): string {
  const { daemon, key, dialect } = REMEMBERED;
  return `{"alwaysup":1,"daemon":"${daemon}","key":"${key}",` +
    `"dialect":"${dialect}","initialize":${initialize},"lists":${lists}${more}}`;
}

const fromCache = (text: string): Memory => {
  const found = memory.fromText(text, REMEMBERED);
  if (typeof found === "string") throw new Error(found);
  return new Memory(merged(found, found), 0, (text) => text);
};

const FILES = [
  ...each("cache_format.fromText", fromCache, {
    "many versions": [
      600,
      (n) => cache(wide(n, '{"protocolVersion":"1"}'), "{}"),
    ],
    "many lists": [
      500,
      (n) =>
        cache("{}", `{${many(n, (i) => `"${i} tools/list":{"tools":[]}`)}}`),
    ],
    "many that are none": [
      800,
      (n) => cache(wide(n), wide(n), `,${wide(n).slice(1, -1)}`),
    ],
    "a long list": [
      3000,
      (n) =>
        cache(
          "{}",
          `{"tools/list":{"tools":[${many(n, () => '{"name":"t"}')}]}}`,
        ),
    ],
    "a deep list": [
      5000,
      (n) => cache("{}", `{"tools/list":{"tools":${deep(n)}}}`),
    ],
    "many daemons that keep one connection": [
      1000,
      (n) => cache("{}", "{}", `,"one":${wide(n)}`),
    ],
  }),
  // It is called with no more than 64 KiB.
  ...each("status_format.fromText", running.fromText, {
    "many": [7000, (n) => `{"alwaysup":1,${wide(n).slice(1)}`],
  }),
  ...each("jsonc.parse", (text) => plain(parse(text)), {
    "many": [3000, (n) => wide(n)],
    "comments": [10_000, (n) => `{${"/* */ // \n".repeat(n)}}`],
    "one comment": [400_000, (n) => `{/*${"* /".repeat(n)}*/}`],
    "spaces": [1_000_000, (n) => `{${SPACES(n)}}`],
    "quotes and backslashes": [30_000, (n) => `{"a":"${slashes(n)}"}`],
  }),
  ...each(
    "json_edit.parseFile, withEntry, withoutEntry",
    (text) => {
      const slot = { key: "s", name: "a" };
      const entry = { command: "c", args: ["x"] };
      const added = withEntry(text, slot, entry);
      const again = withEntry(added, slot, { ...entry, args: ["y"] });
      return parseFile(withoutEntry(again, slot));
    },
    {
      "many servers": [
        300,
        (n) => `{\n  "s": ${wide(n, '{"command":"c"}')}\n}\n`,
      ],
      "many other members": [
        300,
        (n) => `{${wide(n).slice(1, -1)},"s":{"a":{"command":"b","type":"t"}}}`,
      ],
      "many members of the entry": [
        400,
        (n) => `{"s":{"a":{"command":"b",${wide(n).slice(1)}}}`,
      ],
      "spaces before the entry": [
        60_000,
        (n) => `{${SPACES(n)}"x":1,${SPACES(n)}"s":{ "a":{"command":"b"}}}`,
      ],
      "spaces within the entry": [
        20_000,
        (n) =>
          `{"s":{${SPACES(n)}"a":${SPACES(n)}{"url":1${SPACES(n)},${
            SPACES(n)
          }"command":"b"${SPACES(n)}}${SPACES(n)}}}`,
      ],
      "lines of spaces": [
        6000,
        (n) => `{${many(n, () => "\n    \t    ", "")}"s":{"a":{"url":1}}}`,
      ],
      "comments": [
        800,
        (n) => `{${"// ,\n/* , */\n".repeat(n)}"s":{${"// ,\n".repeat(n)}}}`,
      ],
    },
  ),
];

/** Lines of so many pairs. */
const pairs = (size: number, name: string = "k", value: string = "1"): string =>
  many(size, (i) => `${name}${i} = ${value}\n`, "");

const TOML = each(
  "toml_edit.parseFile, withEntry, withoutEntry",
  (text) => {
    const slot = { key: "s", name: "a" };
    const entry = { command: "c", args: ["x"] };
    const added = toml.withEntry(text, slot, entry);
    const again = toml.withEntry(added, slot, { ...entry, args: ["y"] });
    return toml.parseFile(toml.withoutEntry(again, slot));
  },
  {
    "many servers": [
      200,
      (n) => many(n, (i) => `[s.k${i}]\ncommand = "c"\n`, "\n"),
    ],
    "many servers with dots": [
      300,
      (n) => many(n, (i) => `s.k${i}.command = "c"\n`, ""),
    ],
    "many servers in braces": [
      200,
      (n) => `s = { ${many(n, (i) => `k${i} = { command = "c" }`)} }\n`,
    ],
    "many arrays of tables": [400, (n) => "[[s.a]]\n\n".repeat(n)],
    "many members of the entry": [
      400,
      (n) => `[s.a]\ncommand = "b"\n${pairs(n)}`,
    ],
    "many members of the entry that go": [
      400,
      (n) => `[s.a]\n${pairs(n, "url.k")}`,
    ],
    "many members with dots that go": [
      300,
      (n) => `s.a.command = "b"\n${pairs(n, "s.a.url.k")}`,
    ],
    "many members in braces that go": [
      300,
      (n) => `s.a = { ${many(n, (i) => `url.k${i} = 1`)} }\n`,
    ],
    "many tables below the entry that go": [
      300,
      (n) => many(n, (i) => `\n\n[s.a.url.k${i}]\n`, ""),
    ],
    "many tables of many names": [
      100,
      (n) => many(n, (i) => `[${"x.".repeat(50)}k${i}]\nk = 1\n`, ""),
    ],
    "comments": [2000, (n) => `[s.b]\n${"# [s.a], \n".repeat(n)}`],
    "comments in braces": [
      2000,
      (n) => `s = {${"# , }\n".repeat(n)}a={}${"# , }\n".repeat(n)}}`,
    ],
    "empty lines": [
      20_000,
      (n) => `${"\r\n".repeat(n)}[s.a]${" \n".repeat(n)}`,
    ],
    "spaces": [
      50_000,
      (n) => `${SPACES(n)}[${SPACES(n)}s . a ]${SPACES(n)}\n${SPACES(n)}`,
    ],
    "a long line above": [100_000, (n) => `#${SPACES(n)}\n[s.a]\nurl = 1`],
    "quotes and backslashes": [
      10_000,
      (n) => `k = "${slashes(n)}"\nl = """${slashes(n)}"""\n`,
    ],
    "quotes in strings of several lines": [
      10_000,
      (n) =>
        `k = """${'""a'.repeat(n)}"""\nl = \'\'\'${"''\n".repeat(n)}\'\'\'\n`,
    ],
    "escaped line ends": [5000, (n) => `k = """${"\\\n  \n".repeat(n)}"""\n`],
    "long numbers": [
      20_000,
      (n) => `k = 1${"_1".repeat(n)}\nl = 1.${"1".repeat(n)}\n`,
    ],
    "long arrays": [2000, (n) => `k = [${"1, # ]\n".repeat(n)}]\n`],
  },
);

const ENVELOPES = [
  ...each("envelope.read", read, {
    "many members": [4000, (n) => `{${id},"method":"m",${wide(n).slice(1)}`],
    "many members that are null": [
      2000,
      (n) => `{${id},"method":"m",${wide(n, "null").slice(1)}`,
    ],
    "escaped names": [
      1000,
      (n) => `{${id},"method":"m",${many(n, (i) => `"\\u0061${i}":1`)}}`,
    ],
    "one escaped name again and again": [
      3000,
      (n) => `{${many(n, () => '"\\u0069d":1')},"jsonrpc":"2.0","method":"m"}`,
    ],
    "a batch": [2000, (n) => `[${many(n, () => `{${id},"method":"m"}`)}]`],
    "a batch of large ids": [
      600,
      (n) =>
        `[${
          many(n, () =>
            `{"jsonrpc":"2.0","id":12345678901234567890,"method":"m"}`)
        }]`,
    ],
    "deep": [20_000, (n) => `{${id},"method":"m","params":${deep(n)}}`],
    "an error with many members": [
      2000,
      (n) => `{${id},"error":${wide(n)}}`,
    ],
    "a broken text": [3000, (n) => `{${id},"result":${wide(n)},${wide(n)}`],
    "spaces": [30_000, (n) => `${SPACES(n)}{${SPACES(n)}`],
  }),
  ...each("envelope.readFrame", readFrame, {
    "many lines, each a message": [
      100,
      (n) => many(n, () => `{${id},"result":{}}`, "\n"),
    ],
    "many messages in a line": [
      100,
      (n) => many(n, () => `{${id},"result":{}}`, " "),
    ],
    "many lines of a log": [100, (n) => many(n, () => "INFO x", "\n")],
    "many objects that are open": [
      900,
      (n) => many(n, () => `{"a":[`, "\n"),
    ],
    "many objects that are none": [100, (n) => many(n, () => "{x}", "\n")],
    "an answer that is open": [
      4000,
      (n) => `{${id},"result":{"a":NaN,${many(n, () => '"a":"b"')}\n`,
    ],
    "blanks": [40_000, (n) => `${" \n".repeat(n)}x${" \n".repeat(n)}`],
    "braces in a line": [20_000, (n) => "{".repeat(n)],
    "a line of many objects that are no messages": [
      300_000,
      (n) => `{"a":1}`.repeat(n),
    ],
  }),
  ...each(
    "frames.piecesOf",
    (text) =>
      piecesOf(text, (value, text) => "a" in envelopeOf(value, text).value),
    {
      "many in a line, and other text behind": [
        100,
        (n) => `${'{"a":1}'.repeat(n)} x`,
      ],
      "one of many lines": [
        40_000,
        (n) => `{"a":[\n${many(n, () => "1", ",\n")}\n]}\nx`,
      ],
      "marks": [200_000, (n) => `\x1e\0${"\x1e\0\r\n".repeat(n)}x`],
    },
  ),
];

/** The readers of JSON, of TOML, of files and of messages. */
export const TEXTS: readonly Reader[] = [
  ...JSON_TEXT,
  ...FILES,
  ...TOML,
  ...ENVELOPES,
];
