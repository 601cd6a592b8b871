/**
 * Readers of outputs, of lines and of lists, each with the worst shapes that are
 * known for it, for the measurement of how their time grows.
 *
 * @module
 */

import { tame } from "../../lib/text/sanitize.ts";
import { Catalog } from "../../lib/session/known_lists.ts";
import { closeReasonOf } from "../../lib/transport/close_reason.ts";
import { read } from "../../lib/protocol/envelope.ts";
import {
  errorOf,
  listText,
  resultOf,
  toolsOf,
} from "../../lib/dialects/exai/frames.ts";
import { Hints } from "../../lib/requests/tool_hints.ts";
import {
  isNoError,
  meant,
  withError,
} from "../../lib/protocol/malformed_errors.ts";
import { Memory, NOTHING } from "../../lib/cache/cache.ts";
import { isSafe } from "../../lib/protocol/methods.ts";
import { hider } from "../../lib/config/secrets.ts";
import { LineSplitter } from "../../lib/proxy/stdio.ts";
import {
  readOutput,
  splitSummary,
  unwrap,
} from "../../lib/dialects/exai/tool_output.ts";
import type { Reader } from "./measure.ts";
import { each, many, SPACES, wide } from "./shapes.ts";

const ERRORS = [
  ...each(
    "malformed_errors",
    (text) => {
      const { error } = JSON.parse(text);
      return [isNoError(error), withError(text, meant(error, text))];
    },
    {
      "many members": [1000, (n) => `{"error":${wide(n)}}`],
      "empty ones": [900, (n) => `{"error":${wide(n, "{}")}}`],
      "a long code": [300_000, (n) => `{"error":{"code":"${"1".repeat(n)}x"}}`],
    },
  ),
  ...each("close_reason", (text) =>
    closeReasonOf({
      wasOpen: false,
      code: 0,
      reason: text,
      text,
      error: "",
    }), {
    "lines": [10_000, (n) => "status code: 40\nconnection\n".repeat(n)],
  }),
  ...each("sanitize.tame", (text) => tame(text, Infinity), {
    "control characters": [4000, (n) => "\x1b[ \u202e".repeat(n)],
    "one run": [1_000_000, (n) => "\x1b".repeat(n)],
  }),
];

const HIDE = hider(["s3cret-0123456789", "p@ss w\u00f6rd", "ab"]);
const SECRETS = [
  ...each("secrets.hide", HIDE, {
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
const TOOL_OUTPUTS = [
  ...each(
    "tool_output",
    (text) => {
      const [{ said }, { texts }] = [
        splitSummary([text]),
        readOutput(text, "clean"),
      ];
      return [said, texts, unwrap(text, "clean")];
    },
    {
      "progress without an end": [
        50_000,
        (n) => "=== PROGRESS ===\n".repeat(n),
      ],
      "spaces before the progress": [300_000, (n) => `${SPACES(n)}=== P`],
      "lines behind the progress": [
        200_000,
        (n) => `=== PROGRESS ===\n=== END PROGRESS ===${"  \n".repeat(n)}  x`,
      ],
      "spaces behind the progress": [
        500_000,
        (n) => `=== PROGRESS ===\n=== END PROGRESS ===${SPACES(n)}x`,
      ],
      "summaries without an end": [
        50_000,
        (n) => "\n\n\n=== MCP CALL SUMMARY ===".repeat(n),
      ],
      "rules": [200_000, (n) => `${RULE.repeat(n)}AGENT'S TURN: x`],
      "turns": [100_000, (n) => `${RULE}AGENT'S TURN:`.repeat(n)],
      "spaces": [
        300_000,
        (n) => `x${SPACES(n)}${RULE}${SPACES(n)}AGENT'S TURN:${SPACES(n)}x`,
      ],
      "an object": [9000, (n) => wide(n)],
    },
  ),
  ...each(
    "exai frames",
    (text) => {
      const frame = JSON.parse(text);
      const tools = toolsOf(frame) ?? [];
      return [
        resultOf(frame, "clean"),
        errorOf(frame),
        frame.tools && listText(text, frame, tools),
      ];
    },
    {
      "many outputs": [
        1000,
        (n) =>
          `{"op":"call_tool_res","outputs":[${
            many(n, (i) =>
              `{"type":"text","text":"{\\"status\\":\\"x\\",\\"content\\":\\"${i}\\"}"}`)
          }]}`,
      ],
      "many outputs beside an error": [
        1000,
        (n) =>
          `{"op":"error","message":"m","outputs":[${
            many(n, (i) => `"${i}"`)
          }]}`,
      ],
      "many tools": [
        1000,
        (n) =>
          `{"op":"list_tools_res","tools":[${
            many(n, (i) => `{"name":"t${i}","inputSchema":{"type":"object"}}`)
          }]}`,
      ],
    },
  ),
];

const CHUNK = new TextEncoder();

/** What comes of bytes in chunks. */
function split(text: string, chunk: number, limit = 2 ** 26): void {
  const bytes = CHUNK.encode(text);
  const lines = new LineSplitter(limit);
  for (let at = 0; at < bytes.length; at += chunk) {
    for (const _ of lines.push(bytes.subarray(at, at + chunk)));
  }
  for (const _ of lines.flush());
}

const LINES = [
  ...each("stdio.LineSplitter", (text) => split(text, 65_536), {
    "many small lines": [5000, (n) => "{}\n".repeat(n)],
    "one long line": [1_000_000, (n) => "x".repeat(n)],
  }),
  ...each("stdio.LineSplitter, byte by byte", (text) => split(text, 1), {
    "one long line": [2000, (n) => "x".repeat(n)],
    "many small lines": [600, (n) => "{}\n".repeat(n)],
  }),
  ...each(
    "stdio.LineSplitter, over the limit",
    (text) => split(text, 64, 10_000),
    { "one long line": [30_000, (n) => "x".repeat(n)] },
  ),
  ...each("content_length", (text) => split(text, 4096), {
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
      (n) => `Content-Length:${SPACES(n)}1${SPACES(n)}x\n`,
    ],
    "a long name": [200_000, (n) => `Content-Length: 1\n${"x-".repeat(n)}\n`],
  }),
];

/** Tools with hints. */
function tools(size: number, more: string = ""): Record<string, unknown> {
  return JSON.parse(
    `{"tools":[${
      many(size, (i) => `{"name":"t${i}","annotations":{"readOnlyHint":true}}`)
    }]${more}}`,
  );
}

/** A request for a page, and the answer with it. */
function page(
  i: number,
  text: string,
): [{ method: "tools/list"; params: unknown }, ReturnType<typeof answerOf>] {
  const params = i === 0 ? {} : { cursor: `${i}` };
  return [{ method: "tools/list", params }, answerOf(text)];
}

function answerOf(text: string): Extract<
  ReturnType<typeof read>[number],
  { kind: "answer" }
> {
  const [message] = read(`{"jsonrpc":"2.0","id":1,"result":${text}}`);
  if (message?.kind !== "answer") throw new Error("No answer");
  return message;
}

const LISTS: readonly Reader[] = [
  {
    name: "known_lists and tool_hints: a long list",
    size: 1000,
    prepare: (size) => {
      const list = tools(size);
      return () => {
        const [catalog, hints] = [new Catalog(), new Hints()];
        catalog.told("tools", undefined, list);
        catalog.compare("tools", undefined, tools(size));
        hints.learn(1, undefined, list);
        for (let i = 0; i < size; i++) {
          const call = {
            kind: "request",
            id: "1",
            method: "tools/call",
            params: { name: `t${i}` },
            text: "",
          } as const;
          isSafe(call, (tool) => hints.isRepeatable(tool));
          hints.answer(1, `t${i}`);
        }
      };
    },
  },
  {
    name: "known_lists and tool_hints: many pages",
    size: 500,
    prepare: (size) => () => {
      const [catalog, hints] = [new Catalog(), new Hints()];
      for (let i = 0; i < size; i++) {
        const cursor = i === 0 ? undefined : `${i}`;
        const found = tools(2, `,"nextCursor":"${i + 1}"`);
        catalog.told("tools", cursor, found);
        catalog.compare("tools", cursor, found);
        hints.learn(1, cursor, found);
      }
    },
  },
  {
    // No more than 1 MiB of a list is kept.
    name: "cache: many pages of a list",
    size: 300,
    prepare: (size) => {
      const pages = Array.from(
        { length: size },
        (_, i) =>
          page(i, `{"tools":[{"name":"${i}"}],"nextCursor":"${i + 1}"}`),
      );
      return () => {
        const memory = new Memory(NOTHING, 0, HIDE);
        for (const [request, answer] of pages) memory.learn(request, answer, 0);
      };
    },
  },
  {
    name: "cache: a long list",
    size: 2000,
    prepare: (size) => {
      const [request, answer] = page(0, JSON.stringify(tools(size)));
      return () => {
        const memory = new Memory(NOTHING, 0, HIDE);
        memory.learn(request, answer, 0);
        memory.recall({
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

/** The readers of outputs, of lines and of lists. */
export const OUTPUTS: readonly Reader[] = [
  ...ERRORS,
  ...SECRETS,
  ...TOOL_OUTPUTS,
  ...LINES,
  ...LISTS,
];
