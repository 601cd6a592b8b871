/**
 * The tracker's record of one message, and its deadlines.
 *
 * @module
 */

import type { Timeouts } from "./timeouts.ts";
import {
  getNestedId,
  type Id,
  type OutboundMessage,
  type Request,
} from "../protocol/jsonrpc.ts";

/**
 * The settings that limit how long messages wait; durations in milliseconds,
 * `Infinity` for no limit.
 */
export interface TrackerConfig {
  /**
   * How long a request may wait while no link is ready, summed over all
   * outages.
   */
  readonly queueTimeout: number;
  /** How many messages may be queued. */
  readonly queueLimit: number;
  /** Whether a client that asked for progress gets wait notices. */
  readonly waitProgress: "on" | "off";
}

/** A request without a response yet, or a queued notification. */
export type ReadonlyEntry<
  M extends OutboundMessage = OutboundMessage,
> = Readonly<PendingEntry<M>>;

/** A request without a response yet. */
export type PendingRequest = ReadonlyEntry<Request>;

/** Why the tracker closed the entry of a request. */
export type ExpiryReason =
  | "queue-timeout"
  | "hint-timeout"
  | "total-timeout"
  | "daemon-timeout"
  | "idle-timeout";

/**
 * A hint that the daemon must confirm each time before the request is written
 * again.
 */
export interface HintRequirement {
  /**
   * The connection on which the tool list was requested; `undefined` if it was
   * not.
   */
  readonly connectionId: number | undefined;
  /** The deadline of that request; `Infinity` if there is none. */
  readonly until: number;
  /** The total time left, without the running request, in milliseconds. */
  readonly remainingMs: number;
}

/** How long daemons may take in total to list their tools, in milliseconds. */
const HINT_TIMEOUT_MS = 5_000;

/** The tracker's record of one message. */
export interface PendingEntry<M extends OutboundMessage> {
  /** The message. */
  readonly message: M;
  /**
   * The id; a notification has a key that is not JSON, so that it equals no id.
   */
  readonly key: string;
  /** Its position in the order of arrival. */
  readonly arrivalNumber: number;
  /** When it arrived; a later sleep moves it. */
  arrivedAt: number;
  /** The progress token from the client. */
  readonly progressToken: Id | undefined;
  /** The connection it was written to; `undefined` while it is queued. */
  sentOnConnectionId: number | undefined;
  /**
   * It is the handshake request of that connection, which is not ready before
   * the response.
   */
  isHandshake: boolean;
  /** Its timeouts. */
  readonly timeouts: Timeouts;
  /** When it was last written. */
  sentAt: number;
  /** Its position in the order of writes on that connection. */
  writeNumber: number;
  /** How often it was written since a daemon last had no room for it. */
  writeCount: number;
  /** How many connections were lost while it was in flight. */
  connectionLosses: number;
  /**
   * It is queued only to ask the daemon for its outcome, not to be executed.
   */
  isOutcomePoll: boolean;
  /**
   * It may be written again only if the daemon's tool list confirms the hint of
   * its tool; `undefined` if no hint is needed.
   */
  hintRequirement: HintRequirement | undefined;
  /** A tool list was requested, and has not brought anything new yet. */
  isAwaitingToolList: boolean;
  /** The earliest time at which it may be written again, if not now. */
  notBefore: number | undefined;
  /**
   * The last progress value sent to the client (MCP: it must increase with each
   * notification).
   */
  clientProgress: number;
  /** When the daemon last reported progress, and the value if it gave one. */
  daemonProgress:
    | { readonly at: number; readonly value: number | undefined }
    | undefined;
  /** When the client gets the next wait notice. */
  waitNoticeAt: number;
  /** How many wait notices the client got. */
  waitNoticeCount: number;
  /**
   * How much longer it may wait for a link, in milliseconds, before subtracting
   * the current wait.
   */
  queueTimeLeftMs: number;
  /** Since when it waits for a ready link; `undefined` while it does not. */
  waitingSince: number | undefined;
  /** The deadline for the whole request. */
  totalDeadline: number;
  /**
   * The deadline that the daemon itself sets, if nothing else limits the
   * request.
   */
  daemonDeadline: number;
  /** The length of that timeout when the daemon announced it. */
  daemonTimeoutMs: number | undefined;
  /** Since when the daemon has had no room for it. */
  daemonFullSince: number | undefined;
  /** The deadline for the next sign of activity from the daemon. */
  idleDeadline: number;
}

/**
 * Creates the entry of a message that has just arrived and may wait for a link
 * for `queueTimeoutMs` in total.
 */
export function createEntry<M extends OutboundMessage>(
  message: M,
  key: string,
  arrivalNumber: number,
  timeouts: Timeouts,
  now: number,
  queueTimeoutMs: number,
): PendingEntry<M> {
  return {
    message,
    key,
    arrivalNumber,
    arrivedAt: now,
    progressToken: message.kind === "request"
      ? getNestedId(message, "_meta", "progressToken")
      : undefined,
    timeouts,
    sentAt: now,
    writeNumber: 0,
    sentOnConnectionId: undefined,
    isHandshake: false,
    writeCount: 0,
    connectionLosses: 0,
    isOutcomePoll: false,
    hintRequirement: undefined,
    isAwaitingToolList: false,
    notBefore: undefined,
    clientProgress: -Infinity,
    daemonProgress: undefined,
    waitNoticeAt: Infinity,
    waitNoticeCount: 0,
    queueTimeLeftMs: queueTimeoutMs,
    waitingSince: undefined,
    totalDeadline: now + (timeouts.total?.ms ?? Infinity),
    daemonDeadline: Infinity,
    daemonTimeoutMs: undefined,
    daemonFullSince: undefined,
    idleDeadline: Infinity,
  };
}

/** Postpones all moments of an entry. */
export function postponeEntry(
  entry: PendingEntry<OutboundMessage>,
  ms: number,
): void {
  entry.arrivedAt += ms;
  if (entry.daemonProgress !== undefined) {
    entry.daemonProgress = {
      ...entry.daemonProgress,
      at: entry.daemonProgress.at + ms,
    };
  }
  if (entry.waitingSince !== undefined) entry.waitingSince += ms;
  entry.totalDeadline += ms;
  entry.daemonDeadline += ms;
  entry.idleDeadline += ms;
  entry.waitNoticeAt += ms;
  if (entry.hintRequirement !== undefined) {
    entry.hintRequirement = {
      ...entry.hintRequirement,
      until: entry.hintRequirement.until + ms,
    };
  }
  if (entry.notBefore !== undefined) entry.notBefore += ms;
  if (entry.daemonFullSince !== undefined) entry.daemonFullSince += ms;
}

/** Whether an entry is to be written when a link is ready. */
export function isQueued(entry: ReadonlyEntry): boolean {
  return entry.sentOnConnectionId === undefined || entry.isHandshake;
}

/**
 * Starts the queue timer, unless it runs: the time in the queue is the sum of
 * all waits.
 */
export function startQueueTimer(
  entry: PendingEntry<OutboundMessage>,
  now: number,
): void {
  entry.waitingSince ??= now;
}

/** Stops the queue timer. */
export function stopQueueTimer(
  entry: PendingEntry<OutboundMessage>,
  now: number,
): void {
  if (entry.waitingSince === undefined) return;
  entry.queueTimeLeftMs -= now - entry.waitingSince;
  entry.waitingSince = undefined;
}

/**
 * Requires that a daemon confirms the tool's hint before the request is written
 * again; no tool list is requested yet.
 */
export function requireHint(
  entry: PendingEntry<OutboundMessage>,
  now: number,
): void {
  const { until, remainingMs } = entry.hintRequirement ??
    { until: Infinity, remainingMs: HINT_TIMEOUT_MS };
  const isRequested = until < Infinity;
  entry.hintRequirement = {
    connectionId: undefined,
    until: Infinity,
    remainingMs: isRequested ? Math.max(0, until - now) : remainingMs,
  };
}

/** Records that the tool list was requested on a connection. */
export function startHintTimer(
  entry: PendingEntry<OutboundMessage>,
  connectionId: number,
  now: number,
): void {
  requireHint(entry, now);
  const { remainingMs } = entry.hintRequirement!;
  entry.hintRequirement = {
    connectionId,
    until: now + remainingMs,
    remainingMs,
  };
}

/** When the entry will have waited too long for a link. */
function queueDeadlineOf(
  { waitingSince, queueTimeLeftMs }: ReadonlyEntry,
): number {
  return waitingSince === undefined ? Infinity : waitingSince + queueTimeLeftMs;
}

/** The earliest time at which the entry expires or may be written. */
export function nextDeadlineOf(entry: ReadonlyEntry): number {
  return Math.min(
    entry.totalDeadline,
    entry.daemonDeadline,
    entry.notBefore ?? Infinity,
    entry.hintRequirement?.until ?? Infinity,
    isQueued(entry) ? queueDeadlineOf(entry) : entry.idleDeadline,
    entry.sentOnConnectionId === undefined ? entry.waitNoticeAt : Infinity,
  );
}

/** Why the entry has expired, if it has. */
export function expiryReasonOf(
  entry: ReadonlyEntry,
  now: number,
): ExpiryReason | undefined {
  if (now >= entry.totalDeadline) return "total-timeout";
  if (now >= entry.daemonDeadline) return "daemon-timeout";
  if (
    entry.hintRequirement !== undefined && now >= entry.hintRequirement.until
  ) {
    return "hint-timeout";
  }
  if (isQueued(entry)) {
    return now >= queueDeadlineOf(entry) ? "queue-timeout" : undefined;
  }
  return now >= entry.idleDeadline ? "idle-timeout" : undefined;
}
