/**
 * What the exai daemon's frames say, and its tools, their output and its errors
 * as MCP. The output is cleaned for people and models: without the daemon's
 * wrapper, the progress at the start, the turn notice at the end, and the call
 * summary.
 *
 * @module
 */

import { findValue, tryParseJson } from "../../json/spans.ts";
import {
  buildErrorResponse,
  getNested,
  type Id,
  isPresent,
  isRecord,
  MESSAGE_MEMBERS,
  type Response,
  toResultResponse,
} from "../../protocol/jsonrpc.ts";
import type { CallToolResult } from "../../protocol/mcp_types.ts";
import type { Incoming } from "../dialect.ts";

/** A frame: a JSON object, of any revision. */
export type Frame = Record<string, unknown>;

/** Members of the daemon's messages, of any revision. */
export const FRAME_MEMBERS: readonly string[] = [
  ...MESSAGE_MEMBERS,
  "op",
  "request_id",
];

/** The content of an error frame, whatever its form. */
export interface ExaiError {
  /** The daemon's code; empty if it gave none. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
  /** The message with the code. */
  readonly text: string;
  /** How long to wait before the call is retried. */
  readonly retryAfterMs: number;
  /** The request that this one is a duplicate of. */
  readonly originalRequestId: unknown;
  /** The daemon does not accept the token. */
  readonly isUnauthorized: boolean;
  /** The daemon will never have room for the request. */
  readonly isTooLarge: boolean;
  /** The daemon does not know such a request. */
  readonly isUnknownRequest: boolean;
}

/** The daemon's error code for "not now". */
export const OVER_CAPACITY = "OVER_CAPACITY";
const RETRY_AFTER_S = { min: 0.1, max: 60, default: 1 } as const;
/** The daemon has no codes for a bad token and for too large a request. */
const UNAUTHORIZED = /unauthorized|jwt_required/;
const TOO_LARGE = /too large/i;

/** Returns the error of a frame, in whatever form a revision writes it. */
export function errorOf(frame: Frame): ExaiError {
  const error = frame.error ?? frame.message;
  const find = (name: string): unknown =>
    [[name], ["details", name]].map((path) => getNested(error, ...path))
      .find((it) => it !== undefined);
  const seconds = parseNumber(find("retry_after") ?? find("retry_after_secs"));
  const retryAfterS = Math.max(seconds, RETRY_AFTER_S.min);
  const code = getNested(error, "code");
  const name = typeof code === "string" ? code : "";
  const message = stringify(isRecord(error) ? error.message ?? error : error);
  const text = name === "" ? message : `${name}: ${message}`;
  return {
    code: name,
    message,
    text,
    retryAfterMs: 1000 *
      (seconds > 0
        ? Math.min(retryAfterS, RETRY_AFTER_S.max)
        : RETRY_AFTER_S.default),
    originalRequestId: find("original_request_id"),
    isUnauthorized: UNAUTHORIZED.test(text),
    isTooLarge: TOO_LARGE.test(message),
    isUnknownRequest: name === "INVALID_REQUEST" ||
      message.startsWith("invalid_"),
  };
}

/** Returns whether a progress frame is about a call that was sent before. */
export function isDuplicate({ note }: Frame): boolean {
  return typeof note === "string" && /^duplicate/i.test(note);
}

/** Returns whether an object is a frame: later revisions' errors have no op. */
export function isFrame(value: Record<string, unknown>): boolean {
  return typeof value.op === "string" ||
    typeof getNested(value, "error", "code") === "string";
}

/** Returns whether a frame reports a failure. */
export function isErrorFrame(frame: Frame): boolean {
  return frame.op === "error" || isPresent(frame.error);
}

/**
 * Returns a response with the tools of a frame, in the daemon's own spelling if
 * no tool was changed; `undefined` if the frame has none. `text` is its text.
 */
export function toolListResponseOf(
  id: Id,
  { tools: sentTools }: Frame,
  text: string,
): Response | undefined {
  if (!Array.isArray(sentTools)) return undefined;
  const tools = sentTools.filter(isRecord)
    .filter(({ name }) => typeof name === "string").map(toValidTool);
  const isSame = sentTools.every((tool, i) => tool === tools[i]);
  const span = isSame ? findValue(text, ["tools"]) : undefined;
  const toolsText = span && text.slice(span.start, span.end);
  return toResultResponse(id, { tools }, toolsText && `{"tools":${toolsText}}`);
}

function toValidTool(tool: Record<string, unknown>): Record<string, unknown> {
  const { description, inputSchema, ...rest } = tool;
  const isDescribed = typeof description === "string";
  const isValid = (isDescribed || description === undefined) &&
    getNested(inputSchema, "type") === "object";
  if (isValid) return tool;
  const schema = isRecord(inputSchema) ? inputSchema : {};
  return {
    ...rest,
    ...(isDescribed && { description }),
    inputSchema: { ...schema, type: "object" },
  };
}

/** Builds a response with an error. */
export function toErrorResponse(
  id: Id,
  code: number,
  message: string,
): Response {
  const error = { code, message };
  const text = buildErrorResponse(id, code, message);
  return { kind: "response", id, result: undefined, error, text };
}

/** Reports a frame that refers to nothing that is pending. */
export function unexpectedFrame({ op }: Frame): Incoming {
  const description = typeof op === "string" ? `a frame ${op}` : "a frame";
  return { kind: "unexpected", description };
}

/**
 * Parses how long the daemon's process has been running (Python writes seconds,
 * `H:MM:SS`, with days in front), and when it started by its own clock.
 */
export function uptimeOf(
  frame: Frame,
): { ms: number; startUnixS: number | undefined } | undefined {
  const text = getNested(frame, "health", "uptime_human");
  if (typeof text !== "string" || frame.ok === false) return undefined;
  const pattern = /^(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?$/;
  const [match, days = "0", hours, minutes, seconds] = pattern.exec(text) ?? [];
  if (match === undefined) return undefined;
  const uptimeS = Number(days) * 86_400 + Number(hours) * 3_600 +
    Number(minutes) * 60 + Number(seconds);
  const time = getNested(frame, "health", "t");
  const startUnixS = typeof time === "number" ? time - uptimeS : undefined;
  return { ms: uptimeS * 1000, startUnixS };
}

/** Returns a number, or a text that is one; `NaN` for anything else. */
export function parseNumber(value: unknown): number {
  const isNumeric = typeof value === "number" || typeof value === "string";
  return isNumeric ? Number(value) : NaN;
}

function stringify(value: unknown): string {
  if (!isPresent(value)) return "the daemon did not say why";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A result of `tools/call` (MCP, server/tools). */
export interface ToolResult extends Pick<CallToolResult, "isError"> {
  /** The tool's output. */
  content: Extract<CallToolResult["content"][number], { type: "text" }>[];
}

/** Whether the daemon's wrapper is removed. */
export type OutputStyle = "clean" | "raw";

/** The statuses of a tool that has failed; the daemon ignores case. */
const FAILED_STATUS = /^(code_too_large|error|execution_error|resend_prompt)$/i;
/** The status of a workflow whose tool has raised: its name, and a suffix. */
const RAISED_STATUS = /^\w+_failed$/i;
const PROGRESS_BLOCK =
  /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===(?:[ \t]*\n)*/;
const SUMMARY_BLOCK = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;
/** How the summary begins when the daemon has joined it to other blocks. */
const JOINED_SUMMARY_START = "\n\n\n=== MCP CALL SUMMARY ===";
const TURN_NOTICE_START = "AGENT'S TURN:";
/** An object with other members, such as `next_steps`, is a tool's own. */
const WRAPPER_MEMBER =
  /^(content|content_type|continuation_offer|error|metadata|status)$/;

/** Returns the result of a call; `undefined` if there is only an error. */
export function toolResultOf(
  frame: Frame,
  style: OutputStyle,
): ToolResult | undefined {
  const blocks = outputBlocks(frame);
  if (blocks === undefined) return undefined;
  // A summary that is joined to an output is not part of its JSON.
  const { toolBlocks, summary } = splitSummary(blocks);
  const outputs = toolBlocks.map((block) => parseOutput(block, style));
  const texts = style === "raw"
    ? [...blocks]
    : outputs.flatMap((output) => output.texts);
  const isErrorResult = isErrorFrame(frame);
  if (isErrorResult) {
    const { message } = errorOf(frame);
    const shown = style === "raw" ? message : stripProgressAndTurn(message);
    const isIncluded = outputs.flatMap(({ allTexts }) => allTexts)
      .some((text) => text.includes(shown));
    if (!isIncluded) texts.push(shown);
  }
  // A tool without output was called nevertheless.
  const isEmpty = texts.every((text) => text.trim() === "");
  if (isEmpty && summary !== undefined) texts.splice(0, Infinity, summary);
  const nonEmptyTexts = texts.filter((text) => text !== "");
  const content = (nonEmptyTexts.length > 0 ? nonEmptyTexts : texts.slice(0, 1))
    .map((text) => ({ type: "text", text }) as const);
  const isFailed = isErrorResult || frame.ok === false ||
    outputs.some(({ isError }) => isError);
  return isFailed ? { content, isError: true } : { content };
}

function outputBlocks(frame: Frame): string[] | undefined {
  const { result } = frame;
  const lists = [
    frame.outputs,
    getNested(result, "outputs"),
    getNested(result, "content"),
    result,
  ];
  for (const list of lists) {
    if (Array.isArray(list) && list.length > 0) return list.map(textOfBlock);
  }
  const otherOutputs = [getNested(result, "text"), frame.outputs, result]
    .filter((it) => isPresent(it) && !Array.isArray(it));
  const singleOutput = frame.text ?? otherOutputs[0];
  if (isErrorFrame(frame)) {
    return singleOutput ? [stringify(singleOutput)] : undefined;
  }
  return singleOutput === undefined ? [] : [stringify(singleOutput)];
}

function textOfBlock(block: unknown): string {
  const text = getNested(block, "text");
  return typeof text === "string" ? text : stringify(block);
}

function splitSummary(
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

// Text that is not clearly the daemon's own wrapper stays as it is. An error is
// not added to the result if one of `allTexts` has its message.
function parseOutput(
  text: string,
  style: OutputStyle,
): { texts: string[]; allTexts: string[]; isError: boolean } {
  const output = /^\s*\{/.test(text) ? tryParseJson(text) : undefined;
  if (!isRecord(output)) {
    return { texts: [text], allTexts: [text], isError: false };
  }
  const { status, content, error } = output;
  const hasStatus = typeof status === "string";
  // Without an error the status is a finding of the tool, like "tests_failed".
  const isError = hasStatus && (FAILED_STATUS.test(status) ||
    RAISED_STATUS.test(status) && typeof error === "string");
  const isWrapper = hasStatus && typeof (content ?? error) === "string" &&
    Object.keys(output).every((name) => WRAPPER_MEMBER.test(name));
  const innerTexts = [content, error]
    .filter((it) => typeof it === "string").filter((it) => it !== "");
  if (style === "raw" || !isWrapper) {
    return { texts: [text], allTexts: [text, ...innerTexts], isError };
  }
  const texts = innerTexts.map(stripProgressAndTurn);
  // Without the id the model could not continue the conversation.
  const id = getNested(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  return { texts: [...new Set(texts)], allTexts: texts, isError };
}

// The turn notice is the last paragraph, under a rule. No regular expression
// finds it in linear time.
function stripProgressAndTurn(output: string): string {
  const text = output.replace(PROGRESS_BLOCK, "");
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
