/**
 * Wait notices: progress notifications that a client gets while its request
 * waits in the queue, or for a daemon that is silent.
 *
 * @module
 */

import type { PendingEntry, ReadonlyEntry } from "./entry.ts";
import type { Id, OutboundMessage, Request } from "../protocol/jsonrpc.ts";

/** How long a client waits before its first wait notice, in milliseconds. */
export const FIRST_WAIT_NOTICE_MS = 1_000;
/** The time between two wait notices, in milliseconds. */
const WAIT_NOTICE_INTERVAL_MS = 5_000;
/** How much each wait notice adds to the progress. */
const WAIT_PROGRESS_STEP = 1e-6;

/** A progress notification to a client while its request waits. */
export interface WaitNotice {
  /** The request. */
  readonly message: Request;
  /** The client's progress token. */
  readonly progressToken: Id;
  /** The progress value; smaller than any progress of the daemon itself. */
  readonly progress: number;
}

/** Returns the wait notices that are due now among these entries. */
export function takeQueueNotices(
  entries: Iterable<PendingEntry<OutboundMessage>>,
  now: number,
): WaitNotice[] {
  const due = [...entries].filter(({ sentOnConnectionId, waitNoticeAt }) =>
    sentOnConnectionId === undefined && now >= waitNoticeAt
  );
  return [
    ...takeNotices(due, now, ({ waitingSince }) => waitingSince !== undefined),
  ];
}

/** Yields the wait notices for those entries that have a progress token. */
export function* takeNotices(
  entries: Iterable<PendingEntry<OutboundMessage>>,
  now: number,
  isWaiting: (entry: ReadonlyEntry) => boolean = () => true,
): Iterable<WaitNotice> {
  for (const entry of entries) {
    const { message, progressToken } = entry;
    if (progressToken === undefined) continue;
    const progress = nextWaitProgress(entry, now);
    if (message.kind !== "request" || progress === undefined) continue;
    if (!isWaiting(entry)) continue;
    entry.clientProgress = progress;
    yield { message, progressToken, progress };
  }
}

/**
 * Returns the progress value of the next wait notice; `undefined` if the value
 * would not increase.
 */
export function nextWaitProgress(
  entry: PendingEntry<OutboundMessage>,
  now: number,
): number | undefined {
  entry.waitNoticeAt = now + WAIT_NOTICE_INTERVAL_MS;
  // The step is so small that the daemon's own progress is still larger.
  const reported = Math.max(0, entry.daemonProgress?.value ?? 0);
  const progress = reported + ++entry.waitNoticeCount * WAIT_PROGRESS_STEP;
  return progress > entry.clientProgress ? progress : undefined;
}
