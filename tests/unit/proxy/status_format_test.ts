/**
 * Tests the text of a status file, and the description of a connection's state.
 *
 * @module
 */

import {
  describeConnectionState,
  formatDuration,
  formatExactDuration,
  formatMoment,
  hasOpenWebSocket,
  type LiveStatus,
  parseStatus,
  serializeStatus,
} from "../../../lib/proxy/status_format.ts";
import type { ConnectionState } from "../../../lib/session/snapshot.ts";
import {
  EMPTY_HISTORY,
  type History,
  type Outage,
} from "../../../lib/telemetry/history.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { PROXY_INFO as PROXY, SNAPSHOT } from "../../helpers/proxy_status.ts";
import type { Json } from "../../helpers/session/session_driver.ts";

/** The members that a status file may lack. */
const OPTIONAL = [
  ...["client", "lastError", "connections", "answersDuringCalls"],
  ...["circuit", "queuedMessages", "history"],
];

test("Status format: writes moments by the wall clock, and reads what it wrote", () => {
  const text = serializeStatus(PROXY, SNAPSHOT, 1_000_000);
  const read = parseStatus(text)!;
  const { connectionState, client, pendingRequests, pid } = read;
  assertEquals(connectionState, { phase: "ready", since: 1_000_005 });
  assertEquals([client, pendingRequests, pid], ["editor 1", 3, 7]);
  assertEquals([read.connections, read.answersDuringCalls], ["one", false]);
  const waiting = { phase: "waiting", attempt: 4, nextAt: 10 } as const;
  const again = parseStatus(
    serializeStatus(PROXY, { ...SNAPSHOT, connectionState: waiting }, 5),
  );
  assertEquals(again?.connectionState, {
    phase: "waiting",
    attempt: 4,
    nextAt: 15,
  });
  const displaced = { phase: "displaced" } as const;
  const taken = serializeStatus(PROXY, {
    ...SNAPSHOT,
    connectionState: displaced,
  }, 5);
  assertEquals(parseStatus(taken)?.connectionState, displaced);
});

test("Status format: reads the status of a proxy that has had no error", () => {
  const status = { ...SNAPSHOT, lastErrorAt: undefined };
  const read = parseStatus(serializeStatus(PROXY, status, 5));
  assertEquals([read?.pid, read?.lastErrorAt], [7, undefined]);
});

test("Status format: a file of an older version has no facts about the daemon", () => {
  const { connections: _, answersDuringCalls: __, ...older } = SNAPSHOT;
  const read = parseStatus(serializeStatus(PROXY, older as LiveStatus, 0))!;
  assertEquals([read.client, read.connections], ["editor 1", "unknown"]);
  assertEquals(read.answersDuringCalls, undefined);
});

const OUTAGE: Outage = {
  ...{ lostAt: 1, cause: "closed", reason: "it was closed", downMs: 2 },
  ...{ attempts: 3, repeatedCount: 4, failedCount: 0, failed: [] },
};

const BAD_OUTAGES: unknown[] = [
  ...[1, {}, { ...OUTAGE, lostAt: "1" }, { ...OUTAGE, reason: undefined }],
  ...[{ ...OUTAGE, failed: 1 }, { ...OUTAGE, failed: [1] }],
];

const historyOf = (outage: unknown): Json => ({
  ...EMPTY_HISTORY,
  ...{ outages: [outage], outageCount: 1 },
});

test("Status format: reads the history that it wrote", () => {
  const history = historyOf(OUTAGE) as unknown as History;
  const text = serializeStatus(PROXY, { ...SNAPSHOT, history }, 0);
  assertEquals(parseStatus(text)?.history, history);
});

test("Status format: refuses a file that is not ours, or incomplete", () => {
  const whole = JSON.parse(serializeStatus(PROXY, SNAPSHOT, 0));
  const without = (name: string): Json => ({ ...whole, [name]: undefined });
  const bad: Json[] = [
    ...Object.keys(whole)
      .filter((name) => !OPTIONAL.includes(name))
      .map(without),
    ...[null, 1, "x", [], {}, { ...whole, alwaysup: 1 }],
    ...[{ ...whole, pid: "7" }, { ...whole, url: 1 }, { ...whole, client: 1 }],
    { ...whole, connectionState: "ready" },
    ...[{ ...whole, connections: "two" }, { ...whole, connections: 1 }],
    ...[{ ...whole, answersDuringCalls: "yes" }],
    ...[{ ...whole, circuit: "broken" }, { ...whole, queuedMessages: "1" }],
    ...[{ ...whole, daemon: 1 }, { ...whole, lastErrorAt: "x" }],
    ...[{ ...whole, metricsUrl: 1 }, { ...whole, writtenAt: "1" }],
    ...[null, {}, { bytes: {}, operations: {} }].map((figures) => ({
      ...whole,
      figures,
    })),
    {
      ...whole,
      figures: {
        bytes: {},
        operations: [{ side: "client", method: "x", sum: 1, buckets: ["1"] }],
      },
    },
    ...[{ downSince: "x" }, { reconnects: { a: "b" } }, { downMs: null }].map((
      change,
    ) => ({ ...whole, history: { ...EMPTY_HISTORY, ...change } })),
    ...[null, {}, [], ...BAD_OUTAGES.map(historyOf)].map((history) => ({
      ...whole,
      history,
    })),
    { ...whole, connectionState: { phase: "ready" } },
    { ...whole, connectionState: { phase: "waiting", attempt: 1 } },
    { ...whole, connectionState: { phase: "dialing" } },
    { ...whole, connectionState: { phase: "dancing", attempt: 1, since: 1 } },
  ];
  for (const it of bad) {
    assertEquals(parseStatus(JSON.stringify(it)), undefined);
  }
  const text = JSON.stringify(whole);
  for (let i = 0; i < text.length; i++) {
    assertEquals(parseStatus(text.slice(0, i)), undefined);
  }
});

const WORDS: [connectionState: ConnectionState, words: string][] = [
  [{ phase: "ready", since: 0 }, "ready 2 h"],
  [{ phase: "checking", since: 0 }, "silent, being checked"],
  [
    { phase: "displaced" },
    "another client has the connection; the next request reconnects",
  ],
  [
    { phase: "waiting", attempt: 14, nextAt: 7_212_900 },
    "waiting, attempt 14, next in 12 s",
  ],
  [
    { phase: "waiting", attempt: 1, nextAt: 0 },
    "waiting, attempt 1, next in 0 s",
  ],
  [{ phase: "dialing", attempt: 2 }, "dialing, attempt 2"],
  [{ phase: "handshaking", attempt: 2 }, "handshaking, attempt 2"],
  [{ phase: "open" }, "open, waiting for the client's first message"],
];

for (const [connectionState, words] of WORDS) {
  test(`Status format: a connection's state in words: ${words}`, () => {
    assertEquals(describeConnectionState(connectionState, 7_200_000), words);
  });
}

test("Status format: a duration is given in its largest unit", () => {
  const spans = [999, 59_999, 60_000, 3_599_999, 3_600_000, 86_400_000, -5];
  assertEquals(spans.map(formatDuration), [
    ...["0 s", "59 s", "1 min", "59 min", "1 h", "1 d", "0 s"],
  ]);
});

test("Status format: an exact duration has two units, or tenths of a second", () => {
  const spans = [-5, 0, 840, 9_949, 9_950, 59_499, 59_500, 61_400, 3_600_000];
  spans.push(7_260_000, 90_000_000, 864_000_000);
  assertEquals(spans.map(formatExactDuration), [
    ...["0.0 s", "0.0 s", "0.8 s", "9.9 s", "10 s", "59 s", "1 min"],
    ...["1 min 1 s", "1 h", "2 h 1 min", "1 d 1 h", "10 d"],
  ]);
});

test("Status format: a moment is given in local time, without fractions", () => {
  const moment = new Date(2026, 0, 3, 4, 5, 6, 789).getTime();
  assertEquals(formatMoment(moment), "2026-01-03 04:05:06");
});

test("Status format: a connection is up while it is ready, checked or open", () => {
  const up = WORDS.filter(([state]) => hasOpenWebSocket(state));
  assertEquals(up.map(([{ phase }]) => phase), ["ready", "checking", "open"]);
});
