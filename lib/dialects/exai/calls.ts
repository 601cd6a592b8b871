/**
 * A call as the exai daemon knows it: under which id, for how long, and what
 * the frames about it mean.
 *
 * @module
 */

import type { Incoming } from "../dialect.ts";
import * as exai from "./frames.ts";
import { insert, locate, replace } from "../../json/spans.ts";
import {
  type Answer,
  Code,
  dig,
  digId,
  failure,
  isRecord,
  notification,
  type Request,
  spelled,
  success,
} from "../../protocol/jsonrpc.ts";
import type { RequestId } from "../../protocol/mcp_types.ts";

/** A call as the daemon knows it. */
export interface Call {
  /** The `request_id`: the daemon keeps results under it for all its clients. */
  wire: string;
  /** When it was first written, sleep included; `undefined` as long as the daemon has not begun with it. */
  sentAt: number | undefined;
  /** When the daemon's process began by its own clock, as far as was known then. */
  origin: number | undefined;
  /** How long the daemon allows it, with the grace, in milliseconds. */
  limitMs: number;
  /** The link on which the daemon was asked last which process it is. */
  askedOn: number | undefined;
  /** How often its outcome was asked for. */
  polls: number;
  /** The last progress value. */
  progress: number;
}

/** What calls must know. */
export interface CallConfig {
  /** What is added to the time that the daemon allows a call, in milliseconds. */
  readonly ackGrace: number;
  /** Whether the daemon's wrapping is taken off the tools' outputs. */
  readonly output: "clean" | "raw";
  /** The largest frame, in UTF-16 units. */
  readonly maxMessage: number;
}

/** What a frame about a call means, and whether the call's connection is free again. */
export interface Meaning {
  /** What it means. */
  readonly incoming: Incoming[];
  /** Nothing more will come about it. */
  readonly isOver: boolean;
}

/** What the daemon allows a call unless it says otherwise. */
const CALL_LIMIT_MS = 67_000;
/** The pauses between two questions for the outcome of a call. */
const POLL_MS = { first: 1_000, most: 5_000 } as const;
/** The daemon's code for "not now". */
export const OVER_CAPACITY = "OVER_CAPACITY";

/** The calls that the client has made. */
export class Calls {
  readonly #prefix: string;
  readonly #config: CallConfig;
  #count = 0;
  /** A request that is no longer owed takes its call with it. */
  readonly #byRequest = new WeakMap<Request, Call>();

  /** Every `request_id` begins with the prefix. */
  constructor(prefix: string, config: CallConfig) {
    this.#prefix = prefix;
    this.#config = config;
  }

  /** The call that a request became, if it did. */
  find(request: Request): Call | undefined {
    return this.#byRequest.get(request);
  }

  /** Makes a call of a request. */
  open(request: Request): Call {
    const call: Call = {
      wire: this.#nextWire(),
      sentAt: undefined,
      origin: undefined,
      limitMs: CALL_LIMIT_MS + this.#config.ackGrace,
      askedOn: undefined,
      polls: 0,
      progress: 0,
    };
    this.#byRequest.set(request, call);
    return call;
  }

  /** The request becomes another call, whose progress goes on rising. */
  renew(request: Request): void {
    const progress = this.find(request)?.progress ?? 0;
    this.open(request).progress = progress;
  }

  /** Whether the daemon has an id from here. */
  isOurs(wire: unknown): boolean {
    return typeof wire === "string" && wire.startsWith(this.#prefix);
  }

  #nextWire(): string {
    return `${this.#prefix}${++this.#count}`;
  }

  /** What a frame means on the connection of a call. */
  hear(
    request: Request,
    call: Call,
    purpose: "call" | "poll",
    frame: Record<string, unknown>,
    size: number,
  ): Meaning {
    const named = frame.request_id ?? call.wire;
    if (named !== call.wire) return { incoming: stray(frame), isOver: false };
    const { id } = request;
    switch (frame.op) {
      case "progress": {
        if (purpose === "poll" && exai.isDuplicate(frame)) {
          return { incoming: [this.#poll(request, call)], isOver: true };
        }
        const progress = progressOf(request, call, frame);
        return {
          incoming: [{ kind: "working", id }, ...progress],
          isOver: false,
        };
      }
      case "call_tool_ack": {
        const seconds = exai.numberOf(frame.timeout);
        if (!(seconds > 0)) return working(request);
        call.limitMs = seconds * 1000 + this.#config.ackGrace;
        return working(request, call.limitMs);
      }
      case "stream_chunk":
      case "stream_complete":
        return working(request);
      case "call_tool_res":
      case "result":
        break;
      default:
        if (exai.isFailure(frame)) break;
        return { incoming: stray(frame), isOver: false };
    }
    if (size > this.#config.maxMessage) {
      return { incoming: tooLarge(request, size), isOver: true };
    }
    const found = exai.resultOf(frame, this.#config.output);
    const incoming = found === undefined
      ? this.#failed(request, call, frame)
      : result(request, found);
    return { incoming: [incoming], isOver: true };
  }

  #failed(
    request: Request,
    call: Call,
    frame: Record<string, unknown>,
  ): Incoming {
    const { code, message, retryMs, original, ...it } = exai.errorOf(frame);
    if (code === "DUPLICATE" && this.isOurs(original)) {
      call.wire = original!;
      return this.#poll(request, call);
    }
    // Revision 859c2d0 says the same of what it will never have room for.
    if (code === OVER_CAPACITY && it.isTooLarge) {
      return error(request, Code.tooLarge, message);
    }
    if (code === OVER_CAPACITY) {
      // This process has not begun with it, for it looks among what it knows
      // first. Under the old id it would call it a duplicate of itself.
      this.renew(request);
      const { id } = request;
      return { kind: "later", id, ms: retryMs, isUntouched: true };
    }
    // The daemon does not know such frames. All else is the tool's, or the lack
    // of one: the model reads a result, but not every client shows it an error.
    const isForeign = frame.op === "error" && it.isUnknown;
    if (isForeign) return error(request, Code.invalidParams, message);
    const text = code === "" ? message : `${code}: ${message}`;
    return result(request, exai.toolResult([text], "failed"));
  }

  #poll({ id }: Request, call: Call): Incoming {
    const ms = Math.min(POLL_MS.first * 2 ** call.polls++, POLL_MS.most);
    return { kind: "later", id, ms, isUntouched: false };
  }
}

/** The frame of a call; `keyed` where the daemon knows `_call_key`, and so takes no other call for this one. */
export function callText(
  request: Request,
  call: Call,
  form: "keyed" | "plain",
): string {
  const id = JSON.stringify(call.wire);
  const name = JSON.stringify(dig(request.params, "name"));
  const given = dig(request.params, "arguments");
  const span = locate(request.text, ["params", "arguments"]);
  let input = span !== undefined && isRecord(given)
    ? request.text.slice(span.start, span.end)
    : "{}";
  if (form === "keyed") {
    input = dig(given, "_call_key") === undefined
      ? insert(input, [], "_call_key", id)
      : replace(input, ["_call_key"], id);
  }
  return `{"op":"call_tool","request_id":${id},"name":${name},` +
    `"arguments":${input}}`;
}

function working({ id }: Request, limitMs?: number): Meaning {
  const limit = limitMs === undefined ? {} : { limitMs };
  return { incoming: [{ kind: "working", id, ...limit }], isOver: false };
}

/** A frame that belongs to nothing that is open. */
export function stray({ op }: Record<string, unknown>): Incoming[] {
  const what = typeof op === "string" ? `a frame ${op}` : "a frame";
  return [{ kind: "stray", what }];
}

/** An answer over the limit. */
export function tooLarge({ id }: Request, size: number): Incoming[] {
  return [{ kind: "too large", id, size }];
}

function progressOf(
  request: Request,
  call: Call,
  { note, message }: Record<string, unknown>,
): Incoming[] {
  const token = digId(request, "_meta", "progressToken");
  if (token === undefined) return [];
  const progress = ++call.progress;
  const said = [note, message].find((text) => typeof text === "string");
  const params = {
    progressToken: JSON.parse(token) as RequestId,
    progress,
    ...(said !== undefined && { message: said }),
  };
  const method = "notifications/progress";
  const path = ["params", "progressToken"];
  const text = replace(notification(method, params), path, token);
  return [{ kind: "notification", method, params, text }];
}

/** An answer with the tools of a `list_tools_res`, whose text that is; `undefined` where it has none. */
export function toolList(
  { id }: Pick<Request, "id">,
  frame: Record<string, unknown>,
  text: string,
): Answer | undefined {
  const tools = exai.toolsOf(frame);
  return tools && {
    kind: "answer",
    id,
    result: { tools },
    error: undefined,
    text: spelled(id, exai.listText(text, frame, tools)),
  };
}

/** An answer with a result. */
export function result({ id }: Pick<Request, "id">, result: unknown): Answer {
  const text = success(id, result);
  return { kind: "answer", id, result, error: undefined, text };
}

/** An answer with an error. */
export function error({ id }: Request, code: number, message: string): Answer {
  const text = failure(id, code, message);
  return {
    kind: "answer",
    id,
    result: undefined,
    error: { code, message },
    text,
  };
}
