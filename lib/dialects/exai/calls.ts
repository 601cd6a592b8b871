/**
 * The client's calls as the exai daemon knows them: their ids and time limits,
 * and what the frames about them mean.
 *
 * @module
 */

import type { Incoming } from "../dialect.ts";
import * as frames from "./frames.ts";
import { findValue, prependMember, replaceValue } from "../../json/spans.ts";
import {
  buildErrorResponse,
  buildNotification,
  buildRawResultResponse,
  buildResultResponse,
  ErrorCode,
  getMember,
  getNested,
  getNestedId,
  isRecord,
  type Request,
  type Response,
} from "../../protocol/jsonrpc.ts";
import type { RequestId } from "../../protocol/mcp_types.ts";

/** A call as the daemon knows it. */
export interface ExaiCall {
  /**
   * The `request_id`: the daemon keeps results under it for all its clients.
   */
  requestId: string;
  /**
   * When the call was first sent, time asleep included; `undefined` while the
   * daemon has not started it.
   */
  firstSentAt: number | undefined;
  /**
   * When the daemon's process started by its own clock, as far as was known
   * when the call was sent.
   */
  processStartUnixS: number | undefined;
  /** How long the daemon allows the call, grace included, in milliseconds. */
  timeoutMs: number;
  /**
   * The connection on which the daemon was last queried for its process
   * (`health`).
   */
  healthRequestedOn: number | undefined;
  /** How often the outcome was polled. */
  pollCount: number;
  /** The last progress value. */
  lastProgress: number;
}

/** The settings of the calls. */
export interface CallConfig {
  /**
   * What is added to the time that the daemon allows a call, in milliseconds.
   */
  readonly ackGrace: number;
  /** Whether the daemon's wrapper is removed from the tools' output. */
  readonly output: "clean" | "raw";
  /** The largest frame, in UTF-16 units. */
  readonly maxMessage: number;
}

/**
 * What a frame about a call means, and whether the call's connection is free
 * again.
 */
export interface FrameResult {
  /** What the frame means. */
  readonly incoming: Incoming[];
  /** No further frame will come about the call. */
  readonly isDone: boolean;
}

/**
 * What the daemon allows a call unless its ack says otherwise, in milliseconds.
 */
const DEFAULT_CALL_TIMEOUT_MS = 67_000;
/**
 * The first and the longest delay between two polls for an outcome, in
 * milliseconds.
 */
const POLL_DELAY_MS = { first: 1_000, max: 5_000 } as const;
/** The daemon's error code for "not now". */
export const OVER_CAPACITY = "OVER_CAPACITY";

/** The client's calls. */
export class CallRegistry {
  readonly #prefix: string;
  readonly #config: CallConfig;
  #requestCount = 0;
  /** A request that is garbage-collected takes its call with it. */
  readonly #byRequest = new WeakMap<Request, ExaiCall>();

  /** Creates an empty registry; every `request_id` begins with the prefix. */
  constructor(prefix: string, config: CallConfig) {
    this.#prefix = prefix;
    this.#config = config;
  }

  /** Returns the call of a request, if it has one. */
  find(request: Request): ExaiCall | undefined {
    return this.#byRequest.get(request);
  }

  /** Creates the call of a request. */
  create(request: Request): ExaiCall {
    const call: ExaiCall = {
      requestId: this.#nextRequestId(),
      firstSentAt: undefined,
      processStartUnixS: undefined,
      timeoutMs: DEFAULT_CALL_TIMEOUT_MS + this.#config.ackGrace,
      healthRequestedOn: undefined,
      pollCount: 0,
      lastProgress: 0,
    };
    this.#byRequest.set(request, call);
    return call;
  }

  /**
   * Replaces a request's call by one with a new id; its progress keeps rising.
   */
  assignNewRequestId(request: Request): void {
    const progress = this.find(request)?.lastProgress ?? 0;
    this.create(request).lastProgress = progress;
  }

  /** Returns whether this registry created a `request_id`. */
  isOwnRequestId(requestId: unknown): boolean {
    return typeof requestId === "string" && requestId.startsWith(this.#prefix);
  }

  #nextRequestId(): string {
    return `${this.#prefix}${++this.#requestCount}`;
  }

  /** Interprets a frame on the connection of a call. */
  handleFrame(
    request: Request,
    call: ExaiCall,
    purpose: "call" | "poll",
    frame: Record<string, unknown>,
    size: number,
  ): FrameResult {
    const requestId = frame.request_id ?? call.requestId;
    if (requestId !== call.requestId) {
      return { incoming: unexpectedFrame(frame), isDone: false };
    }
    const { id } = request;
    switch (frame.op) {
      case "progress": {
        if (purpose === "poll" && frames.isDuplicate(frame)) {
          return {
            incoming: [this.#schedulePoll(request, call)],
            isDone: true,
          };
        }
        const progress = createProgressMessages(request, call, frame);
        return {
          incoming: [{ kind: "in-progress", id }, ...progress],
          isDone: false,
        };
      }
      case "call_tool_ack": {
        const seconds = frames.parseNumber(frame.timeout);
        if (!(seconds > 0)) return inProgress(request);
        call.timeoutMs = seconds * 1000 + this.#config.ackGrace;
        return inProgress(request, call.timeoutMs);
      }
      case "stream_chunk":
      case "stream_complete":
        return inProgress(request);
      case "call_tool_res":
      case "result":
        break;
      default:
        if (frames.isErrorFrame(frame)) break;
        return { incoming: unexpectedFrame(frame), isDone: false };
    }
    if (size > this.#config.maxMessage) {
      return { incoming: responseTooLarge(request, size), isDone: true };
    }
    const toolResult = frames.toolResultOf(frame, this.#config.output);
    const incoming = toolResult === undefined
      ? this.#handleError(request, call, frame)
      : createResultMessage(request, toolResult);
    return { incoming: [incoming], isDone: true };
  }

  #handleError(
    request: Request,
    call: ExaiCall,
    frame: Record<string, unknown>,
  ): Incoming {
    const error = frames.errorOf(frame);
    const { code, message, retryAfterMs, originalRequestId } = error;
    if (code === "DUPLICATE" && this.isOwnRequestId(originalRequestId)) {
      call.requestId = originalRequestId!;
      return this.#schedulePoll(request, call);
    }
    // Revision 859c2d0 uses the same code for requests that it will never have
    // room for.
    if (code === OVER_CAPACITY && error.isTooLarge) {
      return createErrorMessage(request, ErrorCode.tooLarge, message);
    }
    if (code === OVER_CAPACITY) {
      // This process has not started the call, because it first looks through
      // the calls that it knows. Under the old id it would take the call for a
      // duplicate of itself.
      this.assignNewRequestId(request);
      const { id } = request;
      return {
        kind: "retry-later",
        id,
        delayMs: retryAfterMs,
        isUnstarted: true,
      };
    }
    // The daemon does not know such frames. Any other error is the tool's, or
    // means that there is no such tool: the model reads a result, but not every
    // client shows it an error.
    const isFrameRejected = frame.op === "error" && error.isUnknownRequest;
    if (isFrameRejected) {
      return createErrorMessage(request, ErrorCode.invalidParams, message);
    }
    const text = code === "" ? message : `${code}: ${message}`;
    return createResultMessage(
      request,
      frames.buildToolResult([text], "failed"),
    );
  }

  #schedulePoll({ id }: Request, call: ExaiCall): Incoming {
    const delayMs = Math.min(
      POLL_DELAY_MS.first * 2 ** call.pollCount++,
      POLL_DELAY_MS.max,
    );
    return { kind: "retry-later", id, delayMs, isUnstarted: false };
  }
}

/**
 * Encodes a call. `form` is `with-key` for daemons that know `_call_key`, and
 * so confuse no other call with this one.
 */
export function encodeCall(
  request: Request,
  call: ExaiCall,
  form: "with-key" | "plain",
): string {
  const id = JSON.stringify(call.requestId);
  const name = JSON.stringify(getMember(request.params, "name"));
  const toolArguments = getMember(request.params, "arguments");
  const span = findValue(request.text, ["params", "arguments"]);
  let input = span !== undefined && isRecord(toolArguments)
    ? request.text.slice(span.start, span.end)
    : "{}";
  if (form === "with-key") {
    input = getNested(toolArguments, "_call_key") === undefined
      ? prependMember(input, [], "_call_key", id)
      : replaceValue(input, ["_call_key"], id);
  }
  return `{"op":"call_tool","request_id":${id},"name":${name},` +
    `"arguments":${input}}`;
}

function inProgress({ id }: Request, timeoutMs?: number): FrameResult {
  const timeout = timeoutMs === undefined ? {} : { timeoutMs };
  return { incoming: [{ kind: "in-progress", id, ...timeout }], isDone: false };
}

/** Reports a frame that refers to nothing that is pending. */
export function unexpectedFrame({ op }: Record<string, unknown>): Incoming[] {
  const description = typeof op === "string" ? `a frame ${op}` : "a frame";
  return [{ kind: "unexpected", description }];
}

/** Reports a response over the size limit. */
export function responseTooLarge({ id }: Request, size: number): Incoming[] {
  return [{ kind: "too-large", id, size }];
}

function createProgressMessages(
  request: Request,
  call: ExaiCall,
  { note, message }: Record<string, unknown>,
): Incoming[] {
  const token = getNestedId(request, "_meta", "progressToken");
  if (token === undefined) return [];
  const progress = ++call.lastProgress;
  const progressMessage = [note, message].find((text) =>
    typeof text === "string"
  );
  const params = {
    progressToken: JSON.parse(token) as RequestId,
    progress,
    ...(progressMessage !== undefined && { message: progressMessage }),
  };
  const method = "notifications/progress";
  const path = ["params", "progressToken"];
  const text = replaceValue(buildNotification(method, params), path, token);
  return [{ kind: "notification", method, params, text }];
}

/**
 * Builds a response from a `list_tools_res` and its text; `undefined` if it has
 * no tools.
 */
export function createToolListMessage(
  { id }: Pick<Request, "id">,
  frame: Record<string, unknown>,
  text: string,
): Response | undefined {
  const tools = frames.toolsOf(frame);
  return tools && {
    kind: "response",
    id,
    result: { tools },
    error: undefined,
    text: buildRawResultResponse(
      id,
      frames.buildToolListJson(text, frame, tools),
    ),
  };
}

/** Builds a response with a result. */
export function createResultMessage(
  { id }: Pick<Request, "id">,
  result: unknown,
): Response {
  const text = buildResultResponse(id, result);
  return { kind: "response", id, result, error: undefined, text };
}

/** Builds a response with an error. */
export function createErrorMessage(
  { id }: Request,
  code: number,
  message: string,
): Response {
  const text = buildErrorResponse(id, code, message);
  return {
    kind: "response",
    id,
    result: undefined,
    error: { code, message },
    text,
  };
}
