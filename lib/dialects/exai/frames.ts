/**
 * The exai daemon's frames as MCP has them: tools, results and errors.
 *
 * @module
 */

import { locate } from "../../json/spans.ts";
import { dig, isRecord } from "../../protocol/jsonrpc.ts";
import type { CallToolResult } from "../../protocol/mcp_types.ts";
import { readOutput, splitSummary, unwrap } from "./tool_output.ts";

/** What an error frame says, whatever its form. */
export interface ExaiError {
  /** The daemon's code; empty where it gave none. */
  readonly code: string;
  /** One sentence. */
  readonly message: string;
  /** How long to wait before the call is tried again, in milliseconds. */
  readonly retryMs: number;
  /** The request that this one is a duplicate of. */
  readonly original: string | undefined;
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
const RETRY = { least: 0.1, most: 60, fallback: 1 } as const;

/** What the daemon's revisions say of a token, and of a request that is too large; they have no code of its own for either. */
const UNAUTHORIZED = /unauthorized|jwt_required/;
const TOO_LARGE = /too large/i;

/** The error of a frame: `{"op":"error","message"}`, `error` as an object, or as something else. */
export function errorOf(frame: Record<string, unknown>): ExaiError {
  const error = frame.error ?? frame.message;
  const code = dig(error, "code");
  const details = [error, dig(error, "details")];
  const find = (name: string): unknown =>
    details.map((where) => dig(where, name)).find((it) => it !== undefined);
  const original = find("original_request_id");
  const seconds = numberOf(find("retry_after") ?? find("retry_after_secs"));
  const pause = Math.min(Math.max(seconds, RETRY.least), RETRY.most);
  const name = typeof code === "string" ? code : "";
  const message = asText(isRecord(error) ? error.message ?? error : error);
  return {
    code: name,
    message,
    retryMs: (seconds > 0 ? pause : RETRY.fallback) * 1000,
    original: typeof original === "string" ? original : undefined,
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
    typeof dig(value, "error", "code") === "string";
}

/** Whether a frame speaks of a failure. */
export function isFailure(frame: Record<string, unknown>): boolean {
  return frame.op === "error" || (frame.error ?? undefined) !== undefined;
}

/**
 * The result of a call: outputs or a text, and the error that may stand beside
 * them; `undefined` where there is nothing but an error.
 */
export function resultOf(
  frame: Record<string, unknown>,
  style: "clean" | "raw",
): ToolResult | undefined {
  const blocks = blocksOf(frame);
  if (blocks === undefined) return undefined;
  // A summary that is joined to an output is no part of its JSON.
  const { said, summary } = splitSummary(blocks);
  const readings = said.map((block) => readOutput(block, style));
  const texts = style === "raw"
    ? [...blocks]
    : readings.flatMap((reading) => reading.texts);
  const isError = isFailure(frame) || frame.ok === false ||
    readings.some((reading) => reading.isError);
  if (isFailure(frame)) {
    const message = unwrap(errorOf(frame).message, style);
    const isSaid = readings.some((reading) => reading.says(message));
    if (!isSaid) texts.push(message);
  }
  // A tool that had nothing to say has been called all the same.
  const isSilent = texts.every((text) => text.trim() === "");
  if (isSilent && summary !== undefined) texts.splice(0, Infinity, summary);
  const shown = texts.filter((text) => text !== "");
  const content = shown.length > 0 ? shown : texts.slice(0, 1);
  return toolResult(content, isError ? "failed" : "done");
}

/** A result with these texts. */
export function toolResult(
  texts: readonly string[],
  outcome: "done" | "failed",
): ToolResult {
  const content = texts.map((text) => ({ type: "text", text }) as const);
  return outcome === "failed" ? { content, isError: true } : { content };
}

function blocksOf(frame: Record<string, unknown>): string[] | undefined {
  const { result } = frame;
  const lists = [
    frame.outputs,
    dig(result, "outputs"),
    dig(result, "content"),
    result,
  ];
  for (const list of lists) {
    if (Array.isArray(list) && list.length > 0) return list.map(blockText);
  }
  const others = [dig(result, "text"), frame.outputs, result]
    .filter((it) => (it ?? undefined) !== undefined && !Array.isArray(it));
  const said = frame.text ?? others[0];
  if (isFailure(frame)) return said ? [asText(said)] : undefined;
  return said === undefined ? [] : [asText(said)];
}

function blockText(block: unknown): string {
  const text = dig(block, "text");
  return typeof text === "string" ? text : asText(block);
}

/** The daemon's tools as MCP clients accept them; `undefined` where the frame has none. */
export function toolsOf(frame: Record<string, unknown>): unknown[] | undefined {
  const { tools } = frame;
  if (!Array.isArray(tools)) return undefined;
  return tools.filter((tool: unknown) => typeof dig(tool, "name") === "string")
    .map((tool: Record<string, unknown>) => {
      const { description, inputSchema, ...rest } = tool;
      const isWorded = description === undefined ||
        typeof description === "string";
      if (isWorded && dig(inputSchema, "type") === "object") return tool;
      const schema = isRecord(inputSchema) ? inputSchema : {};
      return {
        ...rest,
        ...(typeof description === "string" && { description }),
        inputSchema: { ...schema, type: "object" },
      };
    });
}

/** The result of `tools/list` as a JSON text, spelled as the daemon did where nothing had to be changed; `text` is the frame's. */
export function listText(
  text: string,
  frame: Record<string, unknown>,
  tools: readonly unknown[],
): string {
  const given = frame.tools as readonly unknown[];
  const isSame = given.length === tools.length &&
    tools.every((tool, i) => tool === given[i]);
  const span = isSame ? locate(text, ["tools"]) : undefined;
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
  readonly origin: number | undefined;
}

/** The uptime in a `health_res`; Python writes `H:MM:SS`, and days in front of it. */
export function uptimeOf(frame: Record<string, unknown>): Uptime | undefined {
  const text = dig(frame, "health", "uptime_human");
  if (typeof text !== "string" || frame.ok === false) return undefined;
  const form = /^(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?$/;
  const [match, days = "0", hours, minutes, seconds] = form.exec(text) ?? [];
  if (match === undefined) return undefined;
  const total = Number(days) * 86_400 + Number(hours) * 3_600 +
    Number(minutes) * 60 + Number(seconds);
  const time = dig(frame, "health", "t");
  const origin = typeof time === "number" ? time - total : undefined;
  return { ms: total * 1000, origin };
}

/** A number, or a text that is one; `NaN` for anything else. */
export function numberOf(value: unknown): number {
  const isNumeric = typeof value === "number" || typeof value === "string";
  return isNumeric ? Number(value) : NaN;
}

/** Something the daemon said, as a text. */
export function asText(value: unknown): string {
  if (value === undefined || value === null) {
    return "the daemon did not say why";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}
