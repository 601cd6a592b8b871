/**
 * What the client is told when a request cannot be answered by the daemon: what
 * could not be done, by which rule, and what to do next.
 *
 * @module
 */

import { replace } from "../json/spans.ts";
import type { Entry } from "../requests/entry.ts";
import type { Limit } from "../requests/timeouts.ts";
import {
  Code,
  dig,
  failure,
  type FaultData,
  type Id,
  notification,
  type Request,
} from "../protocol/jsonrpc.ts";

/** What became of a request, as far as the proxy knows. */
export interface Fate {
  /** The request. */
  readonly request: Request;
  /** It does no more when it is executed twice. */
  readonly isSafe: boolean;
  /** It waits for the daemon to confirm that it does no more when it is executed twice. */
  readonly isUnconfirmed: boolean;
  /** It was written to a connection that is there, or was there last. */
  readonly isSent: boolean;
  /** It was written at some time, and no daemon has said since that it did not begin with it. */
  readonly wasSent: boolean;
  /** How many connections it was lost on. */
  readonly losses: number;
}

/** What the ledger knows of a request that its fate depends on. */
export type History = Pick<
  Entry,
  "sentOn" | "writes" | "losses" | "isHeld" | "hint"
>;

/** That of a request that has only just come. */
export const NEW: History = {
  sentOn: undefined,
  writes: 0,
  losses: 0,
  isHeld: false,
  hint: undefined,
};

/** What is known of the line to the daemon. */
export interface Outage {
  /** Where the daemon should be, without secrets. */
  readonly url: string;
  /** It is there, but does not read what is sent to it. */
  readonly isUnread: boolean;
  /** Why the last dial or connection ended. */
  readonly lastFailure: string | undefined;
  /** Why the daemon will not have us. */
  readonly refusal: string | undefined;
  /** How many dials were made since the daemon was last there. */
  readonly attempt: number;
  /** Milliseconds since the daemon was last there. */
  readonly downMs: number;
  /** Milliseconds until the next dial; `undefined` while one is under way, infinite if it comes with the next request. */
  readonly retryAfterMs: number | undefined;
}

/** Milliseconds as people say them, e.g. `12.3 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The same of a setting, which people know as they have written it. */
function exactly(ms: number): string {
  return ms % 100 === 0 ? seconds(ms) : `${ms / 1000} s`;
}

/** No daemon is there to answer it. */
export function unavailable(fate: Fate, outage: Outage): string {
  const { url, refusal, attempt, retryAfterMs } = outage;
  const why = refusal ?? outage.lastFailure ?? "nothing is connected yet";
  const next = retryAfterMs === undefined
    ? "an attempt is under way"
    : retryAfterMs === Infinity
    ? "next attempt with the next request"
    : `next attempt in ${seconds(retryAfterMs)}`;
  const attempts = `${attempt} attempt${attempt === 1 ? "" : "s"}`;
  const delivered = deliveryOf(fate);
  const what = delivered === "no" ? "delivered" : "answered";
  const state = outage.isUnread
    ? "it does not read what is sent to it"
    : `${why} (down for ${seconds(outage.downMs)}, ${attempts}, ${next})`;
  const advice = refusal === undefined
    ? "Start the daemon, or wait, and try again."
    : "Trying again will not help before that is mended.";
  return fault(
    fate,
    Code.unavailable,
    `The daemon at ${url} is not available: ${state}. ` +
      `${subject(fate)} was not ${what}. ${advice}`,
    {
      reason: refusal === undefined ? "unavailable" : "refused",
      delivered,
      retryable: refusal === undefined && isRetryable(fate),
      attempt,
      ...(retryAfterMs !== undefined && retryAfterMs < Infinity && {
        retryAfterMs: Math.ceil(retryAfterMs),
      }),
    },
  );
}

/** It was written, but no answer will come any more. */
export function outcomeUnknown(
  fate: Fate,
  reason: "connection_lost" | "stopped",
): string {
  const why = reason === "stopped"
    ? "the proxy was stopped"
    : "the connection to the daemon was lost";
  const advice = fate.isSafe
    ? "It only reads, or sets what is set already."
    : "It may or may not have been executed, and was not sent again" +
      (fate.isUnconfirmed
        ? ", because the new daemon's tools/list did not confirm that it may " +
          "be: "
        : ": ") +
      "check its effect before you repeat it.";
  const poison = fate.losses > 1
    ? ` It was in flight on ${fate.losses} lost connections and may be what ` +
      "ends the daemon."
    : "";
  return fault(
    fate,
    Code.outcomeUnknown,
    `Outcome unknown: ${why} while ${subject(fate)} was being executed.` +
      `${poison} ${advice}`,
    {
      reason,
      delivered: "unknown",
      // What ended two connections is better left alone.
      retryable: fate.isSafe && fate.losses < 2,
    },
  );
}

/** Its answer could not be understood, or an error came that can be about nothing else. */
export function unreadable(fate: Fate, words: string, times: number): string {
  const advice = fate.isSafe
    ? "It only reads, or sets what is set already: it may be tried again."
    : "It may or may not have been executed: check its effect before you " +
      "repeat it.";
  const what = times > 1 ? ", also when it was sent again" : "";
  return fault(
    fate,
    Code.outcomeUnknown,
    `Outcome unknown: the daemon did not answer ${subject(fate)} in a form ` +
      `that can be understood${what} (${words}). ${advice}`,
    {
      reason: "unreadable_answer",
      delivered: "unknown",
      retryable: fate.isSafe,
    },
  );
}

/** The client ends the conversation before it was written, or written again, and the daemon is not to blame. */
export function unsent(fate: Fate): string {
  const delivered = deliveryOf(fate);
  const what = delivered === "no" ? "delivered" : "answered";
  return fault(
    fate,
    Code.unavailable,
    `The proxy was stopped while ${subject(fate)} waited for its turn: it ` +
      `was not ${what}.`,
    { reason: "stopped", delivered, retryable: isRetryable(fate) },
  );
}

/** A time limit has passed, and what the daemon has said of the request before, if anything. */
export function timedOut(
  fate: Fate,
  limit: Limit,
  waitedMs: number,
  said?: { readonly agoMs: number; readonly value: number | undefined },
): string {
  const delivered = deliveryOf(fate);
  const value = said?.value === undefined ? "" : ` of ${said.value}`;
  const progress = said === undefined
    ? "no progress was seen"
    : `last progress${value} ${seconds(said.agoMs)} before`;
  return fault(
    fate,
    Code.timedOut,
    `${subject(fate)} timed out after ${seconds(waitedMs)} ` +
      `(${limit.setting} is ${exactly(limit.ms)}; ${progress}). ` +
      (delivered === "no"
        ? "It was not delivered."
        : "It may or may not have been executed."),
    { reason: "timeout", delivered, retryable: isRetryable(fate) },
  );
}

/** The answer to another request may come under this id. */
export function lateId(id: Id): string {
  return failure(
    id,
    Code.invalidRequest,
    `Invalid Request: a request under id ${id} was cancelled or has timed ` +
      "out, and its answer may still come. An id is used once in a session " +
      "(MCP, basic): send the request under another id",
  );
}

/** The queue is full. */
export function overloaded(fate: Fate): string {
  return fault(
    fate,
    Code.overloaded,
    "Too much waits for the daemon already (--queue-limit, or 64 MiB): " +
      `${subject(fate)} was not accepted. Try again when the daemon is back.`,
    { reason: "overloaded", delivered: "no", retryable: true },
  );
}

/** The request, or its answer, is over the limit. */
export function tooLarge(fate: Fate, size: number, limit: number): string {
  const [what, outcome] = fate.isSent
    ? ["The daemon's answer", "was answered, and the answer dropped"]
    : ["The request", "was not sent"];
  return fault(
    fate,
    Code.tooLarge,
    `${what} has ${size} characters, and --max-message is ${limit}: ` +
      `${subject(fate)} ${outcome}.`,
    {
      reason: "too_large",
      delivered: fate.isSent ? "yes" : "no",
      retryable: false,
    },
  );
}

/** The daemon closed the connection over the size of the request. */
export function refusedSize(fate: Fate, size: number): string {
  return fault(
    fate,
    Code.tooLarge,
    `The request has ${size} characters, which is too much for the daemon ` +
      `(close code 1009): ${subject(fate)} was not executed.`,
    { reason: "too_large", delivered: "no", retryable: false },
  );
}

/** The answer is over what the runtime can receive, and the connection with it. */
export function oversizeAnswer(fate: Fate): string {
  return fault(
    fate,
    Code.tooLarge,
    "The daemon's answer is larger than a WebSocket message may be here " +
      `(64 or 128 MiB), which ended the connection: ${
        subject(fate)
      } was answered, ` +
      "and the answer is lost. Ask for less at a time.",
    { reason: "too_large", delivered: "yes", retryable: false },
  );
}

/** Progress that tells the client what its request waits for. */
export function waiting(token: Id, progress: number, outage: Outage): string {
  const { attempt, retryAfterMs } = outage;
  const next = retryAfterMs === Infinity
    ? "next with another request"
    : retryAfterMs === undefined || retryAfterMs === 0
    ? "under way"
    : `next in ${Math.ceil(retryAfterMs / 1000)} s`;
  const message = `Waiting for the daemon (attempt ${attempt}, ${next})`;
  return progressOf(token, progress, message);
}

/** Progress that tells the client that its request's connection is silent. */
export function suspected(token: Id, progress: number): string {
  const message = "The daemon is silent: a second connection is to show " +
    "whether it is busy, or the connection dead";
  return progressOf(token, progress, message);
}

/** Progress with the client's own spelling of the token, which can be larger than a number can say. */
function progressOf(token: Id, progress: number, message: string): string {
  const params = { progressToken: 0, progress, message };
  const text = notification("notifications/progress", params);
  return replace(text, ["params", "progressToken"], token);
}

/** What the request was for, in few words and without its arguments. */
function subject({ request: { method, params } }: Fate): string {
  const name = dig(params, "name");
  if (method !== "tools/call" || typeof name !== "string") return method;
  return `${method} ${JSON.stringify(name.slice(0, 80))}`;
}

function deliveryOf({ isSent, wasSent, losses }: Fate): "no" | "unknown" {
  return isSent || wasSent || losses > 0 ? "unknown" : "no";
}

/** What may have been executed is retried only if that is harmless. */
function isRetryable(fate: Fate): boolean {
  return deliveryOf(fate) === "no" || fate.isSafe;
}

function fault(
  { request }: Fate,
  code: number,
  message: string,
  data: FaultData,
): string {
  return failure(request.id, code, message, data);
}
