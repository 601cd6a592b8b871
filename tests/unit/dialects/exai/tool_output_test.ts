/**
 * The output of exai tools, cleaned or raw.
 *
 * @module
 */

import { toolResultOf } from "../../../../lib/dialects/exai/frames.ts";
import { parseOutput } from "../../../../lib/dialects/exai/tool_output.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

const textBlock = (value: Json): Json => ({
  type: "text",
  text: typeof value === "string" ? value : JSON.stringify(value),
});

const PROGRESS = "=== PROGRESS ===\nstep\n=== END PROGRESS ===\n\n";

const TURN = "\n\n---\n\nAGENT'S TURN: go on";

const SAID: [what: string, output: Json, error: Json, expected: string[]][] = [
  [
    "error beside an empty content",
    { status: "error", content: "", error: "disk full" },
    { code: "ERROR", message: "disk full" },
    ["disk full"],
  ],
  [
    "error beside a content",
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
    "indentation behind the progress",
    { status: "success", content: `${PROGRESS}    a\n    b` },
    null,
    ["    a\n    b"],
  ],
  [
    "a text after the marker",
    { status: "success", content: `see:${TURN}\n\n## Second chapter\nx` },
    null,
    [`see:${TURN}\n\n## Second chapter\nx`],
  ],
];

for (const [what, output, error, expected] of SAID) {
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

test("exai tool output: a summary that is the tool's only block is its output", () => {
  const text =
    "=== MCP CALL SUMMARY ===\nold\n=== END SUMMARY ===\nthe rest of a file that was read";
  assertEquals(
    toolResultOf({ outputs: [textBlock(text)] }, "clean")!.content.length,
    1,
  );
});

test("exai tool output: long white space takes no long time", () => {
  for (
    const content of [
      "a" + " ".repeat(200_000) + "b",
      "a\n---" + "\n".repeat(20_000) + "b",
    ]
  ) {
    const since = performance.now();
    parseOutput(JSON.stringify({ status: "success", content }), "clean");
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

const output = (fields: Json): string =>
  JSON.stringify({ status: "success", metadata: {}, ...fields });

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
    assertEquals(parseOutput(text, "clean").texts, texts);
    assertEquals(parseOutput(text, "raw").texts, [text]);
  });
}
