/**
 * EX-AI's tool output as a person or a model wants to read it: without the
 * progress in front, the turn notice behind, and the call summary.
 *
 * @module
 */

import { tryParseJson } from "../../json/spans.ts";
import { getNested, isRecord } from "../../protocol/jsonrpc.ts";

/** What a block of output says. */
export interface ParsedOutput {
  /** The texts to show. */
  readonly texts: readonly string[];
  /** The tool itself says that it failed. */
  readonly isError: boolean;
  /** Whether the message of an error is among what it says. */
  includes(message: string): boolean;
}

/** The statuses of a tool's output that mean failure; the daemon compares without case. */
const FAILED_STATUS = /^(code_too_large|error|execution_error|resend_prompt)$/i;
/** What a workflow's output has for a status when the tool has raised: the tool's name, and this. */
const RAISED_STATUS = /^\w+_failed$/i;
const PROGRESS_BLOCK =
  /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===(?:[ \t]*\n)*/;
const SUMMARY_BLOCK = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;
/** How it begins behind other blocks that the daemon has joined. */
const JOINED_SUMMARY_START = "\n\n\n=== MCP CALL SUMMARY ===";
const TURN_NOTICE_START = "AGENT'S TURN:";
/** The members of the daemon's own wrapping; an object with others is what a tool says itself, `next_steps` and findings among it. */
const WRAPPER_MEMBERS = [
  ...["status", "content", "error", "content_type", "metadata"],
  "continuation_offer",
];

/**
 * Reads a block of output. What is not unmistakably the daemon's own wrapping
 * stays as it is.
 */
export function parseOutput(
  text: string,
  style: "clean" | "raw",
): ParsedOutput {
  const output = parseObject(text);
  const isError = output !== undefined && hasFailedStatus(output);
  const innerTexts = [output?.content, output?.error]
    .filter((it) => typeof it === "string").filter((it) => it !== "");
  if (style === "raw" || output === undefined || !isWrapper(output)) {
    const includes = (message: string): boolean =>
      [text, ...innerTexts].some((it) => it.includes(message));
    return { texts: [text], isError, includes };
  }
  const texts = innerTexts.map((it) => stripProgressAndTurn(it, style));
  // Without it the model could not go on with the conversation.
  const id = getNested(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  const includes = (message: string): boolean =>
    texts.some((it) => it.includes(message));
  return { texts: [...new Set(texts)], isError, includes };
}

/** A text without the progress in front and the turn notice behind it. */
export function stripProgressAndTurn(
  text: string,
  style: "clean" | "raw",
): string {
  return style === "raw"
    ? text
    : stripTurnNotice(text.replace(PROGRESS_BLOCK, ""));
}

/** A tool's own blocks, and the summary that the daemon puts behind them. */
export function splitSummary(
  blocks: readonly string[],
): { readonly toolBlocks: readonly string[]; readonly summary?: string } {
  const last = blocks.at(-1) ?? "";
  if (blocks.length > 1) {
    if (!SUMMARY_BLOCK.test(last)) return { toolBlocks: blocks };
    return { toolBlocks: blocks.slice(0, -1), summary: last };
  }
  const at = last.lastIndexOf(JOINED_SUMMARY_START);
  if (at <= 0 || !SUMMARY_BLOCK.test(last.slice(at))) {
    return { toolBlocks: blocks };
  }
  return { toolBlocks: [last.slice(0, at)], summary: last.slice(at + 2) };
}

function hasFailedStatus({ status, error }: Record<string, unknown>): boolean {
  if (typeof status !== "string") return false;
  // Without an error it is what the tool has found out: "tests_failed".
  return FAILED_STATUS.test(status) ||
    RAISED_STATUS.test(status) && typeof error === "string";
}

function isWrapper(output: Record<string, unknown>): boolean {
  const { status, content, error } = output;
  return typeof status === "string" && typeof (content ?? error) === "string" &&
    Object.keys(output).every((name) => WRAPPER_MEMBERS.includes(name));
}

/** The notice is the last paragraph, under a rule. No regular expression does this in linear time. */
function stripTurnNotice(text: string): string {
  const at = text.lastIndexOf(TURN_NOTICE_START);
  if (at === -1 || text.slice(at).trimEnd().includes("\n\n")) return text;
  const above = text.slice(0, at).trimEnd();
  if (!above.endsWith("---") || !text.slice(above.length, at).includes("\n")) {
    return text;
  }
  const rest = above.slice(0, -3);
  const kept = rest.trimEnd();
  return rest.slice(kept.length).includes("\n") ? kept : text;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  const value = /^\s*\{/.test(text) ? tryParseJson(text) : undefined;
  return isRecord(value) ? value : undefined;
}
