/**
 * Implements the exai dialect: maps hello, list_tools, call_tool, progress and
 * health to MCP. Each connection has one pending exchange at most. A response
 * that names no request belongs to that exchange.
 *
 * @module
 */

import type {
  ClosedEvent,
  CloseReason,
  Dialect,
  Handshake,
  Incoming,
  ProbeFrame,
} from "../dialect.ts";
import * as frames from "./frames.ts";
import type { Frame } from "./frames.ts";
import {
  type CallConfig,
  ExaiCalls,
  HEALTH_FRAME,
  type PendingExchange,
} from "./calls.ts";
import { recoverLeadingMembers, tryParseJson } from "../../json/spans.ts";
import type { LinkState } from "../../link/link.ts";
import { splitFrame } from "../../protocol/frame_splitter.ts";
import {
  buildErrorResponse,
  buildResultResponse,
  ErrorCode,
  getMember,
  type InvalidMessage,
  isRecord,
  type OutboundMessage,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import {
  type ListKind,
  listKindOf,
  negotiateVersion,
  toEmptyListResponse,
} from "../../protocol/methods.ts";
import type { InitializeResult } from "../../protocol/mcp_types.ts";

/** The settings of the dialect. */
export interface ExaiConfig extends CallConfig {
  /** The start of each connection's session id; `undefined` for the default. */
  readonly sessionId: string | undefined;
  /** The token for the daemon in `hello`; empty if it requires none. */
  readonly token: string;
  /** The server name and version that the client gets. */
  readonly server: { readonly name: string; readonly version: string };
}

const LIST_TOOLS_FRAME = '{"op":"list_tools"}';

const INVALID_FRAME: InvalidMessage = {
  kind: "invalid",
  id: undefined,
  intendedKind: "response",
  reason: "a frame must be a JSON object",
};

/** The meaning of a close code, if the daemon has not answered hello. */
const CLOSE_REASONS_BEFORE_HELLO: Readonly<Record<number, string>> = {
  1000: "it has too many sessions (SESSION_MAX_CONCURRENT) or did not accept " +
    "the hello message",
  1008: "it accepts no more connections from this machine (MAX_CONNECTIONS)",
  4000: "it could not read hello: is it an exai daemon?",
  4001: "it did not recognize hello: is it an exai daemon?",
  4002: "it received no hello in time",
};

/** The EX-AI daemon's protocol, in which each frame has an `op` member. */
export class Exai implements Dialect {
  readonly daemonTimeoutSetting =
    "the daemon's limit plus EXAI_SHIM_ACK_GRACE_SECS";
  readonly shouldCompareLists = true;
  readonly handshake: Handshake = {
    begin: (connectionId) => {
      this.#calls.beginExchange(connectionId, { kind: "hello" });
      const { token } = this.config;
      const session_id = this.#sessionIdOf(connectionId);
      return { text: JSON.stringify({ op: "hello", session_id, token }) };
    },
  };
  readonly scheduling: ExaiCalls;
  readonly outcomes: ExaiCalls;
  readonly #calls: ExaiCalls;
  readonly #sessionPrefix: string;

  /** Creates the dialect. `random` makes its ids unique among all clients. */
  constructor(private readonly config: ExaiConfig, random: () => number) {
    const randomHex = (): string =>
      Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0");
    const sessionHex = randomHex();
    this.#calls = new ExaiCalls(`${sessionHex}${randomHex()}:`, config);
    this.scheduling = this.outcomes = this.#calls;
    // Two editors may be configured with the same session id.
    this.#sessionPrefix = `${config.sessionId ?? "alwaysup"}-${sessionHex}`;
  }

  // Later revisions keep state by session. Each connection has its own session,
  // because the end of a connection also closes its session.
  #sessionIdOf(connectionId: number): string {
    return `${this.#sessionPrefix}-${connectionId}`;
  }

  encode(
    connectionId: number,
    message: OutboundMessage,
    now: number,
  ): string | undefined {
    // `onNotification` makes the session drop every notification.
    if (message.kind === "notification") return undefined;
    if (message.method === "tools/call") {
      return this.#calls.encodeCall(connectionId, message, now);
    }
    this.#calls.beginExchange(connectionId, { kind: "list", request: message });
    return LIST_TOOLS_FRAME;
  }

  decode(connectionId: number, text: string, now: number): Incoming[] {
    const pieces = splitFrame(text, frames.isFrame, frames.FRAME_MEMBERS);
    const { jsonPieces, otherTexts, isTruncated } = pieces;
    const incoming: Incoming[] = [];
    for (const { text: frameText, value: frame } of jsonPieces) {
      if (!isRecord(frame)) incoming.push(INVALID_FRAME);
      // Next to other text, an object counts as a frame only if it has an op.
      else if (otherTexts.length === 0 || typeof frame.op === "string") {
        incoming.push(...this.#onFrame(connectionId, frame, frameText, now));
      }
    }
    for (const other of otherTexts) {
      incoming.push(this.#onBrokenFrame(connectionId, other, now));
    }
    if (isTruncated || jsonPieces.length + otherTexts.length === 0) {
      incoming.push(INVALID_FRAME);
    }
    return incoming;
  }

  #onFrame(
    connectionId: number,
    frame: Frame,
    text: string,
    now: number,
  ): Incoming[] {
    const pending = this.#calls.pendingOn(connectionId);
    switch (pending?.kind) {
      case undefined:
        return [frames.unexpectedFrame(frame)];
      case "hello":
        return [this.#onHelloResponse(connectionId, frame)];
      case "health":
        return [this.#calls.onHealth(connectionId, pending, frame, now)];
      case "list":
        return [this.#onListResponse(connectionId, pending, frame, text)];
      case "call":
        return this.#calls.onFrame(connectionId, pending, frame, text);
    }
  }

  // Handles a text that is not JSON, for example because Python writes NaN and
  // Infinity. It counts as the pending response if it begins like one.
  #onBrokenFrame(connectionId: number, text: string, now: number): Incoming {
    const pending = this.#calls.pendingOn(connectionId);
    const members = recoverLeadingMembers(text);
    const valueOf = (name: string): unknown =>
      tryParseJson(members.get(name) ?? "");
    const op = valueOf("op");
    if (pending?.kind === "health" && op === "health_res") {
      return this.#calls.onHealth(connectionId, pending, { op }, now);
    }
    const isResponse = pending?.kind === "list" && op === "list_tools_res" ||
      pending?.kind === "call" && op === "call_tool_res" &&
        valueOf("request_id") === pending.call.requestId;
    if (!isResponse) return INVALID_FRAME;
    this.#calls.endExchange(connectionId);
    const reason = "it is not JSON";
    return pending.request === undefined
      ? { kind: "own-response", problem: toolsNotListed(reason) }
      : { ...INVALID_FRAME, id: pending.request.id, reason };
  }

  #onHelloResponse(connectionId: number, frame: Frame): Incoming {
    if (frame.op === "hello_ack" && frame.ok === true) {
      // The first revisions ignore the session id and choose another one.
      const isFirst = frame.session_id !== this.#sessionIdOf(connectionId);
      this.#calls.onHello(connectionId, isFirst ? "first" : "later");
      return { kind: "ready" };
    }
    const rejected = { kind: "rejected", isRefused: false } as const;
    if ("jsonrpc" in frame) {
      const reason = "it speaks MCP, not exai: set --dialect mcp";
      return { ...rejected, reason, cause: "other dialect" };
    }
    if (frame.op !== "hello_ack" && !frames.isErrorFrame(frame)) {
      return frames.unexpectedFrame(frame);
    }
    const { text, isUnauthorized } = frames.errorOf(frame);
    return isUnauthorized
      ? { ...rejected, ...tokenRefused(text) }
      : { ...rejected, reason: `it rejected hello: ${text}` };
  }

  #onListResponse(
    connectionId: number,
    { request }: Extract<PendingExchange, { kind: "list" }>,
    frame: Frame,
    text: string,
  ): Incoming {
    const isList = frame.op === "list_tools_res";
    if (!isList && !this.#calls.isErrorWithoutOwnId(frame)) {
      return frames.unexpectedFrame(frame);
    }
    this.#calls.endExchange(connectionId);
    const id = request?.id ?? "0";
    const size = text.length;
    const response = isList
      ? frames.toolListResponseOf(id, frame, text)
      : undefined;
    if (response !== undefined) {
      if (request === undefined) {
        const page = { kind: "list-page", list: "tools" } as const;
        return { ...page, cursor: undefined, response };
      }
      const isTooLarge = size > this.config.maxMessage;
      return isTooLarge ? { kind: "too-large", id, size } : response;
    }
    const { code, message, retryAfterMs: delayMs } = frames.errorOf(frame);
    const problem = toolsNotListed(message);
    if (request === undefined) return { kind: "own-response", problem };
    return code === frames.OVER_CAPACITY
      ? { kind: "retry-later", id, delayMs, isUnstarted: true }
      : frames.toErrorResponse(id, ErrorCode.internal, problem);
  }

  onResponse(_: Request, response: Response): string {
    return response.text;
  }

  respondLocally({ id, method, params }: Request): string | undefined {
    switch (method) {
      case "initialize": {
        const requestedVersion = getMember(params, "protocolVersion");
        const result: InitializeResult = {
          protocolVersion: negotiateVersion(requestedVersion),
          capabilities: { tools: { listChanged: true } },
          serverInfo: this.config.server,
        };
        return buildResultResponse(id, result);
      }
      case "ping":
        return buildResultResponse(id, {});
      case "tools/list":
        return undefined;
      case "tools/call": {
        const reason = invalidParamsReason(params);
        if (reason === undefined) return undefined;
        const message = `Invalid params: ${reason}`;
        return buildErrorResponse(id, ErrorCode.invalidParams, message);
      }
      default: {
        // The daemon only has tools, so its other lists are empty.
        const list = listKindOf(method);
        if (list !== undefined) return toEmptyListResponse(id, list).text;
        const message = "Method not found: the exai daemon has tools only, " +
          `not ${method.slice(0, 80)}`;
        return buildErrorResponse(id, ErrorCode.methodNotFound, message);
      }
    }
  }

  onNotification(): "drop" {
    return "drop";
  }

  buildProbe(connectionId: number): ProbeFrame | undefined {
    if (!this.#calls.canSend(connectionId)) return undefined;
    this.#calls.beginExchange(connectionId, { kind: "health", isProbe: true });
    // A connection has one pending probe at most, so its id need not be unique.
    return { id: HEALTH_FRAME, text: HEALTH_FRAME };
  }

  /**
   * Returns `undefined` while another exchange is pending. If that is the
   * client's own `tools/list`, the client gets the current list anyway.
   */
  buildListRequest(connectionId: number, list: ListKind): string | undefined {
    if (list !== "tools" || !this.#calls.canSend(connectionId)) {
      return undefined;
    }
    this.#calls.beginExchange(connectionId, {
      kind: "list",
      request: undefined,
    });
    return LIST_TOOLS_FRAME;
  }

  closeReasonOf(
    connectionId: number,
    { code, status, reason }: ClosedEvent,
    phase: LinkState["phase"],
  ): CloseReason {
    if (status === 401 || status === 403) {
      const refusalReason =
        `it refuses the connection with HTTP ${status}: check --header`;
      return { reason: refusalReason, isRefused: true, cause: "refused" };
    }
    if (code === 4003 && phase !== "ready") return tokenRefused(reason);
    const isOpening = this.#calls.pendingOn(connectionId)?.kind === "hello";
    const why = isOpening && CLOSE_REASONS_BEFORE_HELLO[code];
    return { reason: why ? `${why} (${reason})` : reason, isRefused: false };
  }

  hasPendingOwnRequest(connectionId: number): boolean {
    const pending = this.#calls.pendingOn(connectionId);
    return pending?.kind === "health" && !pending.isProbe ||
      pending?.kind === "list" && pending.request === undefined;
  }

  onSuspended(ms: number): void {
    this.#calls.onSuspended(ms);
  }

  onDisconnect(connectionId: number): void {
    this.#calls.onDisconnect(connectionId);
  }
}

function tokenRefused(reason: string): Required<CloseReason> {
  return {
    reason: `it rejects the token (${reason}): compare EXAI_WS_TOKEN, ` +
      "ALWAYSUP_TOKEN or --token-file with the daemon's token",
    isRefused: true,
    cause: "token refused",
  };
}

function toolsNotListed(reason: string): string {
  return `The daemon did not list its tools: ${reason}`;
}

function invalidParamsReason(params: unknown): string | undefined {
  const name = getMember(params, "name");
  if (typeof name !== "string" || name === "") {
    return '"name" must be a string that is not empty (MCP, server/tools)';
  }
  const input = getMember(params, "arguments") ?? undefined;
  if (input === undefined || isRecord(input)) return undefined;
  return '"arguments" must be an object (MCP, server/tools)';
}

/** Returns true if a close event shows that the daemon speaks this dialect. */
export function isExaiClose(
  { code, closeFrameReason = "" }: ClosedEvent,
): boolean {
  return code === 4001 &&
    /missing hello|unrecognized protocol/.test(closeFrameReason);
}
