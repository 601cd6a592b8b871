/**
 * Defines the types of JSON-RPC messages, and builds the proxy's own messages.
 * This folder parses messages, and defines MCP's methods, versions and lists.
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
 * A message id as a JSON text, which can be inserted into a response unchanged.
 * `0` and `"0"` are different ids. Only an invalid message has the id
 * `null`: MCP does not allow a request with that id.
 */
export type Id = string;

/** A notification, which expects no response. */
export interface Notification {
  /** Identifies the type of message. */
  readonly kind: "notification";
  /** The method, which may be one that MCP does not define. */
  readonly method: Method;
  /** The parameters, which may be something other than an object. */
  readonly params: unknown;
  /** The text to forward, without members that SDK peers reject. */
  readonly text: string;
}

/** A request, which expects a response. */
export interface Request extends Omit<Notification, "kind"> {
  /** Identifies the type of message. */
  readonly kind: "request";
  /** The id of the request, which the response repeats. */
  readonly id: Id;
}

/** A response: a result or an error. */
export interface Response {
  /** Identifies the type of message. */
  readonly kind: "response";
  /** The id of the request; `undefined` if the response names no request. */
  readonly id: Id | undefined;
  /** The result; `undefined` if there is an error. */
  readonly result: unknown;
  /** The error; `undefined` if there is a result. */
  readonly error: ErrorObject | undefined;
  /** The text to forward, without members that SDK peers reject. */
  readonly text: string;
}

/** A message that breaks a rule of JSON-RPC or MCP. */
export interface InvalidMessage {
  /** Identifies the type of message. */
  readonly kind: "invalid";
  /** The id of the message; `undefined` if there is no usable one. */
  readonly id: Id | undefined;
  /**
   * The kind that the sender intended. With `any`, a message from the client
   * counts as a request, and a message from the daemon as a response.
   */
  readonly intendedKind: "request-or-notification" | "response" | "any";
  /** The broken rule, for people, without a full stop. */
  readonly reason: string;
}

/** A request or a notification: a message that has a method. */
export type OutboundMessage = Request | Notification;

/** A JSON-RPC message of any kind, valid or invalid. */
export type Message = OutboundMessage | Response | InvalidMessage;

/** The `error` member of a response (JSON-RPC 2.0 section 5.1). */
export interface ErrorObject {
  /** The error code. */
  readonly code: number;
  /** The message for people: one sentence. */
  readonly message: string;
  /** Additional data. */
  readonly data?: unknown;
}

/**
 * The codes of the proxy's own errors. Codes that JSON-RPC does not define are
 * outside -32768 to -32000, because JSON-RPC 2.0 section 5.1 and the error
 * policy of MCP 2026-07-28 reserve that range.
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

/** Why the proxy itself answers a request with an error, in snake case. */
export const ERROR_REASONS = [
  "unavailable", // the daemon is not connected
  "refused", // the daemon refuses the proxy
  "connection_lost", // in flight, and the request may have been executed
  "timeout",
  "overloaded", // the queue is full
  "too_large",
  "unreadable_answer",
  "stopped", // the proxy ends
] as const;

/** Why the proxy itself answers a request with an error. */
export type ErrorReason = typeof ERROR_REASONS[number];

/** The `data` member of the proxy's own errors, for programs. */
export interface ErrorData {
  /** The kind of failure. */
  readonly reason: ErrorReason;
  /** Whether the daemon received the request. */
  readonly delivered: "no" | "unknown" | "yes";
  /** True if a retry is safe and may help. */
  readonly retryable: boolean;
  /** The number of dials since the link was last ready. */
  readonly attempt?: number;
  /** The time until the next dial, in ms; `undefined` if none is scheduled. */
  readonly retryAfterMs?: number;
}

const ID_PATH: readonly string[] = ["id"];

/**
 * Returns a parsed id as a JSON text; `undefined` if the id is not valid. The
 * digits of a large integer are taken from the message's text, at `path`.
 */
export function idOf(
  id: unknown,
  text: string,
  path: readonly string[] = ID_PATH,
): Id | undefined {
  if (typeof id === "string") return JSON.stringify(id);
  if (typeof id !== "number" || !Number.isFinite(id)) return undefined;
  if (Number.isSafeInteger(id)) return `${id}`;
  if (Number.isInteger(id)) {
    const span = findValue(text, path);
    const digits = span && text.slice(span.start, span.end);
    if (digits !== undefined && /^-?\d+$/.test(digits)) return digits;
  }
  return JSON.stringify(id);
}

/** The member names of messages (JSON-RPC 2.0 sections 4 and 5). */
export const MESSAGE_MEMBERS: readonly string[] = [
  "jsonrpc",
  "id",
  "method",
  "params",
  "result",
  "error",
];

/** Returns true if the method is that of a notification, which has no id. */
export function isNotificationMethod(method: Method): boolean {
  return method.startsWith("notifications/") || isInitializedMethod(method);
}

/** Returns true if a method ends the handshake, by its new or old name. */
export function isInitializedMethod(method: Method): boolean {
  return method === "notifications/initialized" || method === "initialized";
}

/** Returns true if a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns true if a value is neither `undefined` nor `null`. Many serializers
 * write `null` for an absent value.
 */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Returns the value at a path of names; `undefined` if a name is missing. */
export function getNested(value: unknown, ...path: readonly string[]): unknown {
  for (let i = 0; i < path.length; i++) {
    const name = path[i]!;
    if (!isRecord(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** {@linkcode getNested} for MCP's names: a misspelled name is a type error. */
export const getMember: (
  value: unknown,
  ...path: readonly MemberName[]
) => unknown = getNested;

/** Returns an id in `params`, such as `requestId` or `progressToken`. */
export function getNestedId(
  message: OutboundMessage,
  ...path: readonly MemberName[]
): Id | undefined {
  const value = getNested(message.params, ...path);
  return value === undefined
    ? undefined
    : idOf(value, message.text, ["params", ...path]);
}

/** Replaces the line breaks of a JSON text by spaces, which mean the same. */
export function toSingleLine(text: string): string {
  // `includes` takes a tenth of the time of a regular expression.
  const isSingle = !text.includes("\n") && !text.includes("\r");
  return isSingle ? text : text.replace(/[\r\n]+/g, " ").trim();
}

/** Builds the text of an error response. */
export function buildErrorResponse(
  id: Id,
  code: number,
  message: string,
  data?: ErrorData,
): string {
  const error = JSON.stringify({ code, message, data });
  return `{"jsonrpc":"2.0","id":${id},"error":${error}}`;
}

/** Builds the text of a response with a result. */
export function buildResultResponse(id: Id, result: unknown): string {
  return buildRawResultResponse(id, JSON.stringify(result));
}

/** Builds the text of a response from the JSON text of its result. */
export function buildRawResultResponse(id: Id, resultText: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${resultText}}`;
}

/** Creates a response with a result. `resultText` is the result's JSON text. */
export function toResultResponse(
  id: Id,
  result: unknown,
  resultText: string = JSON.stringify(result),
): Response {
  const text = buildRawResultResponse(id, resultText);
  return { kind: "response", id, result, error: undefined, text };
}

/** Builds the text of a request from the proxy itself. */
export function buildRequest<RequestedMethod extends RequestMethod>(
  id: Id,
  method: RequestedMethod,
  params?: Params<RequestedMethod>,
): string {
  const rest = JSON.stringify({ method, params }).slice(1);
  return `{"jsonrpc":"2.0","id":${id},${rest}`;
}

/** Builds the text of a notification from the proxy itself. */
export function buildNotification<NotifiedMethod extends NotificationMethod>(
  method: NotifiedMethod,
  params?: Params<NotifiedMethod>,
): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}
