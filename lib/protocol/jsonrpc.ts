/**
 * JSON-RPC messages: what they are, and those that the proxy itself has to say.
 *
 * @module
 */

import { findValue } from "../json/spans.ts";
import type {
  ErrorCodes,
  Method,
  NotificationMethod,
  Params,
  RequestMethod,
} from "./mcp_types.ts";

/**
 * A message's id as a JSON text: `0` and `"0"` are two different ids, and an id
 * can be put into an answer as it is. `null` is that of a request that must not
 * have it.
 */
export type Id = string;

/** A call that expects an answer. */
export interface Request {
  /** What kind of message it is. */
  readonly kind: "request";
  /** What the answer will name. */
  readonly id: Id;
  /** What is asked for. */
  readonly method: Method;
  /** Whatever stood there; nothing promises that it is an object. */
  readonly params: unknown;
  /** The message as it goes on: as it came, but for what SDK peers refuse. */
  readonly text: string;
}

/** A call that expects no answer. */
export interface Notification {
  /** What kind of message it is. */
  readonly kind: "notification";
  /** What is told. */
  readonly method: Method;
  /** Whatever stood there. */
  readonly params: unknown;
  /** The message as it goes on: as it came, but for what SDK peers refuse. */
  readonly text: string;
}

/** A result or an error; `id` is absent where the peer could not tell what it answers. */
export interface Response {
  /** What kind of message it is. */
  readonly kind: "response";
  /** What it answers. */
  readonly id: Id | undefined;
  /** The result, if there is no error. */
  readonly result: unknown;
  /** Why there is no result. */
  readonly error: ErrorObject | undefined;
  /** The message as it goes on: as it came, but for what SDK peers refuse. */
  readonly text: string;
}

/** What is not a message, which rule says so, and the id that an error about it can use. */
export interface InvalidMessage {
  /** What kind of message it is. */
  readonly kind: "invalid";
  /** The id that stood there, if it can be used. */
  readonly id: Id | undefined;
  /** What it may have been meant to be; without a method, a result and an error that depends on who says it. */
  readonly intendedKind: "request-or-notification" | "response" | "any";
  /** The rule that it breaks, without a full stop. */
  readonly reason: string;
}

/** One JSON-RPC message, or why it is none. */
export type Message = Request | Notification | Response | InvalidMessage;

/** The `error` member of an answer (JSON-RPC 2.0 section 5.1). */
export interface ErrorObject {
  /** The kind of error. */
  readonly code: number;
  /** One sentence. */
  readonly message: string;
  /** Whatever else there is to say. */
  readonly data?: unknown;
}

/**
 * The codes of the proxy's own errors. All but the two of JSON-RPC itself are
 * private: outside -32768 to -32000, which JSON-RPC 2.0 section 5.1 and the error policy
 * of MCP 2026-07-28 reserve.
 */
export const ErrorCode = {
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  unavailable: -31001,
  outcomeUnknown: -31002,
  timedOut: -31003,
  overloaded: -31004,
  tooLarge: -31005,
} as const satisfies Partial<ErrorCodes> & Record<string, number>;

/** What the `data` member of the proxy's own errors tells a program. */
export interface ErrorData {
  /** The kind of failure, in snake case. */
  readonly reason: string;
  /** Whether the daemon got the request. */
  readonly delivered: "no" | "unknown" | "yes";
  /** Whether it is safe, and may help, to ask again. */
  readonly retryable: boolean;
  /** How many dials have failed. */
  readonly attempt?: number;
  /** When the next dial comes, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** The id as a JSON text. An integer that a double cannot hold keeps its own digits. */
export function idOf(id: unknown, text: string): Id | undefined {
  if (typeof id === "string") return JSON.stringify(id);
  if (typeof id !== "number" || !Number.isFinite(id)) return undefined;
  if (Number.isInteger(id) && !Number.isSafeInteger(id)) {
    const span = findValue(text, ["id"]);
    const digits = span && text.slice(span.start, span.end);
    if (digits !== undefined && /^-?\d+$/.test(digits)) return digits;
  }
  return JSON.stringify(id);
}

/** The members of a message (JSON-RPC 2.0 sections 4 and 5). */
export const MESSAGE_MEMBERS: readonly string[] = [
  "jsonrpc",
  "id",
  "method",
  "params",
  "result",
  "error",
];

/** Whether a method is that of a notification, which has no id. */
export function isNotificationMethod(method: Method): boolean {
  return method.startsWith("notifications/") || isInitializedMethod(method);
}

/** Whether a method ends the handshake; the shorter name is an old one. */
export function isInitializedMethod(method: Method): boolean {
  return method === "notifications/initialized" || method === "initialized";
}

/** Whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Follows member names into a value; `undefined` where one is missing. */
export function getNested(value: unknown, ...path: readonly string[]): unknown {
  for (const name of path) {
    if (!isRecord(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A value that MCP uses as an id inside `params` (`requestId`, `progressToken`), as a JSON text. */
export function getNestedId(
  message: Request | Notification,
  ...path: readonly string[]
): Id | undefined {
  const value = getNested(message.params, ...path);
  if (typeof value !== "number" || Number.isSafeInteger(value)) {
    return idOf(value, message.text);
  }
  const span = findValue(message.text, ["params", ...path]);
  if (span === undefined) return undefined;
  return idOf(value, `{"id":${message.text.slice(span.start, span.end)}}`);
}

/** A frame as one line: a line break in valid JSON can only stand between tokens, where a space says the same. */
export function toSingleLine(text: string): string {
  return /[\r\n]/.test(text) ? text.replace(/[\r\n]+/g, " ").trim() : text;
}

/** An error answer. */
export function buildErrorResponse(
  id: Id,
  code: number,
  message: string,
  data?: ErrorData,
): string {
  const error = JSON.stringify({ code, message, ...(data && { data }) });
  return `{"jsonrpc":"2.0","id":${id},"error":${error}}`;
}

/** A result answer. */
export function buildResultResponse(id: Id, result: unknown): string {
  return buildRawResultResponse(id, JSON.stringify(result));
}

/** The same with a result that is a JSON text, and stays as it is spelled. */
export function buildRawResultResponse(id: Id, resultText: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${resultText}}`;
}

/** A request of the proxy's own. */
export function buildRequest<Asked extends RequestMethod>(
  id: Id,
  method: Asked,
  params?: Params<Asked>,
): string {
  const rest = params === undefined
    ? ""
    : `,"params":${JSON.stringify(params)}`;
  return `{"jsonrpc":"2.0","id":${id},"method":"${method}"${rest}}`;
}

/** A notification of the proxy's own. */
export function buildNotification<Told extends NotificationMethod>(
  method: Told,
  params?: Params<Told>,
): string {
  const rest = params === undefined
    ? ""
    : `,"params":${JSON.stringify(params)}`;
  return `{"jsonrpc":"2.0","method":"${method}"${rest}}`;
}
