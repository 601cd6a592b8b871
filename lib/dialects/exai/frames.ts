/**
 * Interprets the exai daemon's frames, and converts its tools, their output and
 * its errors to MCP. The style `clean` removes parts of the output that are not
 * for people or models: the daemon's wrapper, the progress at the start, the
 * turn notice at the end, and the call summary.
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

/** A frame of any revision, which is a JSON object. */
export type Frame = Record<string, unknown>;

/** A broken text with one of these members counts as a frame. */
export const FRAME_MEMBERS: readonly string[] = [
  ...MESSAGE_MEMBERS,
  "op",
  "request_id",
];

/** The content of an error frame, in the same form for all revisions. */
export interface ExaiError {
  /** The daemon's error code; empty if it gave none. */
  readonly code: string;
  /** The message for people. */
  readonly message: string;
  /** The code, if there is one, and the message. */
  readonly text: string;
  /** How long to wait before a retry, from 100 ms to 60 s. */
  readonly retryAfterMs: number;
  /** The `request_id` of the call that this one is a duplicate of. */
  readonly originalRequestId: unknown;
  /** True if the daemon does not accept the token. */
  readonly isUnauthorized: boolean;
  /** True if the request will always be too large for the daemon. */
  readonly isTooLarge: boolean;
  /** True if the daemon does not know or accept this form of request. */
  readonly isUnknownRequest: boolean;
}

/** The daemon's error code while it has no capacity for a request. */
export const OVER_CAPACITY = "OVER_CAPACITY";
const RETRY_AFTER_S = { min: 0.1, max: 60, default: 1 } as const;
/** Patterns for a bad token and a too large request, which have no codes. */
const UNAUTHORIZED = /unauthorized|jwt_required/;
const TOO_LARGE = /too large/i;

/** Returns the error of a frame, which may have the form of any revision. */
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

/** Returns true if a progress frame says that its call was sent before. */
export function isDuplicate({ note }: Frame): boolean {
  return typeof note === "string" && /^duplicate/i.test(note);
}

/** Returns true if an object is a frame; later revisions' errors have no op. */
export function isFrame(value: Record<string, unknown>): boolean {
  return typeof value.op === "string" ||
    typeof getNested(value, "error", "code") === "string";
}

/** Returns true if a frame reports a failure. */
export function isErrorFrame(frame: Frame): boolean {
  return frame.op === "error" || isPresent(frame.error);
}

/**
 * Returns a response with the tools of a frame, or `undefined` if the frame has
 * no tool list. If no tool must be changed, the response keeps the JSON text of
 * the daemon's list. `text` is the text of the frame.
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

/** Creates a response with an error. */
export function toErrorResponse(
  id: Id,
  code: number,
  message: string,
): Response {
  const error = { code, message };
  const text = buildErrorResponse(id, code, message);
  return { kind: "response", id, result: undefined, error, text };
}

/** Returns the event for a frame that belongs to no pending exchange. */
export function unexpectedFrame({ op }: Frame): Incoming {
  const description = typeof op === "string" ? `a frame ${op}` : "a frame";
  return { kind: "unexpected", description };
}

/**
 * Returns how long the daemon's process has been running, and when it started
 * by the daemon's clock. Returns `undefined` if the frame has no valid uptime.
 * Python writes an uptime as `H:MM:SS`, with days in front.
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

/** Converts a number or a numeric string; returns `NaN` for anything else. */
export function parseNumber(value: unknown): number {
  const isNumeric = typeof value === "number" || typeof value === "string";
  return isNumeric ? Number(value) : NaN;
}

function stringify(value: unknown): string {
  if (!isPresent(value)) return "the daemon did not say why";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A result of `tools/call` that consists of texts (MCP, server/tools). */
export interface ToolResult extends Pick<CallToolResult, "isError"> {
  /** The tool's output. */
  content: Extract<CallToolResult["content"][number], { type: "text" }>[];
}

/** The style of a tool's output: `clean` is without the daemon's wrapper. */
export type OutputStyle = "clean" | "raw";

/** The statuses of a failed tool. The daemon ignores case. */
const FAILED_STATUS = /^(code_too_large|error|execution_error|resend_prompt)$/i;
/** The status of a workflow whose tool raised an error: `<name>_failed`. */
const RAISED_STATUS = /^\w+_failed$/i;
const PROGRESS_BLOCK =
  /^\s*=== PROGRESS ===[\s\S]*?=== END PROGRESS ===(?:[ \t]*\n)*/;
const SUMMARY_BLOCK = /^\s*=== MCP CALL SUMMARY ===[\s\S]*=== END SUMMARY ===/;
/** The start of a summary that the daemon has joined to other blocks. */
const JOINED_SUMMARY_START = "\n\n\n=== MCP CALL SUMMARY ===";
const TURN_NOTICE_START = "AGENT'S TURN:";
/**
 * The members of the daemon's wrapper. An object with any other member, such as
 * `next_steps`, is the tool's own output.
 */
const WRAPPER_MEMBER =
  /^(content|content_type|continuation_offer|error|metadata|status)$/;

/** Returns the result of a call; `undefined` if the frame only has an error. */
export function toolResultOf(
  frame: Frame,
  style: OutputStyle,
): ToolResult | undefined {
  const blocks = outputBlocks(frame);
  if (blocks === undefined) return undefined;
  // A joined summary is split off, because the output before it may be JSON.
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
  // If a tool has no output, the summary shows at least that it was called.
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

// A text stays unchanged unless it is clearly the daemon's wrapper. `allTexts`
// are the texts in which the caller looks for the frame's error message, which
// it does not add a second time.
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
  // Without an error, a status like "tests_failed" is a finding of the tool.
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
  // The model needs the id to continue the conversation.
  const id = getNested(output, "continuation_offer", "continuation_id");
  if (typeof id === "string") texts.push(`continuation_id: ${id}`);
  return { texts: [...new Set(texts)], allTexts: texts, isError };
}

// The turn notice is the last paragraph, below a line of `---`. A regular
// expression could not find it in linear time.
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
