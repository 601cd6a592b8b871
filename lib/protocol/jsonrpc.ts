/**
 * JSON-RPC messages: their types, and builders for the proxy's own messages.
 *
 * @module
 */

import { findValue } from "../json/spans.ts";
import type {
  ErrorCodes,
  MemberName,
  Method,
  NotificationMethod,
  Params,
  RequestMethod,
} from "./mcp_types.ts";

/**
 * A message id as a JSON text: `0` and `"0"` are different ids, and an id can
 * be inserted into a response as it is. `null` is the id of a request that
 * should not have it.
 */
export type Id = string;

/** A notification, which expects no response. */
export interface Notification {
  /** Identifies the type of message. */
  readonly kind: "notification";
  /** The method. */
  readonly method: Method;
  /** The parameters as they were sent; not necessarily an object. */
  readonly params: unknown;
  /** The forwarded text, without what SDK peers reject. */
  readonly text: string;
}

/** A request, which expects a response. */
export interface Request extends Omit<Notification, "kind"> {
  /** Identifies the type of message. */
  readonly kind: "request";
  /** The id of the response. */
  readonly id: Id;
}

/** A result or an error; without `id` if the peer could not tell it. */
export interface Response {
  /** Identifies the type of message. */
  readonly kind: "response";
  /** The id of the request. */
  readonly id: Id | undefined;
  /** The result, if there is no error. */
  readonly result: unknown;
  /** The error, if there is no result. */
  readonly error: ErrorObject | undefined;
  /** The forwarded text, without what SDK peers reject. */
  readonly text: string;
}

/** An invalid message, the rule it breaks, and the id for an error about it. */
export interface InvalidMessage {
  /** Identifies the type of message. */
  readonly kind: "invalid";
  /** The id, if it is usable. */
  readonly id: Id | undefined;
  /** What it was meant to be; for `any` this depends on the sender. */
  readonly intendedKind: "request-or-notification" | "response" | "any";
  /** The rule that it breaks, without a full stop. */
  readonly reason: string;
}

/** A message with a method: what a client sends on its own account. */
export type OutboundMessage = Request | Notification;

/** A JSON-RPC message, or an invalid one. */
export type Message = OutboundMessage | Response | InvalidMessage;

/** The `error` member of a response (JSON-RPC 2.0 section 5.1). */
export interface ErrorObject {
  /** The error code. */
  readonly code: number;
  /** One sentence. */
  readonly message: string;
  /** Additional data. */
  readonly data?: unknown;
}

/**
 * The codes of the proxy's own errors. All but the standard JSON-RPC codes are
 * private: outside -32768 to -32000, which JSON-RPC 2.0 section 5.1 and the
 * error policy of MCP 2026-07-28 reserve.
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

/** The `data` member of the proxy's own errors, for programs. */
export interface ErrorData {
  /** The kind of failure, in snake case. */
  readonly reason: string;
  /** Whether the daemon received the request. */
  readonly delivered: "no" | "unknown" | "yes";
  /** Whether a retry is safe and may help. */
  readonly retryable: boolean;
  /** How many dials have failed. */
  readonly attempt?: number;
  /** The time until the next dial, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** Returns the id at a path as a JSON text; a large integer keeps its digits. */
export function idOf(
  id: unknown,
  text: string,
  path: readonly string[] = ["id"],
): Id | undefined {
  if (typeof id === "string") return JSON.stringify(id);
  if (typeof id !== "number" || !Number.isFinite(id)) return undefined;
  if (Number.isInteger(id) && !Number.isSafeInteger(id)) {
    const span = findValue(text, path);
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

/** Whether the method is a notification's, which has no id. */
export function isNotificationMethod(method: Method): boolean {
  return method.startsWith("notifications/") || isInitializedMethod(method);
}

/** Whether the method ends the handshake; the shorter name is an old one. */
export function isInitializedMethod(method: Method): boolean {
  return method === "notifications/initialized" || method === "initialized";
}

/** Whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is there: many serializers write `null` for none. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Follows member names into a value; `undefined` if one is missing. */
export function getNested(value: unknown, ...path: readonly string[]): unknown {
  for (const name of path) {
    if (!isRecord(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** {@linkcode getNested} for what MCP names: a misspelled name is a type error. */
export const getMember: (
  value: unknown,
  ...path: readonly MemberName[]
) => unknown = getNested;

/** Returns an id in `params` (`requestId`, `progressToken`). */
export function getNestedId(
  message: OutboundMessage,
  ...path: readonly MemberName[]
): Id | undefined {
  const value = getNested(message.params, ...path);
  return idOf(value, message.text, ["params", ...path]);
}

/** Line breaks in JSON are between tokens: a space means the same. */
export function toSingleLine(text: string): string {
  // `includes` takes a tenth of the time of a pattern.
  const isSingle = !text.includes("\n") && !text.includes("\r");
  return isSingle ? text : text.replace(/[\r\n]+/g, " ").trim();
}

/** Builds an error response. */
export function buildErrorResponse(
  id: Id,
  code: number,
  message: string,
  data?: ErrorData,
): string {
  const error = JSON.stringify({ code, message, data });
  return `{"jsonrpc":"2.0","id":${id},"error":${error}}`;
}

/** Builds a result response. */
export function buildResultResponse(id: Id, result: unknown): string {
  return buildRawResultResponse(id, JSON.stringify(result));
}

/** Builds a result response from a JSON text, which stays unchanged. */
export function buildRawResultResponse(id: Id, resultText: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${resultText}}`;
}

/** Builds a response with a result, whose text may be known already. */
export function toResultResponse(
  id: Id,
  result: unknown,
  resultText: string = JSON.stringify(result),
): Response {
  const text = buildRawResultResponse(id, resultText);
  return { kind: "response", id, result, error: undefined, text };
}

/** Builds a request of the proxy itself. */
export function buildRequest<RequestedMethod extends RequestMethod>(
  id: Id,
  method: RequestedMethod,
  params?: Params<RequestedMethod>,
): string {
  const rest = JSON.stringify({ method, params }).slice(1);
  return `{"jsonrpc":"2.0","id":${id},${rest}`;
}

/** Builds a notification of the proxy itself. */
export function buildNotification<NotifiedMethod extends NotificationMethod>(
  method: NotifiedMethod,
  params?: Params<NotifiedMethod>,
): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}
