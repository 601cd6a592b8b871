/**
 * Tests how the results of exai calls become MCP results: every form of output,
 * clean or raw.
 *
 * @module
 */

import {
  type OutputStyle,
  toolResultOf,
} from "../../../../lib/dialects/exai/frames.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

const textBlock = (value: Json): Json => ({
  type: "text",
  text: typeof value === "string" ? value : JSON.stringify(value),
});

const output = (fields: Json): string =>
  JSON.stringify({ status: "success", metadata: {}, ...fields });

const PROGRESS = "=== PROGRESS ===\nstep\n=== END PROGRESS ===\n\n";

const TURN = "\n\n---\n\nAGENT'S TURN: go on";

const BLOCKS: [what: string, output: Json, error: Json, expected: string[]][] =
  [
    [
      "an error beside empty content",
      { status: "error", content: "", error: "disk full" },
      { code: "ERROR", message: "disk full" },
      ["disk full"],
    ],
    [
      "an error beside content",
      { status: "execution_error", content: "Failed.", error: "no route" },
      { code: "EXECUTION_ERROR", message: "Failed." },
      ["Failed.", "no route"],
    ],
    [
      "the message is the wrapped content",
      { status: "error", content: `${PROGRESS}a\nb${TURN}` },
      { code: "ERROR", message: `${PROGRESS}a\nb${TURN}` },
      ["a\nb"],
    ],
    [
      "members that are not the daemon's wrapping",
      { status: "ok", path: "/x", content: "a", sha: "1" },
      null,
      ['{"status":"ok","path":"/x","content":"a","sha":"1"}'],
    ],
    [
      "indentation after the progress",
      { status: "success", content: `${PROGRESS}    a\n    b` },
      null,
      ["    a\n    b"],
    ],
    [
      "text after the turn notice",
      { status: "success", content: `see:${TURN}\n\n## Second chapter\nx` },
      null,
      [`see:${TURN}\n\n## Second chapter\nx`],
    ],
  ];

for (const [what, output, error, expected] of BLOCKS) {
  test(`exai tool output: ${what}`, () => {
    const found = toolResultOf({
      op: "call_tool_res",
      outputs: [textBlock(output)],
      error,
    }, "clean");
    assertEquals(
      found!.content.map(({ text }) => text).filter((t) => t !== ""),
      expected,
    );
  });
}

test("exai tool output: a summary is kept if it is the tool's only block", () => {
  const text =
    "=== MCP CALL SUMMARY ===\nold\n=== END SUMMARY ===\nthe rest of a file that was read";
  assertEquals(
    toolResultOf({ outputs: [textBlock(text)] }, "clean")!.content.length,
    1,
  );
});

test("exai tool output: long white space is processed quickly", () => {
  for (
    const content of [
      "a" + " ".repeat(200_000) + "b",
      "a\n---" + "\n".repeat(20_000) + "b",
    ]
  ) {
    const since = performance.now();
    toolResultOf({ text: output({ content }) }, "clean");
    const ms = performance.now() - since;
    assert(ms < 1_000, `${ms}`);
  }
});

test("exai tool output: results of an unknown shape are shown", () => {
  assertEquals(
    toolResultOf({ op: "result", result: 42 }, "clean")!.content.length,
    1,
  );
  assertEquals(
    toolResultOf({ op: "call_tool_res", outputs: "hello" }, "clean")!.content
      .length,
    1,
  );
});

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
  ["a turn notice at the end", output({ content: `a${TURN}` }), ["a"]],
  [
    "progress in front and a turn notice at the end",
    output({ content: `${PROGRESS}a\nb${TURN}` }),
    ["a\nb"],
  ],
  [
    "content that has another turn notice inside",
    output({
      content: `x${TURN}\ny${TURN}`,
    }),
    [`x${TURN}\ny`],
  ],
  ["progress in the middle stays", output({ content: `a ${PROGRESS}` }), [
    `a ${PROGRESS}`,
  ]],
  ["text with a turn notice that is no tool output", `a${TURN}`, [`a${TURN}`]],
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
  ["content beside a member that is not the daemon's wrapping", FINDINGS, [
    FINDINGS,
  ]],
  ["neither content nor error", output({}), [output({})]],
  ["broken JSON", "{", ["{"]],
];

for (const [what, text, texts] of OUTPUTS) {
  test(`exai tool output: cleaned, and unchanged when raw: ${what}`, () => {
    const shown = (style: OutputStyle): string[] =>
      toolResultOf({ text }, style)!.content.map((block) => block.text);
    assertEquals(shown("clean"), texts);
    assertEquals(shown("raw"), [text]);
  });
}

const SUMMARY = "\n=== MCP CALL SUMMARY ===\nTool: chat | Status: OK\n" +
  "=== END SUMMARY ===\n\n(no progress captured)\nreq_id=1";

/** The result of a workflow tool that threw an exception, as indented JSON. */
const FAILED = JSON.stringify(
  { status: "debug_failed", error: "no such file", step_number: 2 },
  null,
  2,
);

const SHOUTED = JSON.stringify({
  ...{ status: "CONSENSUS_FAILED", error: "", metadata: { tool_name: "x" } },
  step_number: 1,
});

/** The result of a tool that has run tests. The call itself has not failed. */
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
  ["later revisions: result with outputs", {
    result: { outputs: [textBlock("a")] },
  }, [
    "a",
  ], false],
  ["later revisions: result as a text", { result: "a" }, ["a"], false],
  [
    "later revisions: result as blocks",
    { result: [textBlock("a")] },
    ["a"],
    false,
  ],
  ["later revisions: result with content", {
    result: { content: [textBlock("a")] },
  }, [
    "a",
  ], false],
  [
    "later revisions: any other result",
    { result: { a: 1 } },
    ['{"a":1}'],
    false,
  ],
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
    "a workflow's own error, with a status in capitals and with metadata",
    { outputs: [textBlock(SHOUTED)] },
    [SHOUTED],
    true,
  ],
  ["a failed status without an error", { outputs: [textBlock(TESTED)] }, [
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

test("exai call_tool_res: a failure with raw output is a tool error, too", () => {
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

test("exai call_tool_res: an error alone is not a result", () => {
  for (const error of [{ code: "TIMEOUT" }, "why", 1]) {
    assertEquals(
      toolResultOf({ op: "call_tool_res", error }, "clean"),
      undefined,
    );
  }
  assertEquals(toolResultOf({ op: "error", message: "a" }, "clean"), undefined);
});
