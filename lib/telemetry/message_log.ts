/**
 * Writes a log line for each message: its direction, kind, method, id, size and
 * time, but never its body.
 *
 * @module
 */

import type { Direction, LogEffect, MessageFact } from "../events.ts";
import type { Redactor } from "../config/secrets.ts";
import { tryParseJson } from "../json/spans.ts";
import { isRecord, type Message } from "../protocol/jsonrpc.ts";
import { cutWord } from "../protocol/methods.ts";
import { parseFrame } from "../protocol/message_parser.ts";
import { createLogEffect } from "../session/session_log.ts";
import type {
  ObservedMessage,
  OpenOperations,
  TelemetrySink,
} from "./message_observer.ts";

const DIRECTION_WORDS: Readonly<Record<Direction, string>> = {
  "from-client": "From the client",
  "to-client": "To the client",
  "from-daemon": "From the daemon",
  "to-daemon": "To the daemon",
};

/** Returns a word that a peer has chosen, without secrets, and short. */
type ToWord = (word: string) => string;

/** Logs every message at the level `debug`. */
export class MessageLog implements TelemetrySink {
  /** Creates a log that passes its lines to `write`. */
  constructor(
    private readonly write: (entry: LogEffect) => void,
    private readonly redact: Redactor,
  ) {}

  /** Logs a message. A frame with several messages gives several lines. */
  onMessage(message: ObservedMessage, now: number, open: OpenOperations): void {
    const { direction, text, bytes, connectionId } = message;
    const facts = factsOf(
      message,
      now,
      open,
      (word) => cutWord(this.redact(word)),
    );
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
}

function factsOf(
  message: ObservedMessage,
  now: number,
  open: OpenOperations,
  toWord: ToWord,
): MessageFact[] {
  const { direction, text, bytes, connectionId } = message;
  const base = { type: "message", direction, bytes, connectionId } as const;
  if (text === undefined) return [{ ...base, kind: "message" }];
  const messages = message.messages ?? parseFrame(text);
  return messages.map((it): MessageFact => ({
    ...base,
    ...describeMessage(it, text, direction, now, open, toWord),
  }));
}

function describeMessage(
  message: Message,
  text: string,
  direction: Direction,
  now: number,
  open: OpenOperations,
  toWord: ToWord,
): Pick<MessageFact, "kind" | "method" | "id" | "error" | "ms"> {
  switch (message.kind) {
    case "request":
      return {
        kind: "request",
        method: toWord(message.method),
        id: toWord(message.id),
      };
    case "notification":
      return { kind: "notification", method: toWord(message.method) };
    case "response": {
      const { id, error } = message;
      // Other directions have the ids of the daemon's requests.
      const answersClientRequest = direction === "to-client" ||
        direction === "from-daemon";
      const operation = id !== undefined && answersClientRequest
        ? open.get(id)
        : undefined;
      const since = direction === "from-daemon"
        ? operation?.sentAt
        : operation?.startedAt;
      return {
        kind: "response",
        ...(operation && { method: toWord(operation.request.method) }),
        ...(id !== undefined && { id: toWord(id) }),
        ...(error && { error: error.code }),
        ...(since !== undefined && { ms: Math.round(now - since) }),
      };
    }
    case "invalid": {
      // A frame of the exai daemon is no JSON-RPC message, but has an `op`.
      const frame = tryParseJson(text);
      return isRecord(frame) && typeof frame.op === "string"
        ? { kind: "frame", method: toWord(frame.op) }
        : { kind: "invalid message" };
    }
  }
}
