/**
 * Follows the messages and the operations of a session, from its events and its
 * effects. An operation is a request of the client with its end. It has two
 * sides (OpenTelemetry, semantic conventions for MCP): the proxy is a server to
 * the client, and a client to the daemon. A request that is sent twice is one
 * operation.
 *
 * The observer tells its sinks what it sees: the figures, the log, and the
 * warnings for the client.
 *
 * @module
 */

import type { Direction, Effect, SessionEvent } from "../events.ts";
import { findValue } from "../json/spans.ts";
import {
  getMember,
  getNestedId,
  type Id,
  type Message,
  type Notification,
  type Request,
  type Response,
} from "../protocol/jsonrpc.ts";
import { parseFrame, parseMessages } from "../protocol/message_parser.ts";
import {
  isSubscriptionMethod,
  nameOf,
  requestVersionOf,
} from "../protocol/methods.ts";

/** A message on its way into or out of the proxy. */
export interface ObservedMessage {
  /** From where to where it goes. */
  readonly direction: Direction;
  /** The text; undefined if it was not kept. */
  readonly text?: string;
  /** The size in bytes, as UTF-8. */
  readonly bytes: number;
  /** The connection to the daemon that carries it, if one does. */
  readonly connectionId?: number | undefined;
  /** The JSON-RPC messages in it, if the observer has parsed it. */
  readonly messages?: readonly Message[] | undefined;
}

/** A request of the client that has no answer yet; times are in ms. */
export interface OpenOperation {
  /** The request. */
  readonly request: Request;
  /** The name of the tool or prompt, if any. */
  readonly name: string | undefined;
  /** The version of MCP, if known. */
  readonly protocolVersion: string | undefined;
  /** When the request arrived, on the session's clock. */
  readonly startedAt: number;
  /** When it was first sent to the daemon; undefined if it was not. */
  readonly sentAt: number | undefined;
}

/** The open operations, by the ids of their requests. */
export type OpenOperations = ReadonlyMap<Id, OpenOperation>;

/** How an operation ended. */
export interface OperationEnd {
  /**
   * `error.type`: the code of a JSON-RPC error as text, `tool_error`, or
   * `cancelled`; undefined for a success.
   */
  readonly errorType: string | undefined;
  /** The code of the JSON-RPC error, if there is one. */
  readonly statusCode: number | undefined;
}

/** Gets what the observer sees. Times are in ms on the session's clock. */
export interface TelemetrySink {
  /**
   * A message was received or is sent. `open` has the operations that are open
   * before a request of the message begins, or before an answer in it ends one.
   */
  onMessage?(
    message: ObservedMessage,
    now: number,
    open: OpenOperations,
  ): void;
  /** An operation has begun. */
  onOperationStart?(operation: OpenOperation): void;
  /** An operation has ended. */
  onOperationEnd?(
    operation: OpenOperation,
    end: OperationEnd,
    now: number,
  ): void;
}

const CANCELLED: OperationEnd = {
  errorType: "cancelled",
  statusCode: undefined,
};

/** The operation while it is open. */
type MutableOperation = {
  -readonly [Key in keyof OpenOperation]: OpenOperation[Key];
};

/** Follows the messages and the operations of one session. */
export class MessageObserver {
  readonly #open = new Map<Id, MutableOperation>();
  /** The version of MCP that `initialize` has agreed on. */
  #agreedVersion: string | undefined;
  readonly #encoder = new TextEncoder();

  /** Creates an observer before the first event. */
  constructor(private readonly sinks: readonly TelemetrySink[]) {}

  /** The number of operations that have not ended. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Handles an event of the session, and the effects that it had. */
  observe(event: SessionEvent, effects: readonly Effect[], now: number): void {
    this.#observeEvent(event, now);
    for (const effect of effects) {
      if (effect.type === "send-to-daemon") {
        const operation = this.#find(effect.requestId);
        if (operation !== undefined) operation.sentAt ??= now;
        this.#tellText("to-daemon", effect.text, now, effect.connectionId);
      } else if (effect.type === "send-to-client") {
        this.#observeAnswers(effect.text, now);
      }
    }
  }

  #observeEvent(event: SessionEvent, now: number): void {
    switch (event.type) {
      case "line":
        return this.#observeLine(event.text, now);
      case "line-too-long":
        return this.#tell(
          { direction: "from-client", bytes: event.bytes },
          now,
        );
      case "content-length":
        if (event.text === undefined) return;
        return this.#tellText("from-client", event.text, now);
      case "frame":
        return this.#tellText(
          "from-daemon",
          event.text,
          now,
          event.connectionId,
        );
      case "binary": {
        const { bytes, connectionId } = event;
        return this.#tell(
          { direction: "from-daemon", bytes, connectionId },
          now,
        );
      }
    }
  }

  #observeLine(text: string, now: number): void {
    const messages = text.trim() === "" ? [] : parseMessages(text);
    this.#tellText("from-client", text, now, undefined, messages);
    for (const message of messages) {
      if (message.kind === "request") this.#start(message, now);
      // A cancellation counts even if it has an id.
      if (message.kind === "notification" || message.kind === "request") {
        this.#observeCancellation(message, "client", now);
      }
    }
  }

  #find(id: Id | undefined): MutableOperation | undefined {
    return id === undefined ? undefined : this.#open.get(id);
  }

  #start(request: Request, now: number): void {
    // A second request with the id of an open one gets no answer.
    if (this.#open.has(request.id)) return;
    const operation: MutableOperation = {
      request,
      name: nameOf(request),
      protocolVersion: requestVersionOf(request.params) ?? this.#agreedVersion,
      startedAt: now,
      sentAt: undefined,
    };
    this.#open.set(request.id, operation);
    for (const sink of this.sinks) sink.onOperationStart?.(operation);
  }

  #observeCancellation(
    message: Notification | Request,
    sender: "client" | "daemon",
    now: number,
  ): void {
    if (message.method !== "notifications/cancelled") return;
    const operation = this.#find(getNestedId(message, "requestId"));
    if (operation === undefined) return;
    const { method } = operation.request;
    const mayCancel = sender === "client"
      // `initialize` cannot be cancelled (MCP, utilities/cancellation).
      ? method !== "initialize"
      // A subscription that the daemon cancels gets no answer. Its other
      // cancellations refer to its own requests.
      : isSubscriptionMethod(method);
    if (mayCancel) this.#end(operation, CANCELLED, now);
  }

  #observeAnswers(text: string, now: number): void {
    const messages = parseFrame(text);
    this.#tellText("to-client", text, now, undefined, messages);
    for (const message of messages) {
      if (message.kind === "notification") {
        this.#observeCancellation(message, "daemon", now);
      }
      if (message.kind !== "response") continue;
      const operation = this.#find(message.id);
      if (operation === undefined) continue;
      const { method } = operation.request;
      if (method === "initialize") {
        const version = getMember(message.result, "protocolVersion");
        if (typeof version === "string") {
          this.#agreedVersion = version;
          operation.protocolVersion = version;
        }
      }
      this.#end(operation, endOf(method, message), now);
    }
  }

  #end(operation: OpenOperation, end: OperationEnd, now: number): void {
    this.#open.delete(operation.request.id);
    for (const sink of this.sinks) sink.onOperationEnd?.(operation, end, now);
  }

  #tellText(
    direction: Direction,
    text: string,
    now: number,
    connectionId?: number,
    messages?: readonly Message[],
  ): void {
    const bytes = this.#encoder.encode(text).length;
    this.#tell({ direction, text, bytes, connectionId, messages }, now);
  }

  #tell(message: ObservedMessage, now: number): void {
    for (const sink of this.sinks) sink.onMessage?.(message, now, this.#open);
  }
}

/** Returns how an operation with this answer ended. */
function endOf(method: string, { error, text }: Response): OperationEnd {
  if (error !== undefined) {
    return { errorType: `${error.code}`, statusCode: error.code };
  }
  const isToolError = method === "tools/call" && hasToolError(text);
  return {
    errorType: isToolError ? "tool_error" : undefined,
    statusCode: undefined,
  };
}

/** Returns true if a result says that the tool failed (MCP, server/tools). */
function hasToolError(text: string): boolean {
  // Most results do not contain this text, and need not be scanned further.
  if (!/"isError"\s*:\s*true/.test(text)) return false;
  const span = findValue(text, ["result", "isError"]);
  return span !== undefined && text.slice(span.start, span.end) === "true";
}
