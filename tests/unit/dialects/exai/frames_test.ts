/**
 * The exai daemon's frames, and their MCP messages.
 *
 * @module
 */

import {
  errorOf,
  toolResultOf,
  toolsOf,
  uptimeOf,
} from "../../../../lib/dialects/exai/frames.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";
import { codes } from "../../../helpers/session/two_tool_session.ts";

const textBlock = (text: string): Json => ({ type: "text", text });

const SUMMARY = "\n=== MCP CALL SUMMARY ===\nTool: chat | Status: OK\n" +
  "=== END SUMMARY ===\n\n(no progress captured)\nreq_id=1";

const output = (fields: Json): string =>
  JSON.stringify({ status: "success", metadata: {}, ...fields });

/** The text of a workflow tool's exception, as a person would read it. */
const FAILED = JSON.stringify(
  { status: "debug_failed", error: "no such file", step_number: 2 },
  null,
  2,
);

const SHOUTED = JSON.stringify({
  ...{ status: "CONSENSUS_FAILED", error: "", metadata: { tool_name: "x" } },
  step_number: 1,
});

/** A finding of a tool, and no error of the daemon. */
const TESTED = JSON.stringify({ status: "tests_failed", failures: ["a"] });

const RESULTS: [
  what: string,
  frame: Json,
  texts: string[],
  isError: boolean,
][] = [
  ["outputs", { outputs: [textBlock("a"), textBlock("b")], text: "a\n\nb" }, [
    "a",
    "b",
  ], false],
  ["text alone", { text: "a" }, ["a"], false],
  ["empty outputs and text", { outputs: [], text: "a" }, ["a"], false],
  ["nothing at all", { outputs: [] }, [], false],
  ["no member at all", {}, [], false],
  [
    "outputs and error",
    {
      outputs: [textBlock("a")],
      error: { code: "ERROR", message: "why" },
    },
    ["a", "why"],
    true,
  ],
  [
    "outputs that say the error already",
    {
      outputs: [textBlock("it is why")],
      error: { code: "ERROR", message: "why" },
    },
    ["it is why"],
    true,
  ],
  [
    "outputs and an error that is no string",
    {
      outputs: [textBlock("a")],
      error: { code: "ERROR", message: { b: 1 } },
    },
    ["a", '{"b":1}'],
    true,
  ],
  ["text and error", { text: "a", error: "why" }, ["a", "why"], true],
  ["no error", { outputs: [textBlock("a")], error: null }, ["a"], false],
  ["not ok", { ok: false, outputs: [textBlock("a")] }, ["a"], true],
  [
    "a failure replayed without its error",
    {
      outputs: [
        textBlock(output({ status: "EXECUTION_ERROR", content: "no" })),
      ],
    },
    ["no"],
    true,
  ],
  ["a block of another kind", { outputs: [{ a: 1 }, "b", 3] }, [
    '{"a":1}',
    "b",
    "3",
  ], false],
  ["later: result with outputs", { result: { outputs: [textBlock("a")] } }, [
    "a",
  ], false],
  ["later: result as a text", { result: "a" }, ["a"], false],
  ["later: result as blocks", { result: [textBlock("a")] }, ["a"], false],
  ["later: result with content", { result: { content: [textBlock("a")] } }, [
    "a",
  ], false],
  ["later: any other result", { result: { a: 1 } }, ['{"a":1}'], false],
  ["the summary block", { outputs: [textBlock("a"), textBlock(SUMMARY)] }, [
    "a",
  ], false],
  [
    "the summary joined to the text",
    {
      text: `${output({ content: "a" })}\n\n${SUMMARY}`,
    },
    ["a"],
    false,
  ],
  ["a summary alone", { outputs: [textBlock(SUMMARY)] }, [SUMMARY], false],
  ["nothing beside the summary", {
    outputs: [textBlock(""), textBlock(SUMMARY)],
  }, [
    SUMMARY,
  ], false],
  [
    "white space beside the summary",
    {
      outputs: [textBlock(" \n"), textBlock(""), textBlock(SUMMARY)],
      text: SUMMARY,
    },
    [SUMMARY],
    false,
  ],
  [
    "an empty content beside the summary",
    { outputs: [textBlock(output({ content: "" })), textBlock(SUMMARY)] },
    [SUMMARY],
    false,
  ],
  [
    "an empty content joined to the summary",
    { text: `${output({ content: "" })}\n\n${SUMMARY}` },
    [SUMMARY],
    false,
  ],
  [
    "an error beside an empty output and the summary",
    { outputs: [textBlock(""), textBlock(SUMMARY)], error: { message: "why" } },
    ["why"],
    true,
  ],
  [
    "an empty output without a summary",
    { outputs: [textBlock("")] },
    [""],
    false,
  ],
  [
    "a workflow's own error",
    { outputs: [textBlock(FAILED), textBlock(SUMMARY)], text: FAILED },
    [FAILED],
    true,
  ],
  [
    "a workflow's own error, joined to the summary",
    { text: `${FAILED}\n\n${SUMMARY}` },
    [FAILED],
    true,
  ],
  [
    "the same in another case, with what its metadata say",
    { outputs: [textBlock(SHOUTED)] },
    [SHOUTED],
    true,
  ],
  ["a failure that says no error", { outputs: [textBlock(TESTED)] }, [
    TESTED,
  ], false],
  [
    "what only sounds like a failure",
    { outputs: [textBlock(output({ status: "failed_before", error: "no" }))] },
    ["no"],
    false,
  ],
];

for (const [what, frame, texts, isError] of RESULTS) {
  test(`exai call_tool_res: ${what}`, () => {
    const content = texts.map(textBlock);
    const expected = isError
      ? { content, isError: true as const }
      : { content };
    const found = toolResultOf({ op: "call_tool_res", ...frame }, "clean");
    assertEquals<unknown>(found, expected);
  });
}

test("exai call_tool_res: a failure that is shown raw is a tool error, too", () => {
  for (
    const frame of [
      { outputs: [textBlock(FAILED), textBlock(SUMMARY)] },
      { text: `${FAILED}\n\n${SUMMARY}` },
      { text: `${output({ status: "error", content: "a" })}\n\n${SUMMARY}` },
    ]
  ) {
    const found = toolResultOf({ op: "call_tool_res", ...frame }, "raw");
    const shown = (frame.outputs ?? [textBlock(frame.text!)]) as unknown;
    assertEquals<unknown>(found, { content: shown, isError: true });
  }
});

test("exai call_tool_res: an error alone is no result", () => {
  for (const error of [{ code: "TIMEOUT" }, "why", 1]) {
    assertEquals(
      toolResultOf({ op: "call_tool_res", error }, "clean"),
      undefined,
    );
  }
  assertEquals(toolResultOf({ op: "error", message: "a" }, "clean"), undefined);
});

test("exai errors: code, message, pause and original request are read in every revision's form", () => {
  const full = { code: "OVER_CAPACITY", message: "m", retry_after: 3 };
  assertEquals(errorOf({ error: full }).retryAfterMs, 3_000);
  const later = { original_request_id: "x", retry_after_secs: 2 };
  const found = errorOf({ error: { code: "C", message: "m", details: later } });
  assertEquals(found, {
    code: "C",
    message: "m",
    retryAfterMs: 2_000,
    originalRequestId: "x",
    ...{ isUnauthorized: false, isTooLarge: false, isUnknownRequest: false },
  });
  for (const retry_after of [-1, 0, "x", null, {}]) {
    assertEquals(errorOf({ error: { retry_after } }).retryAfterMs, 1_000);
  }
  assertEquals(errorOf({ error: { retry_after: 1e9 } }).retryAfterMs, 60_000);
  assertEquals(errorOf({ op: "error", message: "why" }).message, "why");
  assertEquals(errorOf({ op: "error" }).message.length > 0, true);
  assertEquals(errorOf({ error: { code: 5 } }).code, "");
});

test("exai list_tools: tools without a name are left out, and every schema is an object", () => {
  const inputSchema = { type: "object", properties: { a: { default: 1 } } };
  const tools = [
    { name: "a", description: 5, inputSchema },
    { name: "b", annotations: { readOnlyHint: true } },
    { description: "nameless" },
    null,
  ];
  assertEquals(toolsOf({ tools }), [
    { name: "a", inputSchema },
    {
      name: "b",
      annotations: { readOnlyHint: true },
      inputSchema: { type: "object" },
    },
  ]);
  assertEquals(toolsOf({ tools: {} }), undefined);
});

test("exai uptime: read as Python writes durations, and in no other form", () => {
  const cases: [text: unknown, seconds: number | undefined][] = [
    ["0:00:00", 0],
    ["1:02:03", 3_723],
    ["25:00:00", 90_000],
    ["1 day, 0:00:05", 86_405],
    ["12 days, 1:00:00.123456", 12 * 86_400 + 3_600],
    ["", undefined],
    ["5", undefined],
    ["-1 day, 23:59:59", undefined],
    [5, undefined],
  ];
  for (const [uptime_human, seconds] of cases) {
    const frame = { health: { uptime_human, t: 100_000 } };
    const expected = seconds === undefined
      ? undefined
      : { ms: seconds * 1000, processStartUnixS: 100_000 - seconds };
    assertEquals(uptimeOf(frame), expected, String(uptime_human));
  }
});

const nanResponse = (frame: Json): string =>
  JSON.stringify(frame).replace('"NAN"', "NaN");

test("exai frames: a list_tools_res with NaN", () => {
  const driver = new ExaiDriver();
  driver.acknowledgeHello();
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.request(1, "tools/list");
  driver.takeEffects();
  driver.fromDaemon(
    nanResponse({
      op: "list_tools_res",
      tools: [{ name: "chat", inputSchema: { default: "NAN" } }],
    }),
  );
  for (let i = 0; i < 60; i++) driver.advance(1000);
  assertEquals(codes(driver).length, 1);
});

test("exai frames: a health_res with NaN", () => {
  const driver = new ExaiDriver();
  driver.acknowledgeHello();
  driver.request(0, "initialize", { protocolVersion: "2025-06-18" });
  driver.request(1, "tools/list");
  driver.frameFromDaemon({
    op: "list_tools_res",
    tools: [{ name: "chat", inputSchema: {} }],
  });
  driver.takeEffects();
  for (let i = 0; i < 60; i++) {
    driver.advance(1000);
    for (const f of driver.takeFrames()) {
      if (f.op === "health") {
        driver.fromDaemon(
          nanResponse({
            op: "health_res",
            ok: true,
            health: { uptime: 5, load: "NAN" },
          }),
          f.connectionId,
        );
      }
    }
  }
  assertEquals(driver.dials.length, 1);
});
