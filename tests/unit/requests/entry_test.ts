/**
 * One request of the tracker: when it falls due, and why.
 *
 * @module
 */

import {
  type Account,
  askHint,
  due,
  dueAt,
  endWait,
  type Expiry,
  needHint,
  shift,
  startWait,
  tell,
} from "../../../lib/requests/entry.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { account, QUEUE_MS } from "../../helpers/account.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const LIMITS = {
  total: { setting: "--request-timeout", ms: 60_000 },
  idle: { setting: "--idle-timeout", ms: Infinity },
};

/** A request, what happened to it, and when and why it falls due. */
const DUE: [
  what: string,
  happens: (it: Account<Request>) => void,
  at: number,
  why: Expiry | undefined,
][] = [
  ["never, without a wait or a limit", () => {}, Infinity, undefined],
  [
    "waiting for a connection since 5 s",
    (it) => startWait(it, 5_000),
    5_000 + QUEUE_MS,
    "unavailable",
  ],
  [
    "waiting for the second time: the waits add up",
    (it) => {
      startWait(it, 0);
      endWait(it, 40_000);
      startWait(it, 100_000);
    },
    105_000,
    "unavailable",
  ],
  [
    "a wait that is started twice began the first time",
    (it) => {
      startWait(it, 1_000);
      startWait(it, 2_000);
    },
    1_000 + QUEUE_MS,
    "unavailable",
  ],
  [
    "a wait that has ended",
    (it) => {
      startWait(it, 0);
      endWait(it, 1);
    },
    Infinity,
    undefined,
  ],
  [
    "sent, with an idle limit; the wait does not count",
    (it) => {
      startWait(it, 0);
      it.sentOn = 1;
      it.idleUntil = 99_000;
    },
    99_000,
    "idle",
  ],
  [
    "sent to open the connection: it still waits for one",
    (it) => {
      startWait(it, 0);
      it.sentOn = 1;
      it.isGreeting = true;
      it.idleUntil = 10;
    },
    QUEUE_MS,
    "unavailable",
  ],
  ["with a limit of the daemon", (it) => it.daemonUntil = 7, 7, "daemon"],
  [
    "an unconfirmed hint, 5 s after the daemon was asked",
    (it) => askHint(it, 1, 1_000),
    6_000,
    "unconfirmed",
  ],
  [
    "a hint that nobody is asked for",
    (it) => needHint(it, 1_000),
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
    (it) => it.tellAt = 1_000,
    1_000,
    undefined,
  ],
  [
    "a wait notice of a request that was sent is none",
    (it) => {
      it.tellAt = 1_000;
      it.sentOn = 1;
    },
    Infinity,
    undefined,
  ],
];
for (const [what, happens, at, why] of DUE) {
  test(`Tracker entry: when it is due, and why: ${what}`, () => {
    const it = account(1);
    happens(it);
    assertEquals(dueAt(it), at);
    assertEquals(due(it, Math.min(at, 1e9)), why);
    if (at < Infinity) assertEquals(due(it, at - 1), undefined, "1 ms before");
    shift(it, 500);
    assertEquals(dueAt(it), at + 500, "a sleep postpones every moment");
  });
}

test("Tracker entry: of several reasons the total limit is named first", () => {
  const it = account(1, "x", "{}", LIMITS);
  startWait(it, 0);
  it.daemonUntil = 60_000;
  assertEquals([dueAt(it), due(it, 60_000)], [45_000, "total"]);
});

test("Tracker entry: several questions for a hint have 5 s in all", () => {
  const it = account(1);
  askHint(it, 1, 0);
  needHint(it, 3_000); // the connection was lost
  assertEquals(it.hint, { epoch: undefined, until: Infinity, leftMs: 2_000 });
  needHint(it, 9_000);
  askHint(it, 2, 10_000);
  assertEquals(it.hint, { epoch: 2, until: 12_000, leftMs: 2_000 });
  needHint(it, 99_000);
  assertEquals(it.hint?.leftMs, 0, "never less than nothing");
});

test("Tracker entry: wait notices rise in tiny steps above the daemon's progress", () => {
  const it = account(1, "x", '{"_meta":{"progressToken":"t"}}');
  assertEquals(it.token, '"t"');
  assertEquals([tell(it, 0), it.tellAt], [1e-6, 5_000]);
  it.said = { at: 0, value: 3 };
  it.progress = 3;
  assertEquals(tell(it, 5_000), 3 + 2e-6);
  it.said = { at: 0, value: -1 };
  assertEquals(tell(it, 10_000), undefined, "it would not rise");
});
