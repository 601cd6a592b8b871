/**
 * Tracks the client's calls to an exai daemon. The daemon reads one frame at a
 * time from a connection, so each call has a connection of its own. The daemon
 * keeps the outcome of a call under its `request_id`. After a lost connection,
 * the proxy polls for the outcome: it sends the same frame again. But outcomes
 * are lost when the daemon's process ends. So the proxy first sends `health` to
 * find out whether this is still the process that the call was sent to.
 *
 * | state of a call | event                                | next           | event for the session    |
 * | --------------- | ------------------------------------ | -------------- | ------------------------ |
 * | unsent          | is written                           | sent           |                          |
 * | sent, polled    | is written again                     | polled         |                          |
 * | sent, polled    | gets progress, an ack or a chunk     |                | progress, the time limit |
 * | polled          | gets progress on a duplicate         |                | poll again later         |
 * | sent, polled    | gets DUPLICATE of one of our calls   |                | poll again later         |
 * | sent, polled    | gets OVER_CAPACITY                   | unsent, new id | send again later         |
 * | sent, polled    | gets a result or another error       |                | the response             |
 * | any             | is reset                             | unsent, new id |                          |
 *
 * Any other frame is unexpected. A call is dropped together with its request.
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

/** A call; the table of its states is at the top of this file. */
export interface ExaiCall {
  /** The `request_id`, which must be unique among all clients of the daemon. */
  requestId: string;
  /** The phase of the call, with the data of that phase. */
  state: { readonly phase: "unsent" } | SentCall;
  /** The last progress value for the client. A reset does not set it back. */
  lastProgress: number;
}

/** The state of a call that the daemon may have started. */
export interface SentCall {
  /** `polled` once the call was written again. */
  readonly phase: "sent" | "polled";
  /** The time of the first write, in ms of a clock that counts time asleep. */
  readonly firstSentAt: number;
  /** The start of the daemon's process in Unix seconds, if it was known. */
  readonly processStartUnixS: number | undefined;
  /** The daemon's time limit for the call, plus `ackGrace`. */
  timeoutMs: number;
  /** How often the daemon has reported that the call is still running. */
  stillRunningCount: number;
  /** The connection on which `health` was last sent because of this call. */
  healthConnectionId: number | undefined;
}

/** A frame that was sent on a connection, and whose response is pending. */
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
  /** When the process started, in ms of a clock that counts time asleep. */
  readonly startedAt?: number | undefined;
  /** When the process started by the daemon's clock, in Unix seconds. */
  readonly startUnixS?: number | undefined;
}

/** The settings of the calls. */
export interface CallConfig {
  /** The time that is added to the daemon's limit for a call, in ms. */
  readonly ackGrace: number;
  /** The style of the tools' output. */
  readonly output: OutputStyle;
  /** The largest frame, in UTF-16 units. */
  readonly maxMessage: number;
}

/** The frame that queries the daemon for the uptime of its process. */
export const HEALTH_FRAME = '{"op":"health"}';
/** The daemon's time limit for a call, unless its ack gives another one. */
const DEFAULT_CALL_TIMEOUT_MS = 67_000;
const POLL_DELAY_MS = { first: 1_000, max: 5_000 } as const;
/** The minimum polling time: the daemon keeps outcomes after the time limit. */
const MIN_POLL_WINDOW_MS = 60_000;
/** The tolerance for two start times of one process, which are rounded. */
const PROCESS_START_SLACK_S = 2.5;

/** The client's calls, the daemon's processes, and the pending exchanges. */
export class ExaiCalls implements Scheduling, OutcomePolling {
  readonly poolSize = 4;
  readonly #pending = new Map<number, PendingExchange>();
  #requestCount = 0;
  /** The calls. Each is garbage-collected together with its request. */
  readonly #calls = new WeakMap<Request, ExaiCall>();
  /** The daemon's process by connection; `{}` if it does not report one. */
  readonly #processes = new Map<number, DaemonProcess>();
  /** The connection with the latest response to `health`; -1 if none. */
  #latestHealthConnectionId = -1;
  /** True for revisions with `health` and `_call_key`; later ones lack them. */
  #isFirstRevision = false;
  /** The time asleep, in ms, which the proxy's clock does not count. */
  #suspendedMs = 0;

  /** Creates the object. No other client may use the prefix of `request_id`. */
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

  /** Returns the pending exchange of a connection. */
  pendingOn(connectionId: number): PendingExchange | undefined {
    return this.#pending.get(connectionId);
  }

  /** Records that an exchange begins on a connection. */
  beginExchange(connectionId: number, exchange: PendingExchange): void {
    this.#pending.set(connectionId, exchange);
  }

  /** Records that the exchange of a connection has ended. */
  endExchange(connectionId: number): void {
    this.#pending.delete(connectionId);
  }

  pollWindowMs(request: Request, now: number): number | undefined {
    const sent = this.#sentCallOf(request);
    if (!this.#isFirstRevision || sent === undefined) return undefined;
    const ageMs = now + this.#suspendedMs - sent.firstSentAt;
    return Math.max(sent.timeoutMs - ageMs, MIN_POLL_WINDOW_MS);
  }

  nextStep(connectionId: number, request: Request): OutcomeStep {
    const sent = this.#sentCallOf(request);
    if (sent === undefined) return { kind: "ready" };
    const daemonProcess = this.#processes.get(connectionId);
    if (daemonProcess !== undefined) {
      return { kind: isSameProcess(daemonProcess, sent) ? "ready" : "lost" };
    }
    const pending = this.#pending.get(sent.healthConnectionId ?? -1);
    if (pending?.kind === "health") return { kind: "wait" };
    sent.healthConnectionId = connectionId;
    this.beginExchange(connectionId, { kind: "health", isProbe: false });
    return { kind: "query", text: HEALTH_FRAME };
  }

  reset(request: Request): void {
    const call = this.#calls.get(request);
    if (call === undefined) return;
    call.requestId = this.#newRequestId();
    call.state = { phase: "unsent" };
  }

  /** Returns the frame that starts a call, or polls for its outcome. */
  encodeCall(connectionId: number, request: Request, now: number): string {
    const call: ExaiCall = this.#calls.get(request) ?? {
      requestId: this.#newRequestId(),
      state: { phase: "unsent" },
      lastProgress: 0,
    };
    this.#calls.set(request, call);
    this.beginExchange(connectionId, { kind: "call", request, call });
    const { startUnixS } =
      this.#processes.get(this.#latestHealthConnectionId) ?? {};
    call.state = call.state.phase !== "unsent"
      ? { ...call.state, phase: "polled" }
      : {
        phase: "sent",
        firstSentAt: now + this.#suspendedMs,
        processStartUnixS: startUnixS,
        timeoutMs: DEFAULT_CALL_TIMEOUT_MS + this.config.ackGrace,
        stillRunningCount: 0,
        healthConnectionId: undefined,
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
    // Without a unique key, the daemon treats calls with equal arguments as one
    // call, even if they come from different clients.
    if (this.#isFirstRevision) {
      input = getNested(toolArguments, "_call_key") === undefined
        ? prependMember(input, [], "_call_key", id)
        : replaceValue(input, ["_call_key"], id);
    }
    return `{"op":"call_tool","request_id":${id},"name":${name},` +
      `"arguments":${input}}`;
  }

  /** Interprets a frame on a connection with a pending call. */
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
          this.endExchange(connectionId);
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
    this.endExchange(connectionId);
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
      // The daemon first checks whether it knows a call, then its capacity. So
      // the daemon's process has not started this call. But it has recorded the
      // old id, and would reject a retry with that id as a duplicate.
      this.reset(request);
      return { kind: "retry-later", id, delayMs, isUnstarted: true };
    }
    // Revision 859c2d0 also uses this code for requests that will always be too
    // large for it.
    if (code === frames.OVER_CAPACITY) {
      return frames.toErrorResponse(id, ErrorCode.tooLarge, message);
    }
    // This error means that the daemon does not accept the proxy's frame. Any
    // other error comes from the tool, or means that the tool does not exist.
    // It becomes a result: the model reads results, but not every client shows
    // errors to the model.
    if (frame.op === "error" && error.isUnknownRequest) {
      return frames.toErrorResponse(id, ErrorCode.invalidParams, message);
    }
    const content: ToolResult["content"] = [{ type: "text", text: error.text }];
    return toResultResponse(id, { content, isError: true });
  }

  /**
   * Returns true if a frame is an error that names none of the proxy's calls.
   * Such an error is the response to the pending exchange.
   */
  isErrorWithoutOwnId(frame: Frame): boolean {
    return frames.isErrorFrame(frame) && !this.#isOwnId(frame.request_id);
  }

  #isOwnId(requestId: unknown): requestId is string {
    return typeof requestId === "string" && requestId.startsWith(this.prefix);
  }

  /** Ends the exchange of a successful hello, and records the revision. */
  onHello(connectionId: number, revision: "first" | "later"): void {
    this.endExchange(connectionId);
    this.#isFirstRevision = revision === "first";
    if (!this.#isFirstRevision) this.#processes.set(connectionId, {});
  }

  /** Interprets a response to `health`, and records the daemon's process. */
  onHealth(
    connectionId: number,
    { isProbe }: Extract<PendingExchange, { kind: "health" }>,
    frame: Frame,
    now: number,
  ): Incoming {
    if (frame.op !== "health_res" && !this.isErrorWithoutOwnId(frame)) {
      return frames.unexpectedFrame(frame);
    }
    this.endExchange(connectionId);
    const uptime = frames.uptimeOf(frame);
    this.#processes.set(connectionId, {
      // The uptime is rounded down, so the process may have started up to a
      // second earlier.
      startedAt: uptime && now + this.#suspendedMs - uptime.ms,
      startUnixS: uptime?.startUnixS,
    });
    this.#latestHealthConnectionId = connectionId;
    return isProbe
      ? { kind: "probe-answered", id: HEALTH_FRAME }
      : { kind: "own-response" };
  }

  /** Records a sleep of `ms` ms, which the proxy's clock did not count. */
  onSuspended(ms: number): void {
    this.#suspendedMs += ms;
    // The response to a probe may have arrived before the sleep. Then it does
    // not prove that the connection is alive now.
    for (const [connectionId, { kind }] of this.#pending) {
      if (kind === "health") {
        this.beginExchange(connectionId, { kind, isProbe: false });
      }
    }
  }

  /** Forgets a closed connection. */
  onDisconnect(connectionId: number): void {
    this.endExchange(connectionId);
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
    POLL_DELAY_MS.first * 2 ** sent.stillRunningCount++,
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
