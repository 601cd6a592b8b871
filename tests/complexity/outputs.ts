/**
 * Parsers of outputs, of lines and of lists, each with its worst known inputs,
 * to measure how their time grows.
 *
 * @module
 */

import { sanitizeLine } from "../../lib/text/sanitize.ts";
import { KnownLists } from "../../lib/session/known_lists.ts";
import { diagnoseClose } from "../../lib/transport/failure_reasons.ts";
import { parseMessages } from "../../lib/protocol/message_parser.ts";
import {
  errorOf,
  toolListResponseOf,
  toolResultOf,
} from "../../lib/dialects/exai/frames.ts";
import { ToolHints } from "../../lib/requests/tool_hints.ts";
import { DaemonCache, EMPTY_CACHED_RESULTS } from "../../lib/cache/cache.ts";
import { isIdempotent } from "../../lib/protocol/methods.ts";
import { createRedactor } from "../../lib/config/secrets.ts";
import { LineSplitter } from "../../lib/proxy/stdio.ts";
import type { MeasuredCase } from "./measure.ts";
import { casesOf, repeat, spaces, wideObject } from "./shapes.ts";

const ERROR_CASES = [
  ...casesOf(
    "parseMessages, malformed errors",
    (text) =>
      parseMessages(text.replace("{", '{"jsonrpc":"2.0","id":1,"result":{},')),
    {
      "many members": [1000, (n) => `{"error":${wideObject(n)}}`],
      "empty ones": [900, (n) => `{"error":${wideObject(n, "{}")}}`],
      "a long code": [300_000, (n) => `{"error":{"code":"${"1".repeat(n)}x"}}`],
    },
  ),
  ...casesOf("diagnoseClose", (message) =>
    diagnoseClose({
      wasOpen: false,
      code: 0,
      reason: message,
      message,
      errorCode: "",
    }), {
    "lines": [10_000, (n) => "status code: 40\nconnection\n".repeat(n)],
  }),
  ...casesOf("sanitizeLine", (text) => sanitizeLine(text, Infinity), {
    "control characters": [4000, (n) => "\x1b[ \u202e".repeat(n)],
    "one run": [1_000_000, (n) => "\x1b".repeat(n)],
  }),
];

const redactSecrets = createRedactor([
  "s3cret-0123456789",
  "p@ss w\u00f6rd",
  "ab",
]);
const SECRET_CASES = [
  ...casesOf("createRedactor", redactSecrets, {
    "none": [60_000, (n) => "a word, and a line\n".repeat(n)],
    "many": [4000, (n) => "s3cret-0123456789 ".repeat(n)],
    "almost": [20_000, (n) => "s3cret-012345678 ".repeat(n)],
    "beginnings, cut off": [4000, (n) => "s3cret-0123...".repeat(n)],
    "points": [100_000, (n) => ".".repeat(n)],
    "a word, cut off": [200_000, (n) => `${"s3cret-".repeat(n)}...`],
    "percent": [30_000, (n) => "%73%33".repeat(n)],
    "escapes": [10_000, (n) => "\\u0073\\\\".repeat(n)],
    "backslashes": [100_000, (n) => "\\".repeat(n)],
  }),
];

const RULE = "\n---\n";
const TOOL_OUTPUT_CASES = [
  ...casesOf(
    "toolResultOf",
    // The text is once an output, and once the message of an error.
    (text) => [
      toolResultOf({ text }, "clean"),
      toolResultOf({ text: "x", error: text }, "clean"),
    ],
    {
      "progress without an end": [
        50_000,
        (n) => "=== PROGRESS ===\n".repeat(n),
      ],
      "spaces before the progress": [300_000, (n) => `${spaces(n)}=== P`],
      "lines behind the progress": [
        200_000,
        (n) => `=== PROGRESS ===\n=== END PROGRESS ===${"  \n".repeat(n)}  x`,
      ],
      "spaces behind the progress": [
        500_000,
        (n) => `=== PROGRESS ===\n=== END PROGRESS ===${spaces(n)}x`,
      ],
      "summaries without an end": [
        50_000,
        (n) => "\n\n\n=== MCP CALL SUMMARY ===".repeat(n),
      ],
      "rules": [200_000, (n) => `${RULE.repeat(n)}AGENT'S TURN: x`],
      "turns": [100_000, (n) => `${RULE}AGENT'S TURN:`.repeat(n)],
      "spaces": [
        300_000,
        (n) => `x${spaces(n)}${RULE}${spaces(n)}AGENT'S TURN:${spaces(n)}x`,
      ],
      "an object": [9000, (n) => wideObject(n)],
    },
  ),
  ...casesOf(
    "exai frames",
    (text) => {
      const frame = JSON.parse(text);
      return [
        toolResultOf(frame, "clean"),
        errorOf(frame),
        toolListResponseOf("1", frame, text),
      ];
    },
    {
      "many outputs": [
        1000,
        (n) =>
          `{"op":"call_tool_res","outputs":[${
            repeat(n, (i) =>
              `{"type":"text","text":"{\\"status\\":\\"x\\",\\"content\\":\\"${i}\\"}"}`)
          }]}`,
      ],
      "many outputs beside an error": [
        1000,
        (n) =>
          `{"op":"error","message":"m","outputs":[${
            repeat(n, (i) => `"${i}"`)
          }]}`,
      ],
      "many tools": [
        1000,
        (n) =>
          `{"op":"list_tools_res","tools":[${
            repeat(n, (i) => `{"name":"t${i}","inputSchema":{"type":"object"}}`)
          }]}`,
      ],
    },
  ),
];

const encoder = new TextEncoder();

/** Splits a text into lines, as it arrives in chunks of `chunk` bytes. */
function splitChunks(text: string, chunk: number, limit = 2 ** 26): void {
  const bytes = encoder.encode(text);
  const lines = new LineSplitter(limit);
  for (let at = 0; at < bytes.length; at += chunk) {
    for (const _ of lines.push(bytes.subarray(at, at + chunk)));
  }
  for (const _ of lines.flush());
}

const LINE_CASES = [
  ...casesOf("stdio.LineSplitter", (text) => splitChunks(text, 65_536), {
    "many small lines": [5000, (n) => "{}\n".repeat(n)],
    "one long line": [1_000_000, (n) => "x".repeat(n)],
  }),
  ...casesOf(
    "stdio.LineSplitter, byte by byte",
    (text) => splitChunks(text, 1),
    {
      "one long line": [2000, (n) => "x".repeat(n)],
      "many small lines": [600, (n) => "{}\n".repeat(n)],
    },
  ),
  ...casesOf(
    "stdio.LineSplitter, over the limit",
    (text) => splitChunks(text, 64, 10_000),
    { "one long line": [30_000, (n) => "x".repeat(n)] },
  ),
  ...casesOf("Content-Length", (text) => splitChunks(text, 4096), {
    "bodies": [
      600,
      (n) => "Content-Length: 2\r\n\r\n{}".repeat(n),
    ],
    "one body of many lines": [
      200,
      (n) => `Content-Length: ${10 * n}\r\n\r\n${"{\n".repeat(n)}`,
    ],
    "lengths that are wrong": [
      900,
      (n) => "Content-Length: 5\r\n\r\n{}\n".repeat(n),
    ],
    "a body without an end": [
      500_000,
      (n) => `Content-Length: ${2 * n}\r\n\r\n{${"x".repeat(n)}`,
    ],
    "headers": [4000, (n) => "Content-Type: x\r\n".repeat(n)],
    "a long header": [
      200_000,
      (n) => `Content-Length:${spaces(n)}1${spaces(n)}x\n`,
    ],
    "a long name": [200_000, (n) => `Content-Length: 1\n${"x-".repeat(n)}\n`],
  }),
];

/** Returns a list of tools that have hints. */
function toolList(size: number, more: string = ""): Record<string, unknown> {
  return JSON.parse(
    `{"tools":[${
      repeat(
        size,
        (i) => `{"name":"t${i}","annotations":{"readOnlyHint":true}}`,
      )
    }]${more}}`,
  );
}

/** Returns a request for page `i` of a list, and the response to it. */
function page(
  i: number,
  text: string,
): [{ method: "tools/list"; params: unknown }, ReturnType<typeof responseOf>] {
  const params = i === 0 ? {} : { cursor: `${i}` };
  return [{ method: "tools/list", params }, responseOf(text)];
}

function responseOf(text: string): Extract<
  ReturnType<typeof parseMessages>[number],
  { kind: "response" }
> {
  const [message] = parseMessages(`{"jsonrpc":"2.0","id":1,"result":${text}}`);
  if (message?.kind !== "response") throw new Error("No response");
  return message;
}

const LIST_CASES: readonly MeasuredCase[] = [
  {
    name: "known_lists and tool_hints: a long list",
    size: 1000,
    prepareRun: (size) => {
      const list = toolList(size);
      return () => {
        const [knownLists, hints] = [new KnownLists(), new ToolHints()];
        knownLists.recordShown("tools", undefined, list);
        knownLists.compare("tools", undefined, toolList(size));
        hints.onToolsPage(1, undefined, list);
        for (let i = 0; i < size; i++) {
          const call = {
            kind: "request",
            id: "1",
            method: "tools/call",
            params: { name: `t${i}` },
            text: "",
          } as const;
          isIdempotent(call, (tool) => hints.isIdempotent(tool));
          hints.hintOf(1, `t${i}`);
        }
      };
    },
  },
  {
    name: "known_lists and tool_hints: many pages",
    size: 500,
    prepareRun: (size) => () => {
      const [knownLists, hints] = [new KnownLists(), new ToolHints()];
      for (let i = 0; i < size; i++) {
        const cursor = i === 0 ? undefined : `${i}`;
        const found = toolList(2, `,"nextCursor":"${i + 1}"`);
        knownLists.recordShown("tools", cursor, found);
        knownLists.compare("tools", cursor, found);
        hints.onToolsPage(1, cursor, found);
      }
    },
  },
  {
    // The cache keeps at most 1 MiB of a list.
    name: "cache: many pages of a list",
    size: 300,
    prepareRun: (size) => {
      const pages = Array.from(
        { length: size },
        (_, i) =>
          page(i, `{"tools":[{"name":"${i}"}],"nextCursor":"${i + 1}"}`),
      );
      return () => {
        const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, redactSecrets);
        for (const [request, answer] of pages) cache.store(request, answer, 0);
      };
    },
  },
  {
    name: "cache: a long list",
    size: 2000,
    prepareRun: (size) => {
      const [request, answer] = page(0, JSON.stringify(toolList(size)));
      return () => {
        const cache = new DaemonCache(EMPTY_CACHED_RESULTS, 0, redactSecrets);
        cache.store(request, answer, 0);
        cache.lookup({
          kind: "request",
          id: "1",
          method: "tools/list",
          params: {},
          text: "",
        }, 0);
      };
    },
  },
];

export const OUTPUT_CASES: readonly MeasuredCase[] = [
  ...ERROR_CASES,
  ...SECRET_CASES,
  ...TOOL_OUTPUT_CASES,
  ...LINE_CASES,
  ...LIST_CASES,
];
