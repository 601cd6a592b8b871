/**
 * What the log says: sizes, ids and methods, never a message's body.
 *
 * @module
 */

import { messageOf } from "../text/error_message.ts";
import { tame } from "../text/sanitize.ts";
import type { Keeps } from "../link/capacity.ts";
import type { Level, LogEffect } from "../events.ts";
import { seconds } from "./errors.ts";
import type { Failure, LinkState } from "../link/link.ts";
import type {
  Id,
  Invalid,
  Notification,
  Request,
} from "../protocol/jsonrpc.ts";

/** The oldest health file that still says that its daemon lives (the Python shim's threshold). */
export const HEALTH_FRESH_MS = 120_000;

/** A line from the client was over the limit of what can be read at all. */
export function overlongLine(bytes: number): LogEffect {
  return log(
    "warn",
    "overlong-line",
    `Dropped a line of ${bytes} bytes from the client: it was too long to be read.`,
  );
}

/** What is wrong with a client that frames its messages with headers, by which rule, and what to do. */
export const FRAMED: string =
  "the client frames its messages with Content-Length headers, but over " +
  "stdio each is one line without a header (MCP, basic/transports): set the " +
  "client to newline-delimited messages, or use one that speaks MCP over stdio";

/** The client's first message has headers. */
export function framing(): LogEffect {
  return log(
    "error",
    "framed-input",
    `What the client says is not passed on: ${FRAMED}.`,
  );
}

/** Something that is no message came from one side. */
export function invalid(
  side: "client" | "daemon",
  { id, reason }: Invalid,
  size: number,
  level: Level = "warn",
): LogEffect {
  const about = id === undefined ? "" : `, id ${short(id)}`;
  return log(
    level,
    `invalid-from-${side}`,
    `The ${side} sent what is no JSON-RPC message (${size} characters` +
      `${about}): ${reason}.`,
  );
}

/** The client used an id again before it was answered. */
export function duplicate({ id, method }: Request): LogEffect {
  return log(
    "warn",
    "duplicate-id",
    `Dropped a second request under id ${short(id)} (${short(method)}): the ` +
      "first one is not answered yet, and an error would answer that.",
  );
}

/** A notification was too large, found the queue full, or waited too long in it. */
export function droppedNotification({ method }: Notification): LogEffect {
  return log(
    "warn",
    "dropped-notification",
    `Dropped ${short(method)}: it was too large, the queue was full, or the ` +
      "daemon was away for too long.",
  );
}

/** A notification is over the limit. */
export function tooLarge({ method, text }: Notification): LogEffect {
  return log(
    "warn",
    "dropped-notification",
    `Dropped ${short(method)}: it has ${text.length} characters ` +
      "(--max-message).",
  );
}

/** A message belongs to nothing that is open. */
export function stray(side: "client" | "daemon", what: string): LogEffect {
  return log(
    "debug",
    `stray-from-${side}`,
    `Dropped ${
      short(what)
    } from the ${side}: it belongs to nothing that is open.`,
  );
}

/** An error came that does not say which request it answers. */
export function unnamedError(words: string): LogEffect {
  return log(
    "warn",
    "unnamed-error",
    `The daemon sent an error without the id of a request: ${words}`,
  );
}

/** A result came that does not say which request it answers. */
export function unnamedResult(): LogEffect {
  return log(
    "warn",
    "unnamed-result",
    "Dropped a result without the id of a request from the daemon: some " +
      "bridges lose ids that are texts. Mend the bridge, or use a client " +
      "whose ids are numbers.",
  );
}

/** A frame that is not text came. */
export function binaryFrame(bytes: number, level: Level): LogEffect {
  return log(
    level,
    "binary-frame",
    `Dropped a binary frame of ${bytes} bytes from the daemon: it is not UTF-8.`,
  );
}

/** A WebSocket opened; nothing has been said on it. */
export function opened(url: string): LogEffect {
  return log("debug", "opened", `The WebSocket to ${url} is open.`);
}

/** A link became ready. */
export function connected(
  url: string,
  again: { readonly attempt: number; readonly downMs: number } | undefined,
): LogEffect {
  if (again === undefined) {
    return log(
      "info",
      "connected",
      `Successfully connected to WebSocket daemon at ${url}`,
    );
  }
  const { attempt, downMs } = again;
  return log(
    "info",
    "reconnected",
    `Reconnected to WebSocket daemon at ${url} after ${attempt} ` +
      `attempt${attempt === 1 ? "" : "s"} (down ${seconds(downMs)})`,
  );
}

/** When the next dial comes: in so many milliseconds, which are infinite if it comes with the next request, or when the client has read; or another connection has taken over. */
export type NextDial = number | "drained" | "replaced";

/** A link that was ready is lost. */
export function lost(
  url: string,
  { reason, cause }: Failure,
  owed: number,
  next: NextDial,
): LogEffect {
  const unanswered = owed === 0
    ? ""
    : ` (requests whose outcome is unknown: ${owed})`;
  const line = log(
    "warn",
    "lost",
    `Lost the WebSocket daemon at ${url}: ${reason}${unanswered}` +
      nextInWords(next),
  );
  return { ...line, failure: { reason, cause } };
}

/** The same, again and again, from a daemon that is there. */
export function displaced(
  url: string,
  reason: string,
  owed: number,
  next: NextDial,
): LogEffect {
  const why = `${reason}; it seems that another client takes the connection`;
  const { failure: _, ...line } = lost(url, { reason: why }, owed, next);
  return { ...line, event: "displaced" };
}

function nextInWords(next: NextDial): string {
  switch (next) {
    case Infinity:
      return ". Reconnecting with the next request.";
    case "drained":
      return ". Reconnecting when the client has read.";
    case "replaced":
      return ". Another connection takes over.";
    default:
      return `. Reconnecting in ${seconds(next)}.`;
  }
}

/** A dial did not lead to a link that is ready; without a pause it is made again, and has not failed yet. */
export function failed(
  url: string,
  level: Level,
  attempt: number,
  { reason, cause }: Failure,
  waitMs: number,
): LogEffect {
  const line = log(
    level,
    "attempt-failed",
    `Attempt ${attempt} to connect to the WebSocket daemon at ${url} failed: ` +
      `${reason}. Next attempt ` +
      `${
        waitMs === Infinity ? "with the next request" : `in ${seconds(waitMs)}`
      }.`,
  );
  return waitMs > 0 ? { ...line, failure: { reason, cause } } : line;
}

/** A connection is silent, and a second one is opened. */
export function suspected(url: string): LogEffect {
  return log(
    "debug",
    "suspected",
    `The connection to ${url} is silent: a second one is to show whether it ` +
      "is dead, or the daemon busy.",
  );
}

/** The second connection shows nothing. */
export function standbyFailed(url: string, reason: string): LogEffect {
  return log(
    "debug",
    "standby-failed",
    `A second connection to ${url} shows nothing: ${reason}.`,
  );
}

/** How many connections the daemon keeps for a client. */
export function keeps(
  url: string,
  keeps: Keeps,
  isShown: boolean,
): LogEffect {
  return log(
    "debug",
    "keeps",
    keeps === "many"
      ? `The daemon at ${url} keeps several connections for a client.`
      : isShown
      ? `The daemon at ${url} keeps one connection for a client.`
      : `Whether the daemon at ${url} keeps several connections for a client ` +
        "was not shown: it counts as keeping one.",
  );
}

/** The daemon keeps one connection: the first one was lost because of a second one. */
export function keepsOne(url: string): LogEffect {
  return log(
    "info",
    "keeps-one",
    `The daemon at ${url} keeps one connection for a client: the first one ` +
      "was lost when a second one was opened. No further one is opened.",
  );
}

/** A connection is silent, and another one has taken over what comes. */
export function busy(url: string, owed: number): LogEffect {
  return log(
    "info",
    "busy",
    `The WebSocket daemon at ${url} is silent on a connection with requests ` +
      `in flight (${owed}), which may take their time; a second connection ` +
      "carries what comes now.",
  );
}

/** The program, or the machine, slept. */
export function resumed(ms: number): LogEffect {
  return log(
    "info",
    "resumed",
    `Awake after ${seconds(ms)}: nothing expires for that, and the ` +
      "connection is checked.",
  );
}

/** A connection for calls was added. */
export function widened(url: string): LogEffect {
  return log("debug", "widened", `Another connection to ${url} carries calls.`);
}

/** A connection for calls was closed. */
export function retired(url: string): LogEffect {
  return log(
    "debug",
    "retired",
    `Closed a connection to ${url} that is no longer needed.`,
  );
}

/** A connection for calls is lost, or could not be made. */
export function poolLost(
  url: string,
  phase: LinkState["phase"],
  attempt: number,
  reason: string,
): LogEffect {
  if (phase === "ready") {
    return log(
      "info",
      "pool-lost",
      `Lost a connection to ${url} that carried calls: ${reason}.`,
    );
  }
  return log(
    isLogged(attempt) ? "info" : "debug",
    "pool-attempt-failed",
    `Attempt ${attempt} to open a further connection to ${url} for calls ` +
      `failed: ${reason}. Calls wait for it, or for one that is free.`,
  );
}

/** What the daemon's health file says; the daemon was lost so many milliseconds ago, if it was there. */
export function healthFile(
  path: string,
  found: "missing" | "unreadable" | { readonly ageMs: number },
  lostMs: number | undefined,
): LogEffect {
  if (typeof found === "string") {
    return log(
      "info",
      "health-file",
      found === "missing"
        ? `The daemon's health file ${path} is missing: the daemon was never ` +
          "started there, or writes another one."
        : `The daemon's health file ${path} cannot be read as one.`,
    );
  }
  const age = seconds(found.ageMs);
  const what = `The daemon's health file ${path}`;
  return log(
    "info",
    "health-file",
    found.ageMs > HEALTH_FRESH_MS
      ? `${what} is stale (${age} old): the daemon is down, or busy with a ` +
        "call that blocks it."
      // The daemon writes it every ten seconds, and its last words outlive it.
      : lostMs !== undefined && found.ageMs >= lostMs
      ? `${what} is ${age} old, from before the connection was lost: it says ` +
        "nothing about now."
      : `${what} is fresh (${age} old): the daemon ran then. If it still ` +
        "does, check EXAI_WS_HOST and EXAI_WS_PORT.",
  );
}

/** What was waited for in vain, by the phase of the link that is given up, and how long, if that was not the whole `--handshake-timeout`. */
export function silence(phase: LinkState["phase"], ms?: number): string {
  const rule = ms === undefined
    ? "--handshake-timeout"
    : `${seconds(ms)}, while a request waits`;
  switch (phase) {
    case "ready":
      return "the daemon did not answer a ping in time (--ping-timeout)";
    case "greeting":
      return `the daemon did not answer the first message in time (${rule})`;
    default:
      return `the WebSocket did not open in time (${rule})`;
  }
}

/** The client was told who the daemon is without it. */
export function introduced(
  url: string,
  source: "remembered" | "made up",
): LogEffect {
  return log(
    "info",
    "introduced",
    source === "remembered"
      ? `The client was told what is remembered of the daemon at ${url}.`
      : `The client was told that the daemon at ${url} is not up yet ` +
        "(--initialize-grace).",
  );
}

/** `alwaysup status` will not know of us. */
export function unseen(why: string, level: "warn" | "debug"): LogEffect {
  return log(
    level,
    "unseen",
    `No file for \`alwaysup status\`: ${why} (--status off does without).`,
  );
}

/** What is remembered of the daemon cannot be read or kept. */
export function memoryLost(path: string, why: string): LogEffect {
  return log(
    "warn",
    "cache",
    `The cache ${path} is not used: ${why} (--cache off switches it off).`,
  );
}

/** What the daemon says of itself has a secret in it. */
export function withheld(method: string): LogEffect {
  return log(
    "warn",
    "withheld",
    `The daemon's answer to ${
      short(method)
    } is not cached: a secret that was ` +
      "sent to it is in the answer.",
  );
}

/** What was learned of the daemon is not kept for the next time. */
export function notKept(path: string, why: string): LogEffect {
  return log(
    "warn",
    "cache",
    `What the daemon says of itself is not kept in ${path}: ${why} (--cache ` +
      "off switches the cache off).",
  );
}

/** A list of the daemon's is not what the client was told. */
export function changed(list: string): LogEffect {
  return log(
    "info",
    "list-changed",
    `The daemon's ${list} have changed; the client was told.`,
  );
}

/** What is written to the daemon only piles up. */
export function unread(url: string): LogEffect {
  return log(
    "warn",
    "unread",
    `The WebSocket daemon at ${url} reads too slowly, and 64 MiB wait for it: ` +
      "what comes now waits here (--queue-limit).",
  );
}

/** The daemon did not take back what the client had set. */
export function notRestored(trouble: string): LogEffect {
  return log("warn", "not-restored", `${trouble}.`);
}

/** The time without a daemon that the user allows has passed. */
export function gaveUp(url: string, ms: number): LogEffect {
  return log(
    "error",
    "gave-up",
    `No link to the WebSocket daemon at ${url} for ${seconds(ms)} ` +
      "(--give-up-after): exiting.",
  );
}

/** stdout is broken. */
export function brokenStdout(): LogEffect {
  return log("warn", "broken-stdout", "stdout is closed: the client is gone.");
}

/** The program itself is wrong. */
export function bug(error: unknown): LogEffect {
  const what = messageOf(error);
  return log(
    "error",
    "bug",
    `A bug in alwaysup, please report it: ${what}. It goes on.`,
  );
}

/** A log line is one line and has an end, whatever a peer put into a reason. */
function log(level: Level, event: string, text: string): LogEffect {
  return { type: "log", level, event, message: tame(text, 1000) };
}

/** Ids and methods are the peer's to choose, and may be of any length. */
function short(text: Id): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Whether the retry log speaks of this attempt: the 1st, the 5th and every 10th. */
export function isLogged(attempt: number): boolean {
  return attempt === 1 || attempt === 5 || attempt % 10 === 0;
}
