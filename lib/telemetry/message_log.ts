/**
 * Writes a log line for each message: its direction, kind, method, id, size and
 * time, but never its body.
 *
 * @module
 */

import type { LogEffect, MessageFact } from "../events.ts";
import { tryParseJson } from "../json/spans.ts";
import { type Id, isRecord, type Message } from "../protocol/jsonrpc.ts";
import { parseFrame } from "../protocol/message_parser.ts";
import { createLogEffect } from "../session/session_log.ts";
import type {
  Direction,
  ObservedMessage,
  OpenOperation,
  OperationEnd,
  TelemetrySink,
} from "./message_observer.ts";

/** The longest method or id in a line, in UTF-16 units. */
const MAX_WORD_CHARS = 80;

const DIRECTION_WORDS: Readonly<Record<Direction, string>> = {
  "from-client": "From the client",
  "to-client": "To the client",
  "from-daemon": "From the daemon",
  "to-daemon": "To the daemon",
};

/** Logs every message at the level `debug`. */
export class MessageLog implements TelemetrySink {
  /** The operations that end with the message that is logged next. */
  readonly #open = new Map<Id, OpenOperation>();

  /** Creates a log that passes its lines to `write`. */
  constructor(private readonly write: (entry: LogEffect) => void) {}

  /** Remembers a request, so that its answer can be described. */
  onOperationStart(operation: OpenOperation): void {
    this.#open.set(operation.request.id, operation);
  }

  /** Forgets a request. */
  onOperationEnd({ request }: OpenOperation, _: OperationEnd): void {
    this.#open.delete(request.id);
  }

  /** Logs a message. A frame with several messages gives several lines. */
  onMessage(message: ObservedMessage, now: number): void {
    const { direction, text, bytes, connectionId } = message;
    const facts = this.#factsOf(message, now);
    for (const fact of facts) {
      const { method, id, error, ms, kind } = fact;
      const words = [
        method === undefined ? kind : `${kind} ${method}`,
        ...id === undefined ? [] : [`id ${id}`],
        ...error === undefined ? [] : [`error ${error}`],
        facts.length > 1 ? `part of ${bytes} bytes` : `${bytes} bytes`,
        ...ms === undefined ? [] : [`after ${ms} ms`],
        ...text === undefined ? ["not read"] : [],
        ...connectionId === undefined ? [] : [`connection ${connectionId}`],
      ];
      const line = `${DIRECTION_WORDS[direction]}: ${words.join(", ")}.`;
      this.write({ ...createLogEffect("debug", "message", line), fact });
    }
  }

  #factsOf(message: ObservedMessage, now: number): MessageFact[] {
    const { direction, text, bytes, connectionId } = message;
    const base = { type: "message", direction, bytes, connectionId } as const;
    if (text === undefined) return [{ ...base, kind: "message" }];
    const messages = message.messages ?? parseFrame(text);
    return messages.map((it): MessageFact => ({
      ...base,
      ...this.#describe(it, text, direction, now),
    }));
  }

  #describe(
    message: Message,
    text: string,
    direction: Direction,
    now: number,
  ): Pick<MessageFact, "kind" | "method" | "id" | "error" | "ms"> {
    switch (message.kind) {
      case "request":
        return {
          kind: "request",
          method: cut(message.method),
          id: cut(message.id),
        };
      case "notification":
        return { kind: "notification", method: cut(message.method) };
      case "response": {
        const { id, error } = message;
        // Other directions have the ids of the daemon's requests.
        const isToClientRequest = direction === "to-client" ||
          direction === "from-daemon";
        const operation = id !== undefined && isToClientRequest
          ? this.#open.get(id)
          : undefined;
        const since = direction === "from-daemon"
          ? operation?.sentAt
          : operation?.startedAt;
        return {
          kind: "response",
          ...(operation && { method: cut(operation.request.method) }),
          ...(id !== undefined && { id: cut(id) }),
          ...(error && { error: error.code }),
          ...(since !== undefined && { ms: Math.round(now - since) }),
        };
      }
      case "invalid": {
        // A frame of the exai daemon is no JSON-RPC message, but has an `op`.
        const frame = tryParseJson(text);
        return isRecord(frame) && typeof frame.op === "string"
          ? { kind: "frame", method: cut(frame.op) }
          : { kind: "invalid message" };
      }
    }
  }
}

function cut(text: string): string {
  return text.slice(0, MAX_WORD_CHARS);
}
