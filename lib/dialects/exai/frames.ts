/**
 * Converts the exai daemon's frames to MCP: tools, results and errors.
 *
 * @module
 */

import { findValue } from "../../json/spans.ts";
import { getNested, isRecord } from "../../protocol/jsonrpc.ts";
import type { CallToolResult } from "../../protocol/mcp_types.ts";
import {
  parseOutput,
  splitSummary,
  stripProgressAndTurn,
} from "./tool_output.ts";

/** The content of an error frame, whatever its form. */
export interface ExaiError {
  /** The daemon's code; empty if it gave none. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
  /** How long to wait before the call is retried, in milliseconds. */
  readonly retryAfterMs: number;
  /** The request that this one is a duplicate of. */
  readonly originalRequestId: string | undefined;
  /** The daemon does not accept the token. */
  readonly isUnauthorized: boolean;
  /** The daemon will never have room for the request. */
  readonly isTooLarge: boolean;
  /** The daemon does not know such a request. */
  readonly isUnknownRequest: boolean;
}

/** A result of `tools/call` (MCP, server/tools). */
export interface ToolResult extends Pick<CallToolResult, "isError"> {
  /** The tool's output. */
  content: Extract<CallToolResult["content"][number], { type: "text" }>[];
}

/**
 * The limits of the delay that the daemon asks for before a retry, and the
 * delay if it names none, in seconds.
 */
const RETRY_AFTER_S = { min: 0.1, max: 60, default: 1 } as const;

/**
 * What the daemon's revisions write about a bad token, and about a request that
 * is too large; they have no error code for either.
 */
const UNAUTHORIZED = /unauthorized|jwt_required/;
const TOO_LARGE = /too large/i;

/**
 * Returns the error of a frame: `{"op":"error","message"}`, `error` as an
 * object, or as something else.
 */
export function errorOf(frame: Record<string, unknown>): ExaiError {
  const error = frame.error ?? frame.message;
  const code = getNested(error, "code");
  const details = [error, getNested(error, "details")];
  const find = (name: string): unknown =>
    details.map((where) => getNested(where, name)).find((it) =>
      it !== undefined
    );
  const original = find("original_request_id");
  const seconds = parseNumber(find("retry_after") ?? find("retry_after_secs"));
  const retryAfterS = Math.min(
    Math.max(seconds, RETRY_AFTER_S.min),
    RETRY_AFTER_S.max,
  );
  const name = typeof code === "string" ? code : "";
  const message = stringify(isRecord(error) ? error.message ?? error : error);
  return {
    code: name,
    message,
    retryAfterMs: (seconds > 0 ? retryAfterS : RETRY_AFTER_S.default) * 1000,
    originalRequestId: typeof original === "string" ? original : undefined,
    isUnauthorized: UNAUTHORIZED.test(`${name}: ${message}`),
    isTooLarge: TOO_LARGE.test(message),
    isUnknownRequest: name === "INVALID_REQUEST" ||
      message.startsWith("invalid_"),
  };
}

/**
 * Returns whether a progress frame reports that its request is a duplicate of
 * one that the daemon is executing.
 */
export function isDuplicate({ note }: Record<string, unknown>): boolean {
  return typeof note === "string" && /^duplicate/i.test(note);
}

/**
 * Returns whether a JSON object is a frame: later revisions write errors
 * without an op.
 */
export function isFrame(value: Record<string, unknown>): boolean {
  return typeof value.op === "string" ||
    typeof getNested(value, "error", "code") === "string";
}

/** Returns whether a frame reports a failure. */
export function isErrorFrame(frame: Record<string, unknown>): boolean {
  return frame.op === "error" || (frame.error ?? undefined) !== undefined;
}

/**
 * Returns the result of a call: outputs or a text, and the error that may
 * accompany them; `undefined` if there is only an error.
 */
export function toolResultOf(
  frame: Record<string, unknown>,
  style: "clean" | "raw",
): ToolResult | undefined {
  const blocks = outputBlocks(frame);
  if (blocks === undefined) return undefined;
  // A summary that is joined to an output is not part of its JSON.
  const { toolBlocks, summary } = splitSummary(blocks);
  const parsedOutputs = toolBlocks.map((block) => parseOutput(block, style));
  const texts = style === "raw"
    ? [...blocks]
    : parsedOutputs.flatMap((parsed) => parsed.texts);
  const isError = isErrorFrame(frame) || frame.ok === false ||
    parsedOutputs.some((parsed) => parsed.isError);
  if (isErrorFrame(frame)) {
    const message = stripProgressAndTurn(errorOf(frame).message, style);
    const isIncluded = parsedOutputs.some((parsed) => parsed.includes(message));
    if (!isIncluded) texts.push(message);
  }
  // A tool without output was called nevertheless.
  const isEmpty = texts.every((text) => text.trim() === "");
  if (isEmpty && summary !== undefined) texts.splice(0, Infinity, summary);
  const nonEmptyTexts = texts.filter((text) => text !== "");
  const content = nonEmptyTexts.length > 0 ? nonEmptyTexts : texts.slice(0, 1);
  return buildToolResult(content, isError ? "failed" : "done");
}

/** Builds a result with these texts. */
export function buildToolResult(
  texts: readonly string[],
  outcome: "done" | "failed",
): ToolResult {
  const content = texts.map((text) => ({ type: "text", text }) as const);
  return outcome === "failed" ? { content, isError: true } : { content };
}

function outputBlocks(frame: Record<string, unknown>): string[] | undefined {
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
    .filter((it) => (it ?? undefined) !== undefined && !Array.isArray(it));
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

/**
 * Returns the daemon's tools in a form that MCP clients accept; `undefined` if
 * the frame has none.
 */
export function toolsOf(frame: Record<string, unknown>): unknown[] | undefined {
  const { tools } = frame;
  if (!Array.isArray(tools)) return undefined;
  return tools.filter((tool: unknown) =>
    typeof getNested(tool, "name") === "string"
  )
    .map((tool: Record<string, unknown>) => {
      const { description, inputSchema, ...rest } = tool;
      const hasValidDescription = description === undefined ||
        typeof description === "string";
      if (hasValidDescription && getNested(inputSchema, "type") === "object") {
        return tool;
      }
      const schema = isRecord(inputSchema) ? inputSchema : {};
      return {
        ...rest,
        ...(typeof description === "string" && { description }),
        inputSchema: { ...schema, type: "object" },
      };
    });
}

/**
 * Returns the result of `tools/list` as JSON text, in the daemon's own spelling
 * if no tool was changed; `text` is the frame's text.
 */
export function buildToolListJson(
  text: string,
  frame: Record<string, unknown>,
  tools: readonly unknown[],
): string {
  const originalTools = frame.tools as readonly unknown[];
  const isSame = originalTools.length === tools.length &&
    tools.every((tool, i) => tool === originalTools[i]);
  const span = isSame ? findValue(text, ["tools"]) : undefined;
  const list = span === undefined
    ? JSON.stringify(tools)
    : text.slice(span.start, span.end);
  return `{"tools":${list}}`;
}

/** How long the daemon's process has been running, by its own report. */
export interface Uptime {
  /** The uptime in milliseconds, rounded down to seconds. */
  readonly ms: number;
  /**
   * When the process started by its own clock, in seconds since 1970;
   * `undefined` if the daemon does not send its time.
   */
  readonly processStartUnixS: number | undefined;
}

/**
 * Parses the uptime in a `health_res`; Python writes `H:MM:SS`, with days in
 * front.
 */
export function uptimeOf(frame: Record<string, unknown>): Uptime | undefined {
  const text = getNested(frame, "health", "uptime_human");
  if (typeof text !== "string" || frame.ok === false) return undefined;
  const pattern = /^(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?$/;
  const [match, days = "0", hours, minutes, seconds] = pattern.exec(text) ?? [];
  if (match === undefined) return undefined;
  const uptimeS = Number(days) * 86_400 + Number(hours) * 3_600 +
    Number(minutes) * 60 + Number(seconds);
  const time = getNested(frame, "health", "t");
  const processStartUnixS = typeof time === "number"
    ? time - uptimeS
    : undefined;
  return { ms: uptimeS * 1000, processStartUnixS };
}

/**
 * Returns a number, or a text that is one, as a number; `NaN` for anything
 * else.
 */
export function parseNumber(value: unknown): number {
  const isNumeric = typeof value === "number" || typeof value === "string";
  return isNumeric ? Number(value) : NaN;
}

/** Returns what the daemon sent as text. */
export function stringify(value: unknown): string {
  if (value === undefined || value === null) {
    return "the daemon did not say why";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}
