/**
 * What the client is told when a request cannot be answered by the daemon: what
 * could not be done, by which rule, and what to do next.
 *
 * @module
 */

import { Code, dig, failure, type FaultData, type Request } from "./jsonrpc.ts";

/** What is known of the line to the daemon. */
export interface Outage {
  /** Where the daemon should be, without secrets. */
  readonly url: string;
  /** Why the last dial or connection ended. */
  readonly lastFailure: string | undefined;
  /** Why the daemon will not have us. */
  readonly refusal: string | undefined;
  /** How many dials were made since the daemon was last there. */
  readonly attempt: number;
  /** Milliseconds since the daemon was last there. */
  readonly downMs: number;
  /** Milliseconds until the next dial; `undefined` while one is under way. */
  readonly retryAfterMs: number | undefined;
}

/** Milliseconds as people say them, e.g. `12.3 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** What a request was for, in few words and without its arguments. */
export function subject({ method, params }: Request): string {
  const name = dig(params, "name");
  if (method !== "tools/call" || typeof name !== "string") {
    return method;
  }
  return `${method} ${JSON.stringify(name.slice(0, 80))}`;
}

/**
 * No daemon is there to take it.
 *
 * @param losses how many connections it was lost on before
 */
export function unavailable(
  request: Request,
  outage: Outage,
  losses: number,
): string {
  const { url, refusal, attempt, retryAfterMs } = outage;
  const why = refusal ?? outage.lastFailure ?? "nothing is connected yet";
  const next = retryAfterMs === undefined
    ? "an attempt is under way"
    : `next attempt in ${seconds(retryAfterMs)}`;
  const advice = refusal === undefined
    ? "Start the daemon, or wait, and try again."
    : "Trying again will not help before that is mended.";
  return fault(
    request,
    Code.unavailable,
    `The daemon at ${url} is not available: ${why} (down for ` +
      `${seconds(outage.downMs)}, ${attempt} attempts, ${next}). ` +
      `${subject(request)} was not ${
        losses > 0 ? "answered" : "delivered"
      }. ${advice}`,
    {
      reason: refusal === undefined ? "unavailable" : "refused",
      delivered: losses > 0 ? "unknown" : "no",
      retryable: refusal === undefined,
      attempt,
      ...(retryAfterMs !== undefined && {
        retryAfterMs: Math.ceil(retryAfterMs),
      }),
    },
  );
}

/** The daemon got it, but no answer will come any more. */
export function outcomeUnknown(
  request: Request,
  reason: string,
  isRepeatable: boolean,
  losses: number,
): string {
  const advice = isRepeatable
    ? "It is safe to ask again."
    : "It may or may not have been executed, and was not sent again: check " +
      "its effect before you repeat it.";
  const poison = losses > 1
    ? ` It was in flight on ${losses} lost connections and may be what ends ` +
      "the daemon."
    : "";
  return fault(
    request,
    Code.outcomeUnknown,
    `Outcome unknown: ${reason} while ${subject(request)} was being ` +
      `executed.${poison} ${advice}`,
    {
      reason: "connection_lost",
      delivered: "unknown",
      retryable: isRepeatable,
    },
  );
}

/** A time limit has passed. */
export function timedOut(
  request: Request,
  limit: { readonly setting: string; readonly ms: number },
  waitedMs: number,
  wasSent: boolean,
): string {
  return fault(
    request,
    Code.timedOut,
    `${subject(request)} timed out after ${seconds(waitedMs)} ` +
      `(${limit.setting} is ${seconds(limit.ms)}). ` +
      (wasSent
        ? "The daemon was asked to cancel it; it may have been executed."
        : "It was not delivered."),
    {
      reason: "timeout",
      delivered: wasSent ? "yes" : "no",
      retryable: !wasSent,
    },
  );
}

/** The queue is full. */
export function overloaded(request: Request, waiting: number): string {
  return fault(
    request,
    Code.overloaded,
    `${waiting} messages wait for the daemon already (--queue-limit): ` +
      `${
        subject(request)
      } was not accepted. Try again when the daemon is back.`,
    { reason: "overloaded", delivered: "no", retryable: true },
  );
}

/** A message is over the limit. */
export function tooLarge(
  request: Request,
  size: number,
  limit: number,
  delivered: FaultData["delivered"],
): string {
  const what = delivered === "no" ? "The request" : "The daemon's answer";
  return fault(
    request,
    Code.tooLarge,
    `${what} has ${size} bytes, and --max-message is ${limit}: ` +
      `${subject(request)} ${
        delivered === "no" ? "was not sent." : "was executed."
      }`,
    { reason: "too_large", delivered, retryable: false },
  );
}

function fault(
  request: Request,
  code: number,
  message: string,
  data: FaultData,
): string {
  return failure(request.id, code, message, data);
}
