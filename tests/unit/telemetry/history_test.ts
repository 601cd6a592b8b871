/**
 * Tests the history: outages, what they cost, and the counts.
 *
 * @module
 */

import type { FailedRequest, LogFact } from "../../../lib/events.ts";
import {
  EMPTY_HISTORY,
  type History,
  HistoryRecorder,
  type Outage,
} from "../../../lib/telemetry/history.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

/** How far the wall clock is ahead of the session's clock. */
const OFFSET = 1_000_000;

const WRITE: FailedRequest = {
  ...{ method: "tools/call", name: "write" },
  ...{ code: -31002, reason: "connection_lost" },
};
const UNAVAILABLE: FailedRequest = {
  ...WRITE,
  code: -31001,
  reason: "unavailable",
};
const REFUSED: FailedRequest = { ...WRITE, code: -31001, reason: "refused" };
const TOO_LARGE: FailedRequest = {
  ...WRITE,
  code: -31005,
  reason: "too_large",
};

const CONNECTED: LogFact = {
  ...{ type: "connected", attempts: 3, downMs: 2_000 },
};
const FAILED_IN_FLIGHT: LogFact = {
  ...{ type: "request-failed", request: WRITE, wasInFlight: true },
};
const FAILED_LATER: LogFact = { ...FAILED_IN_FLIGHT, wasInFlight: false };
const REPEATED: LogFact = {
  ...{ type: "request-repeated", method: "tools/list", name: undefined },
};

function lost(
  changes: Partial<Extract<LogFact, { type: "lost" }>> = {},
): LogFact {
  return {
    ...{ type: "lost", cause: "aborted", failure: { reason: "gone" } },
    ...{ failedRequests: 0, readyMs: 10, silentMs: 0, ...changes },
  };
}

function attemptFailed(attempt: number, downMs: number): LogFact {
  const failure = { reason: "nobody" };
  return { type: "attempt-failed", attempt, failure, downMs };
}

/** Records facts, each at a time of the session's clock. */
function record(...facts: readonly [at: number, fact: LogFact][]): History {
  const recorder = new HistoryRecorder();
  for (const [at, fact] of facts) {
    const line = { type: "log", level: "info", event: "lost" } as const;
    recorder.record({ ...line, message: "", fact }, at, OFFSET + at);
  }
  return recorder.snapshot();
}

const OUTAGE: Outage = {
  ...{ lostAt: OFFSET + 100, cause: "aborted", reason: "gone", attempts: 3 },
  ...{ downMs: 2_000, repeatedCount: 0, failedCount: 0, failed: [] },
};

const FIRST = CONNECTED;

const CASES: [what: string, expected: Partial<History>, [number, LogFact][]][] =
  [
    ["nothing", {}, []],
    [
      "a loss and a reconnect",
      {
        ...{ outages: [OUTAGE], outageCount: 1, downMs: 2_000 },
        reconnects: { aborted: 1 },
      },
      [[0, FIRST], [100, lost()], [2_100, CONNECTED]],
    ],
    [
      "an outage that lasts, with its attempts",
      {
        outages: [{
          ...{ lostAt: OFFSET + 100, cause: "aborted", reason: "gone" },
          ...{ attempts: 2, repeatedCount: 0, failedCount: 0, failed: [] },
        }],
        ...{ outageCount: 1, downSince: 100 },
      },
      [
        [0, FIRST],
        [100, lost()],
        [200, attemptFailed(1, 100)],
        [300, attemptFailed(2, 200)],
      ],
    ],
    [
      "a daemon that is not there at the start: an outage, and no reconnect",
      {
        outages: [{
          ...{ ...OUTAGE, lostAt: OFFSET, cause: "unreachable" },
          ...{ reason: "nobody", downMs: 500, attempts: 3 },
        }],
        ...{ outageCount: 1, downMs: 500 },
      },
      [[200, attemptFailed(1, 200)], [500, FIRST]],
    ],
    [
      "a request that failed in flight just before the loss, and one after it",
      {
        outages: [{ ...OUTAGE, failedCount: 2, failed: [WRITE, WRITE] }],
        ...{ outageCount: 1, downMs: 2_000, reconnects: { aborted: 1 } },
        ...{ failedRequests: { connection_lost: 2 }, unknownOutcomes: 2 },
      },
      [
        [0, FIRST],
        [100, FAILED_IN_FLIGHT],
        [100, lost()],
        [2_100, CONNECTED],
        [2_200, FAILED_LATER],
      ],
    ],
    [
      "a request that failed in flight long before, on another connection",
      {
        ...{ outages: [OUTAGE], outageCount: 1, downMs: 2_000 },
        reconnects: { aborted: 1 },
        ...{ failedRequests: { connection_lost: 1 }, unknownOutcomes: 1 },
      },
      [
        [-2_000, FIRST],
        [-1_000, FAILED_IN_FLIGHT],
        [100, lost()],
        [2_100, CONNECTED],
      ],
    ],
    [
      "every failure during an outage, and repeated requests after it",
      {
        outages: [{
          ...OUTAGE,
          failedCount: 1,
          failed: [UNAVAILABLE],
          repeatedCount: 1,
        }],
        ...{ outageCount: 1, downMs: 2_000, reconnects: { aborted: 1 } },
        ...{ failedRequests: { unavailable: 1 }, repeatedCount: 1 },
      },
      [
        [0, FIRST],
        [100, lost()],
        [500, {
          ...FAILED_LATER,
          request: UNAVAILABLE,
        }],
        [2_100, CONNECTED],
        [2_101, REPEATED],
      ],
    ],
    [
      "a refusal fails requests before it is logged",
      {
        outages: [{
          ...{ lostAt: OFFSET + 150, cause: "unreachable", reason: "nobody" },
          ...{ attempts: 1, repeatedCount: 0, failedCount: 1 },
          failed: [REFUSED],
        }],
        ...{ outageCount: 1, downSince: 150 },
        failedRequests: { refused: 1 },
      },
      [
        [200, {
          ...FAILED_LATER,
          request: REFUSED,
        }],
        [200, attemptFailed(1, 50)],
      ],
    ],
    [
      "a request that was too large for the connection ends it; others do not",
      {
        outages: [{
          ...OUTAGE,
          failedCount: 1,
          failed: [TOO_LARGE],
        }],
        ...{ outageCount: 1, downMs: 2_000, reconnects: { aborted: 1 } },
        failedRequests: { too_large: 2 },
      },
      [
        [0, FIRST],
        [100, {
          ...FAILED_IN_FLIGHT,
          request: TOO_LARGE,
        }],
        [100, lost()],
        [200, {
          ...FAILED_LATER,
          request: TOO_LARGE,
        }],
        [2_100, CONNECTED],
      ],
    ],
    [
      "what happens long after an outage does not belong to it",
      {
        ...{ outages: [OUTAGE], outageCount: 1, downMs: 2_000 },
        reconnects: { aborted: 1 },
        ...{ failedRequests: { connection_lost: 1 }, unknownOutcomes: 1 },
        repeatedCount: 1,
      },
      [
        [0, FIRST],
        [100, lost()],
        [2_100, CONNECTED],
        [70_000, REPEATED],
        [70_000, FAILED_LATER],
      ],
    ],
    [
      "a failure that no outage caused",
      { failedRequests: { too_large: 1 } },
      [[0, FIRST], [10, {
        ...FAILED_LATER,
        request: TOO_LARGE,
      }]],
    ],
    [
      "a silent connection: the outage began with the silence",
      {
        outages: [OUTAGE],
        ...{ outageCount: 1, downMs: 2_000, reconnects: { aborted: 1 } },
      },
      [[0, FIRST], [2_100, lost({ silentMs: 2_000 })], [2_100, CONNECTED]],
    ],
    [
      "a sleep is no downtime",
      {
        outages: [OUTAGE],
        ...{ outageCount: 1, downMs: 2_000, reconnects: { aborted: 1 } },
      },
      [
        [0, FIRST],
        [100, lost()],
        [50_200, { type: "resumed", monotonicGapMs: 50_000 }],
        [52_100, CONNECTED],
      ],
    ],
    [
      "the circuit opens twice",
      { circuitOpenings: 2 },
      [
        [0, { type: "circuit", state: "open" }],
        [1, { type: "circuit", state: "half-open" }],
        [2, { type: "circuit", state: "open" }],
        [3, { type: "circuit", state: "closed" }],
        [4, { type: "circuit", state: "half-open" }],
      ],
    ],
  ];

for (const [what, expected, facts] of CASES) {
  test(`History: ${what}`, () => {
    assertEquals(record(...facts), { ...EMPTY_HISTORY, ...expected });
  });
}

test("History: counts dials, and ignores lines without a fact", () => {
  const recorder = new HistoryRecorder();
  const dial = {
    type: "dial",
    connectionId: 1,
    subprotocol: undefined,
  } as const;
  recorder.record(dial, 0, OFFSET);
  recorder.record(dial, 1, OFFSET);
  const line = { type: "log", level: "info", event: "opened" } as const;
  recorder.record({ ...line, message: "" }, 2, OFFSET);
  assertEquals(recorder.snapshot(), { ...EMPTY_HISTORY, dialAttempts: 2 });
});

test("History: a loss with 40,000 requests in flight takes no quadratic time", () => {
  const facts: [number, LogFact][] = [[0, FIRST]];
  for (let i = 0; i < 40_000; i++) facts.push([100, FAILED_IN_FLIGHT]);
  facts.push([100, lost()]);
  const [outage] = record(...facts).outages;
  assertEquals(outage?.failedCount, 40_000);
});

test("History: keeps 20 outages, names 10 failed requests of each, and counts all", () => {
  const facts: [number, LogFact][] = [[0, FIRST]];
  for (let i = 1; i <= 50; i++) {
    const at = 10_000 * i;
    for (let k = 0; k < 30; k++) facts.push([at, FAILED_IN_FLIGHT]);
    facts.push([at, lost({ failure: { reason: `${i} ${"x".repeat(999)}` } })]);
    facts.push([at + 10, CONNECTED]);
  }
  const history = record(...facts);
  assertEquals(
    [history.outages.length, history.outageCount, history.downMs],
    [20, 50, 500],
  );
  for (
    const [i, { reason, failed, failedCount }] of history.outages.entries()
  ) {
    assertEquals(reason.startsWith(`${31 + i} `), true);
    assertEquals([failed.length, failedCount], [10, 30]);
  }
  assertEquals(history.unknownOutcomes, 1_500);
  assertEquals(JSON.stringify(history).length < 32_768, true);
});

test("History: the downtime never falls", () => {
  const recorder = new HistoryRecorder();
  const line = { type: "log", level: "info", event: "lost" } as const;
  let last = 0;
  for (let i = 0; i < 100; i++) {
    const at = 10.3 * i;
    const fact = i % 7 === 0 ? lost() : i % 7 === 3 ? CONNECTED : REPEATED;
    recorder.record({ ...line, message: "", fact }, at, OFFSET + at);
    const { downMs, downSince } = recorder.snapshot();
    const total = downMs + (downSince === undefined ? 0 : at - downSince);
    assertEquals(total >= last, true, `${total} after ${last}`);
    last = total;
  }
});
