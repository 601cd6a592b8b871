/**
 * One entry of the tracker: when it is due, and why.
 *
 * @module
 */

import {
  type ExpiryReason,
  expiryReasonOf,
  nextDeadlineOf,
  type PendingEntry,
  postponeEntry,
  requireHint,
  startHintTimer,
  startQueueTimer,
  stopQueueTimer,
} from "../../../lib/requests/entry.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { QUEUE_MS, testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LIMITS = {
  total: { setting: "--request-timeout", ms: 60_000 },
  idle: { setting: "--idle-timeout", ms: Infinity },
};

/** A request, what happened to it, and when and why it is due. */
const DUE: [
  what: string,
  happens: (it: PendingEntry<Request>) => void,
  at: number,
  why: ExpiryReason | undefined,
][] = [
  ["never, without a wait or a limit", () => {}, Infinity, undefined],
  [
    "waiting for a connection since 5 s",
    (it) => startQueueTimer(it, 5_000),
    5_000 + QUEUE_MS,
    "queue-timeout",
  ],
  [
    "waiting for the second time: the waits add up",
    (it) => {
      startQueueTimer(it, 0);
      stopQueueTimer(it, 40_000);
      startQueueTimer(it, 100_000);
    },
    105_000,
    "queue-timeout",
  ],
  [
    "a wait that is started twice began the first time",
    (it) => {
      startQueueTimer(it, 1_000);
      startQueueTimer(it, 2_000);
    },
    1_000 + QUEUE_MS,
    "queue-timeout",
  ],
  [
    "a wait that has ended",
    (it) => {
      startQueueTimer(it, 0);
      stopQueueTimer(it, 1);
    },
    Infinity,
    undefined,
  ],
  [
    "sent, with an idle limit; the wait does not count",
    (it) => {
      startQueueTimer(it, 0);
      it.sentOnConnectionId = 1;
      it.idleDeadline = 99_000;
    },
    99_000,
    "idle-timeout",
  ],
  [
    "sent to open the connection: it still waits for one",
    (it) => {
      startQueueTimer(it, 0);
      it.sentOnConnectionId = 1;
      it.isHandshake = true;
      it.idleDeadline = 10;
    },
    QUEUE_MS,
    "queue-timeout",
  ],
  [
    "with a limit of the daemon",
    (it) => it.daemonDeadline = 7,
    7,
    "daemon-timeout",
  ],
  [
    "an unconfirmed hint, 5 s after the daemon was asked",
    (it) => startHintTimer(it, 1, 1_000),
    6_000,
    "hint-timeout",
  ],
  [
    "a hint that nobody is asked for",
    (it) => requireHint(it, 1_000),
    Infinity,
    undefined,
  ],
  [
    "a pause after OVER_CAPACITY is a moment, but no end",
    (it) => it.notBefore = 3_000,
    3_000,
    undefined,
  ],
  [
    "a wait notice is a moment, but no end",
    (it) => it.waitNoticeAt = 1_000,
    1_000,
    undefined,
  ],
  [
    "a wait notice of a request that was sent is none",
    (it) => {
      it.waitNoticeAt = 1_000;
      it.sentOnConnectionId = 1;
    },
    Infinity,
    undefined,
  ],
];
for (const [what, happens, at, why] of DUE) {
  test(`Tracker entry: when it is due, and why: ${what}`, () => {
    const it = testEntry(1);
    happens(it);
    assertEquals(nextDeadlineOf(it), at);
    assertEquals(expiryReasonOf(it, Math.min(at, 1e9)), why);
    if (at < Infinity) {
      assertEquals(expiryReasonOf(it, at - 1), undefined, "1 ms before");
    }
    postponeEntry(it, 500);
    assertEquals(
      nextDeadlineOf(it),
      at + 500,
      "a sleep postpones every moment",
    );
  });
}

test("Tracker entry: of several reasons the total limit is named first", () => {
  const it = testEntry(1, "x", "{}", LIMITS);
  startQueueTimer(it, 0);
  it.daemonDeadline = 60_000;
  assertEquals([nextDeadlineOf(it), expiryReasonOf(it, 60_000)], [
    45_000,
    "total-timeout",
  ]);
});

test("Tracker entry: several questions for a hint have 5 s in all", () => {
  const it = testEntry(1);
  startHintTimer(it, 1, 0);
  requireHint(it, 3_000); // the connection was lost
  assertEquals(it.hintRequirement, {
    connectionId: undefined,
    until: Infinity,
    remainingMs: 2_000,
  });
  requireHint(it, 9_000);
  startHintTimer(it, 2, 10_000);
  assertEquals(it.hintRequirement, {
    connectionId: 2,
    until: 12_000,
    remainingMs: 2_000,
  });
  requireHint(it, 99_000);
  assertEquals(it.hintRequirement?.remainingMs, 0, "never negative");
});
