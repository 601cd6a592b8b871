/**
 * The log of a session. Its lines contain sizes, ids and methods, never a
 * message's body.
 *
 * @module
 */

import type { LogEffect, LogLevel } from "../events.ts";
import type { ConnectionCapacity } from "../link/capacity_detector.ts";
import type { Failure, LinkState } from "../link/link.ts";
import type {
  Id,
  InvalidMessage,
  Notification,
  Request,
} from "../protocol/jsonrpc.ts";
import { errorMessageOf } from "../text/error_message.ts";
import { sanitizeLine } from "../text/sanitize.ts";
import { formatSeconds, type LinkOutage } from "./errors.ts";

/** What is wrong with a client that frames its messages with headers. */
export const CONTENT_LENGTH_ADVICE: string =
  "the client frames its messages with Content-Length headers, but over " +
  "stdio each is one line without a header (MCP, basic/transports): set the " +
  "client to newline-delimited messages, or use one that speaks MCP over stdio";

/** When the next dial comes: in milliseconds, or not by the clock. */
export type NextDial = number | "drained" | "replaced";

/** What a reconnection has taken. */
export type Outage = Pick<LinkOutage, "attempt" | "downMs">;

/** Writes the lines of a session. */
export class SessionLog {
  /** The notifications dropped since the queue was last empty. */
  #droppedCount = 0;
  #loggedDroppedCount = 0;
  #lastDropped: Notification | undefined;

  /** Creates a log for the daemon at `url`, which is without secrets. */
  constructor(
    private readonly url: string,
    private readonly write: (entry: LogEffect) => void,
  ) {}

  /** The client sent a line that is too long to be read. */
  lineTooLong(bytes: number): void {
    const text = `Dropped a line of ${bytes} bytes from the client: it was ` +
      "too long to be read.";
    this.#log("warn", "overlong-line", text);
  }

  /** The client's first message has headers. */
  contentLengthHeaders(): void {
    const what = "What the client says is not passed on";
    this.#log("error", "framed-input", `${what}: ${CONTENT_LENGTH_ADVICE}.`);
  }

  /** One side sent something that is no message. */
  invalidMessage(
    side: "client" | "daemon",
    { id, reason }: InvalidMessage,
    size: number,
    level: LogLevel = "warn",
  ): void {
    const about = id === undefined ? "" : `, id ${truncate(id)}`;
    const text = `The ${side} sent what is no JSON-RPC message (${size} ` +
      `characters${about}): ${reason}.`;
    this.#log(level, `invalid-from-${side}`, text);
  }

  /** The client reused an id before its request was answered. */
  duplicateId({ id, method }: Request): void {
    const text = `Dropped a second request under id ${truncate(id)} ` +
      `(${truncate(method)}): the first one is not answered yet, and an ` +
      "error would answer that.";
    this.#log("warn", "duplicate-id", text);
  }

  /** A notification was dropped: the first and every power of ten is logged. */
  notificationDropped(notification: Notification): void {
    this.#droppedCount++;
    this.#lastDropped = notification;
    if (/^10*$/.test(`${this.#droppedCount}`)) this.#logDropped("so far");
  }

  /** No more are dropped: logs the total, if it was not logged yet. */
  endDroppedNotifications(): void {
    if (this.#droppedCount > this.#loggedDroppedCount) {
      this.#logDropped("in all");
    }
    this.#droppedCount = this.#loggedDroppedCount = 0;
  }

  #logDropped(scope: string): void {
    const count = this.#droppedCount;
    this.#loggedDroppedCount = count;
    const total = count === 1 ? "" : ` (${count} notifications ${scope})`;
    const text = `Dropped ${truncate(this.#lastDropped!.method)}: it was too ` +
      `large, the queue was full, or the daemon was away for too long.${total}`;
    this.#log("warn", "dropped-notification", text);
  }

  /** A notification is over the size limit. */
  notificationTooLarge({ method, text: { length } }: Notification): void {
    const text = `Dropped ${truncate(method)}: it has ${length} characters ` +
      "(--max-message).";
    this.#log("warn", "dropped-notification", text);
  }

  /** A message refers to nothing that is pending. */
  unexpectedMessage(side: "client" | "daemon", description: string): void {
    const text = `Dropped ${truncate(description)} from the ${side}: it ` +
      "belongs to nothing that is open.";
    this.#log("debug", `stray-from-${side}`, text);
  }

  /** The daemon sent an error without a request id. */
  errorWithoutId(errorText: string): void {
    const what = "The daemon sent an error without the id of a request";
    this.#log("warn", "unnamed-error", `${what}: ${errorText}`);
  }

  /** The daemon sent a result without a request id. */
  resultWithoutId(): void {
    const text = "Dropped a result without the id of a request from the " +
      "daemon: some bridges lose ids that are texts. Mend the bridge, or use " +
      "a client whose ids are numbers.";
    this.#log("warn", "unnamed-result", text);
  }

  /** The daemon sent a frame that is not text. */
  binaryFrameDropped(bytes: number, level: LogLevel): void {
    const text = `Dropped a binary frame of ${bytes} bytes from the daemon: ` +
      "it is not UTF-8.";
    this.#log(level, "binary-frame", text);
  }

  /** A connection opened; nothing has been sent on it. */
  opened(): void {
    this.#log("debug", "opened", `The WebSocket to ${this.url} is open.`);
  }

  /** The daemon became usable; `reconnect` is set if it was before. */
  connected(reconnect: Outage | undefined): void {
    const daemon = `to WebSocket daemon at ${this.url}`;
    if (reconnect === undefined) {
      return this.#log("info", "connected", `Successfully connected ${daemon}`);
    }
    const { attempt, downMs } = reconnect;
    const text = `Reconnected ${daemon} after ${attempt} attempt` +
      `${attempt === 1 ? "" : "s"} (down ${formatSeconds(downMs)})`;
    this.#log("info", "reconnected", text);
  }

  /** A ready connection was lost; to another client is no failure. */
  connectionLost(
    { reason, cause }: Failure,
    unansweredCount: number,
    next: NextDial,
    isDisplaced = false,
    level: LogLevel = "warn",
  ): void {
    const why = isDisplaced
      ? `${reason}; it seems that another client takes the connection`
      : reason;
    const unanswered = unansweredCount === 0
      ? ""
      : ` (requests whose outcome is unknown: ${unansweredCount})`;
    const text = `Lost the WebSocket daemon at ${this.url}: ${why}` +
      `${unanswered}${describeNextDial(next)}`;
    if (isDisplaced) this.#log(level, "displaced", text);
    else this.#log(level, "lost", text, { reason, cause });
  }

  /** A dial failed; without a delay before the next, the attempt goes on. */
  attemptFailed(
    attempt: number,
    { reason, cause }: Failure,
    retryAfterMs: number,
  ): void {
    const isFailed = retryAfterMs > 0;
    const next = retryAfterMs === Infinity
      ? "with the next request"
      : `in ${formatSeconds(retryAfterMs)}`;
    const level = isFailed && isAttemptLogged(attempt) ? "warn" : "debug";
    const text = `Attempt ${attempt} to connect to the WebSocket daemon at ` +
      `${this.url} failed: ${reason}. Next attempt ${next}.`;
    const failure = isFailed ? { reason, cause } : undefined;
    this.#log(level, "attempt-failed", text, failure);
  }

  /** A connection is silent, and a second one is opened. */
  connectionSuspected(): void {
    const text = `The connection to ${this.url} is silent: a second one is ` +
      "to show whether it is dead, or the daemon busy.";
    this.#log("debug", "suspected", text);
  }

  /** The standby failed without showing anything. */
  standbyFailed(reason: string): void {
    const text = `A second connection to ${this.url} shows nothing: ${reason}.`;
    this.#log("debug", "standby-failed", text);
  }

  /** It is decided how many connections the daemon keeps for a client. */
  capacityDetermined(capacity: ConnectionCapacity, isProven: boolean): void {
    const text = capacity === "many"
      ? `The daemon at ${this.url} keeps several connections for a client.`
      : isProven
      ? `The daemon at ${this.url} keeps one connection for a client.`
      : `Whether the daemon at ${this.url} keeps several connections for a ` +
        "client was not shown: it counts as keeping one.";
    this.#log("debug", "keeps", text);
  }

  /** The daemon keeps one connection: a second one made it close the first. */
  singleConnectionKept(): void {
    const text = `The daemon at ${this.url} keeps one connection for a ` +
      "client: the first one was lost when a second one was opened. No " +
      "further one is opened.";
    this.#log("info", "keeps-one", text);
  }

  /** A connection is silent, and the standby has taken over new messages. */
  failedOver(inFlightCount: number): void {
    const text = `The WebSocket daemon at ${this.url} is silent on a ` +
      `connection with requests in flight (${inFlightCount}), which may take ` +
      "their time; a second connection carries what comes now.";
    this.#log("info", "busy", text);
  }

  /** The program or the machine slept. */
  resumedAfterSleep(sleptMs: number): void {
    const text = `Awake after ${formatSeconds(sleptMs)}: nothing expires for ` +
      "that, and the connection is checked.";
    this.#log("info", "resumed", text);
  }

  /** A pool connection was added. */
  poolGrew(): void {
    const text = `Another connection to ${this.url} carries calls.`;
    this.#log("debug", "widened", text);
  }

  /** An unneeded connection was closed. */
  unneededConnectionClosed(): void {
    const text = `Closed a connection to ${this.url} that is no longer needed.`;
    this.#log("debug", "retired", text);
  }

  /** A pool connection was lost, or could not be made. */
  poolConnectionLost(
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
      `failed: ${reason}. Calls wait for it, or for one that is free.`;
    this.#log(level, "pool-attempt-failed", text);
  }

  /** The client's `initialize` was answered without the daemon. */
  initializedLocally(source: "cached" | "placeholder"): void {
    const text = source === "cached"
      ? `The client was told what is remembered of the daemon at ${this.url}.`
      : `The client was told that the daemon at ${this.url} is not up yet ` +
        "(--initialize-grace).";
    this.#log("info", "introduced", text);
  }

  /** A result was not cached because it contains a secret. */
  responseNotCached(method: string): void {
    const text = `The daemon's answer to ${truncate(method)} is not cached: ` +
      "a secret that was sent to it is in the answer.";
    this.#log("warn", "withheld", text);
  }

  /** A list of the daemon's differs from what the client has seen. */
  listChanged(list: string): void {
    const text = `The daemon's ${list} have changed; the client was told.`;
    this.#log("info", "list-changed", text);
  }

  /** The daemon does not read, and what is sent to it piles up. */
  connectionBacklogged(): void {
    const text = `The WebSocket daemon at ${this.url} reads too slowly, and ` +
      "64 MiB wait for it: what comes now waits here (--queue-limit).";
    this.#log("warn", "unread", text);
  }

  /** The daemon did not accept state that the client had set. */
  stateNotRestored(problem: string): void {
    this.#log("warn", "not-restored", `${problem}.`);
  }

  /** `--give-up-after` has passed without a connection. */
  gaveUp(ms: number): void {
    const text = `No link to the WebSocket daemon at ${this.url} for ` +
      `${formatSeconds(ms)} (--give-up-after): exiting.`;
    this.#log("error", "gave-up", text);
  }

  /** stdout is broken. */
  stdoutBroken(): void {
    this.#log("warn", "broken-stdout", "stdout is closed: the client is gone.");
  }

  /** The program itself has a bug. */
  bug(error: unknown): void {
    this.write(bugReport(error));
  }

  #log(level: LogLevel, event: string, text: string, failure?: Failure): void {
    const entry = createLogEffect(level, event, text);
    this.write(failure === undefined ? entry : { ...entry, failure });
  }
}

/** Creates the line for a bug of the program itself. */
export function bugReport(error: unknown): LogEffect {
  const what = errorMessageOf(error);
  const text = `A bug in alwaysup, please report it: ${what}. It goes on.`;
  return createLogEffect("error", "bug", text);
}

/** Creates a line of limited length, whatever a peer put into a reason. */
export function createLogEffect(
  level: LogLevel,
  event: string,
  text: string,
): LogEffect {
  return { type: "log", level, event, message: sanitizeLine(text, 1000) };
}

/** Describes a timeout, with its length if that was shortened. */
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

/** Peers choose ids and methods, which may have any length. */
function truncate(text: Id): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Returns whether an attempt is logged: the 1st, the 5th and every 10th. */
export function isAttemptLogged(attempt: number): boolean {
  return attempt === 1 || attempt === 5 || attempt % 10 === 0;
}
