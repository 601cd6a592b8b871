/**
 * The two revisions of the fake exai daemon (`exai_daemon.ts`): how each
 * responds to a frame, and what it remembers of earlier calls.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse_args.js";
import {
  type Block,
  callKey,
  findTool,
  garbageFrames,
  isRecord,
  joinOutputs,
  type Json,
  runTool,
  textBlock,
  type Tool,
  TOOL_LIST,
  type ToolOutcome,
} from "./exai_tools.ts";
import type { Frame } from "../helpers/forms/form_helpers.ts";
import { waitAtMost } from "../../lib/runtime/timeout.ts";

/** The flags of the command line. */
export const flags = parseArgs(Deno.args, {
  string: ["port", "journal", "revision", "token", "sessions", "per-ip"]
    .concat("progress", "call-timeout", "retry-after", "global")
    .concat("inflight-ttl", "age"),
}) as Record<string, string | undefined>;

/** Returns the number in a flag, or `fallback` if the flag is not set. */
export function setting(name: string, fallback: number): number {
  return Number(flags[name] ?? fallback);
}

/** True if the daemon acts as the later revision. */
export const isHead = flags.revision === "head";
const resultTtl = isHead ? 300_000 : 600_000;
const progressMs = setting("progress", 8000);
const callTimeout = setting("call-timeout", 67);
const inflightTtl = setting("inflight-ttl", callTimeout * 1000);
const globalCapacity = setting("global", 24);
const startedAt = Date.now() - setting("age", 0);

/** A connection. The next frame waits until the handler has finished. */
export interface ExaiConnection {
  readonly number: number;
  readonly socket: WebSocket;
  readonly frames: ReadableStreamDefaultReader<string>;
  /** True once the handler has died while the socket is still open. */
  isHandlerDead: boolean;
  /** Encodes a message as frames. Undefined if the URL names no form. */
  readonly toFrames: ((message: unknown) => Frame[]) | undefined;
}

/** A stored value, and when it was stored, in milliseconds since 1970. */
interface CachedValue<T> {
  readonly at: number;
  readonly value: T;
}

/** The connections that have completed the handshake. */
export const sessions = new Set<ExaiConnection>();
const resultsById = new Map<string | null, CachedValue<ToolOutcome>>();
const outputsByKey = new Map<string, CachedValue<readonly Block[]>>();
/** The ids of accepted calls. They are never removed, as in the real daemon. */
const idsInFlight = new Set<string | null>();
const keysInFlight = new Map<string, CachedValue<string | null>>();
/** Revision `head`: the outputs that the calls in flight will have. */
const pendingOutputs = new Map<string, Promise<readonly Block[]>>();
/** The number of running tools. */
export let running = 0;

/** Writes an event to the journal. */
export function writeJournal(event: string, details: Json): void {
  if (flags.journal === undefined) return;
  const line = { t: Date.now(), pid: Deno.pid, event, ...details };
  const text = `${JSON.stringify(line)}\n`;
  Deno.writeTextFileSync(flags.journal, text, { append: true });
}

/**
 * Sends a string as it is, and anything else as JSON in the connection's form.
 * Drops it silently if the socket is closed.
 */
export function send(
  { socket, toFrames }: ExaiConnection,
  frame: unknown,
): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  const frames = typeof frame === "string"
    ? [frame]
    : toFrames?.(frame) ?? [JSON.stringify(frame)];
  for (const it of frames) socket.send(it);
}

/** Returns the stored value if it is younger than `ttl` milliseconds. */
function freshValue<K, T>(
  stored: Map<K, CachedValue<T>>,
  key: K,
  ttl: number,
): T | undefined {
  const found = stored.get(key);
  return found && Date.now() - found.at < ttl ? found.value : undefined;
}

/** Formats a duration as Python's `timedelta` does. */
function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const days = Math.floor(seconds / 86_400);
  const two = (n: number): string => `${Math.floor(n) % 60}`.padStart(2, "0");
  const hours = Math.floor(seconds % 86_400 / 3600);
  const clock = `${hours}:${two(seconds / 60)}:${two(seconds)}`;
  return days === 0 ? clock : `${days} day${days === 1 ? "" : "s"}, ${clock}`;
}

/** Responds to a frame. `undefined` stands for a text that is not JSON. */
export function respond(link: ExaiConnection, message: unknown): Promise<void> {
  return isHead ? respondHead(link, message) : respondFirst(link, message);
}

/** Returns why the first revision rejects a message, if it does. */
function invalidReason(message: unknown): string | undefined {
  if (!isRecord(message)) return "message must be a JSON object";
  const { op, name, request_id = null, arguments: input = null } = message;
  if (typeof op !== "string") {
    return "missing or invalid 'op' field (must be string)";
  }
  if (op !== "call_tool") return undefined;
  if (typeof name !== "string" || name === "") {
    return "call_tool requires 'name' (non-empty string)";
  }
  if (request_id !== null && typeof request_id !== "string") {
    return "request_id must be a string";
  }
  const isInput = input === null || isRecord(input);
  return isInput ? undefined : "arguments must be a JSON object";
}

async function respondFirst(
  link: ExaiConnection,
  message: unknown,
): Promise<void> {
  const refuse = (message: string): void =>
    send(link, { op: "error", message });
  if (message === undefined) return refuse("invalid_json");
  const why = invalidReason(message);
  if (why !== undefined) return refuse(`invalid_message: ${why}`);
  const valid = message as Json;
  switch (valid.op) {
    case "list_tools":
      return send(link, { op: "list_tools_res", tools: TOOL_LIST });
    case "health": {
      const health = {
        t: Date.now() / 1000,
        uptime_human: formatDuration(Date.now() - startedAt),
        sessions: sessions.size,
        global_capacity: globalCapacity,
        tool_count: TOOL_LIST.length,
      };
      return send(link, { op: "health_res", ok: true, health });
    }
    case "call_tool":
      return await callFirst(link, valid);
    default:
      refuse(`Unknown op: ${valid.op}`);
  }
}

/** Handles `call_tool` in the first revision, in the order of its checks. */
async function callFirst(link: ExaiConnection, message: Json): Promise<void> {
  const request_id = (message.request_id ?? null) as string | null;
  const input = (message.arguments ?? {}) as Json;
  const requestedName = message.name as string;
  const [name, tool] = findTool(requestedName);
  const reply = (rest: ToolOutcome): Json => ({
    op: "call_tool_res",
    request_id,
    ...rest,
  });
  const fail = (code: string, message: string, more: Json = {}): void =>
    send(link, reply({ error: { code, message, ...more } }));
  const progress = (note?: string): void => {
    const t = Date.now() / 1000;
    send(link, { op: "progress", request_id, name, t, ...(note && { note }) });
  };

  if (!tool) return fail("TOOL_NOT_FOUND", `Unknown tool: ${requestedName}`);
  const stored = freshValue(resultsById, request_id, resultTtl);
  if (stored) return send(link, reply(stored));
  const key = callKey(name, input);
  const outputs = freshValue(outputsByKey, key, resultTtl);
  if (outputs) return send(link, reply({ outputs }));
  if (idsInFlight.has(request_id)) {
    return progress("duplicate request; still processing");
  }
  const original_request_id = freshValue(keysInFlight, key, inflightTtl);
  if (original_request_id !== undefined) {
    const errorText = "duplicate call in flight";
    return fail("DUPLICATE", errorText, { original_request_id });
  }
  // This is too early: a call that is rejected below for lack of capacity
  // leaves its key behind.
  keysInFlight.set(key, { at: Date.now(), value: request_id });
  if (running >= globalCapacity) {
    const errorText = "Global concurrency limit reached; retry soon";
    const retry_after = setting("retry-after", 1);
    return fail("OVER_CAPACITY", errorText, { retry_after });
  }
  idsInFlight.add(request_id);
  running++;
  progress("accepted, awaiting provider/session capacity");
  const ack = { accepted: true, timeout: callTimeout, name };
  send(link, { op: "call_tool_ack", request_id, ...ack });
  const abort = new AbortController();
  const work = execute(request_id, name, tool, input, abort.signal);
  const outcome = await waitAtMost(progressMs, work);
  running--;
  if (outcome === undefined) {
    // This is the bug: the heartbeat cancels the tool and ends the handler.
    progress();
    abort.abort();
    link.isHandlerDead = true;
    return;
  }
  keysInFlight.delete(key);
  if (!outcome.outputs) return send(link, reply(outcome));
  const value = { ...outcome, text: joinOutputs(outcome.outputs) };
  resultsById.set(request_id, { at: Date.now(), value });
  outputsByKey.set(key, { at: Date.now(), value: outcome.outputs });
  sendResult(link, name, reply(value));
}

async function execute(
  request_id: string | null,
  name: string,
  tool: Tool,
  input: Json,
  signal: AbortSignal,
): Promise<ToolOutcome> {
  const call = { name, request_id, key: input._call_key ?? null };
  writeJournal("execute", { ...call, arguments: input });
  const outcome = await runTool(name, tool, input, { signal, callTimeout });
  const ended = outcome.outputs ? "ok" : "error";
  writeJournal("done", {
    ...call,
    outcome: signal.aborted ? "cancelled" : ended,
  });
  return outcome;
}

/** Sends a response. The tools `garble` and `nameless` make it invalid. */
function sendResult(link: ExaiConnection, name: string, answer: Json): void {
  const { request_id: _, ...nameless } = answer;
  if (name === "garble") {
    for (const frame of garbageFrames()) send(link, frame);
  }
  send(link, name === "nameless" ? nameless : answer);
  if (name !== "garble") return;
  const text = "a second answer";
  const outputs = [textBlock(text)];
  send(link, { ...answer, outputs, ...("text" in answer && { text }) });
}

async function respondHead(
  link: ExaiConnection,
  message: unknown,
): Promise<void> {
  if (!isRecord(message)) {
    return failHead(link, "INVALID_REQUEST", "Invalid message");
  }
  const { op, request_id = "unknown" } = message;
  const timestamp = new Date().toISOString();
  const echoed = { request_id, timestamp };
  switch (op) {
    case "list_tools":
      return send(link, {
        op: "list_tools_res",
        tools: TOOL_LIST,
        ...echoed,
      });
    case "ping":
      return send(link, { op: "pong", ...echoed });
    case "cancel":
      return send(link, { op: "cancelled", ...echoed });
    case "call_tool":
    case "tool_call":
      return await callHead(link, message, String(request_id));
    default:
      failHead(link, "INVALID_REQUEST", `Unknown operation: ${op}`);
  }
}

/** Sends an error of the revision `head`, which has no `op` and no id. */
function failHead(link: ExaiConnection, code: string, message: unknown): void {
  send(link, { error: { code, message } });
}

async function callHead(
  link: ExaiConnection,
  message: Json,
  request_id: string,
): Promise<void> {
  const { tool: wanted = message.name, arguments: input = {} } = message;
  const requestedName = isRecord(wanted) ? wanted.name : wanted;
  if (typeof requestedName !== "string" || requestedName === "") {
    return failHead(link, "VALIDATION_ERROR", "Missing tool name");
  }
  const [name, tool] = findTool(requestedName);
  if (!tool) return failHead(link, "TOOL_NOT_FOUND", `Tool not found: ${name}`);
  if (!isRecord(input)) {
    const code = input === null ? "INTERNAL_ERROR" : "VALIDATION_ERROR";
    return failHead(link, code, "arguments must be an object");
  }
  const reply = { op: "call_tool_res", request_id, ok: true };
  const key = callKey(name, input);
  const cached = freshValue(outputsByKey, key, resultTtl);
  if (cached) {
    return send(link, { ...reply, outputs: cached, from_cache: true });
  }
  const earlier = pendingOutputs.get(request_id);
  if (earlier) {
    const outputs = await earlier;
    return send(link, { ...reply, outputs, from_inflight: true });
  }
  const { promise, resolve } = Promise.withResolvers<readonly Block[]>();
  pendingOutputs.set(request_id, promise);
  const progress = { op: "progress", request_id };
  const heartbeat = setInterval(() => {
    send(link, { ...progress, message: "Tool execution in progress..." });
  }, progressMs);
  const { signal } = new AbortController();
  running++;
  const work = execute(request_id, name, tool, input, signal);
  const { outputs, error } = await work;
  running--;
  clearInterval(heartbeat);
  // If the tool throws, its promise stays pending. This blocks the id forever.
  if (!outputs) return failHead(link, "INTERNAL_ERROR", error?.message);
  outputsByKey.set(key, { at: Date.now(), value: outputs });
  pendingOutputs.delete(request_id);
  resolve(outputs);
  const timestamp = new Date().toISOString();
  send(link, { op: "stream_complete", request_id, timestamp });
  sendResult(link, name, { ...reply, outputs });
}
