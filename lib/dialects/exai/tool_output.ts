/**
 * Cleans EX-AI's tool output for people and models: removes the progress at the
 * start, the turn notice at the end, and the call summary.
 *
 * @module
 */

import { tryParseJson } from "../../json/spans.ts";
import { getNested, isRecord } from "../../protocol/jsonrpc.ts";

/** A parsed block of output. */
export interface ParsedOutput {
  /** The texts to show. */
  readonly texts: readonly string[];
  /** The tool itself reported that it failed. */
  readonly isError: boolean;
  /** Whether the block contains the message of an error. */
  includes(message: string): boolean;
}

/**
 * The statuses of a tool's output that mean failure; the daemon ignores case.
 */
const FAILED_STATUS = /^(code_too_large|error|execution_error|resend_prompt)$/i;
/**
 * The status of a workflow's output when its tool has raised: the tool's name,
 * and this suffix.
 */
const RAISED_STATUS = /^\w+_failed$/i;
const PROGRESS_BLOCK =
  /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===(?:[ \t]*\n)*/;
const SUMMARY_BLOCK = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;
/** How the summary begins when the daemon has joined it to other blocks. */
const JOINED_SUMMARY_START = "\n\n\n=== MCP CALL SUMMARY ===";
const TURN_NOTICE_START = "AGENT'S TURN:";
/**
 * The members of the daemon's own wrapper. An object with other members, such
 * as `next_steps` or findings, is a tool's own output.
 */
const WRAPPER_MEMBERS = [
  "status",
  "content",
  "error",
  "content_type",
  "metadata",
  "continuation_offer",
];

/**
 * Parses a block of output. Text that is not clearly the daemon's own wrapper
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
  // Without the id the model could not continue the conversation.
  const id = getNested(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  const includes = (message: string): boolean =>
    texts.some((it) => it.includes(message));
  return { texts: [...new Set(texts)], isError, includes };
}

/**
 * Returns a text without the progress at its start and the turn notice at its
 * end.
 */
export function stripProgressAndTurn(
  text: string,
  style: "clean" | "raw",
): string {
  return style === "raw"
    ? text
    : stripTurnNotice(text.replace(PROGRESS_BLOCK, ""));
}

/** Splits off the summary that the daemon appends to a tool's own blocks. */
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
  // Without an error the status is a finding of the tool, like "tests_failed".
  return FAILED_STATUS.test(status) ||
    RAISED_STATUS.test(status) && typeof error === "string";
}

function isWrapper(output: Record<string, unknown>): boolean {
  const { status, content, error } = output;
  return typeof status === "string" && typeof (content ?? error) === "string" &&
    Object.keys(output).every((name) => WRAPPER_MEMBERS.includes(name));
}

/**
 * Removes the turn notice: the last paragraph, under a rule. No regular
 * expression does this in linear time.
 */
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
