/**
 * EX-AI's tool output as a person or a model wants to read it: without the
 * progress in front, the turn notice behind, and the call summary.
 *
 * @module
 */

import { jsonIn } from "../../json/spans.ts";
import { dig, isRecord } from "../../protocol/jsonrpc.ts";

/** What a block of output says. */
export interface Reading {
  /** The texts to show. */
  readonly texts: readonly string[];
  /** The tool itself says that it failed. */
  readonly isError: boolean;
  /** Whether the message of an error is among what it says. */
  says(message: string): boolean;
}

/** The statuses of a tool's output that mean failure; the daemon compares without case. */
const FAILED = /^(code_too_large|error|execution_error|resend_prompt)$/i;
/** What a workflow's output has for a status when the tool has raised: the tool's name, and this. */
const RAISED = /^\w+_failed$/i;
const PROGRESS =
  /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===(?:[ \t]*\n)*/;
const SUMMARY = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;
/** How it begins behind other blocks that the daemon has joined. */
const JOINED = "\n\n\n=== MCP CALL SUMMARY ===";
const TURN = "AGENT'S TURN:";
/** The members of the daemon's own wrapping; an object with others is what a tool says itself, `next_steps` and findings among it. */
const MEMBERS = [
  ...["status", "content", "error", "content_type", "metadata"],
  "continuation_offer",
];

/**
 * Reads a block of output. What is not unmistakably the daemon's own wrapping
 * stays as it is.
 */
export function readOutput(text: string, style: "clean" | "raw"): Reading {
  const output = parse(text);
  const isError = output !== undefined && isFailed(output);
  const inside = [output?.content, output?.error]
    .filter((it) => typeof it === "string").filter((it) => it !== "");
  if (style === "raw" || output === undefined || !isWrapping(output)) {
    const says = (message: string): boolean =>
      [text, ...inside].some((it) => it.includes(message));
    return { texts: [text], isError, says };
  }
  const texts = inside.map((it) => unwrap(it, style));
  // Without it the model could not go on with the conversation.
  const id = dig(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  const says = (message: string): boolean =>
    texts.some((it) => it.includes(message));
  return { texts: [...new Set(texts)], isError, says };
}

/** A text without the progress in front and the turn notice behind it. */
export function unwrap(text: string, style: "clean" | "raw"): string {
  return style === "raw" ? text : withoutTurn(text.replace(PROGRESS, ""));
}

/** A tool's own blocks, and the summary that the daemon puts behind them. */
export function splitSummary(
  blocks: readonly string[],
): { readonly said: readonly string[]; readonly summary?: string } {
  const last = blocks.at(-1) ?? "";
  if (blocks.length > 1) {
    if (!SUMMARY.test(last)) return { said: blocks };
    return { said: blocks.slice(0, -1), summary: last };
  }
  const at = last.lastIndexOf(JOINED);
  if (at <= 0 || !SUMMARY.test(last.slice(at))) return { said: blocks };
  return { said: [last.slice(0, at)], summary: last.slice(at + 2) };
}

function isFailed({ status, error }: Record<string, unknown>): boolean {
  if (typeof status !== "string") return false;
  // Without an error it is what the tool has found out: "tests_failed".
  return FAILED.test(status) ||
    RAISED.test(status) && typeof error === "string";
}

function isWrapping(output: Record<string, unknown>): boolean {
  const { status, content, error } = output;
  return typeof status === "string" && typeof (content ?? error) === "string" &&
    Object.keys(output).every((name) => MEMBERS.includes(name));
}

/** The notice is the last paragraph, under a rule. No regular expression does this in linear time. */
function withoutTurn(text: string): string {
  const at = text.lastIndexOf(TURN);
  if (at === -1 || text.slice(at).trimEnd().includes("\n\n")) return text;
  const above = text.slice(0, at).trimEnd();
  if (!above.endsWith("---") || !text.slice(above.length, at).includes("\n")) {
    return text;
  }
  const rest = above.slice(0, -3);
  const kept = rest.trimEnd();
  return rest.slice(kept.length).includes("\n") ? kept : text;
}

function parse(text: string): Record<string, unknown> | undefined {
  const value = /^\s*\{/.test(text) ? jsonIn(text) : undefined;
  return isRecord(value) ? value : undefined;
}
