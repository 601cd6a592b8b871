/**
 * The exai daemon's frames as MCP has them.
 *
 * @module
 */

import {
  errorOf,
  resultOf,
  toolsOf,
  uptimeOf,
} from "../../../../lib/dialects/exai/frames.ts";
import { readHealth } from "../../../../lib/proxy/health_file.ts";
import { readOutput } from "../../../../lib/dialects/exai/tool_output.ts";
import { assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

const block = (text: string): Json => ({ type: "text", text });
const SUMMARY = "\n=== MCP CALL SUMMARY ===\nTool: chat | Status: OK\n" +
  "=== END SUMMARY ===\n\n(no progress captured)\nreq_id=1";
const output = (fields: Json): string =>
  JSON.stringify({ status: "success", metadata: {}, ...fields });
/** What a workflow tool says when it raises, as a person would read it. */
const FAILED = JSON.stringify(
  { status: "debug_failed", error: "no such file", step_number: 2 },
  null,
  2,
);
const SHOUTED = JSON.stringify({
  ...{ status: "CONSENSUS_FAILED", error: "", metadata: { tool_name: "x" } },
  step_number: 1,
});
/** What a tool found out, and no error of the daemon's. */
const TESTED = JSON.stringify({ status: "tests_failed", failures: ["a"] });

const RESULTS: [
  what: string,
  frame: Json,
  texts: string[],
  isError: boolean,
][] = [
  ["outputs", { outputs: [block("a"), block("b")], text: "a\n\nb" }, [
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
      outputs: [block("a")],
      error: { code: "ERROR", message: "why" },
    },
    ["a", "why"],
    true,
  ],
  [
    "outputs that say the error already",
    {
      outputs: [block("it is why")],
      error: { code: "ERROR", message: "why" },
    },
    ["it is why"],
    true,
  ],
  [
    "outputs and an error that is no string",
    {
      outputs: [block("a")],
      error: { code: "ERROR", message: { b: 1 } },
    },
    ["a", '{"b":1}'],
    true,
  ],
  ["text and error", { text: "a", error: "why" }, ["a", "why"], true],
  ["no error", { outputs: [block("a")], error: null }, ["a"], false],
  ["not ok", { ok: false, outputs: [block("a")] }, ["a"], true],
  [
    "a failure replayed without its error",
    {
      outputs: [block(output({ status: "EXECUTION_ERROR", content: "no" }))],
    },
    ["no"],
    true,
  ],
  ["a block of another kind", { outputs: [{ a: 1 }, "b", 3] }, [
    '{"a":1}',
    "b",
    "3",
  ], false],
  ["later: result with outputs", { result: { outputs: [block("a")] } }, [
    "a",
  ], false],
  ["later: result as a text", { result: "a" }, ["a"], false],
  ["later: result as blocks", { result: [block("a")] }, ["a"], false],
  ["later: result with content", { result: { content: [block("a")] } }, [
    "a",
  ], false],
  ["later: any other result", { result: { a: 1 } }, ['{"a":1}'], false],
  ["the summary block", { outputs: [block("a"), block(SUMMARY)] }, [
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
  ["a summary alone", { outputs: [block(SUMMARY)] }, [SUMMARY], false],
  ["nothing beside the summary", { outputs: [block(""), block(SUMMARY)] }, [
    SUMMARY,
  ], false],
  [
    "white space beside the summary",
    { outputs: [block(" \n"), block(""), block(SUMMARY)], text: SUMMARY },
    [SUMMARY],
    false,
  ],
  [
    "an empty content beside the summary",
    { outputs: [block(output({ content: "" })), block(SUMMARY)] },
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
    { outputs: [block(""), block(SUMMARY)], error: { message: "why" } },
    ["why"],
    true,
  ],
  ["an empty output without a summary", { outputs: [block("")] }, [""], false],
  [
    "a workflow's own error",
    { outputs: [block(FAILED), block(SUMMARY)], text: FAILED },
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
    { outputs: [block(SHOUTED)] },
    [SHOUTED],
    true,
  ],
  ["a failure that says no error", { outputs: [block(TESTED)] }, [
    TESTED,
  ], false],
  [
    "what only sounds like a failure",
    { outputs: [block(output({ status: "failed_before", error: "no" }))] },
    ["no"],
    false,
  ],
];
for (const [what, frame, texts, isError] of RESULTS) {
  test(`exai call_tool_res: ${what}`, () => {
    const content = texts.map(block);
    const expected = isError
      ? { content, isError: true as const }
      : { content };
    const found = resultOf({ op: "call_tool_res", ...frame }, "clean");
    assertEquals<unknown>(found, expected);
  });
}

test("exai call_tool_res: a failure that is shown raw is a tool error, too", () => {
  for (
    const frame of [
      { outputs: [block(FAILED), block(SUMMARY)] },
      { text: `${FAILED}\n\n${SUMMARY}` },
      { text: `${output({ status: "error", content: "a" })}\n\n${SUMMARY}` },
    ]
  ) {
    const found = resultOf({ op: "call_tool_res", ...frame }, "raw");
    const shown = (frame.outputs ?? [block(frame.text!)]) as unknown;
    assertEquals<unknown>(found, { content: shown, isError: true });
  }
});

test("exai call_tool_res: an error alone is no result", () => {
  for (const error of [{ code: "TIMEOUT" }, "why", 1]) {
    assertEquals(resultOf({ op: "call_tool_res", error }, "clean"), undefined);
  }
  assertEquals(resultOf({ op: "error", message: "a" }, "clean"), undefined);
});

const TURN = "\n\n---\n\nAGENT'S TURN: evaluate this";
const PROGRESS = "=== PROGRESS ===\nstep\n=== END PROGRESS ===\n\n";
const WORKFLOW = output({
  ...{ status: "pause_for_analysis", step_number: 1, next_steps: "look" },
  ...{ continuation_id: "c-1", expert_analysis: { raw_analysis: "line 3" } },
});
const FINDINGS = output({ content: "short", findings: ["a"] });
const OUTPUTS: [what: string, text: string, texts: string[]][] = [
  ["plain text", "hello", ["hello"]],
  ["JSON that is no tool output", '{"content":"a"}', ['{"content":"a"}']],
  ["content only", output({ content: "a" }), ["a"]],
  ["progress in front", output({ content: `${PROGRESS}a` }), ["a"]],
  ["a turn notice behind", output({ content: `a${TURN}` }), ["a"]],
  ["both", output({ content: `${PROGRESS}a\nb${TURN}` }), ["a\nb"]],
  [
    "a tool that speaks of a turn itself",
    output({
      content: `x${TURN}\ny${TURN}`,
    }),
    [`x${TURN}\ny`],
  ],
  ["progress in the middle stays", output({ content: `a ${PROGRESS}` }), [
    `a ${PROGRESS}`,
  ]],
  ["a text that only looks like it", `a${TURN}`, [`a${TURN}`]],
  [
    "a conversation that can go on",
    output({
      content: "a",
      continuation_offer: { continuation_id: "c-1" },
    }),
    ["a", "continuation_id: c-1"],
  ],
  ["an error instead of content", output({ error: "no" }), ["no"]],
  ["content that is no text", output({ content: { a: 1 } }), [
    output({ content: { a: 1 } }),
  ]],
  ["a step of a workflow, which has no content", WORKFLOW, [WORKFLOW]],
  ["content beside what a tool says itself", FINDINGS, [FINDINGS]],
  ["neither content nor error", output({}), [output({})]],
  ["broken JSON", "{", ["{"]],
];
for (const [what, text, texts] of OUTPUTS) {
  test(`exai tool output: cleaned, and unchanged when raw: ${what}`, () => {
    assertEquals(readOutput(text, "clean").texts, texts);
    assertEquals(readOutput(text, "raw").texts, [text]);
  });
}

test("exai errors: code, message, pause and original request are read in every revision's form", () => {
  const full = { code: "OVER_CAPACITY", message: "m", retry_after: 3 };
  assertEquals(errorOf({ error: full }).retryMs, 3_000);
  const later = { original_request_id: "x", retry_after_secs: 2 };
  const found = errorOf({ error: { code: "C", message: "m", details: later } });
  assertEquals(found, {
    code: "C",
    message: "m",
    retryMs: 2_000,
    original: "x",
    ...{ isUnauthorized: false, isTooLarge: false, isUnknown: false },
  });
  for (const retry_after of [-1, 0, "x", null, {}]) {
    assertEquals(errorOf({ error: { retry_after } }).retryMs, 1_000);
  }
  assertEquals(errorOf({ error: { retry_after: 1e9 } }).retryMs, 60_000);
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
      : { ms: seconds * 1000, origin: 100_000 - seconds };
    assertEquals(uptimeOf(frame), expected, String(uptime_human));
  }
});

test("exai health file: missing, unreadable, or as old as it says", () => {
  const missing = (): never => {
    throw new Error("no such file");
  };
  assertEquals(readHealth(missing, 0), "missing");
  assertEquals(readHealth(() => '{"t": 12', 0), "unreadable");
  assertEquals(readHealth(() => '{"t":"x"}', 0), "unreadable");
  assertEquals(readHealth(() => "5", 0), "unreadable");
  assertEquals(readHealth(() => '{"t":10.5}', 11_000), { ageMs: 500 });
  assertEquals(readHealth(() => '{"t":10.5}', 1_000), { ageMs: 0 });
});
