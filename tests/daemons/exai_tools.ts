/**
 * The tools of the fake exai daemon (`exai_daemon.ts`), and how the daemon
 * processes their texts.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { waitUntilOpen } from "../helpers/gate.ts";

/** A JSON object. */
export type Json = Record<string, unknown>;

/** Returns true if a value is a JSON object. */
export function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A block of a tool's output. The daemon turns every other kind into text. */
export interface Block {
  readonly type: "text";
  readonly text: string;
}

/** The outcome of a call: outputs, an error, or both. */
export interface ToolOutcome {
  readonly outputs?: readonly Block[];
  readonly error?: Json;
}

/** A tool's failure with its own code and message. */
class ToolFailure extends Error {
  readonly code: string;
  readonly details: unknown;

  constructor(code: string, details: unknown) {
    super(code);
    this.code = code;
    this.details = details;
  }
}

/** A tool. The text that it returns becomes the first block. */
export interface Tool {
  readonly properties: Readonly<Record<string, string>>;
  run(input: Json, limits: ToolContext): string | Promise<string>;
}

/** The parts of the daemon that a tool needs. `callTimeout` is in seconds. */
export interface ToolContext {
  readonly signal: AbortSignal;
  readonly callTimeout: number;
}

let callCounter = 0;

const TOOLS = new Map<string, Tool>(Object.entries(
  {
    echo: {
      properties: { text: "string" },
      run: ({ text }) => String(text ?? ""),
    },
    chat: {
      properties: { text: "string" },
      run: ({ text }) => {
        const steps = "=== PROGRESS ===\nstep\n=== END PROGRESS ===\n\n";
        const turn = "\n\n---\n\nAGENT'S TURN: evaluate this";
        return toolOutput("success", `${steps}${text ?? ""}${turn}`);
      },
    },
    gate: {
      properties: { path: "string" },
      run: async ({ path }) => {
        await waitUntilOpen(String(path));
        return "open";
      },
    },
    sleep: {
      properties: { ms: "number" },
      run: async ({ ms }, { signal }) => {
        await delay(Number(ms ?? 0), { signal });
        return `slept ${ms}`;
      },
    },
    block: {
      properties: { ms: "number" },
      run: ({ ms }) => {
        // Simulates a provider's synchronous HTTP request. It blocks the event
        // loop, so the daemon sends no pong, handshake or frame meanwhile.
        const cell = new Int32Array(new SharedArrayBuffer(4));
        Atomics.wait(cell, 0, 0, Number(ms ?? 0));
        return `blocked ${ms}`;
      },
    },
    reject: {
      properties: {},
      run: () => toolOutput("execution_error", "it went wrong"),
    },
    raise: {
      properties: {},
      // Workflow tools catch their own exceptions.
      run: () =>
        JSON.stringify(
          { status: "raise_failed", error: "no such file", step_number: 1 },
          null,
          2,
        ),
    },
    activity: { properties: {}, run: () => "" },
    fail: {
      properties: {},
      run: () => {
        throw new ToolFailure("EXEC_ERROR", "the tool failed");
      },
    },
    timeout: {
      properties: {},
      run: (_, { callTimeout }) => {
        const errorText = `call_tool exceeded ${callTimeout}s`;
        throw new ToolFailure("TIMEOUT", errorText);
      },
    },
    big: {
      properties: { mb: "number" },
      run: ({ mb }) => "x".repeat(Number(mb ?? 1) * 1024 * 1024),
    },
    counter: { properties: {}, run: () => `${++callCounter}` },
    garble: { properties: {}, run: () => "the good answer" },
    nameless: { properties: {}, run: () => "from nobody" },
    odd: {
      properties: {},
      run: () => {
        throw new ToolFailure("EXEC_ERROR", { reason: "an odd message" });
      },
    },
    die: { properties: {}, run: () => Deno.exit(1) },
  } satisfies Record<string, Tool>,
));

/** The tools in the format of `list_tools_res`. */
export const TOOL_LIST: readonly Json[] = [...TOOLS].map(
  ([name, { properties }]) => ({
    name,
    description: `The tests' tool ${name}`,
    inputSchema: {
      type: "object",
      properties: Object.fromEntries(
        Object.entries(properties).map(([key, type]) => [key, { type }]),
      ),
    },
  }),
);

/** Finds a tool by its name. The daemon removes one suffix from the name. */
export function findTool(requestedName: string): [string, Tool | undefined] {
  const name = requestedName.replace(/[-_]EXAI[-_]WS$/, "");
  return [name, TOOLS.get(name)];
}

/** Runs a tool until it returns, fails or is cancelled. */
export async function runTool(
  name: string,
  tool: Tool,
  input: Json,
  limits: ToolContext,
): Promise<ToolOutcome> {
  try {
    const text = await tool.run(input, limits);
    const outputs = [text, callSummary(name)].map(textBlock);
    const error = errorInOutput(text);
    return { outputs, ...(error && { error }) };
  } catch (error) {
    if (!(error instanceof ToolFailure)) {
      return { error: { code: "EXEC_ERROR", message: String(error) } };
    }
    return { error: { code: error.code, message: error.details } };
  }
}

/** Returns a key that equal calls share. The order of arguments is ignored. */
export function callKey(name: string, input: Json): string {
  const sort = (_: string, value: unknown): unknown =>
    isRecord(value) ? Object.fromEntries(Object.entries(value).sort()) : value;
  return `${name} ${JSON.stringify(input, sort)}`;
}

export function textBlock(text: string): Block {
  return { type: "text", text };
}

/** Joins the texts of all blocks that have one. */
export function joinOutputs(outputs: readonly Block[]): string {
  return outputs.map(({ text }) => text).filter(Boolean).join("\n\n");
}

/** Returns the frames that are sent before a garbled response. */
export function garbageFrames(): unknown[] {
  const op = "call_tool_res";
  return [
    "this is { no JSON",
    "[1,2,3]",
    { op: "surprise", request_id: "nobody" },
    { op, request_id: "nobody", outputs: [textBlock("for nobody")], text: "?" },
    { op: "progress", name: "garble", t: Date.now() / 1000 },
  ];
}

/** Returns the JSON that a real tool has in its first block. */
function toolOutput(status: string, content: string): string {
  return JSON.stringify({
    status,
    content,
    content_type: "text",
    metadata: {},
    continuation_offer: { continuation_id: "c-1" },
  });
}

/** Returns the error that the daemon finds in a tool's own JSON, if any. */
function errorInOutput(text: string): Json | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    const { status, content, metadata = {} } = JSON.parse(text);
    const code = String(status).toUpperCase();
    const isFlagged = /^(CODE_TOO_LARGE|ERROR|EXECUTION_ERROR|RESEND_PROMPT)$/
      .test(code);
    return isFlagged ? { code, message: content, metadata } : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the last block of every real tool. */
function callSummary(name: string): string {
  return [
    "\n=== MCP CALL SUMMARY ===",
    `Tool: ${name} | Status: COMPLETE`,
    "Duration: 0.0s",
    "=== END SUMMARY ===\n",
    "(no progress captured)",
    `req_id=${crypto.randomUUID()}`,
  ].join("\n");
}
