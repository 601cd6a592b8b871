/**
 * What the ledger knows of one message, and when it falls due.
 *
 * @module
 */

import type { Timeouts } from "./timeouts.ts";
import {
  getNestedId,
  type Id,
  type Notification,
  type Request,
} from "../protocol/jsonrpc.ts";

/** The settings that bound what is owed; durations in milliseconds, `Infinity` for no limit. */
export interface TrackerConfig {
  /** How long a request may wait while no link is ready, over all outages. */
  readonly queueTimeout: number;
  /** How many messages may wait. */
  readonly queueLimit: number;
  /** Whether a client that asked for progress is told what its request waits for. */
  readonly waitProgress: "on" | "off";
}

/** The time between two tellings of what a request waits for, in milliseconds. */
const WAIT_NOTICE_INTERVAL_MS = 5_000;
/** How much each of them adds to the progress. */
const WAIT_PROGRESS_STEP = 1e-6;

/** A request that is owed an answer, or a notification that waits to be written. */
export type ReadonlyEntry<
  M extends Request | Notification = Request | Notification,
> = Readonly<PendingEntry<M>>;

/** A request whose answer is owed. */
export type PendingRequest = ReadonlyEntry<Request>;

/** Why the ledger closed a request's account. */
export type ExpiryReason =
  | "queue-timeout"
  | "hint-timeout"
  | "total-timeout"
  | "daemon-timeout"
  | "idle-timeout";

/** A hint that must be confirmed before each time that the request is written again. */
export interface HintRequirement {
  /** The connection id of the link on which the daemon is asked for its tools; `undefined` while none is asked. */
  readonly connectionId: number | undefined;
  /** When it is too late; infinite while no daemon is asked. */
  readonly until: number;
  /** How much time there is in all, but for the question that is open, in milliseconds. */
  readonly remainingMs: number;
}

/** How long daemons have in all to list their tools, in milliseconds. */
const HINT_TIMEOUT_MS = 5_000;

/** What the ledger knows of one message. */
export interface PendingEntry<M extends Request | Notification> {
  /** The message. */
  readonly message: M;
  /** The id; for a notification something that is no JSON text, so that it can meet no id. */
  readonly key: string;
  /** Its place in the order of all that came. */
  readonly arrivalNumber: number;
  /** When it came, without the time that the program slept since. */
  arrivedAt: number;
  /** The progress token that the client gave. */
  readonly progressToken: Id | undefined;
  /** The connection id of the link it was written to; `undefined` while it waits. */
  sentOnConnectionId: number | undefined;
  /** It opened the conversation on that link, which is not ready before the answer. */
  isHandshake: boolean;
  /** How long it may take. */
  readonly timeouts: Timeouts;
  /** When it was written last. */
  sentAt: number;
  /** Its place in the order of what was written on that link. */
  writeNumber: number;
  /** How often it was written, since a daemon last had no room for it. */
  writeCount: number;
  /** How many links were lost while it was in flight. */
  connectionLosses: number;
  /** It waits, but not to be done: what became of it is to be asked. */
  isOutcomePoll: boolean;
  /** It may be written again only if the daemon's list of tools confirms its tool's hint; `undefined` where no hint is needed. */
  hintRequirement: HintRequirement | undefined;
  /** The daemon is at its list of tools, and nothing new has come of that. */
  isAwaitingToolList: boolean;
  /** When it may be written again, if not now. */
  notBefore: number | undefined;
  /** The last progress value that went to the client (MCP: it must increase with each notification). */
  clientProgress: number;
  /** When the daemon last said that it is at it, and the progress value if it gave one. */
  daemonProgress:
    | { readonly at: number; readonly value: number | undefined }
    | undefined;
  /** When the client is to be told what it waits for. */
  waitNoticeAt: number;
  /** How often the client was told that. */
  waitNoticeCount: number;
  /** How much longer it may wait for a link, in milliseconds, but for the wait that goes on. */
  queueTimeLeftMs: number;
  /** Since when it waits for a link that is ready; `undefined` while it does not. */
  waitingSince: number | undefined;
  /** When it will have taken too long altogether. */
  totalDeadline: number;
  /** The same by what the daemon itself allows, if nothing else limits it. */
  daemonDeadline: number;
  /** How long that is from where the daemon said it. */
  daemonTimeoutMs: number | undefined;
  /** Since when the daemon has had no room for it. */
  daemonFullSince: number | undefined;
  /** When the daemon will have been silent about it for too long. */
  idleDeadline: number;
}

/** The account of a message that has just come, and may wait for a link for so many milliseconds in all. */
export function createEntry<M extends Request | Notification>(
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

/** Every moment that it waits for comes so much later. */
export function postponeEntry(
  entry: PendingEntry<Request | Notification>,
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

/** The progress with which the client is told once more what its request waits for; `undefined` where no value would rise. */
export function nextWaitProgress(
  entry: PendingEntry<Request | Notification>,
  now: number,
): number | undefined {
  entry.waitNoticeAt = now + WAIT_NOTICE_INTERVAL_MS;
  // So little that the daemon's own is still more.
  const reported = Math.max(0, entry.daemonProgress?.value ?? 0);
  const progress = reported + ++entry.waitNoticeCount * WAIT_PROGRESS_STEP;
  return progress > entry.clientProgress ? progress : undefined;
}

/** Whether it is to be written to a link that is ready. */
export function isQueued(entry: ReadonlyEntry): boolean {
  return entry.sentOnConnectionId === undefined || entry.isHandshake;
}

/** A wait for a link begins, if none goes on: what it may wait is the sum of all its waits. */
export function startQueueTimer(
  entry: PendingEntry<Request | Notification>,
  now: number,
): void {
  entry.waitingSince ??= now;
}

/** The wait is over. */
export function stopQueueTimer(
  entry: PendingEntry<Request | Notification>,
  now: number,
): void {
  if (entry.waitingSince === undefined) return;
  entry.queueTimeLeftMs -= now - entry.waitingSince;
  entry.waitingSince = undefined;
}

/** It must not be written again before a daemon confirms its tool's hint, and none is asked. */
export function requireHint(
  entry: PendingEntry<Request | Notification>,
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

/** The daemon on a link is asked for it. */
export function startHintTimer(
  entry: PendingEntry<Request | Notification>,
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

/** When it will have waited too long for a link. */
function queueDeadlineOf(
  { waitingSince, queueTimeLeftMs }: ReadonlyEntry,
): number {
  return waitingSince === undefined ? Infinity : waitingSince + queueTimeLeftMs;
}

/** When it falls due, or may be written. */
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

/** Why it is due, if it is. */
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
