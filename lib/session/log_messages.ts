/**
 * The log messages. They contain sizes, ids and methods, never a message's
 * body.
 *
 * @module
 */

import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { LogEffect, LogLevel } from "../events.ts";
import { formatSeconds } from "./errors.ts";
import type { Failure, LinkState } from "../link/link.ts";
import type {
  Id,
  InvalidMessage,
  Notification,
  Request,
} from "../protocol/jsonrpc.ts";

/**
 * The greatest age of a health file that still shows that the daemon lives, in
 * milliseconds (the Python shim's threshold).
 */
export const HEALTH_FRESH_MS = 120_000;

/** The client sent a line that is too long to be read. */
export function lineTooLong(bytes: number): LogEffect {
  return createLogEffect(
    "warn",
    "overlong-line",
    `Dropped a line of ${bytes} bytes from the client: it was too long to be read.`,
  );
}

/**
 * Tells the user of a client that frames its messages with headers what is
 * wrong, by which rule, and what to do.
 */
export const CONTENT_LENGTH_ADVICE: string =
  "the client frames its messages with Content-Length headers, but over " +
  "stdio each is one line without a header (MCP, basic/transports): set the " +
  "client to newline-delimited messages, or use one that speaks MCP over stdio";

/** The client's first message has headers. */
export function contentLengthHeaders(): LogEffect {
  return createLogEffect(
    "error",
    "framed-input",
    `What the client says is not passed on: ${CONTENT_LENGTH_ADVICE}.`,
  );
}

/** One side sent something that is no message. */
export function invalidMessage(
  side: "client" | "daemon",
  { id, reason }: InvalidMessage,
  size: number,
  level: LogLevel = "warn",
): LogEffect {
  const about = id === undefined ? "" : `, id ${truncate(id)}`;
  return createLogEffect(
    level,
    `invalid-from-${side}`,
    `The ${side} sent what is no JSON-RPC message (${size} characters` +
      `${about}): ${reason}.`,
  );
}

/** The client reused an id before its request was answered. */
export function duplicateId({ id, method }: Request): LogEffect {
  return createLogEffect(
    "warn",
    "duplicate-id",
    `Dropped a second request under id ${truncate(id)} (${
      truncate(method)
    }): the ` +
      "first one is not answered yet, and an error would answer that.",
  );
}

/**
 * A notification was too large, found the queue full, or waited too long in it.
 */
export function notificationDropped({ method }: Notification): LogEffect {
  return createLogEffect(
    "warn",
    "dropped-notification",
    `Dropped ${
      truncate(method)
    }: it was too large, the queue was full, or the ` +
      "daemon was away for too long.",
  );
}

/** A notification is over the size limit. */
export function notificationTooLarge(
  { method, text }: Notification,
): LogEffect {
  return createLogEffect(
    "warn",
    "dropped-notification",
    `Dropped ${truncate(method)}: it has ${text.length} characters ` +
      "(--max-message).",
  );
}

/** A message refers to nothing that is pending. */
export function unexpectedMessage(
  side: "client" | "daemon",
  description: string,
): LogEffect {
  return createLogEffect(
    "debug",
    `stray-from-${side}`,
    `Dropped ${
      truncate(description)
    } from the ${side}: it belongs to nothing that is open.`,
  );
}

/** The daemon sent an error without a request id. */
export function errorWithoutId(errorText: string): LogEffect {
  return createLogEffect(
    "warn",
    "unnamed-error",
    `The daemon sent an error without the id of a request: ${errorText}`,
  );
}

/** The daemon sent a result without a request id. */
export function resultWithoutId(): LogEffect {
  return createLogEffect(
    "warn",
    "unnamed-result",
    "Dropped a result without the id of a request from the daemon: some " +
      "bridges lose ids that are texts. Mend the bridge, or use a client " +
      "whose ids are numbers.",
  );
}

/** The daemon sent a frame that is not text. */
export function binaryFrameDropped(bytes: number, level: LogLevel): LogEffect {
  return createLogEffect(
    level,
    "binary-frame",
    `Dropped a binary frame of ${bytes} bytes from the daemon: it is not UTF-8.`,
  );
}

/** A WebSocket opened; nothing has been sent on it. */
export function webSocketOpened(url: string): LogEffect {
  return createLogEffect("debug", "opened", `The WebSocket to ${url} is open.`);
}

/** A link became ready. */
export function connected(
  url: string,
  reconnect: { readonly attempt: number; readonly downMs: number } | undefined,
): LogEffect {
  if (reconnect === undefined) {
    return createLogEffect(
      "info",
      "connected",
      `Successfully connected to WebSocket daemon at ${url}`,
    );
  }
  const { attempt, downMs } = reconnect;
  return createLogEffect(
    "info",
    "reconnected",
    `Reconnected to WebSocket daemon at ${url} after ${attempt} ` +
      `attempt${attempt === 1 ? "" : "s"} (down ${formatSeconds(downMs)})`,
  );
}

/**
 * When the next dial comes: in this many milliseconds (`Infinity`: with the
 * next request), once the client has read (`drained`), or not at all because
 * another connection has taken over (`replaced`).
 */
export type NextDial = number | "drained" | "replaced";

/** A ready connection was lost. */
export function connectionLost(
  url: string,
  { reason, cause }: Failure,
  unansweredCount: number,
  next: NextDial,
): LogEffect {
  const unanswered = unansweredCount === 0
    ? ""
    : ` (requests whose outcome is unknown: ${unansweredCount})`;
  const line = createLogEffect(
    "warn",
    "lost",
    `Lost the WebSocket daemon at ${url}: ${reason}${unanswered}` +
      describeNextDial(next),
  );
  return { ...line, failure: { reason, cause } };
}

/** A connection was lost because another client repeatedly takes it. */
export function connectionDisplaced(
  url: string,
  reason: string,
  unansweredCount: number,
  next: NextDial,
): LogEffect {
  const fullReason =
    `${reason}; it seems that another client takes the connection`;
  const { failure: _, ...line } = connectionLost(
    url,
    { reason: fullReason },
    unansweredCount,
    next,
  );
  return { ...line, event: "displaced" };
}

function describeNextDial(next: NextDial): string {
  switch (next) {
    case Infinity:
      return ". Reconnecting with the next request.";
    case "drained":
      return ". Reconnecting when the client has read.";
    case "replaced":
      return ". Another connection takes over.";
    default:
      return `. Reconnecting in ${formatSeconds(next)}.`;
  }
}

/**
 * A dial did not lead to a ready link; with no delay before the next dial, the
 * attempt continues and has not failed yet.
 */
export function attemptFailed(
  url: string,
  level: LogLevel,
  attempt: number,
  { reason, cause }: Failure,
  retryAfterMs: number,
): LogEffect {
  const line = createLogEffect(
    level,
    "attempt-failed",
    `Attempt ${attempt} to connect to the WebSocket daemon at ${url} failed: ` +
      `${reason}. Next attempt ` +
      `${
        retryAfterMs === Infinity
          ? "with the next request"
          : `in ${formatSeconds(retryAfterMs)}`
      }.`,
  );
  return retryAfterMs > 0 ? { ...line, failure: { reason, cause } } : line;
}

/** A connection is silent, and a second one is opened. */
export function connectionSuspected(url: string): LogEffect {
  return createLogEffect(
    "debug",
    "suspected",
    `The connection to ${url} is silent: a second one is to show whether it ` +
      "is dead, or the daemon busy.",
  );
}

/** The standby failed without showing anything. */
export function standbyFailed(url: string, reason: string): LogEffect {
  return createLogEffect(
    "debug",
    "standby-failed",
    `A second connection to ${url} shows nothing: ${reason}.`,
  );
}

/** It is decided how many connections the daemon keeps for a client. */
export function capacityDetermined(
  url: string,
  capacity: ConnectionCapacity,
  isProven: boolean,
): LogEffect {
  return createLogEffect(
    "debug",
    "keeps",
    capacity === "many"
      ? `The daemon at ${url} keeps several connections for a client.`
      : isProven
      ? `The daemon at ${url} keeps one connection for a client.`
      : `Whether the daemon at ${url} keeps several connections for a client ` +
        "was not shown: it counts as keeping one.",
  );
}

/** The daemon keeps one connection: a second one made it close the first. */
export function singleConnectionKept(url: string): LogEffect {
  return createLogEffect(
    "info",
    "keeps-one",
    `The daemon at ${url} keeps one connection for a client: the first one ` +
      "was lost when a second one was opened. No further one is opened.",
  );
}

/** A connection is silent, and the standby has taken over new messages. */
export function failedOver(url: string, inFlightCount: number): LogEffect {
  return createLogEffect(
    "info",
    "busy",
    `The WebSocket daemon at ${url} is silent on a connection with requests ` +
      `in flight (${inFlightCount}), which may take their time; a second connection ` +
      "carries what comes now.",
  );
}

/** The program or the machine slept. */
export function resumedAfterSleep(suspendedMs: number): LogEffect {
  return createLogEffect(
    "info",
    "resumed",
    `Awake after ${
      formatSeconds(suspendedMs)
    }: nothing expires for that, and the ` +
      "connection is checked.",
  );
}

/** A pool connection was added. */
export function poolGrew(url: string): LogEffect {
  return createLogEffect(
    "debug",
    "widened",
    `Another connection to ${url} carries calls.`,
  );
}

/** An unneeded connection was closed. */
export function unneededConnectionClosed(url: string): LogEffect {
  return createLogEffect(
    "debug",
    "retired",
    `Closed a connection to ${url} that is no longer needed.`,
  );
}

/** A pool connection was lost, or could not be made. */
export function poolConnectionLost(
  url: string,
  phase: LinkState["phase"],
  attempt: number,
  reason: string,
): LogEffect {
  if (phase === "ready") {
    return createLogEffect(
      "info",
      "pool-lost",
      `Lost a connection to ${url} that carried calls: ${reason}.`,
    );
  }
  return createLogEffect(
    isAttemptLogged(attempt) ? "info" : "debug",
    "pool-attempt-failed",
    `Attempt ${attempt} to open a further connection to ${url} for calls ` +
      `failed: ${reason}. Calls wait for it, or for one that is free.`,
  );
}

/**
 * Describes the daemon's health file; `disconnectedForMs` says how long ago the
 * connection was lost, if there was one.
 */
export function healthFileState(
  path: string,
  found: "missing" | "unreadable" | { readonly ageMs: number },
  disconnectedForMs: number | undefined,
): LogEffect {
  if (typeof found === "string") {
    return createLogEffect(
      "info",
      "health-file",
      found === "missing"
        ? `The daemon's health file ${path} is missing: the daemon was never ` +
          "started there, or writes another one."
        : `The daemon's health file ${path} cannot be read as one.`,
    );
  }
  const age = formatSeconds(found.ageMs);
  const what = `The daemon's health file ${path}`;
  return createLogEffect(
    "info",
    "health-file",
    found.ageMs > HEALTH_FRESH_MS
      ? `${what} is stale (${age} old): the daemon is down, or busy with a ` +
        "call that blocks it."
      // The daemon writes it every ten seconds, and it stays behind when the
      // daemon ends.
      : disconnectedForMs !== undefined && found.ageMs >= disconnectedForMs
      ? `${what} is ${age} old, from before the connection was lost: it says ` +
        "nothing about now."
      : `${what} is fresh (${age} old): the daemon ran then. If it still ` +
        "does, check EXAI_WS_HOST and EXAI_WS_PORT.",
  );
}

/**
 * Describes a timeout by the phase of the link, with its length if it was
 * shorter than `--handshake-timeout`.
 */
export function timeoutReason(
  phase: LinkState["phase"],
  shortenedMs?: number,
): string {
  const limit = shortenedMs === undefined
    ? "--handshake-timeout"
    : `${formatSeconds(shortenedMs)}, while a request waits`;
  switch (phase) {
    case "ready":
      return "the daemon did not answer a ping in time (--ping-timeout)";
    case "handshaking":
      return `the daemon did not answer the first message in time (${limit})`;
    default:
      return `the WebSocket did not open in time (${limit})`;
  }
}

/** The client's `initialize` was answered without the daemon. */
export function initializedLocally(
  url: string,
  source: "cached" | "placeholder",
): LogEffect {
  return createLogEffect(
    "info",
    "introduced",
    source === "cached"
      ? `The client was told what is remembered of the daemon at ${url}.`
      : `The client was told that the daemon at ${url} is not up yet ` +
        "(--initialize-grace).",
  );
}

/** The status file for `alwaysup status` could not be written. */
export function statusFileFailed(
  reason: string,
  level: "warn" | "debug",
): LogEffect {
  return createLogEffect(
    level,
    "unseen",
    `No file for \`alwaysup status\`: ${reason} (--status off does without).`,
  );
}

/** The cache file could not be read or written. */
export function cacheUnusable(path: string, reason: string): LogEffect {
  return createLogEffect(
    "warn",
    "cache",
    `The cache ${path} is not used: ${reason} (--cache off switches it off).`,
  );
}

/** A result was not cached because it contains a secret. */
export function responseNotCached(method: string): LogEffect {
  return createLogEffect(
    "warn",
    "withheld",
    `The daemon's answer to ${
      truncate(method)
    } is not cached: a secret that was ` +
      "sent to it is in the answer.",
  );
}

/** The daemon's results could not be saved to the cache file. */
export function cacheWriteFailed(path: string, reason: string): LogEffect {
  return createLogEffect(
    "warn",
    "cache",
    `What the daemon says of itself is not kept in ${path}: ${reason} (--cache ` +
      "off switches the cache off).",
  );
}

/** A list of the daemon's differs from what the client has seen. */
export function listChanged(list: string): LogEffect {
  return createLogEffect(
    "info",
    "list-changed",
    `The daemon's ${list} have changed; the client was told.`,
  );
}

/** The daemon does not read, and what is sent to it piles up. */
export function connectionBacklogged(url: string): LogEffect {
  return createLogEffect(
    "warn",
    "unread",
    `The WebSocket daemon at ${url} reads too slowly, and 64 MiB wait for it: ` +
      "what comes now waits here (--queue-limit).",
  );
}

/** The daemon did not accept state that the client had set. */
export function stateNotRestored(problem: string): LogEffect {
  return createLogEffect("warn", "not-restored", `${problem}.`);
}

/** `--give-up-after` has passed without a connection. */
export function gaveUp(url: string, ms: number): LogEffect {
  return createLogEffect(
    "error",
    "gave-up",
    `No link to the WebSocket daemon at ${url} for ${formatSeconds(ms)} ` +
      "(--give-up-after): exiting.",
  );
}

/** stdout is broken. */
export function stdoutBroken(): LogEffect {
  return createLogEffect(
    "warn",
    "broken-stdout",
    "stdout is closed: the client is gone.",
  );
}

/** The program itself has a bug. */
export function bug(error: unknown): LogEffect {
  const what = errorMessageOf(error);
  return createLogEffect(
    "error",
    "bug",
    `A bug in alwaysup, please report it: ${what}. It goes on.`,
  );
}

/**
 * Sanitizes the text: a log line is one line of limited length, whatever a peer
 * put into a reason.
 */
function createLogEffect(
  level: LogLevel,
  event: string,
  text: string,
): LogEffect {
  return { type: "log", level, event, message: sanitizeLine(text, 1000) };
}

/**
 * Truncates ids and methods: peers choose them, and they may have any length.
 */
function truncate(text: Id): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Returns whether an attempt is logged: the 1st, the 5th and every 10th. */
export function isAttemptLogged(attempt: number): boolean {
  return attempt === 1 || attempt === 5 || attempt % 10 === 0;
}
