/**
 * The errors that the client gets when the daemon cannot answer a request: what
 * could not be done, by which rule, and what to do next. Also the progress that
 * the client gets while its request waits.
 *
 * @module
 */

import { replaceValue } from "../json/spans.ts";
import type { ReadonlyEntry } from "../requests/entry.ts";
import type { Timeout } from "../requests/timeouts.ts";
import {
  buildErrorResponse,
  buildNotification,
  ErrorCode,
  type ErrorData,
  getMember,
  type Id,
  type Request,
} from "../protocol/jsonrpc.ts";

/** What is known of a request's delivery. */
export interface DeliveryState {
  /** The request. */
  readonly request: Request;
  /** Executing it twice has the same effect as executing it once. */
  readonly isIdempotent: boolean;
  /** It waits for the daemon's tool list to confirm that it is idempotent. */
  readonly isHintUnconfirmed: boolean;
  /** It was sent on the current or the last connection. */
  readonly isSent: boolean;
  /**
   * It was sent at some time, and no daemon has reported since that it did not
   * start it.
   */
  readonly wasEverSent: boolean;
  /** How many connections were lost while it was in flight. */
  readonly connectionLosses: number;
}

/** The part of a tracker entry that decides a request's delivery state. */
export type DeliveryHistory = Pick<
  ReadonlyEntry,
  | "sentOnConnectionId"
  | "writeCount"
  | "connectionLosses"
  | "isOutcomePoll"
  | "hintRequirement"
>;

/** The history of a request that has just arrived. */
export const JUST_ARRIVED: DeliveryHistory = {
  sentOnConnectionId: undefined,
  writeCount: 0,
  connectionLosses: 0,
  isOutcomePoll: false,
  hintRequirement: undefined,
};

/** What is known of a link that is down. */
export interface LinkOutage {
  /** The daemon's URL, without secrets. */
  readonly url: string;
  /** The daemon is connected, but does not read what is sent to it. */
  readonly isBacklogged: boolean;
  /** Why the last dial or connection ended. */
  readonly lastFailure: string | undefined;
  /** Why the daemon refuses the proxy. */
  readonly refusal: string | undefined;
  /** How many times the link was dialed since the daemon was last connected. */
  readonly attempt: number;
  /** Milliseconds since the daemon was last connected. */
  readonly downMs: number;
  /**
   * Milliseconds until the next dial; `undefined` while a dial is under way,
   * `Infinity` if the next request triggers it.
   */
  readonly retryAfterMs: number | undefined;
}

/** Formats milliseconds as seconds, e.g. `12.3 s`. */
export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/**
 * Formats a setting's milliseconds as seconds, with every digit that the user
 * wrote.
 */
function formatSetting(ms: number): string {
  return ms % 100 === 0 ? formatSeconds(ms) : `${ms / 1000} s`;
}

/** Builds the error for a request that no daemon is connected for. */
export function daemonUnavailable(
  delivery: DeliveryState,
  outage: LinkOutage,
): string {
  const { url, refusal, attempt, retryAfterMs } = outage;
  const cause = refusal ?? outage.lastFailure ?? "nothing is connected yet";
  const next = retryAfterMs === undefined
    ? "an attempt is under way"
    : retryAfterMs === Infinity
    ? "next attempt with the next request"
    : `next attempt in ${formatSeconds(retryAfterMs)}`;
  const attempts = `${attempt} attempt${attempt === 1 ? "" : "s"}`;
  const delivered = deliveredOf(delivery);
  const what = delivered === "no" ? "delivered" : "answered";
  const state = outage.isBacklogged
    ? "it does not read what is sent to it"
    : `${cause} (down for ${
      formatSeconds(outage.downMs)
    }, ${attempts}, ${next})`;
  const advice = refusal === undefined
    ? "Start the daemon, or wait, and try again."
    : "Trying again will not help before that is mended.";
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
): string {
  const cause = reason === "stopped"
    ? "the proxy was stopped"
    : "the connection to the daemon was lost";
  const advice = delivery.isIdempotent
    ? "It only reads, or sets what is set already."
    : "It may or may not have been executed, and was not sent again" +
      (delivery.isHintUnconfirmed
        ? ", because the new daemon's tools/list did not confirm that it may " +
          "be: "
        : ": ") +
      "check its effect before you repeat it.";
  const lossNote = delivery.connectionLosses > 1
    ? ` It was in flight on ${delivery.connectionLosses} lost connections and may be what ` +
      "ends the daemon."
    : "";
  return buildError(
    delivery,
    ErrorCode.outcomeUnknown,
    `Outcome unknown: ${cause} while ${
      describeRequest(delivery)
    } was being executed.` +
      `${lossNote} ${advice}`,
    {
      reason,
      delivered: "unknown",
      // A request that was in flight on two lost connections may be what ends
      // the daemon.
      retryable: delivery.isIdempotent && delivery.connectionLosses < 2,
    },
  );
}

/**
 * Builds the error for a request whose response was unreadable, or that an
 * error without an id can only refer to.
 */
export function responseUnreadable(
  delivery: DeliveryState,
  received: string,
  attempts: number,
): string {
  const advice = delivery.isIdempotent
    ? "It only reads, or sets what is set already: it may be tried again."
    : "It may or may not have been executed: check its effect before you " +
      "repeat it.";
  const what = attempts > 1 ? ", also when it was sent again" : "";
  return buildError(
    delivery,
    ErrorCode.outcomeUnknown,
    `Outcome unknown: the daemon did not answer ${
      describeRequest(delivery)
    } in a form ` +
      `that can be understood${what} (${received}). ${advice}`,
    {
      reason: "unreadable_answer",
      delivered: "unknown",
      retryable: delivery.isIdempotent,
    },
  );
}

/**
 * Builds the error for a request that was queued when the client ended the
 * session, and that waited for no fault of the daemon.
 */
export function stoppedBeforeSend(delivery: DeliveryState): string {
  const delivered = deliveredOf(delivery);
  const what = delivered === "no" ? "delivered" : "answered";
  return buildError(
    delivery,
    ErrorCode.unavailable,
    `The proxy was stopped while ${
      describeRequest(delivery)
    } waited for its turn: it ` +
      `was not ${what}.`,
    { reason: "stopped", delivered, retryable: isRetryable(delivery) },
  );
}

/**
 * Builds the error for a request that has timed out, with the last progress
 * that the daemon reported, if any.
 */
export function timedOut(
  delivery: DeliveryState,
  timeout: Timeout,
  waitedMs: number,
  lastProgress?: { readonly agoMs: number; readonly value: number | undefined },
): string {
  const delivered = deliveredOf(delivery);
  const value = lastProgress?.value === undefined
    ? ""
    : ` of ${lastProgress.value}`;
  const progressText = lastProgress === undefined
    ? "no progress was seen"
    : `last progress${value} ${formatSeconds(lastProgress.agoMs)} before`;
  return buildError(
    delivery,
    ErrorCode.timedOut,
    `${describeRequest(delivery)} timed out after ${formatSeconds(waitedMs)} ` +
      `(${timeout.setting} is ${
        formatSetting(timeout.ms)
      }; ${progressText}). ` +
      (delivered === "no"
        ? "It was not delivered."
        : "It may or may not have been executed."),
    { reason: "timeout", delivered, retryable: isRetryable(delivery) },
  );
}

/**
 * Builds the error for a request whose id may still get the response to an
 * earlier request.
 */
export function idAwaitsLateResponse(id: Id): string {
  return buildErrorResponse(
    id,
    ErrorCode.invalidRequest,
    `Invalid Request: a request under id ${id} was cancelled or has timed ` +
      "out, and its answer may still come. An id is used once in a session " +
      "(MCP, basic): send the request under another id",
  );
}

/** Builds the error for a request that the queue has no room for. */
export function queueFull(delivery: DeliveryState): string {
  return buildError(
    delivery,
    ErrorCode.overloaded,
    "Too much waits for the daemon already (--queue-limit, or 64 MiB): " +
      `${
        describeRequest(delivery)
      } was not accepted. Try again when the daemon is back.`,
    { reason: "overloaded", delivered: "no", retryable: true },
  );
}

/** Builds the error for a request or a response over `--max-message`. */
export function messageTooLarge(
  delivery: DeliveryState,
  size: number,
  limit: number,
): string {
  const [what, outcome] = delivery.isSent
    ? ["The daemon's answer", "was answered, and the answer dropped"]
    : ["The request", "was not sent"];
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    `${what} has ${size} characters, and --max-message is ${limit}: ` +
      `${describeRequest(delivery)} ${outcome}.`,
    {
      reason: "too_large",
      delivered: delivery.isSent ? "yes" : "no",
      retryable: false,
    },
  );
}

/**
 * Builds the error for a request whose size made the daemon close the
 * connection.
 */
export function requestTooLargeForDaemon(
  delivery: DeliveryState,
  size: number,
): string {
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    `The request has ${size} characters, which is too much for the daemon ` +
      `(close code 1009): ${describeRequest(delivery)} was not executed.`,
    { reason: "too_large", delivered: "no", retryable: false },
  );
}

/**
 * Builds the error for a response over the runtime's limit, which ended the
 * connection.
 */
export function responseTooLargeForSocket(delivery: DeliveryState): string {
  return buildError(
    delivery,
    ErrorCode.tooLarge,
    "The daemon's answer is larger than a WebSocket message may be here " +
      `(64 or 128 MiB), which ended the connection: ${
        describeRequest(delivery)
      } was answered, ` +
      "and the answer is lost. Ask for less at a time.",
    { reason: "too_large", delivered: "yes", retryable: false },
  );
}

/** Builds progress that reports what the client's request waits for. */
export function waitProgress(
  token: Id,
  progress: number,
  outage: LinkOutage,
): string {
  const { attempt, retryAfterMs } = outage;
  const next = retryAfterMs === Infinity
    ? "next with another request"
    : retryAfterMs === undefined || retryAfterMs === 0
    ? "under way"
    : `next in ${Math.ceil(retryAfterMs / 1000)} s`;
  const message = `Waiting for the daemon (attempt ${attempt}, ${next})`;
  return progressOf(token, progress, message);
}

/** Builds progress that reports that the request's connection is silent. */
export function silenceProgress(token: Id, progress: number): string {
  const message = "The daemon is silent: a second connection is to show " +
    "whether it is busy, or the connection dead";
  return progressOf(token, progress, message);
}

/**
 * Builds progress with the client's own spelling of the token, which may be
 * larger than a number can hold.
 */
function progressOf(token: Id, progress: number, message: string): string {
  const params = { progressToken: 0, progress, message };
  const text = buildNotification("notifications/progress", params);
  return replaceValue(text, ["params", "progressToken"], token);
}

/** Describes a request in a few words, without its arguments. */
function describeRequest(
  { request: { method, params } }: DeliveryState,
): string {
  const name = getMember(params, "name");
  if (method !== "tools/call" || typeof name !== "string") return method;
  return `${method} ${JSON.stringify(name.slice(0, 80))}`;
}

function deliveredOf(
  { isSent, wasEverSent, connectionLosses }: DeliveryState,
): "no" | "unknown" {
  return isSent || wasEverSent || connectionLosses > 0 ? "unknown" : "no";
}

/**
 * Returns whether a retry is safe: the request was not executed, or is
 * idempotent.
 */
function isRetryable(delivery: DeliveryState): boolean {
  return deliveredOf(delivery) === "no" || delivery.isIdempotent;
}

function buildError(
  { request }: DeliveryState,
  code: number,
  message: string,
  data: ErrorData,
): string {
  return buildErrorResponse(request.id, code, message, data);
}
