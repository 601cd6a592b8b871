/**
 * The exai daemon's frames as MCP has them: tools, results and errors.
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

/** What an error frame says, whatever its form. */
export interface ExaiError {
  /** The daemon's code; empty where it gave none. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
  /** How long to wait before the call is tried again, in milliseconds. */
  readonly retryMs: number;
  /** The request that this one is a duplicate of. */
  readonly originalRequestId: string | undefined;
  /** The daemon does not take our token. */
  readonly isUnauthorized: boolean;
  /** It will never have room for the request. */
  readonly isTooLarge: boolean;
  /** It does not know such a request. */
  readonly isUnknown: boolean;
}

/** A result of `tools/call` (MCP, server/tools). */
export interface ToolResult extends Pick<CallToolResult, "isError"> {
  /** What the tool said. */
  content: Extract<CallToolResult["content"][number], { type: "text" }>[];
}

/** How long the daemon's request to come back later may last, in seconds, and what it is when it says nothing. */
const RETRY_AFTER_S = { least: 0.1, most: 60, fallback: 1 } as const;

/** What the daemon's revisions say of a token, and of a request that is too large; they have no code of its own for either. */
const UNAUTHORIZED = /unauthorized|jwt_required/;
const TOO_LARGE = /too large/i;

/** The error of a frame: `{"op":"error","message"}`, `error` as an object, or as something else. */
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
    Math.max(seconds, RETRY_AFTER_S.least),
    RETRY_AFTER_S.most,
  );
  const name = typeof code === "string" ? code : "";
  const message = stringify(isRecord(error) ? error.message ?? error : error);
  return {
    code: name,
    message,
    retryMs: (seconds > 0 ? retryAfterS : RETRY_AFTER_S.fallback) * 1000,
    originalRequestId: typeof original === "string" ? original : undefined,
    isUnauthorized: UNAUTHORIZED.test(`${name}: ${message}`),
    isTooLarge: TOO_LARGE.test(message),
    isUnknown: name === "INVALID_REQUEST" || message.startsWith("invalid_"),
  };
}

/** Whether a progress frame says that its request is a duplicate of one that the daemon is at. */
export function isDuplicate({ note }: Record<string, unknown>): boolean {
  return typeof note === "string" && /^duplicate/i.test(note);
}

/** Whether a JSON object is a frame: later revisions write errors without an op. */
export function isFrame(value: Record<string, unknown>): boolean {
  return typeof value.op === "string" ||
    typeof getNested(value, "error", "code") === "string";
}

/** Whether a frame speaks of a failure. */
export function isErrorFrame(frame: Record<string, unknown>): boolean {
  return frame.op === "error" || (frame.error ?? undefined) !== undefined;
}

/**
 * The result of a call: outputs or a text, and the error that may stand beside
 * them; `undefined` where there is nothing but an error.
 */
export function toolResultOf(
  frame: Record<string, unknown>,
  style: "clean" | "raw",
): ToolResult | undefined {
  const blocks = outputBlocks(frame);
  if (blocks === undefined) return undefined;
  // A summary that is joined to an output is no part of its JSON.
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
  // A tool that had nothing to say has been called all the same.
  const isEmpty = texts.every((text) => text.trim() === "");
  if (isEmpty && summary !== undefined) texts.splice(0, Infinity, summary);
  const nonEmptyTexts = texts.filter((text) => text !== "");
  const content = nonEmptyTexts.length > 0 ? nonEmptyTexts : texts.slice(0, 1);
  return buildToolResult(content, isError ? "failed" : "done");
}

/** A result with these texts. */
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

/** The daemon's tools as MCP clients accept them; `undefined` where the frame has none. */
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

/** The result of `tools/list` as a JSON text, spelled as the daemon did where nothing had to be changed; `text` is the frame's. */
export function toolListJson(
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

/** The daemon's process, as it tells about itself. */
export interface Uptime {
  /** Milliseconds for which it has been running, rounded down to seconds. */
  readonly ms: number;
  /** When it began by its own clock, in seconds since 1970; `undefined` where it does not tell the time. */
  readonly processStartUnixS: number | undefined;
}

/** The uptime in a `health_res`; Python writes `H:MM:SS`, and days in front of it. */
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

/** A number, or a text that is one; `NaN` for anything else. */
export function parseNumber(value: unknown): number {
  const isNumeric = typeof value === "number" || typeof value === "string";
  return isNumeric ? Number(value) : NaN;
}

/** Something the daemon said, as a text. */
export function stringify(value: unknown): string {
  if (value === undefined || value === null) {
    return "the daemon did not say why";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}
