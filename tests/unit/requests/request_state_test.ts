/**
 * Tests the state machine of one message: its table, when and why the message
 * is due, and the wait notices for the client.
 *
 * @module
 */

import type {
  ExpiryReason,
  PendingEntry,
  RequestState,
} from "../../../lib/requests/request_state.ts";
import { QUEUE_MS, testEntry } from "../../helpers/test_entry.ts";
import { assertEquals, assertThrows } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

type State = RequestState["kind"];

const LIMITS = {
  total: { setting: "--request-timeout", ms: 60_000 },
  idle: { setting: "--idle-timeout", ms: Infinity },
};
const IDLE = { total: undefined, idle: { setting: "--idle-timeout", ms: 10 } };
const TOKEN = '{"_meta":{"progressToken":"t"}}';

/** For each state, a function that brings a new entry into it. */
const BUILD: Readonly<Record<State, (entry: PendingEntry) => void>> = {
  arrived: () => {},
  queued: (it) => it.enqueue(0),
  "waiting-for-hint": (it) => {
    it.enqueue(0);
    it.requestHint(7, 0);
  },
  delayed: (it) => {
    it.send(7, 0, 1);
    it.delayRetry(0, 1_000);
  },
  sent: (it) => it.send(7, 0, 1),
};

const EVENTS = {
  enqueue: (it: PendingEntry) => it.enqueue(0),
  send: (it: PendingEntry) => it.send(8, 0, 2),
  requestHint: (it: PendingEntry) => it.requestHint(8, 0),
  requireHint: (it: PendingEntry) => it.requireHint(0),
  park: (it: PendingEntry) => it.park(),
  unpark: (it: PendingEntry) => it.unpark(),
  clearOutcomePoll: (it: PendingEntry) => it.clearOutcomePoll(),
  "onDisconnect: again": (it: PendingEntry) =>
    it.onDisconnect(0, () => "resend"),
  "onDisconnect: failed": (it: PendingEntry) =>
    it.onDisconnect(0, () => "fail"),
  "requeue: at once": (it: PendingEntry) => it.requeue(0),
  "requeue: later": (it: PendingEntry) => it.requeue(0, 0),
  delayPoll: (it: PendingEntry) => it.delayPoll(0, 1_000, 2_000),
  delayRetry: (it: PendingEntry) => it.delayRetry(0, 1_000),
  "advance: too early": (it: PendingEntry) => it.advance(999),
  "advance: in time": (it: PendingEntry) => it.advance(1_000),
} as const;

/** The table of `request_state.ts`. Any other event except `advance` throws. */
const TABLE: Readonly<
  Record<State, Partial<Record<keyof typeof EVENTS, State>>>
> = {
  arrived: { enqueue: "queued", send: "sent" },
  queued: {
    send: "sent",
    requestHint: "waiting-for-hint",
    requireHint: "queued",
    clearOutcomePoll: "queued",
  },
  "waiting-for-hint": {
    send: "sent",
    requestHint: "waiting-for-hint",
    requireHint: "queued",
    park: "waiting-for-hint",
    unpark: "waiting-for-hint",
    clearOutcomePoll: "waiting-for-hint",
  },
  delayed: { "advance: in time": "queued" },
  sent: {
    requireHint: "sent",
    "onDisconnect: again": "queued",
    "onDisconnect: failed": "sent",
    "requeue: at once": "queued",
    "requeue: later": "delayed",
    delayPoll: "delayed",
    delayRetry: "delayed",
  },
};

for (const state of Object.keys(BUILD) as State[]) {
  for (const [name, event] of Object.entries(EVENTS)) {
    const next = TABLE[state][name as keyof typeof EVENTS];
    const [method] = name.split(":");
    const isTime = method === "advance";
    test(`Request state: ${state}, then ${name}: ${next ?? (isTime ? state : "an error")}`, () => {
      const it = testEntry(1);
      BUILD[state](it);
      assertEquals(it.state, state);
      if (next === undefined && !isTime) {
        const message = `a message in the state ${state} got ${method}`;
        assertThrows(() => event(it), Error, message);
      } else event(it);
      assertEquals(it.state, next ?? state);
    });
  }
}

test("Request state: a handshake request is sent from the queue, and queued again when its connection is lost", () => {
  const it = testEntry(1, "initialize");
  it.enqueue(0);
  for (const connectionId of [7, 8, 9]) {
    it.send(connectionId, 0, "handshake");
    assertEquals([it.state, it.isHandshakeRequest, it.sentOnConnectionId], [
      ...["sent", true, connectionId],
    ]);
    assertEquals(it.onDisconnect(0, () => "fail"), "requeued");
    assertEquals([it.state, it.isHandshakeRequest], ["queued", false]);
  }
  assertEquals([it.connectionLosses, it.writeCount], [3, 3]);
});

test("Request state: a request that was in flight on two lost connections fails, unless it is long-lived", () => {
  for (const method of ["x", "server/discover"]) {
    const it = testEntry(1, method);
    it.send(7, 0, 1);
    assertEquals(it.onDisconnect(0, () => "resend"), "requeued");
    it.send(8, 0, 1);
    const isLongLived = method === "server/discover";
    assertEquals(
      it.onDisconnect(0, () => "resend"),
      isLongLived ? "requeued" : "failed",
    );
    assertEquals(it.sentOnConnectionId, isLongLived ? undefined : 8);
  }
});

test("Request state: only some states are queued, and only some are writable", () => {
  const states = Object.entries(BUILD).map(([state, build]) => {
    const it = testEntry(1);
    build(it);
    return [state, it.isQueued, it.isWritable];
  });
  assertEquals(states, [
    ["arrived", false, false],
    ["queued", true, true],
    ["waiting-for-hint", true, true],
    ["delayed", true, false],
    ["sent", false, false],
  ]);
  const parked = testEntry(1);
  BUILD["waiting-for-hint"](parked);
  parked.park();
  assertEquals([parked.isQueued, parked.isWritable], [true, false]);
  parked.unpark();
  assertEquals(parked.isWritable, true);
});

test("Request state: a sent request has a connection, a time and a write number", () => {
  const it = testEntry(1);
  assertEquals([it.sentOnConnectionId, it.writeNumber], [undefined, 0]);
  it.send(7, 100, 5);
  assertEquals([it.sentOnConnectionId, it.sentAt, it.writeNumber], [7, 100, 5]);
  it.requeue(200);
  assertEquals([it.sentOnConnectionId, it.writeCount], [undefined, 1]);
});

test("Request state: a request polls its outcome until the daemon must execute it again", () => {
  const polled = (event: (it: PendingEntry) => void): boolean[] => {
    const it = testEntry(1);
    it.send(7, 0, 1);
    it.onDisconnect(0, () => ({ kind: "poll-outcome", limitMs: 9 }));
    const before = it.isOutcomePoll;
    assertEquals([it.deadline, it.daemonTimeoutMs], [9, 9]);
    event(it);
    return [before, it.isOutcomePoll];
  };
  assertEquals(polled((it) => it.send(8, 0, 1)), [true, true]);
  assertEquals(polled((it) => it.clearOutcomePoll()), [true, false]);
  assertEquals(
    polled((it) => {
      it.send(8, 0, 1);
      it.delayRetry(0, 0);
    }),
    [true, false],
  );
});

/**
 * What happens to a request, when it is due next, and which timeout then ends
 * it; `undefined` if none does.
 */
const DUE: [
  what: string,
  happens: (it: PendingEntry) => void,
  at: number,
  why: ExpiryReason | undefined,
  limits?: typeof IDLE | typeof LIMITS,
][] = [
  [
    "never, without a wait or a limit",
    (it) => it.enqueue(0),
    Infinity,
    undefined,
  ],
  [
    "a wait for a connection that began at 5 s",
    (it) => {
      it.enqueue(5_000);
      it.startQueueTimer(5_000);
    },
    5_000 + QUEUE_MS,
    "queue-timeout",
  ],
  [
    "waiting for the second time: the waits add up",
    (it) => {
      it.enqueue(0);
      it.startQueueTimer(0);
      it.stopQueueTimer(40_000);
      it.startQueueTimer(100_000);
    },
    105_000,
    "queue-timeout",
  ],
  [
    "a wait that is started twice began the first time",
    (it) => {
      it.enqueue(0);
      it.startQueueTimer(1_000);
      it.startQueueTimer(2_000);
    },
    1_000 + QUEUE_MS,
    "queue-timeout",
  ],
  [
    "a wait that has ended",
    (it) => {
      it.enqueue(0);
      it.startQueueTimer(0);
      it.stopQueueTimer(1);
    },
    Infinity,
    undefined,
  ],
  [
    "sent, with an idle limit; the wait does not count",
    (it) => {
      it.enqueue(0);
      it.startQueueTimer(0);
      it.send(1, 100, 1);
      it.startQueueTimer(100);
    },
    110,
    "idle-timeout",
    IDLE,
  ],
  [
    "the daemon has worked on it",
    (it) => {
      it.send(1, 100, 1);
      it.onDaemonWorking(105);
    },
    115,
    "idle-timeout",
    IDLE,
  ],
  [
    "sent to open the connection: it still waits for one, and has no idle limit",
    (it) => {
      it.enqueue(0);
      it.startQueueTimer(0);
      it.send(1, 0, "handshake");
      it.onDaemonWorking(5);
    },
    QUEUE_MS,
    "queue-timeout",
    IDLE,
  ],
  [
    "with a limit of the daemon",
    (it) => it.setDaemonTimeout(7, 0),
    7,
    "daemon-timeout",
  ],
  [
    "a total limit: that of the daemon does not count",
    (it) => it.setDaemonTimeout(7, 0),
    60_000,
    "total-timeout",
    LIMITS,
  ],
  [
    "an outcome that is polled for 5 s",
    (it) => {
      it.send(1, 0, 1);
      it.delayPoll(0, 9_000, 5_000);
    },
    5_000,
    "daemon-timeout",
  ],
  [
    "an unconfirmed hint, 5 s after the tool list was requested",
    (it) => {
      it.enqueue(0);
      it.requestHint(1, 1_000);
    },
    6_000,
    "hint-timeout",
  ],
  [
    "a required hint that was not requested",
    (it) => {
      it.enqueue(0);
      it.requireHint(1_000);
    },
    Infinity,
    undefined,
  ],
  [
    "a delay after OVER_CAPACITY has a deadline, but does not end the request",
    (it) => {
      it.send(1, 0, 1);
      it.delayRetry(0, 3_000);
    },
    3_000,
    undefined,
  ],
];
for (const [what, happens, at, why, limits] of DUE) {
  test(`Request state: deadline and reason: ${what}`, () => {
    const postponedBy500 = [testEntry(1, "x", "{}", limits), 500] as const;
    for (
      const [it, ms] of [
        [testEntry(1, "x", "{}", limits), 0],
        postponedBy500,
      ] as const
    ) {
      happens(it);
      it.postpone(ms);
      assertEquals(it.deadline, at + ms, "a sleep postpones every moment");
      if (at < Infinity) {
        assertEquals(it.advance(at + ms - 1), undefined, "1 ms before");
      }
      assertEquals(it.advance(Math.min(at + ms, 1e9)), why);
    }
  });
}

test("Request state: if several timeouts have passed, the total timeout is the reason", () => {
  const it = testEntry(1, "x", "{}", LIMITS);
  it.enqueue(0);
  it.startQueueTimer(0);
  assertEquals([it.deadline, it.advance(60_000)], [45_000, "total-timeout"]);
});

test("Request state: without a total timeout, retries after OVER_CAPACITY end after the idle timeout", () => {
  const refuse = (it: PendingEntry, now: number): string => {
    it.send(1, now, 1);
    return it.delayRetry(now, 0);
  };
  const it = testEntry(1, "x", "{}", IDLE);
  const retry = (now: number): string => {
    it.advance(now);
    return refuse(it, now);
  };
  assertEquals(refuse(it, 0), "requeued");
  assertEquals([retry(9), it.writeCount], ["requeued", 0]);
  assertEquals(retry(10), "expired");
  it.setDaemonTimeout(1_000, 10); // The daemon has started the request.
  assertEquals(retry(20), "requeued");
});

test("Request state: several requests for a hint have 5 s in total", () => {
  const it = testEntry(1);
  it.enqueue(0);
  assertEquals(it.hintRequirement, undefined);
  it.requestHint(1, 0);
  assertEquals(it.hintRequirement?.connectionId, 1);
  it.requireHint(3_000); // The connection was lost.
  assertEquals([it.state, it.deadline], ["queued", Infinity]);
  assertEquals(it.hintRequirement?.connectionId, undefined);
  it.requireHint(9_000);
  it.requestHint(2, 10_000);
  assertEquals([it.hintRequirement?.connectionId, it.deadline], [2, 12_000]);
  it.send(2, 99_000, 1); // The next connection must confirm the hint again.
  it.requeue(99_000);
  assertEquals(it.hintRequirement, {});
  it.requestHint(3, 99_000);
  assertEquals(it.deadline, 99_000, "never negative");
});

test("Wait notices: the first after 1 s, where there is a token and --wait-progress is on", () => {
  const deadlines = (["on", "off"] as const).map((waitProgress) =>
    [TOKEN, "{}"].map((params) => {
      const it = testEntry(1, "x", params, undefined, waitProgress);
      it.enqueue(500);
      return it.deadline;
    })
  );
  assertEquals(deadlines, [[1_500, Infinity], [Infinity, Infinity]]);
});

test("Wait notices: only due requests that wait for a connection have one", () => {
  const due = testEntry(1, "x", TOKEN);
  due.enqueue(0);
  due.startQueueTimer(0);
  assertEquals(due.takeDueWaitNotice(999), undefined);
  const { message, progressToken } = due;
  assertEquals(due.takeDueWaitNotice(1_000), {
    message,
    progressToken: progressToken!,
    progress: 1e-6,
  });
  assertEquals(due.deadline, 6_000, "the next comes 5 s later");
  due.stopQueueTimer(2_000);
  assertEquals(
    due.takeDueWaitNotice(6_000),
    undefined,
    "it waits for its turn",
  );
  due.send(7, 7_000, 1);
  assertEquals(due.takeDueWaitNotice(99_000), undefined, "it was sent");
  assertEquals(testEntry(2).takeWaitNotice(), undefined, "it has no token");
});

test("Wait notices: rise in tiny steps above the daemon's progress", () => {
  const it = testEntry(1, "x", TOKEN);
  it.send(7, 0, 1);
  assertEquals(it.takeWaitNotice()?.progress, 1e-6);
  assertEquals(it.acceptProgress(0, 3), true);
  assertEquals(it.takeWaitNotice()?.progress, 3 + 2e-6);
  it.acceptProgress(0, -1);
  assertEquals(it.takeWaitNotice(), undefined, "it would not rise");
});

test("Request state: progress that does not increase is not forwarded after a second write", () => {
  const it = testEntry(1, "x", TOKEN);
  it.send(7, 0, 1);
  assertEquals([5, 3].map((value) => it.acceptProgress(1, value)), [
    true,
    true,
  ]);
  it.requeue(1);
  it.send(8, 2, 1);
  assertEquals([5, 6].map((value) => it.acceptProgress(3, value)), [
    false,
    true,
  ]);
  assertEquals(it.lastDaemonActivity, { at: 3, value: 6 });
  it.onDaemonWorking(4);
  assertEquals(it.lastDaemonActivity, { at: 4, value: 6 });
});
