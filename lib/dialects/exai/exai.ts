/**
 * The exai dialect: maps hello, list_tools, call_tool, progress and health to
 * MCP.
 *
 * The daemon reads one frame at a time from a connection. So a connection has
 * at most one pending frame, and what responds to nothing else responds to
 * that.
 *
 * @module
 */

import { type ListChangedKind } from "../../protocol/lists.ts";
import type {
  ClosedEvent,
  CloseReason,
  Dialect,
  EncodeResult,
  Incoming,
  OpeningFrame,
  ProbeFrame,
  SessionReplay,
} from "../dialect.ts";
import { unescapeMemberNames } from "../../protocol/message_parser.ts";
import * as frames from "./frames.ts";
import { splitFrame } from "../../protocol/frame_splitter.ts";
import {
  type CallConfig,
  CallRegistry,
  createErrorMessage,
  createToolListMessage,
  encodeCall,
  type ExaiCall,
  OVER_CAPACITY,
  responseTooLarge,
  unexpectedFrame,
} from "./calls.ts";
import {
  ErrorCode,
  type InvalidMessage,
  isRecord,
  type OutboundMessage,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import { recoverLeadingMembers, tryParseJson } from "../../json/spans.ts";
import type { LinkRole, LinkState } from "../../link/link.ts";
import { buildLocalResponse } from "./local_responses.ts";

/** The settings of the dialect; durations in milliseconds. */
export interface ExaiConfig extends CallConfig {
  /** The client's session id for the daemon; `undefined` for a random one. */
  readonly sessionId: string | undefined;
  /** The token that the daemon requires in `hello`; empty for none. */
  readonly token: string;
  /** The name and version that the client sees. */
  readonly server: { readonly name: string; readonly version: string };
}

/** The exchange that a connection waits to complete. */
type PendingExchange =
  | { readonly kind: "hello" }
  | { readonly kind: "health"; readonly isProbe: boolean }
  | { readonly kind: "list"; readonly request: Request | undefined }
  | {
    readonly kind: "call";
    readonly request: Request;
    readonly call: ExaiCall;
    readonly isPoll: boolean;
  };

/** The state of one connection. */
interface ExaiConnection {
  pending: PendingExchange | undefined;
  /**
   * When its daemon's process started, by the proxy's clock with time asleep
   * included; `undefined` before the daemon was queried.
   */
  processStartedAt: number | "unknown" | undefined;
  processStartUnixS: number | undefined;
}

/** How many calls run at a time, each on a link of its own. */
const POOL_SIZE = 4;
/**
 * How long the outcome of a call is polled at least, in milliseconds: the
 * daemon keeps it beyond the call's own time.
 */
const MIN_POLL_WINDOW_MS = 60_000;
/**
 * How far two values for the start of a process may differ, in seconds: each is
 * rounded to a second.
 */
const PROCESS_START_SLACK_S = 2.5;

/** The op protocol of the EX-AI daemon. */
export class Exai implements Dialect {
  readonly subprotocol: undefined = undefined;
  readonly shouldCompareLists = true;
  readonly poolSize: number = POOL_SIZE;
  readonly daemonName: undefined = undefined;

  readonly #config: ExaiConfig;
  readonly #sessionPrefix: string;
  readonly #connections = new Map<number, ExaiConnection>();
  readonly #calls: CallRegistry;
  /**
   * True if the daemon knows `health` and `_call_key`: it is one of the first
   * revisions, which choose session ids themselves.
   */
  #isFirstRevision = false;
  /**
   * How much time the proxy's clock did not count, in milliseconds; the
   * daemon's clock keeps running while a laptop sleeps.
   */
  #suspendedMs = 0;
  /**
   * The process start from the last `health_res`, until that connection ends.
   */
  #latestProcessStart:
    | { connectionId: number; value: number | undefined }
    | undefined;

  /**
   * Creates the dialect. Request ids contain 64 random bits, so that no other
   * client uses the same ones.
   */
  constructor(config: ExaiConfig, random: () => number) {
    this.#config = config;
    const randomHex = (): string =>
      Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0");
    const randomId = randomHex() + randomHex();
    this.#calls = new CallRegistry(`${randomId}:`, config);
    // Two editors may have the same session id in their configurations.
    this.#sessionPrefix = `${config.sessionId ?? "alwaysup"}-${
      randomId.slice(0, 8)
    }`;
  }

  respondLocally(request: Request): string | undefined {
    return buildLocalResponse(request, this.#config.server);
  }

  linkRoleFor(message: OutboundMessage): LinkRole {
    return message.method === "tools/call" ? "pool" : "main";
  }

  canSend(connectionId: number): boolean {
    return this.#connections.get(connectionId)?.pending === undefined;
  }

  hasPendingOwnRequest(connectionId: number): boolean {
    const pending = this.#connections.get(connectionId)?.pending;
    return pending?.kind === "health" && !pending.isProbe ||
      pending?.kind === "list" && pending.request === undefined;
  }

  /** The daemon only gets ids that the proxy created. */
  useClientIds(): void {}

  /** Nothing is sent on a connection while a frame is pending. */
  pendingOwnRequestIds(): [] {
    return [];
  }

  isOwnRequestPending(): false {
    return false;
  }

  hasAcknowledgedSubscription(): false {
    return false;
  }

  beginHandshake(connectionId: number): OpeningFrame {
    const connection: ExaiConnection = {
      pending: { kind: "hello" },
      processStartedAt: undefined,
      processStartUnixS: undefined,
    };
    this.#connections.set(connectionId, connection);
    const { token } = this.#config;
    const session_id = this.#sessionIdOf(connectionId);
    return { text: JSON.stringify({ op: "hello", session_id, token }) };
  }

  /**
   * Later revisions keep state by session, and the end of one connection must
   * not close the session of another.
   */
  #sessionIdOf(connectionId: number): string {
    return `${this.#sessionPrefix}-${connectionId}`;
  }

  finishHandshake(): [] {
    return [];
  }

  buildReplay(): SessionReplay {
    return { toDaemon: [], toClient: [] };
  }

  encode(
    connectionId: number,
    message: OutboundMessage,
    now: number,
  ): EncodeResult {
    const connection = this.#connections.get(connectionId);
    if (connection === undefined || message.kind === "notification") {
      return { kind: "outcome-lost" };
    }
    if (message.method !== "tools/call") {
      connection.pending = { kind: "list", request: message };
      return { kind: "frame", text: LIST_TOOLS_FRAME };
    }
    const call = this.#calls.find(message) ?? this.#calls.create(message);
    if (
      call.firstSentAt !== undefined &&
      connection.processStartedAt === undefined
    ) {
      const pendingHealth = this.#connections.get(call.healthRequestedOn ?? -1)
        ?.pending;
      if (pendingHealth?.kind === "health") return { kind: "wait" };
      call.healthRequestedOn = connectionId;
      connection.pending = { kind: "health", isProbe: false };
      return { kind: "query-first", text: HEALTH_FRAME };
    }
    const isPoll = call.firstSentAt !== undefined;
    if (isPoll && !isSameProcess(connection, call)) {
      return { kind: "outcome-lost" };
    }
    connection.pending = { kind: "call", request: message, call, isPoll };
    if (!isPoll) {
      call.firstSentAt = now + this.#suspendedMs;
      call.processStartUnixS = this.#latestProcessStart?.value;
    }
    // Without a key of its own, the daemon takes calls of any client with equal
    // arguments for the same call.
    const text = encodeCall(
      message,
      call,
      this.#isFirstRevision ? "with-key" : "plain",
    );
    return { kind: "frame", text };
  }

  decode(connectionId: number, text: string, now: number): Incoming[] {
    const { jsonPieces, otherTexts, isTruncated } = splitFrame(
      text,
      frames.isFrame,
    );
    const incoming: Incoming[] = [];
    for (const { text: frameText, value } of jsonPieces) {
      if (!isRecord(value)) {
        incoming.push(INVALID_FRAME);
        continue;
      }
      const { value: frame } = unescapeMemberNames(value, frameText);
      // Next to other text, only an object with an op counts.
      const isFrameForUs = otherTexts.length === 0 ||
        typeof frame.op === "string";
      if (isFrameForUs) {
        incoming.push(
          ...this.#handleFrame(connectionId, frame, frameText, now),
        );
      }
    }
    for (const other of otherTexts) {
      incoming.push(...this.#handleMalformedFrame(connectionId, other, now));
    }
    if (isTruncated || jsonPieces.length + otherTexts.length === 0) {
      incoming.push(INVALID_FRAME);
    }
    return incoming;
  }

  /**
   * Handles text that is no JSON (Python writes NaN and Infinity): it completes
   * the pending exchange if it begins like the response to that.
   */
  #handleMalformedFrame(
    connectionId: number,
    text: string,
    now: number,
  ): Incoming[] {
    const connection = this.#connections.get(connectionId);
    const pending = connection?.pending;
    if (connection === undefined || pending === undefined) {
      return [INVALID_FRAME];
    }
    const members = recoverLeadingMembers(text);
    const valueOf = (name: string): unknown =>
      tryParseJson(members.get(name) ?? "");
    const op = valueOf("op");
    if (pending.kind === "health" && op === "health_res") {
      return this.#handleHealthResponse(
        connectionId,
        connection,
        pending,
        { op },
        now,
      );
    }
    const isResponse = pending.kind === "list" && op === "list_tools_res" ||
      pending.kind === "call" && op === "call_tool_res" &&
        valueOf("request_id") === pending.call.requestId;
    if (!isResponse) return [INVALID_FRAME];
    connection.pending = undefined;
    const reason = "it is not JSON";
    const problem = `The daemon did not list its tools: ${reason}`;
    return pending.request === undefined
      ? [{ kind: "own-response", problem }]
      : [{ ...INVALID_FRAME, id: pending.request.id, reason }];
  }

  #handleFrame(
    connectionId: number,
    frame: Record<string, unknown>,
    text: string,
    now: number,
  ): Incoming[] {
    const connection = this.#connections.get(connectionId);
    const pending = connection?.pending;
    if (connection === undefined || pending === undefined) {
      return unexpectedFrame(frame);
    }
    switch (pending.kind) {
      case "hello":
        return this.#handleHelloResponse(connectionId, connection, frame);
      case "health":
        return this.#handleHealthResponse(
          connectionId,
          connection,
          pending,
          frame,
          now,
        );
      case "list":
        return this.#handleToolList(connection, pending.request, frame, text);
      case "call":
        return this.#handleCallFrame(connection, pending, frame, text.length);
    }
  }

  #handleCallFrame(
    connection: ExaiConnection,
    { request, call, isPoll }: Extract<PendingExchange, { kind: "call" }>,
    frame: Record<string, unknown>,
    size: number,
  ): Incoming[] {
    const purpose = isPoll ? "poll" : "call";
    const result = this.#calls.handleFrame(request, call, purpose, frame, size);
    if (result.isDone) connection.pending = undefined;
    return result.incoming;
  }

  #handleHelloResponse(
    connectionId: number,
    connection: ExaiConnection,
    frame: Record<string, unknown>,
  ): Incoming[] {
    if (frame.op === "hello_ack" && frame.ok === true) {
      connection.pending = undefined;
      this.#isFirstRevision =
        frame.session_id !== this.#sessionIdOf(connectionId);
      if (!this.#isFirstRevision) connection.processStartedAt = "unknown";
      return [{ kind: "ready" }];
    }
    if ("jsonrpc" in frame) {
      const reason = "it speaks MCP, not exai: set --dialect mcp";
      const cause = "other dialect";
      return [{ kind: "rejected", reason, isRefused: false, cause }];
    }
    if (frame.op !== "hello_ack" && !frames.isErrorFrame(frame)) {
      return unexpectedFrame(frame);
    }
    const { code, message, isUnauthorized: isRefused } = frames.errorOf(frame);
    const errorText = code === "" ? message : `${code}: ${message}`;
    if (!isRefused) {
      const reason = `it rejected hello: ${errorText}`;
      return [{ kind: "rejected", reason, isRefused }];
    }
    const cause = "token refused";
    return [{
      kind: "rejected",
      reason: unauthorizedReason(errorText),
      isRefused,
      cause,
    }];
  }

  #handleHealthResponse(
    connectionId: number,
    connection: ExaiConnection,
    { isProbe }: Extract<PendingExchange, { kind: "health" }>,
    frame: Record<string, unknown>,
    now: number,
  ): Incoming[] {
    if (frame.op !== "health_res" && !this.#isErrorWithoutOwnId(frame)) {
      return unexpectedFrame(frame);
    }
    connection.pending = undefined;
    const uptime = frames.uptimeOf(frame);
    // The process may have started almost a second earlier, because the uptime
    // is rounded down.
    connection.processStartedAt = uptime === undefined
      ? "unknown"
      : now + this.#suspendedMs - uptime.ms;
    connection.processStartUnixS = uptime?.processStartUnixS;
    this.#latestProcessStart = {
      connectionId,
      value: connection.processStartUnixS,
    };
    return [
      isProbe
        ? { kind: "probe-answered", id: HEALTH_FRAME }
        : { kind: "own-response" },
    ];
  }

  #handleToolList(
    connection: ExaiConnection,
    request: Request | undefined,
    frame: Record<string, unknown>,
    text: string,
  ): Incoming[] {
    const isList = frame.op === "list_tools_res";
    if (!isList && !this.#isErrorWithoutOwnId(frame)) {
      return unexpectedFrame(frame);
    }
    connection.pending = undefined;
    const target = request ?? { id: "0" };
    const response = isList
      ? createToolListMessage(target, frame, text)
      : undefined;
    if (response !== undefined) {
      if (request === undefined) {
        return [{
          kind: "list-page",
          list: "tools",
          cursor: undefined,
          response,
        }];
      }
      const { length } = text;
      return length > this.#config.maxMessage
        ? responseTooLarge(request, length)
        : [response];
    }
    const { code, message, retryAfterMs } = frames.errorOf(frame);
    const problem = `The daemon did not list its tools: ${message}`;
    if (request === undefined) return [{ kind: "own-response", problem }];
    const { id } = request;
    if (code !== OVER_CAPACITY) {
      return [createErrorMessage(request, ErrorCode.internal, problem)];
    }
    return [{
      kind: "retry-later",
      id,
      delayMs: retryAfterMs,
      isUnstarted: true,
    }];
  }

  /**
   * Returns whether a frame is an error that names no call of ours: such an
   * error responds to the pending frame.
   */
  #isErrorWithoutOwnId(frame: Record<string, unknown>): boolean {
    return frames.isErrorFrame(frame) &&
      !this.#calls.isOwnRequestId(frame.request_id);
  }

  onNotification(): "drop" {
    return "drop";
  }

  outcomePollWindowMs(request: Request, now: number): number | undefined {
    const call = this.#calls.find(request);
    if (!this.#isFirstRevision || call?.firstSentAt === undefined) {
      return undefined;
    }
    const ageMs = now + this.#suspendedMs - call.firstSentAt;
    return Math.max(call.timeoutMs - ageMs, MIN_POLL_WINDOW_MS);
  }

  resetRequest(request: Request): void {
    this.#calls.assignNewRequestId(request);
  }

  onResponse(_: Request, response: Response): string {
    return response.text;
  }

  buildProbe(connectionId: number): ProbeFrame | undefined {
    const connection = this.#connections.get(connectionId);
    if (connection === undefined || connection.pending !== undefined) {
      return undefined;
    }
    connection.pending = { kind: "health", isProbe: true };
    // One probe is pending at a time, so it needs no id of its own.
    return { id: HEALTH_FRAME, text: HEALTH_FRAME };
  }

  /**
   * If the client's own `tools/list` is in flight, the client gets the current
   * list anyway.
   */
  buildListRequest(
    connectionId: number,
    list: ListChangedKind,
  ): string | undefined {
    const connection = this.#connections.get(connectionId);
    if (connection === undefined || connection.pending !== undefined) {
      return undefined;
    }
    if (list !== "tools") return undefined;
    connection.pending = { kind: "list", request: undefined };
    return LIST_TOOLS_FRAME;
  }

  /** The daemon has no op for it. */
  buildCancellation(): undefined {
    return undefined;
  }

  closeReasonOf(
    connectionId: number,
    { code, status, reason }: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason {
    if (status === 401 || status === 403) {
      const refusalReason = `it refuses us with HTTP ${status}: check --header`;
      return { reason: refusalReason, isRefused: true, cause: "refused" };
    }
    const isHelloPending =
      this.#connections.get(connectionId)?.pending?.kind === "hello";
    if (code === 4003 && phase !== "ready") {
      const cause = "token refused";
      return { reason: unauthorizedReason(reason), isRefused: true, cause };
    }
    const explanation = isHelloPending
      ? CLOSE_REASONS_BEFORE_HELLO[code]
      : undefined;
    if (explanation === undefined) return { reason, isRefused: false };
    return { reason: `${explanation} (${reason})`, isRefused: false };
  }

  onCachedResponse(): void {}

  onLocalInitialize(_: Request, response: string): string {
    return response;
  }

  onSuspended(ms: number): void {
    this.#suspendedMs += ms;
    for (const connection of this.#connections.values()) {
      if (connection.pending?.kind !== "health") continue;
      // Its response may have arrived before the sleep, so it does not show
      // that the daemon lives.
      connection.pending = { kind: "health", isProbe: false };
    }
  }

  onDisconnect(connectionId: number): void {
    this.#connections.delete(connectionId);
    if (this.#latestProcessStart?.connectionId === connectionId) {
      this.#latestProcessStart = undefined;
    }
  }
}

/** The result for a frame that the dialect does not know. */
const INVALID_FRAME: InvalidMessage = {
  kind: "invalid",
  id: undefined,
  intendedKind: "response",
  reason: "a frame must be a JSON object",
};
const HEALTH_FRAME = '{"op":"health"}';
const LIST_TOOLS_FRAME = '{"op":"list_tools"}';

/** What a close code means before hello was answered. */
const CLOSE_REASONS_BEFORE_HELLO: Readonly<Record<number, string>> = {
  1000: "it has too many sessions (SESSION_MAX_CONCURRENT) or did not take " +
    "hello for one",
  1008: "it takes no further connection from here (MAX_CONNECTIONS)",
  4000: "it could not read hello: is it an exai daemon?",
  4001: "it did not know hello: is it an exai daemon?",
  4002: "it waited for hello in vain",
};

function unauthorizedReason(reason: string): string {
  return `it refuses our token (${reason}): check EXAI_WS_TOKEN, ALWAYSUP_TOKEN ` +
    "or --token-file against the daemon's";
}

/**
 * Returns whether the daemon's process started before the call was sent, by all
 * that is known.
 */
function isSameProcess(
  { processStartedAt, processStartUnixS }: ExaiConnection,
  call: ExaiCall,
): boolean {
  const { firstSentAt } = call;
  if (typeof processStartedAt !== "number" || firstSentAt === undefined) {
    return false;
  }
  if (processStartedAt > firstSentAt) return false;
  return processStartUnixS === undefined ||
    call.processStartUnixS === undefined ||
    Math.abs(processStartUnixS - call.processStartUnixS) <=
      PROCESS_START_SLACK_S;
}
