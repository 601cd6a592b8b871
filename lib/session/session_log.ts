/**
 * Creates the log lines of a session. They contain sizes, ids and methods, but
 * never the body of a message.
 *
 * @module
 */

import type {
  CircuitState,
  LogEffect,
  LogEventName,
  LogFact,
  LogLevel,
  LossCause,
} from "../events.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { DisconnectCause, Failure, LinkState } from "../link/link.ts";
import type {
  InvalidMessage,
  Notification,
  Request,
} from "../protocol/jsonrpc.ts";
import type { Redactor } from "../config/secrets.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { cutWord, nameOf } from "../protocol/methods.ts";
import {
  formatSeconds,
  labelOf,
  type LinkOutage,
  type RequestError,
} from "./errors.ts";

/** The problem of a client that sends `Content-Length` headers, and advice. */
export const CONTENT_LENGTH_ADVICE: string =
  "the client frames its messages with Content-Length headers, but over " +
  "stdio each is one line without a header (MCP, basic/transports): set the " +
  "client to newline-delimited messages, or use one that speaks MCP over stdio";

/**
 * The delay until the next dial in ms; `Infinity`: until the next request;
 * `drained`: until the client has read; `replaced`: another link takes over.
 */
export type NextDial = number | "drained" | "replaced";

/** How many dials a reconnection needed, and its downtime in ms. */
export type ReconnectInfo = Pick<LinkOutage, "attempt" | "downMs">;

/** Creates the log lines of a session, one method per kind of line. */
export class SessionLog {
  /** The number of notifications dropped since the queue was last empty. */
  #droppedCount = 0;
  #loggedDroppedCount = 0;
  #lastDropped: Notification | undefined;

  /** Creates a log for the daemon at `url`, which must not contain secrets. */
  constructor(
    private readonly url: string,
    private readonly write: (entry: LogEffect) => void,
    /** Removes secrets from the words that a peer has chosen. */
    private readonly redact: Redactor,
  ) {}

  /** Logs that a line from the client was too long, with its size in bytes. */
  lineTooLong(bytes: number): void {
    const text = `Dropped a line of ${bytes} bytes from the client: it was ` +
      "too long to be read.";
    this.#log("warn", "overlong-line", text);
  }

  /** Logs that the client sends `Content-Length` headers. */
  contentLengthHeaders(): void {
    const what = "The client's messages are not forwarded";
    this.#log("error", "framed-input", `${what}: ${CONTENT_LENGTH_ADVICE}.`);
  }

  /** Logs an invalid message, with its size in UTF-16 units. */
  invalidMessage(
    side: "client" | "daemon",
    { id, reason }: InvalidMessage,
    size: number,
    level: LogLevel = "warn",
  ): void {
    const about = id === undefined ? "" : `, id ${this.#word(id)}`;
    const text = `The ${side} sent an invalid JSON-RPC message (${size} ` +
      `characters${about}): ${reason}.`;
    this.#log(level, `invalid-from-${side}`, text);
  }

  /** Logs that the client reused the id of an unanswered request. */
  duplicateId({ id, method }: Request): void {
    const text = `Dropped a second request with id ${this.#word(id)} ` +
      `(${
        this.#word(method)
      }): the first request has no response yet, and an ` +
      "error would look like its response. Use each id only once.";
    this.#log("warn", "duplicate-id", text);
  }

  /** Logs the 1st, 10th, 100th ... dropped notification, and counts all. */
  notificationDropped(notification: Notification): void {
    this.#droppedCount++;
    this.#lastDropped = notification;
    if (/^10*$/.test(`${this.#droppedCount}`)) this.#logDropped("so far");
  }

  /** Logs the total of dropped notifications, if it is new, and resets it. */
  logDroppedTotal(): void {
    if (this.#droppedCount > this.#loggedDroppedCount) {
      this.#logDropped("in total");
    }
    this.#droppedCount = this.#loggedDroppedCount = 0;
  }

  #logDropped(scope: string): void {
    const count = this.#droppedCount;
    this.#loggedDroppedCount = count;
    const total = count === 1 ? "" : `; ${count} notifications ${scope}`;
    const text =
      `Dropped ${this.#word(this.#lastDropped!.method)}: it was too ` +
      "large, the queue was full, or there was no connection for too long " +
      `(--max-message, --queue-limit, --queue-timeout)${total}.`;
    this.#log("warn", "dropped-notification", text);
  }

  /** Logs that a notification from the daemon was over the size limit. */
  notificationTooLarge({ method, text: { length } }: Notification): void {
    const text =
      `Dropped ${this.#word(method)}: it has ${length} characters, ` +
      "more than --max-message allows.";
    this.#log("warn", "dropped-notification", text);
  }

  /** Logs that a message was dropped because it refers to nothing pending. */
  unexpectedMessage(side: "client" | "daemon", description: string): void {
    const text = `Dropped ${this.#word(description)} from the ${side}: it ` +
      "refers to nothing that is pending.";
    this.#log("debug", `stray-from-${side}`, text);
  }

  /** Logs an error from the daemon that has no request id. */
  errorWithoutId(errorText: string): void {
    const what = "The daemon sent an error without the id of a request";
    this.#log("warn", "unnamed-error", `${what}: ${errorText}`);
  }

  /** Logs that a result without a request id was dropped. */
  resultWithoutId(): void {
    const text = "Dropped a result without the id of a request from the " +
      "daemon: some bridges lose ids that are strings. Fix the bridge, or use " +
      "a client whose ids are numbers.";
    this.#log("warn", "unnamed-result", text);
  }

  /** Logs that a request ended with an error of the proxy. */
  requestFailed(
    { request, wasInFlight }: Omit<RequestError, "text">,
  ): void {
    const { code, reason } = request;
    const method = this.#word(request.method);
    const name = request.name && this.#word(request.name);
    const text = `${labelOf(method, name)} ended with the error ` +
      `${code} (${reason}).`;
    // At the exit, nobody can act on the lines of many requests.
    const level = reason === "stopped" ? "debug" : "info";
    this.#log(level, "request-failed", text, {
      ...{ type: "request-failed", wasInFlight },
      request: { method, name, code, reason },
    });
  }

  /** Logs that a request is sent again, on another connection. */
  requestRepeated(request: Request): void {
    const method = this.#word(request.method);
    const toolName = nameOf(request);
    const name = toolName && this.#word(toolName);
    const text = `${labelOf(method, name)} was sent again, because its ` +
      "connection was lost.";
    const fact = { type: "request-repeated", method, name } as const;
    this.#log("info", "request-repeated", text, fact);
  }

  /**
   * Logs the state of the circuit breaker. `cause` says why the circuit is
   * tripped, if it has just been.
   */
  circuitChanged(
    state: CircuitState,
    cause:
      | { readonly kind: "refused" }
      | { readonly kind: "long-outage"; readonly queueMs: number }
      | undefined,
  ): void {
    const why = cause?.kind === "refused"
      ? ": the daemon refuses the connection. A request gets an error at " +
        "once, or waits for one attempt"
      : cause?.kind === "long-outage"
      ? ": the daemon has been away for long (--queue-timeout). A request " +
        `gets an attempt at once, and waits for ${
          formatSeconds(cause.queueMs)
        } at most`
      : "";
    const text = `The circuit breaker is ${state}${why}.`;
    // Between its opening and its closing, each request changes it twice.
    const level = cause !== undefined || state === "closed" ? "info" : "debug";
    this.#log(level, "circuit", text, { type: "circuit", state });
  }

  /** Logs that a binary frame that is not UTF-8 was dropped. */
  binaryFrameDropped(bytes: number, level: LogLevel): void {
    const text = `Dropped a binary frame of ${bytes} bytes from the daemon: ` +
      "it is not UTF-8.";
    this.#log(level, "binary-frame", text);
  }

  /** Logs that a WebSocket opened, before anything is sent on it. */
  opened(): void {
    this.#log("debug", "opened", `The WebSocket to ${this.url} is open.`);
  }

  /** Logs a connection. */
  connected(
    which: "first" | "again",
    { attempt, downMs }: ReconnectInfo,
  ): void {
    const daemon = `to WebSocket daemon at ${this.url}`;
    const fact = { type: "connected", attempts: attempt, downMs } as const;
    if (which === "first") {
      const text = `Successfully connected ${daemon}`;
      return this.#log("info", "connected", text, fact);
    }
    const text = `Reconnected ${daemon} after ${attempt} attempt` +
      `${attempt === 1 ? "" : "s"} (down ${formatSeconds(downMs)})`;
    this.#log("info", "reconnected", text, fact);
  }

  /**
   * Logs the loss of the main connection, which was ready for `readyMs`, and
   * then silent for `silentMs`.
   */
  connectionLost(
    cause: DisconnectCause,
    failedCount: number,
    { readyMs, silentMs = 0 }: { readyMs: number; silentMs?: number },
    next: NextDial,
    isDisplaced = false,
  ): void {
    const { reason } = cause;
    const level = cause.isSelfCaused ? "info" : "warn";
    const why = isDisplaced
      ? `${reason}; it seems that another client takes the connection`
      : reason;
    const unanswered = failedCount === 0
      ? ""
      : ` (requests whose outcome is unknown: ${failedCount})`;
    const text = `Lost the WebSocket daemon at ${this.url}: ${why}` +
      `${unanswered}${describeNextDial(next)}`;
    this.#log(level, isDisplaced ? "displaced" : "lost", text, {
      type: "lost",
      cause: isDisplaced ? "displaced" : lossCauseOf(cause),
      failure: { reason, cause: cause.cause },
      failedRequests: failedCount,
      readyMs,
      silentMs,
    });
  }

  /**
   * Logs that a dial failed. If `retryAfterMs` is 0, the attempt continues with
   * another dial, so the line has no fact, and its level is `debug`.
   */
  attemptFailed(
    attempt: number,
    { reason, cause }: Failure,
    { retryAfterMs, downMs }: { retryAfterMs: number; downMs: number },
  ): void {
    const isFailed = retryAfterMs > 0;
    const next = retryAfterMs === Infinity
      ? "with the next request"
      : `in ${formatSeconds(retryAfterMs)}`;
    const level = isFailed && isAttemptLogged(attempt) ? "warn" : "debug";
    const text = `Attempt ${attempt} to connect to the WebSocket daemon at ` +
      `${this.url} failed: ${reason}. Next attempt ${next}.`;
    const failure = { reason, cause };
    const fact = { type: "attempt-failed", attempt, failure, downMs } as const;
    this.#log(level, "attempt-failed", text, isFailed ? fact : undefined);
  }

  /** Logs that the main connection is silent, and a second one is opened. */
  connectionSuspected(): void {
    const text =
      `The connection to ${this.url} is silent: a second connection will ` +
      "show whether it is dead or the daemon is busy.";
    this.#log("debug", "suspected", text);
  }

  /** Logs that the standby ended before it showed that the daemon is alive. */
  standbyFailed(reason: string): void {
    const text =
      `The second connection to ${this.url} ended without a result: ${reason}.`;
    this.#log("debug", "standby-failed", text);
  }

  /** Logs the result of the capacity check. */
  capacityDetermined(capacity: ConnectionCapacity, isProven: boolean): void {
    const text = capacity === "many"
      ? `The daemon at ${this.url} keeps several connections for a client.`
      : isProven
      ? `The daemon at ${this.url} keeps only one connection for a client.`
      : `It is unknown whether the daemon at ${this.url} keeps several connections for ` +
        "a client: the proxy assumes that it keeps one.";
    this.#log("debug", "capacity-determined", text);
  }

  /** Logs that a second connection made the daemon close the first one. */
  singleConnectionKept(): void {
    const text = `The daemon at ${this.url} keeps one connection for a ` +
      "client: the first one was lost when a second one was opened. The " +
      "proxy opens no second one from now on.";
    this.#log("info", "keeps-one", text);
  }

  /** Logs that the standby has replaced a connection that may be busy. */
  failedOver(inFlightCount: number): void {
    const text = `The WebSocket daemon at ${this.url} is silent on a ` +
      `connection with requests in flight (${inFlightCount}), which may still ` +
      "be running; new messages use a second connection.";
    this.#log("info", "busy", text);
  }

  /** Logs that the program or the machine slept, for `sleptMs` in total. */
  resumedAfterSleep(sleptMs: number, monotonicGapMs: number): void {
    const text =
      `Resumed after a sleep of ${
        formatSeconds(sleptMs)
      }: the sleep does not count ` +
      "towards timeouts, and the connection is checked.";
    this.#log("info", "resumed", text, { type: "resumed", monotonicGapMs });
  }

  /** Logs that a pool connection is ready. */
  poolConnectionReady(): void {
    const text = `Opened another connection to ${this.url} for calls.`;
    this.#log("debug", "pool-connected", text);
  }

  /** Logs that the proxy closed a connection that it no longer needs. */
  unneededConnectionClosed(): void {
    const text = `Closed a connection to ${this.url} that is no longer needed.`;
    this.#log("debug", "retired", text);
  }

  /** Logs that a pool or draining connection ended, or that its dial failed. */
  extraConnectionLost(
    phase: LinkState["phase"],
    attempt: number,
    reason: string,
  ): void {
    const what = `connection to ${this.url}`;
    if (phase === "ready") {
      const text = `Lost a ${what} that carried calls: ${reason}.`;
      return this.#log("info", "pool-lost", text);
    }
    const level = isAttemptLogged(attempt) ? "info" : "debug";
    const text = `Attempt ${attempt} to open a further ${what} for calls ` +
      `failed: ${reason}. Calls wait until a connection is free.`;
    this.#log(level, "pool-attempt-failed", text);
  }

  /** Logs that the client's `initialize` was answered without the daemon. */
  initializedLocally(source: "cached" | "placeholder"): void {
    const text = source === "cached"
      ? `The client's initialize was answered from the cache, without the daemon at ${this.url}.`
      : `The client's initialize got a placeholder: the daemon at ${this.url} is not up yet ` +
        "(--initialize-grace).";
    this.#log("info", "initialized-locally", text);
  }

  /** Logs that a result was not cached because it contains a secret. */
  responseNotCached(method: string): void {
    const text =
      `The daemon's answer to ${this.#word(method)} is not cached: ` +
      "it contains a secret that was sent to the daemon.";
    this.#log("warn", "withheld", text);
  }

  /** Logs that one of the daemon's lists has changed. */
  listChanged(list: string): void {
    const text = `The daemon's ${list} have changed; the client was notified.`;
    this.#log("info", "list-changed", text);
  }

  /** Logs that the daemon reads too slowly, so messages are queued instead. */
  connectionBacklogged(): void {
    const text = `The WebSocket daemon at ${this.url} reads too slowly, and ` +
      "64 MiB wait for it: new messages are queued (--queue-limit).";
    this.#log("warn", "unread", text);
  }

  /** Logs that a part of the client's session could not be restored. */
  stateNotRestored(problem: string): void {
    this.#log("warn", "not-restored", `${problem}.`);
  }

  /** Logs that the proxy exits after `ms` (`--give-up-after`) of outage. */
  gaveUp(ms: number): void {
    const text = `No connection to the WebSocket daemon at ${this.url} for ` +
      `${formatSeconds(ms)} (--give-up-after): exiting.`;
    this.#log("error", "gave-up", text);
  }

  /** Logs that stdout is closed. */
  stdoutBroken(): void {
    this.#log("warn", "broken-stdout", "stdout is closed: the client is gone.");
  }

  /** Logs an exception that is a bug of the proxy. */
  bug(error: unknown): void {
    this.write(bugReport(error));
  }

  /** Returns a word that a peer has chosen, without secrets, and short. */
  #word(word: string): string {
    return cutWord(this.redact(word));
  }

  #log(
    level: LogLevel,
    event: LogEventName,
    text: string,
    fact?: LogFact,
  ): void {
    const entry = createLogEffect(level, event, text);
    this.write(fact === undefined ? entry : { ...entry, fact });
  }
}

/** Creates the log line for an exception that is a bug of the proxy. */
export function bugReport(error: unknown): LogEffect {
  const what = errorMessageOf(error);
  const text =
    `A bug in alwaysup, please report it: ${what}. The proxy continues.`;
  return createLogEffect("error", "bug", text);
}

/** Creates a log line without control characters, cut at 1000 characters. */
export function createLogEffect(
  level: LogLevel,
  event: LogEventName,
  text: string,
): LogEffect {
  return { type: "log", level, event, message: sanitizeLine(text, 1000) };
}

/** Describes a phase's timeout; `shortenedMs` is its length if shortened. */
export function timeoutReason(
  phase: LinkState["phase"],
  shortenedMs?: number,
): string {
  const limit = shortenedMs === undefined
    ? "--handshake-timeout"
    : `the limit is ${formatSeconds(shortenedMs)} because a request waits`;
  switch (phase) {
    case "ready":
      return "the daemon did not answer a ping in time (--ping-timeout)";
    case "handshaking":
      return `the daemon did not answer the first message in time (${limit})`;
    default:
      return `the WebSocket did not open in time (${limit})`;
  }
}

function describeNextDial(next: NextDial): string {
  switch (next) {
    case Infinity:
      return ". Reconnecting with the next request.";
    case "drained":
      return ". Reconnecting when the client has read its output.";
    case "replaced":
      return ". Another connection takes over.";
    default:
      return `. Reconnecting in ${formatSeconds(next)}.`;
  }
}

/** Returns the cause as one of a few words. */
function lossCauseOf(cause: DisconnectCause): LossCause {
  if (cause.isStdoutFull) return "stdout-full";
  if (cause.isSelfCaused) return "second-connection";
  if (cause.tooLarge !== undefined) return "too-large";
  if (cause.isRefused) return "refused";
  switch (cause.closeCode) {
    case undefined:
      return "timeout";
    // Without a close frame (RFC 6455 section 7.1.5).
    case 0:
    case 1006:
      return "aborted";
    default:
      return "closed";
  }
}

/** Returns whether an attempt is logged above `debug`: 1st, 5th, every 10th. */
export function isAttemptLogged(attempt: number): boolean {
  return attempt === 1 || attempt === 5 || attempt % 10 === 0;
}
