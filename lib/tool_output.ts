/**
 * EX-AI's tool output as a person or a model wants to read it: without the
 * progress in front, the turn notice behind, and the call summary.
 *
 * @module
 */

import { dig, isRecord } from "./jsonrpc.ts";

/** What a block of output says. */
export interface Reading {
  /** The texts to show; none where the block was decoration only. */
  readonly texts: readonly string[];
  /** The tool itself says that it failed. */
  readonly isError: boolean;
}

/** The statuses of a tool's output that mean failure; the daemon compares without case. */
const FAILED = /^(code_too_large|error|execution_error|resend_prompt)$/i;
const PROGRESS = /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===\s*/;
const TURN =
  /\s*\n---\s*\n+\s*AGENT'S TURN:(?![\s\S]*\n---\s*\n+\s*AGENT'S TURN:)[\s\S]*$/;
const SUMMARY = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;

/**
 * Reads a block of output. What is not unmistakably the daemon's own wrapping
 * stays as it is.
 */
export function readOutput(text: string, style: "clean" | "raw"): Reading {
  const output = parse(text);
  const isError = typeof output?.status === "string" &&
    FAILED.test(output.status);
  if (style === "raw") return { texts: [text], isError };
  if (SUMMARY.test(text)) return { texts: [], isError };
  const content = output?.content ?? output?.error;
  if (typeof output?.status !== "string" || typeof content !== "string") {
    return { texts: [text], isError };
  }
  const texts = [content.replace(PROGRESS, "").replace(TURN, "")];
  // Without it the model could not go on with the conversation.
  const id = dig(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  return { texts, isError };
}

function parse(text: string): Record<string, unknown> | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
