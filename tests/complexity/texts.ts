/**
 * Parsers of JSON, of TOML, of files and of messages, each with its worst known
 * inputs, to measure how their time grows.
 *
 * @module
 */

import {
  parseFrame,
  parseMessages,
} from "../../lib/protocol/message_parser.ts";
import { splitFrame } from "../../lib/protocol/frame_splitter.ts";
import {
  elementTextsOf,
  findClosedValueEnd,
  findValue,
  memberSpansOf,
  prependMember,
  recoverLeadingMembers,
  removeMembers,
  replaceValue,
} from "../../lib/json/spans.ts";
import { DaemonCache, mergeCachedResults } from "../../lib/cache/cache.ts";
import * as cacheFormat from "../../lib/cache/format.ts";
import * as statusFormat from "../../lib/proxy/status_format.ts";
import {
  type ClientFileFormat,
  clientFileFormatOf,
} from "../../lib/clients/client_file.ts";
import { CLIENTS } from "../../lib/clients/registry.ts";
import type { MeasuredCase } from "./measure.ts";
import {
  casesOf,
  nestedLists,
  quotesAndBackslashes,
  repeat,
  spaces,
  wideObject,
} from "./shapes.ts";

const ENVELOPE_START = `"jsonrpc":"2.0","id":1`;

const JSON_CASES = [
  ...casesOf("memberSpansOf", memberSpansOf, {
    "many": [3000, (n) => wideObject(n)],
    "deep": [20_000, (n) => `{"a":${nestedLists(n)}}`],
    "quotes and backslashes": [
      50_000,
      (n) => `{"a":"${quotesAndBackslashes(n)}"}`,
    ],
    "backslashes only": [200_000, (n) => `{"a":"${"\\\\".repeat(n)}"}`],
    "spaces": [30_000, (n) => `{${spaces(n)}"a"${spaces(n)}:1${spaces(n)}}`],
  }),
  ...casesOf("elementTextsOf", elementTextsOf, {
    "many": [10_000, (n) => `[${repeat(n, () => "1")}]`],
    "objects": [4000, (n) => `[${repeat(n, () => '{"a":[1]}')}]`],
  }),
  ...casesOf("findValue", (text) => findValue(text, ["a", "b", "c"]), {
    "last of many, three times": [
      1000,
      (n) => {
        const around = (text: string, name: string): string =>
          `${wideObject(n).slice(0, -1)},"${name}":${text}}`;
        return around(around(around("1", "c"), "b"), "a");
      },
    ],
    "one name again and again": [
      3000,
      (n) => `{${repeat(n, () => '"a":{"b":{"c":1}}')}}`,
    ],
  }),
  ...casesOf("removeMembers", (text) => removeMembers(text, ["a"]), {
    "every second member": [
      2000,
      (n) => `{${repeat(n, (i) => `"a":1,"k${i}":1`)}}`,
    ],
    "all members": [5000, (n) => `{${repeat(n, () => '"a":1')}}`],
  }),
  ...casesOf(
    "replaceValue, prependMember",
    (text) => prependMember(replaceValue(text, ["a"], "2"), [], "b", "3"),
    { "many": [4000, (n) => `${wideObject(n).slice(0, -1)},"a":1}`] },
  ),
  ...casesOf("recoverLeadingMembers", recoverLeadingMembers, {
    "many": [3000, (n) => wideObject(n).slice(0, -1)],
    "many, each an object": [
      2000,
      (n) => wideObject(n, '{"a":[]}').slice(0, -1),
    ],
    "deep and open": [50_000, (n) => `{"a":${"[".repeat(n)}`],
    "an open string": [50_000, (n) => `{"a":"${quotesAndBackslashes(n)}`],
  }),
  ...casesOf("findClosedValueEnd", (text) => findClosedValueEnd(text, 0), {
    "open": [10_000, (n) => '{"a":['.repeat(n)],
    "quotes": [30_000, (n) => `{${'"",'.repeat(n)}`],
    "an odd number of backslashes": [
      200_000,
      (n) => `"${"\\".repeat(2 * n + 1)}"`,
    ],
  }),
];

const CACHE_OWNER = {
  daemon: "ws://d/",
  key: "k",
  user: "u",
  dialect: "mcp",
};

/** Returns the text of a cache file, with the given texts as its objects. */
function cacheText(initialize: string, lists: string, more = ""): string {
  const { daemon, key, dialect } = CACHE_OWNER;
  return `{"alwaysup":2,"daemon":"${daemon}","key":"${key}",` +
    `"dialect":"${dialect}","initialize":${initialize},"lists":${lists}${more}}`;
}

/** Returns the JSON text of the cached lists: a list of tools. */
function listsText(result: string): string {
  return JSON.stringify({ "tools/list": result });
}

const fromCache = (text: string): DaemonCache => {
  const found = cacheFormat.parseCache(text, CACHE_OWNER);
  if (typeof found === "string") throw new Error(found);
  return new DaemonCache(mergeCachedResults(found, found), 0, (text) => text);
};

const FILE_CASES = [
  ...casesOf("parseCache", fromCache, {
    "many versions": [
      600,
      (n) =>
        cacheText(
          wideObject(n, JSON.stringify('{"protocolVersion":"1"}')),
          "{}",
        ),
    ],
    "many lists": [
      500,
      (n) =>
        cacheText(
          "{}",
          `{${repeat(n, (i) => `"${i} tools/list":"{\\"tools\\":[]}"`)}}`,
        ),
    ],
    "many invalid results": [
      800,
      (n) =>
        cacheText(
          wideObject(n),
          wideObject(n),
          `,${wideObject(n).slice(1, -1)}`,
        ),
    ],
    "a long list": [
      3000,
      (n) =>
        cacheText(
          "{}",
          listsText(`{"tools":[${repeat(n, () => '{"name":"t"}')}]}`),
        ),
    ],
    "a deep list": [
      5000,
      (n) => cacheText("{}", listsText(`{"tools":${nestedLists(n)}}`)),
    ],
    "many daemons that keep one connection": [
      1000,
      (n) => cacheText("{}", "{}", `,"one":${wideObject(n)}`),
    ],
  }),
  // The largest status file that is read has 64 KiB.
  ...casesOf("parseStatus", statusFormat.parseStatus, {
    "many": [7000, (n) => `{"alwaysup":1,${wideObject(n).slice(1)}`],
  }),
  ...casesOf(
    "json_edit.parseClientFile, removeEntry",
    (text) => {
      const { parseClientFile, removeEntry } = formatOf("vscode");
      return [parseClientFile(text), removeEntry(text, "a")];
    },
    {
      "many": [3000, (n) => wideObject(n)],
      "comments": [10_000, (n) => `{${"/* */ // \n".repeat(n)}}`],
      "one comment": [400_000, (n) => `{/*${"* /".repeat(n)}*/}`],
      "spaces": [20_000, (n) => `{${spaces(n)}}`],
      "quotes and backslashes": [
        30_000,
        (n) => `{"a":"${quotesAndBackslashes(n)}"}`,
      ],
    },
  ),
  ...casesOf(
    "json_edit.setEntry, removeEntry, parseClientFile",
    (text) => editClientFile("vscode", text),
    {
      "many servers": [
        300,
        (n) => `{\n  "s": ${wideObject(n, '{"command":"c"}')}\n}\n`,
      ],
      "many other members": [
        300,
        (n) =>
          `{${
            wideObject(n).slice(1, -1)
          },"s":{"a":{"command":"b","type":"t"}}}`,
      ],
      "many members of the entry": [
        400,
        (n) => `{"s":{"a":{"command":"b",${wideObject(n).slice(1)}}}`,
      ],
      "spaces before the entry": [
        60_000,
        (n) => `{${spaces(n)}"x":1,${spaces(n)}"s":{ "a":{"command":"b"}}}`,
      ],
      "spaces within the entry": [
        20_000,
        (n) =>
          `{"s":{${spaces(n)}"a":${spaces(n)}{"url":1${spaces(n)},${
            spaces(n)
          }"command":"b"${spaces(n)}}${spaces(n)}}}`,
      ],
      "lines of spaces": [
        6000,
        (n) => `{${repeat(n, () => "\n    \t    ", "")}"s":{"a":{"url":1}}}`,
      ],
      "comments": [
        800,
        (n) => `{${"// ,\n/* , */\n".repeat(n)}"s":{${"// ,\n".repeat(n)}}}`,
      ],
    },
  ),
];

function formatOf(name: string): ClientFileFormat {
  const client = CLIENTS.find((client) => client.name === name)!;
  return clientFileFormatOf({ ...client, serversKey: "s" });
}

/** Adds an entry to a client's file, replaces it, and removes it again. */
function editClientFile(name: string, text: string): unknown {
  const format = formatOf(name);
  const entry = { command: "c", args: ["x"] };
  const added = format.setEntry(text, "a", entry);
  const again = format.setEntry(added, "a", { ...entry, args: ["y"] });
  return format.parseClientFile(format.removeEntry(again, "a"));
}

/** Returns `size` lines, each with a key and a value. */
const pairs = (size: number, name: string = "k", value: string = "1"): string =>
  repeat(size, (i) => `${name}${i} = ${value}\n`, "");

const TOML_CASES = casesOf(
  "toml_edit.setEntry, removeEntry, parseClientFile",
  (text) => editClientFile("codex", text),
  {
    "many servers": [
      200,
      (n) => repeat(n, (i) => `[s.k${i}]\ncommand = "c"\n`, "\n"),
    ],
    "many servers with dots": [
      300,
      (n) => repeat(n, (i) => `s.k${i}.command = "c"\n`, ""),
    ],
    "many servers in braces": [
      200,
      (n) => `s = { ${repeat(n, (i) => `k${i} = { command = "c" }`)} }\n`,
    ],
    "many arrays of tables": [400, (n) => "[[s.a]]\n\n".repeat(n)],
    "many members of the entry": [
      400,
      (n) => `[s.a]\ncommand = "b"\n${pairs(n)}`,
    ],
    "many members of the entry that are removed": [
      400,
      (n) => `[s.a]\n${pairs(n, "url.k")}`,
    ],
    "many members with dots that are removed": [
      300,
      (n) => `s.a.command = "b"\n${pairs(n, "s.a.url.k")}`,
    ],
    "many members in braces that are removed": [
      300,
      (n) => `s.a = { ${repeat(n, (i) => `url.k${i} = 1`)} }\n`,
    ],
    "many tables below the entry that are removed": [
      300,
      (n) => repeat(n, (i) => `\n\n[s.a.url.k${i}]\n`, ""),
    ],
    "many tables of many names": [
      60,
      (n) => repeat(n, (i) => `[${"x.".repeat(10)}k${i}]\nk = 1\n`, ""),
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
      (n) => `${spaces(n)}[${spaces(n)}s . a ]${spaces(n)}\n${spaces(n)}`,
    ],
    "a long line above": [100_000, (n) => `#${spaces(n)}\n[s.a]\nurl = 1`],
    "quotes and backslashes": [
      1000,
      (n) =>
        `k = "${quotesAndBackslashes(n)}"\nl = """${
          quotesAndBackslashes(n)
        }"""\n`,
    ],
    "quotes in strings of several lines": [
      1000,
      (n) =>
        `k = """${'""a'.repeat(n)}"""\nl = \'\'\'${"''\n".repeat(n)}\'\'\'\n`,
    ],
    "escaped line ends": [5000, (n) => `k = """${"\\\n  \n".repeat(n)}"""\n`],
    "long numbers": [
      5000,
      (n) => `k = 1${"_1".repeat(n)}\nl = 1.${"1".repeat(n)}\n`,
    ],
    "long arrays": [500, (n) => `k = [${"1, # ]\n".repeat(n)}]\n`],
  },
);

const ENVELOPE_CASES = [
  ...casesOf("parseMessages", parseMessages, {
    "many members": [
      4000,
      (n) => `{${ENVELOPE_START},"method":"m",${wideObject(n).slice(1)}`,
    ],
    "many members that are null": [
      2000,
      (n) =>
        `{${ENVELOPE_START},"method":"m",${wideObject(n, "null").slice(1)}`,
    ],
    "escaped names": [
      1000,
      (n) =>
        `{${ENVELOPE_START},"method":"m",${
          repeat(n, (i) => `"\\u0061${i}":1`)
        }}`,
    ],
    "one escaped name again and again": [
      3000,
      (n) =>
        `{${repeat(n, () => '"\\u0069d":1')},"jsonrpc":"2.0","method":"m"}`,
    ],
    "a batch": [
      2000,
      (n) => `[${repeat(n, () => `{${ENVELOPE_START},"method":"m"}`)}]`,
    ],
    "a batch of large ids": [
      600,
      (n) =>
        `[${
          repeat(n, () =>
            `{"jsonrpc":"2.0","id":12345678901234567890,"method":"m"}`)
        }]`,
    ],
    "deep": [
      20_000,
      (n) => `{${ENVELOPE_START},"method":"m","params":${nestedLists(n)}}`,
    ],
    "an error with many members": [
      2000,
      (n) => `{${ENVELOPE_START},"error":${wideObject(n)}}`,
    ],
    "a broken text": [
      3000,
      (n) => `{${ENVELOPE_START},"result":${wideObject(n)},${wideObject(n)}`,
    ],
    "spaces": [30_000, (n) => `${spaces(n)}{${spaces(n)}`],
  }),
  ...casesOf("parseFrame", parseFrame, {
    "many lines, each a message": [
      100,
      (n) => repeat(n, () => `{${ENVELOPE_START},"result":{}}`, "\n"),
    ],
    "many messages in a line": [
      100,
      (n) => repeat(n, () => `{${ENVELOPE_START},"result":{}}`, " "),
    ],
    "many lines of a log": [100, (n) => repeat(n, () => "INFO x", "\n")],
    "many objects that are open": [
      900,
      (n) => repeat(n, () => `{"a":[`, "\n"),
    ],
    "many braces that are not JSON": [100, (n) => repeat(n, () => "{x}", "\n")],
    "an answer that is open": [
      4000,
      (n) =>
        `{${ENVELOPE_START},"result":{"a":NaN,${repeat(n, () => '"a":"b"')}\n`,
    ],
    "blanks": [40_000, (n) => `${" \n".repeat(n)}x${" \n".repeat(n)}`],
    "braces in a line": [20_000, (n) => "{".repeat(n)],
    "a line of many objects that are no messages": [
      300_000,
      (n) => `{"a":1}`.repeat(n),
    ],
  }),
  ...casesOf(
    "splitFrame",
    (text) =>
      splitFrame(
        text,
        (value) => "a" in value,
        ["a"],
      ),
    {
      "many in a line, and other text behind": [
        100,
        (n) => `${'{"a":1}'.repeat(n)} x`,
      ],
      "one of many lines": [
        40_000,
        (n) => `{"a":[\n${repeat(n, () => "1", ",\n")}\n]}\nx`,
      ],
      "marks": [200_000, (n) => `\x1e\0${"\x1e\0\r\n".repeat(n)}x`],
    },
  ),
];

export const TEXT_CASES: readonly MeasuredCase[] = [
  ...JSON_CASES,
  ...FILE_CASES,
  ...TOML_CASES,
  ...ENVELOPE_CASES,
];
