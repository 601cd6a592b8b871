/**
 * The client's calls as an exai daemon knows them. It reads one frame at a time
 * from a connection, so each call has a connection of its own. It keeps
 * outcomes under a `request_id`: the same frame, written again, polls for the
 * outcome of a call whose connection was lost. But outcomes end with the
 * daemon's process, so it is first queried (`health`) whether it is the process
 * that the call was sent to.
 *
 * | A call is    | and                         | becomes        | The session hears of     |
 * | ------------ | --------------------------- | -------------- | ------------------------ |
 * | unsent       | is written                  | sent           |                          |
 * | sent, polled | is written again            | polled         |                          |
 * | sent, polled | progress, an ack, a chunk   |                | progress, the time limit |
 * | polled       | progress on a duplicate     |                | a poll to come           |
 * | sent, polled | DUPLICATE of a call of ours |                | a poll to come           |
 * | sent, polled | OVER_CAPACITY               | unsent, new id | another attempt to come  |
 * | sent, polled | a result, any other error   |                | the response             |
 * | any          | reset                       | unsent, new id |                          |
 *
 * Any other frame is unexpected. After the response the client's request is
 * forgotten, and its call with it.
 *
 * @module
 */

import type {
  Incoming,
  OutcomePolling,
  OutcomeStep,
  Scheduling,
} from "../dialect.ts";
import * as frames from "./frames.ts";
import type { Frame, OutputStyle, ToolResult } from "./frames.ts";
import { findValue, prependMember, replaceValue } from "../../json/spans.ts";
import {
  buildNotification,
  ErrorCode,
  getMember,
  getNested,
  getNestedId,
  type Id,
  isRecord,
  type OutboundMessage,
  type Request,
  toResultResponse,
} from "../../protocol/jsonrpc.ts";
import type { LinkRole } from "../../link/link.ts";
import type { RequestId } from "../../protocol/mcp_types.ts";

/** A call; the table is at the top of this file. */
export interface ExaiCall {
  /** The daemon keeps outcomes under this `request_id` for all its clients. */
  requestId: string;
  /** Whether it was sent, and what is known since then. */
  state: { readonly phase: "unsent" } | SentCall;
  /** Progress keeps rising, also after a reset. */
  lastProgress: number;
}

/** The state of a call that the daemon may have started. */
export interface SentCall {
  /** `polled` once it was written again. */
  readonly phase: "sent" | "polled";
  /** When it was first written, time asleep included. */
  readonly firstSentAt: number;
  /** The start of the daemon's process as it was known then. */
  readonly processStartUnixS: number | undefined;
  /** How long the daemon allows the call, grace included. */
  timeoutMs: number;
  /** How often the daemon has answered that it is still running. */
  pollCount: number;
  /** The connection on which the daemon was last queried for its process. */
  healthRequestedOn: number | undefined;
}

/** The exchange that a connection waits to complete. */
export type PendingExchange =
  | { readonly kind: "hello" }
  | { readonly kind: "health"; readonly isProbe: boolean }
  | { readonly kind: "list"; readonly request: Request | undefined }
  | {
    readonly kind: "call";
    readonly request: Request;
    readonly call: ExaiCall;
  };

/** A call whose response is pending. */
export type PendingCall = Extract<PendingExchange, { kind: "call" }>;

interface DaemonProcess {
  /** When it started, by the proxy's clock with time asleep included. */
  readonly startedAt?: number | undefined;
  /** When it started by its own clock, in seconds since 1970. */
  readonly startUnixS?: number | undefined;
}

/** The settings of the calls. */
export interface CallConfig {
  /** What is added to the time that the daemon allows, in milliseconds. */
  readonly ackGrace: number;
  /** Whether the daemon's wrapper is removed from the tools' output. */
  readonly output: OutputStyle;
  /** The largest frame, in UTF-16 units. */
  readonly maxMessage: number;
}

/** The frame that queries the daemon for its process. */
export const HEALTH_FRAME = '{"op":"health"}';
/** What the daemon allows a call unless its ack says otherwise. */
const DEFAULT_CALL_TIMEOUT_MS = 67_000;
const POLL_DELAY_MS = { first: 1_000, max: 5_000 } as const;
/** The daemon keeps outcomes beyond the calls' own time. */
const MIN_POLL_WINDOW_MS = 60_000;
/** How far two starts of a process may differ: each is rounded to a second. */
const PROCESS_START_SLACK_S = 2.5;

/** The client's calls, the daemon's processes, and each connection's exchange. */
export class ExaiCalls implements Scheduling, OutcomePolling {
  readonly poolSize = 4;
  readonly #pending = new Map<number, PendingExchange>();
  #requestCount = 0;
  /** A request that is garbage-collected takes its call with it. */
  readonly #calls = new WeakMap<Request, ExaiCall>();
  /** By connection, once its daemon was queried. */
  readonly #processes = new Map<number, DaemonProcess>();
  /** The connection that the daemon reported its process on last. */
  #latestReportOn = -1;
  /** Whether the daemon knows `health` and `_call_key`: later ones do not. */
  #isFirstRevision = false;
  /** Time asleep: the daemon's clock keeps running, the proxy's does not. */
  #suspendedMs = 0;

  /** Every `request_id` begins with the prefix, which nobody else may use. */
  constructor(
    private readonly prefix: string,
    private readonly config: CallConfig,
  ) {}

  roleFor({ method }: OutboundMessage): LinkRole {
    return method === "tools/call" ? "pool" : "main";
  }

  canSend(connectionId: number): boolean {
    return !this.#pending.has(connectionId);
  }

  /** Returns the exchange that is pending on a connection. */
  pendingOn(connectionId: number): PendingExchange | undefined {
    return this.#pending.get(connectionId);
  }

  /** Records that the first frame of an exchange is sent. */
  begin(connectionId: number, exchange: PendingExchange): void {
    this.#pending.set(connectionId, exchange);
  }

  /** Records that no exchange is pending on a connection any more. */
  end(connectionId: number): void {
    this.#pending.delete(connectionId);
  }

  windowMs(request: Request, now: number): number | undefined {
    const sent = this.#sentCallOf(request);
    if (!this.#isFirstRevision || sent === undefined) return undefined;
    const ageMs = now + this.#suspendedMs - sent.firstSentAt;
    return Math.max(sent.timeoutMs - ageMs, MIN_POLL_WINDOW_MS);
  }

  prepare(connectionId: number, request: Request): OutcomeStep {
    const sent = this.#sentCallOf(request);
    if (sent === undefined) return { kind: "ready" };
    const daemonProcess = this.#processes.get(connectionId);
    if (daemonProcess !== undefined) {
      return { kind: isSameProcess(daemonProcess, sent) ? "ready" : "lost" };
    }
    const pending = this.#pending.get(sent.healthRequestedOn ?? -1);
    if (pending?.kind === "health") return { kind: "wait" };
    sent.healthRequestedOn = connectionId;
    this.begin(connectionId, { kind: "health", isProbe: false });
    return { kind: "query", text: HEALTH_FRAME };
  }

  reset(request: Request): void {
    const call = this.#calls.get(request);
    if (call === undefined) return;
    call.requestId = this.#newRequestId();
    call.state = { phase: "unsent" };
  }

  /** Writes a call for the first time, or again to poll for its outcome. */
  write(connectionId: number, request: Request, now: number): string {
    const call: ExaiCall = this.#calls.get(request) ?? {
      requestId: this.#newRequestId(),
      state: { phase: "unsent" },
      lastProgress: 0,
    };
    this.#calls.set(request, call);
    this.begin(connectionId, { kind: "call", request, call });
    const { startUnixS } = this.#processes.get(this.#latestReportOn) ?? {};
    call.state = call.state.phase !== "unsent"
      ? { ...call.state, phase: "polled" }
      : {
        phase: "sent",
        firstSentAt: now + this.#suspendedMs,
        processStartUnixS: startUnixS,
        timeoutMs: DEFAULT_CALL_TIMEOUT_MS + this.config.ackGrace,
        pollCount: 0,
        healthRequestedOn: undefined,
      };
    return this.#encode(request, call);
  }

  #encode({ params, text }: Request, { requestId }: ExaiCall): string {
    const id = JSON.stringify(requestId);
    const name = JSON.stringify(getMember(params, "name"));
    const toolArguments = getMember(params, "arguments");
    const span = findValue(text, ["params", "arguments"]);
    let input = span !== undefined && isRecord(toolArguments)
      ? text.slice(span.start, span.end)
      : "{}";
    // Without a key of its own, the daemon takes calls of any client with equal
    // arguments for the same call.
    if (this.#isFirstRevision) {
      input = getNested(toolArguments, "_call_key") === undefined
        ? prependMember(input, [], "_call_key", id)
        : replaceValue(input, ["_call_key"], id);
    }
    return `{"op":"call_tool","request_id":${id},"name":${name},` +
      `"arguments":${input}}`;
  }

  /** Interprets a frame on the connection of a call. */
  onFrame(
    connectionId: number,
    pending: PendingCall,
    frame: Frame,
    text: string,
  ): Incoming[] {
    const { request: { id }, call } = pending;
    const sent = call.state;
    const requestId = frame.request_id ?? call.requestId;
    if (sent.phase === "unsent" || requestId !== call.requestId) {
      return [frames.unexpectedFrame(frame)];
    }
    switch (frame.op) {
      case "progress":
        if (sent.phase === "polled" && frames.isDuplicate(frame)) {
          this.end(connectionId);
          return [pollLater(id, sent)];
        }
        return [{ kind: "in-progress", id }, ...toProgress(pending, frame)];
      case "call_tool_ack": {
        const seconds = frames.parseNumber(frame.timeout);
        if (!(seconds > 0)) return [{ kind: "in-progress", id }];
        sent.timeoutMs = seconds * 1000 + this.config.ackGrace;
        return [{ kind: "in-progress", id, timeoutMs: sent.timeoutMs }];
      }
      case "stream_chunk":
      case "stream_complete":
        return [{ kind: "in-progress", id }];
      case "call_tool_res":
      case "result":
        break;
      default:
        if (!frames.isErrorFrame(frame)) return [frames.unexpectedFrame(frame)];
    }
    this.end(connectionId);
    const size = text.length;
    if (size > this.config.maxMessage) return [{ kind: "too-large", id, size }];
    const result = frames.toolResultOf(frame, this.config.output);
    return result === undefined
      ? [this.#onError(pending, sent, frame)]
      : [toResultResponse(id, result)];
  }

  #onError(
    { request, call }: PendingCall,
    sent: SentCall,
    frame: Frame,
  ): Incoming {
    const { id } = request;
    const error = frames.errorOf(frame);
    const { code, message, retryAfterMs: delayMs } = error;
    if (code === "DUPLICATE" && this.#isOwnId(error.originalRequestId)) {
      call.requestId = error.originalRequestId;
      return pollLater(id, sent);
    }
    if (code === frames.OVER_CAPACITY && !error.isTooLarge) {
      // This process has not started the call, because it first looks through
      // the calls that it knows. Under the old id it would take the call for a
      // duplicate of itself.
      this.reset(request);
      return { kind: "retry-later", id, delayMs, isUnstarted: true };
    }
    // Revision 859c2d0 uses the same code for requests that it will never have
    // room for.
    if (code === frames.OVER_CAPACITY) {
      return frames.toErrorResponse(id, ErrorCode.tooLarge, message);
    }
    // The daemon does not know such frames. Any other error is the tool's, or
    // means that there is no such tool: the model reads a result, but not every
    // client shows it an error.
    if (frame.op === "error" && error.isUnknownRequest) {
      return frames.toErrorResponse(id, ErrorCode.invalidParams, message);
    }
    const content: ToolResult["content"] = [{ type: "text", text: error.text }];
    return toResultResponse(id, { content, isError: true });
  }

  /** An error that names no call of ours responds to the pending frame. */
  isErrorWithoutOwnId(frame: Frame): boolean {
    return frames.isErrorFrame(frame) && !this.#isOwnId(frame.request_id);
  }

  #isOwnId(requestId: unknown): requestId is string {
    return typeof requestId === "string" && requestId.startsWith(this.prefix);
  }

  /** Records whether the daemon is one of the first revisions. */
  onHello(connectionId: number, revision: "first" | "later"): void {
    this.end(connectionId);
    this.#isFirstRevision = revision === "first";
    if (!this.#isFirstRevision) this.#processes.set(connectionId, {});
  }

  /** Interprets a response to `health`: what is known of the daemon's process. */
  onHealth(
    connectionId: number,
    { isProbe }: Extract<PendingExchange, { kind: "health" }>,
    frame: Frame,
    now: number,
  ): Incoming {
    if (frame.op !== "health_res" && !this.isErrorWithoutOwnId(frame)) {
      return frames.unexpectedFrame(frame);
    }
    this.end(connectionId);
    const uptime = frames.uptimeOf(frame);
    this.#processes.set(connectionId, {
      // The process may have started almost a second earlier, because the
      // uptime is rounded down.
      startedAt: uptime && now + this.#suspendedMs - uptime.ms,
      startUnixS: uptime?.startUnixS,
    });
    this.#latestReportOn = connectionId;
    return isProbe
      ? { kind: "probe-answered", id: HEALTH_FRAME }
      : { kind: "own-response" };
  }

  /** Adds time that the proxy's clock did not count. */
  onSuspended(ms: number): void {
    this.#suspendedMs += ms;
    // A probe's response may be older than the sleep, and proves nothing then.
    for (const [connectionId, { kind }] of this.#pending) {
      if (kind === "health") this.begin(connectionId, { kind, isProbe: false });
    }
  }

  /** Forgets a closed connection. */
  onDisconnect(connectionId: number): void {
    this.end(connectionId);
    this.#processes.delete(connectionId);
  }

  #sentCallOf(request: Request): SentCall | undefined {
    const state = this.#calls.get(request)?.state;
    return state?.phase === "unsent" ? undefined : state;
  }

  #newRequestId(): string {
    return `${this.prefix}${++this.#requestCount}`;
  }
}

function isSameProcess(
  { startedAt, startUnixS }: DaemonProcess,
  { firstSentAt, processStartUnixS }: SentCall,
): boolean {
  if (startedAt === undefined || startedAt > firstSentAt) return false;
  return startUnixS === undefined || processStartUnixS === undefined ||
    Math.abs(startUnixS - processStartUnixS) <= PROCESS_START_SLACK_S;
}

function pollLater(id: Id, sent: SentCall): Incoming {
  const delayMs = Math.min(
    POLL_DELAY_MS.first * 2 ** sent.pollCount++,
    POLL_DELAY_MS.max,
  );
  return { kind: "retry-later", id, delayMs, isUnstarted: false };
}

function toProgress({ request, call }: PendingCall, frame: Frame): Incoming[] {
  const token = getNestedId(request, "_meta", "progressToken");
  if (token === undefined) return [];
  const message = [frame.note, frame.message]
    .find((it) => typeof it === "string");
  const params = {
    progressToken: JSON.parse(token) as RequestId,
    progress: ++call.lastProgress,
    ...(message !== undefined && { message }),
  };
  const method = "notifications/progress";
  const notification = buildNotification(method, params);
  const path = ["params", "progressToken"];
  const text = replaceValue(notification, path, token);
  return [{ kind: "notification", method, params, text }];
}
