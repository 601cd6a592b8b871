/**
 * Builds the error responses for requests that the daemon cannot answer, and
 * progress notifications while requests wait. An error says what could not be
 * done, by which rule, and what to do next.
 *
 * @module
 */

import { replaceValue } from "../json/spans.ts";
import type { WaitNotice } from "../requests/request_state.ts";
import type { Timeout } from "../requests/timeouts.ts";
import {
  buildErrorResponse,
  buildNotification,
  ErrorCode,
  type ErrorData,
  type Id,
} from "../protocol/jsonrpc.ts";
import { cutWord, nameOf } from "../protocol/methods.ts";
import type { FailedRequest } from "../events.ts";
import type { DeliveryState } from "./delivery_rules.ts";

/** An error response to a request of the client. */
export interface RequestError {
  /** The text of the response. */
  readonly text: string;
  /** What failed, for the log and the figures. */
  readonly request: FailedRequest;
  /** True if the request was in flight when the error was built. */
  readonly wasInFlight: boolean;
}

/** The state of a link that is down, or that the daemon does not read. */
export interface LinkOutage {
  /** The daemon's URL, without secrets. */
  readonly url: string;
  /** True if the daemon is connected but does not read its input. */
  readonly isBacklogged: boolean;
  /** Why the last dial or connection ended; undefined if none has ended. */
  readonly lastFailure: string | undefined;
  /** Why the daemon refuses the proxy; undefined if it does not. */
  readonly refusal: string | undefined;
  /** The number of dials since the link was last ready. */
  readonly attempt: number;
  /** How long the link has been down, in milliseconds. */
  readonly downMs: number;
  /**
   * The time until the next dial, in milliseconds. `Infinity` if only a request
   * triggers the dial; undefined if none is scheduled, as during a dial.
   */
  readonly retryAfterMs: number | undefined;
}

/** Formats milliseconds as seconds, e.g. `12.3 s`. */
export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Formats a setting in milliseconds as seconds, without rounding it. */
function formatSetting(ms: number): string {
  return ms % 100 === 0 ? formatSeconds(ms) : `${ms / 1000} s`;
}

/** Builds the error for a request that no usable link can carry. */
export function daemonUnavailable(
  delivery: DeliveryState,
  outage: LinkOutage,
): RequestError {
  const { url, refusal, attempt, retryAfterMs } = outage;
  const { delivered } = delivery;
  const cause = refusal ?? outage.lastFailure ?? "nothing is connected yet";
  const next = retryAfterMs === undefined
    ? "an attempt is under way"
    : retryAfterMs === Infinity
    ? "next attempt with the next request"
    : `next attempt in ${formatSeconds(retryAfterMs)}`;
  const down = `down for ${formatSeconds(outage.downMs)}`;
  const attempts = `${attempt} attempt${attempt === 1 ? "" : "s"}`;
  const what = delivered === "no" ? "delivered" : "answered";
  const state = outage.isBacklogged
    ? "it does not read what is sent to it"
    : `${cause} (${down}, ${attempts}, ${next})`;
  const advice = refusal === undefined
    ? "Start the daemon, or wait, and try again."
    : "Trying again will not help until this is fixed.";
  return buildError(
    delivery,
    ErrorCode.unavailable,
    `The daemon at ${url} is not available: ${state}. ` +
      `${describeRequest(delivery)} was not ${what}. ${advice}`,
    {
      reason: refusal === undefined ? "unavailable" : "refused",
      delivered,
      retryable: refusal === undefined && isRetryable(delivery),
      attempt,
      ...(retryAfterMs !== undefined && retryAfterMs < Infinity && {
        retryAfterMs: Math.ceil(retryAfterMs),
      }),
    },
  );
}

/** Builds the error for a request that was sent but will get no response. */
export function outcomeUnknown(
  delivery: DeliveryState,
  reason: "connection_lost" | "stopped",
): RequestError {
  const cause = reason === "stopped"
    ? "the proxy was stopped"
    : "the connection to the daemon was lost";
  const advice = delivery.isIdempotent
    ? delivery.connectionLosses > 1
      ? "Repeating it changes nothing, but may crash the daemon again."
      : "It is safe to send again: repeating it changes nothing."
    : "It may or may not have been executed, and was not sent again" +
      (delivery.isHintUnconfirmed
        ? ", because the new daemon's tools/list did not confirm that this " +
          "is safe: "
        : ": ") +
      "check its effect before you repeat it.";
  const { connectionLosses: losses } = delivery;
  const lossNote = losses > 1
    ? ` It was in flight on ${losses} lost connections and may crash ` +
      "the daemon."
    : "";
  const request = describeRequest(delivery);
  return buildError(
    delivery,
    ErrorCode.outcomeUnknown,
    `Outcome unknown: ${cause} while ${request} was being executed.` +
      `${lossNote} ${advice}`,
    {
      reason,
      delivered: "unknown",
      retryable: delivery.isIdempotent && losses < 2,
    },
  );
}

/** Builds the error for a request whose response could not be read. */
export function responseUnreadable(
  delivery: DeliveryState,
  received: string,
  attempts: number,
): RequestError {
  const advice = delivery.isIdempotent
    ? "It is safe to try again: repeating it changes nothing."
    : "It may or may not have been executed: check its effect before you " +
      "repeat it.";
  const what = attempts > 1 ? ", even after it was sent again" : "";
  const { isIdempotent: retryable } = delivery;
  return buildError(
    delivery,
    ErrorCode.outcomeUnknown,
    `Outcome unknown: the daemon did not answer ${describeRequest(delivery)} ` +
      `with a message that alwaysup can read${what} (${received}). ${advice}`,
    { reason: "unreadable_answer", delivered: "unknown", retryable },
  );
}

/** Builds the error for a request that was queued when the proxy stopped. */
export function stoppedBeforeSend(delivery: DeliveryState): RequestError {
  const { delivered } = delivery;
  const what = delivered === "no" ? "delivered" : "answered";
  return buildError(
    delivery,
    ErrorCode.unavailable,
    `The proxy was stopped while ${describeRequest(delivery)} waited in the ` +
      `queue: it was not ${what}.`,
    { reason: "stopped", delivered, retryable: isRetryable(delivery) },
  );
}

/** Builds the error for a request that has timed out. */
export function timedOut(
  delivery: DeliveryState,
  timeout: Timeout,
  waitedMs: number,
  lastProgress?: { readonly agoMs: number; readonly value: number | undefined },
): RequestError {
  const { delivered } = delivery;
  const limit = `${timeout.setting} is ${formatSetting(timeout.ms)}`;
  const value = lastProgress?.value === undefined
    ? ""
    : ` (${lastProgress.value})`;
  const progressText = lastProgress === undefined
    ? "no progress was seen"
    : `last progress${value} ${formatSeconds(lastProgress.agoMs)} ago`;
  return buildError(
    delivery,
    ErrorCode.timedOut,
    `${describeRequest(delivery)} timed out after ${formatSeconds(waitedMs)} ` +
      `(${limit}; ${progressText}). ` +
      (delivered === "no"
        ? "It was not delivered."
        : "It may or may not have been executed."),
    { reason: "timeout", delivered, retryable: isRetryable(delivery) },
  );
}

/** Builds the error for an id whose earlier request may still be answered. */
export function idAwaitsLateResponse(id: Id): string {
  return buildErrorResponse(
    id,
    ErrorCode.invalidRequest,
    `Invalid Request: a request with id ${id} was cancelled or has timed ` +
      "out, and its response may still arrive. An id may be used only once in " +
      "a session (MCP, basic): send the request with another id",
  );
}

/** Builds the error for a request that does not fit into the queue. */
export function queueFull(delivery: DeliveryState): RequestError {
  return buildError(
    delivery,
    ErrorCode.overloaded,
    "The queue for the daemon is full (--queue-limit messages, or 64 MiB): " +
      `${describeRequest(delivery)} was not accepted. Try again when the ` +
      "daemon is back.",
    { reason: "overloaded", delivered: "no", retryable: true },
  );
}

/** Builds the error for a request or a response over `--max-message`. */
export function messageTooLarge(
  delivery: DeliveryState,
  size: number,
  limit: number,
): RequestError {
  const [what, outcome] = delivery.isSentOrPolled
    ? ["The daemon's answer", "was answered, but the answer was dropped"]
    : ["The request", "was not sent"];
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    `${what} has ${size} characters, and --max-message is ${limit}: ` +
      `${describeRequest(delivery)} ${outcome}.`,
    {
      reason: "too_large",
      delivered: delivery.isSentOrPolled ? "yes" : "no",
      retryable: false,
    },
  );
}

/** Builds the error for a request whose line was too long to be read. */
export function lineTooLong(id: Id, bytes: number): RequestError {
  const code = ErrorCode.tooLarge;
  const reason = "too_large";
  const text = buildErrorResponse(
    id,
    code,
    `The request has ${bytes} bytes, which is too much to read`,
    { reason, delivered: "no", retryable: false },
  );
  const request = { method: "unread request", code, reason } as const;
  return { text, request, wasInFlight: false };
}

/** Builds the error for a request that is too large for the daemon. */
export function requestTooLargeForDaemon(
  delivery: DeliveryState,
  size: number,
): RequestError {
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    `The request has ${size} characters, which is too much for the daemon ` +
      `(close code 1009): ${describeRequest(delivery)} was not executed.`,
    { reason: "too_large", delivered: "no", retryable: false },
  );
}

/** Builds the error for a response that is too large for the runtime. */
export function responseTooLargeForSocket(
  delivery: DeliveryState,
): RequestError {
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    "The daemon's answer exceeds this runtime's limit for a WebSocket message " +
      "(64 or 128 MiB), which ended the connection: " +
      `${describeRequest(delivery)} was answered, but the answer is lost. ` +
      "Request less data at a time.",
    { reason: "too_large", delivered: "yes", retryable: false },
  );
}

/** Builds a progress notification; no `outage` means that a link is silent. */
export function waitProgress(
  { progressToken, progress }: Omit<WaitNotice, "message">,
  outage?: LinkOutage,
): string {
  const { attempt, retryAfterMs } = outage ?? {};
  const next = retryAfterMs === Infinity
    ? "next when another request arrives"
    : retryAfterMs === undefined || retryAfterMs === 0
    ? "under way"
    : `next in ${Math.ceil(retryAfterMs / 1000)} s`;
  const message = outage === undefined
    ? "The daemon is silent. A second connection checks whether the daemon is " +
      "busy or the connection is dead"
    : `Waiting for the daemon (attempt ${attempt}, ${next})`;
  const params = { progressToken: 0, progress, message };
  const text = buildNotification("notifications/progress", params);
  // Insert the token as JSON text: a number could lose digits of a large token.
  return replaceValue(text, ["params", "progressToken"], progressToken);
}

/** Returns the method, and a called tool's name, without the arguments. */
function describeRequest({ request }: DeliveryState): string {
  const { method } = request;
  const name = method === "tools/call" ? nameOf(request) : undefined;
  return labelOf(method, name && cutWord(name));
}

/** Returns a method, and the name of its tool or prompt if it has one. */
export function labelOf(method: string, name: string | undefined): string {
  return name === undefined ? method : `${method} ${JSON.stringify(name)}`;
}

function isRetryable({ delivered, isIdempotent }: DeliveryState): boolean {
  return delivered === "no" || isIdempotent;
}

function buildError(
  { request, isInFlight }: DeliveryState,
  code: number,
  message: string,
  data: ErrorData,
): RequestError {
  const { id, method } = request;
  return {
    text: buildErrorResponse(id, code, message, data),
    request: { method, name: nameOf(request), code, reason: data.reason },
    wasInFlight: isInFlight,
  };
}
