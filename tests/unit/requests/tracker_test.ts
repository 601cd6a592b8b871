/**
 * Tests the order, the deadlines and the responses of pending requests.
 *
 * @module
 */

import type {
  OutboundMessage,
  Request,
} from "../../../lib/protocol/jsonrpc.ts";
import type { PendingEntry } from "../../../lib/requests/request_state.ts";
import { parseMessages } from "../../../lib/protocol/message_parser.ts";
import { TimeoutRules, type Timeouts } from "../../../lib/requests/timeouts.ts";
import { RequestTracker } from "../../../lib/requests/tracker.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

/**
 * Returns a tracker whose messages all need the main link. `hasUsableLink`
 * returns whether that link is usable.
 */
function createTracker(
  config = DEFAULT_CONFIG,
  hasUsableLink: (message: OutboundMessage) => boolean = () => true,
): RequestTracker {
  return new RequestTracker(config, () => "main", hasUsableLink);
}

function enqueue(
  tracker: RequestTracker,
  message: OutboundMessage,
  timeouts: Timeouts,
  now: number,
): PendingEntry {
  const entry = tracker.open(message, timeouts, now);
  tracker.enqueue(entry, now);
  return entry;
}

/** Queues a request with the timeouts that follow from `limits`. */
function addRequest(
  tracker: RequestTracker,
  message: Request,
  now: number,
  limits = DEFAULT_CONFIG,
): PendingEntry {
  return enqueue(
    tracker,
    message,
    new TimeoutRules(limits).timeoutsOf(message),
    now,
  );
}

/**
 * Returns a tracker without a usable link. `setLink` makes the link usable or
 * unusable, and `expire` returns why each expired request has expired.
 */
function trackerWithoutLink(): {
  readonly tracker: RequestTracker;
  readonly setLink: (state: "usable" | "lost", now: number) => void;
  readonly expire: (now: number) => string[];
} {
  let isUsable = false;
  const tracker = createTracker(DEFAULT_CONFIG, () => isUsable);
  return {
    tracker,
    setLink: (state, now) => {
      isUsable = state === "usable";
      tracker.updateQueueTimers(now);
    },
    expire: (now) => tracker.advance(now).expired.map(({ expiry }) => expiry),
  };
}

test("Request tracker: distinguishes ids by type and value", () => {
  const tracker = createTracker();
  const ids = ["0", '"0"', "1", '"1"', "-1", '""'];
  const all = ids.map((id) => addRequest(tracker, request(id, "ping"), 0));
  assertEquals(tracker.pendingRequestCount, ids.length);
  for (const entry of all) tracker.markSent(entry, 1, 0);
  for (const id of ids) assertEquals(tracker.complete(id, 1)?.key, id);
  assertEquals(tracker.pendingRequestCount, 0);
});

test("Request tracker: a response counts only on the connection that its request went to", () => {
  const tracker = createTracker();
  const entry = addRequest(tracker, request("1", "ping"), 0);
  assertEquals(tracker.complete("1", 1), undefined, "it was not even sent");
  tracker.markSent(entry, 1, 0);
  assertEquals(tracker.complete("1", 2), undefined);
  assertEquals(tracker.complete("1", 1)?.key, "1");
  assertEquals(tracker.complete("1", 1), undefined, "once");
});

test("Request tracker: a request that is sent again keeps its place in the order", () => {
  const tracker = createTracker();
  const [first, second] = ["1", "2", "3"].map((id) =>
    addRequest(tracker, request(id, "ping"), 0)
  );
  tracker.markSent(first!, 7, 0);
  tracker.markSent(second!, 7, 0);
  assertEquals(tracker.inFlightCount(7), 2);
  tracker.onDisconnect(7, 0, () => "resend");
  assertEquals([...tracker.undelayedEntries()].map(({ key }) => key), [
    "1",
    "2",
    "3",
  ]);
  assertEquals([tracker.inFlightCount(7), tracker.pendingRequestCount], [0, 3]);
});

test("Request tracker: deadline() is the moment at which something expires", () => {
  const limits = {
    ...DEFAULT_CONFIG,
    requestTimeout: 60_000,
    idleTimeout: 10_000,
  };
  const tracker = createTracker(limits, () => false);
  const first = addRequest(tracker, request("1", "ping"), 100, limits);
  assertEquals(tracker.deadline(), 45_100);
  assertEquals(tracker.advance(45_099), { notices: [], expired: [] });
  tracker.markSent(first, 1, 200);
  assertEquals(tracker.deadline(), 10_200);
  tracker.acceptProgress(undefined, 1, 1, 5_000);
  assertEquals(tracker.advance(10_200), {
    notices: [],
    expired: [{ entry: first, expiry: "idle-timeout" }],
  });
  assertEquals([tracker.pendingRequestCount, tracker.deadline()], [
    0,
    Infinity,
  ]);
  assertEquals(first.sentOnConnectionId, 1, "it keeps its last state");
  const second = addRequest(tracker, request("2", "ping"), 0, limits);
  tracker.markSent(second, 1, 55_000);
  assertEquals(tracker.advance(60_000).expired[0]?.expiry, "total-timeout");
});

test("Request tracker: progress moves the idle deadline, never the total one", () => {
  const limits = {
    ...DEFAULT_CONFIG,
    requestTimeout: 25_000,
    idleTimeout: 10_000,
  };
  const tracker = createTracker(limits);
  const entry = addRequest(
    tracker,
    request("1", "x", '{"_meta":{"progressToken":0}}'),
    0,
    limits,
  );
  tracker.markSent(entry, 1, 0);
  assertEquals(tracker.acceptProgress("0", 1, 1, 9_000), true);
  assertEquals(
    tracker.acceptProgress("0", 1, 1, 18_000),
    true,
    "repeated progress counts, too",
  );
  assertEquals(
    tracker.acceptProgress('"0"', 2, 1, 18_000),
    false,
    "another token",
  );
  assertEquals(
    tracker.acceptProgress("0", 2, 2, 18_000),
    false,
    "another link",
  );
  assertEquals(tracker.acceptProgress("0", "3", 1, 18_000), false, "no number");
  assertEquals(tracker.advance(24_999).expired, []);
  assertEquals(tracker.advance(25_000).expired[0]?.expiry, "total-timeout");
});

test("Request tracker: the queue timeout is the sum of all waits for a connection", () => {
  const { tracker, setLink, expire } = trackerWithoutLink();
  const entry = addRequest(tracker, request("1", "ping"), 0);
  setLink("usable", 20_000);
  assertEquals(expire(45_000), [], "a link is ready");
  setLink("lost", 100_000);
  setLink("usable", 105_000);
  tracker.markSent(entry, 1, 110_000);
  setLink("lost", 200_000);
  tracker.onDisconnect(1, 200_000, () => "resend");
  assertEquals(expire(219_999), []);
  assertEquals(tracker.deadline(), 220_000);
  assertEquals(expire(220_000), ["queue-timeout"]);
});

test("Request tracker: a message that arrives while a link is usable does not wait for a link", () => {
  const { tracker, setLink, expire } = trackerWithoutLink();
  setLink("usable", 0);
  addRequest(tracker, request("1", "ping"), 0);
  assertEquals(tracker.deadline(), Infinity);
  setLink("lost", 1_000);
  assertEquals(expire(45_999), []);
  assertEquals(expire(46_000), ["queue-timeout"]);
});

test("Request tracker: the request that opens the connection waits until the link is ready", () => {
  const { tracker, expire } = trackerWithoutLink();
  addRequest(tracker, request("1", "initialize"), 0);
  tracker.markHandshakeSent("1", 1, 10_000);
  tracker.onDisconnect(1, 20_000, () => "fail");
  tracker.markHandshakeSent("1", 2, 21_000);
  assertEquals(expire(44_999), []);
  assertEquals(expire(45_000), ["queue-timeout"]);
});

test("Request tracker: time asleep does not count as a wait for a connection", () => {
  const { tracker, setLink, expire } = trackerWithoutLink();
  addRequest(tracker, request("1", "ping"), 0);
  tracker.postpone(1_000_000);
  // When the queue timers are updated, the time asleep must not count.
  addRequest(tracker, request("2", "ping"), 1_010_000);
  setLink("lost", 1_010_000);
  assertEquals(expire(1_044_999), []);
  assertEquals(expire(1_045_000), ["queue-timeout"]);
});

test("Request tracker: a message that is written at once is never queued", () => {
  const { tracker } = trackerWithoutLink();
  const message = request("1", "tools/call");
  const entry = tracker.open(
    message,
    new TimeoutRules(DEFAULT_CONFIG).timeoutsOf(message),
    0,
  );
  assertEquals([entry.state, tracker.hasWritable], ["arrived", false]);
  assertEquals([tracker.pendingRequestCount, tracker.deadline()], [
    1,
    Infinity,
  ]);
  tracker.markSent(entry, 7, 0, 3);
  assertEquals([tracker.hasWritable, tracker.lastCallWriteNumber(7)], [
    false,
    3,
  ]);
  assertEquals(tracker.complete("1", 7)?.key, entry.key);
  assertEquals([entry.sentOnConnectionId, entry.writeNumber], [7, 3]);
  assertEquals([tracker.pendingRequestCount, tracker.isBusy(7)], [0, false]);
  tracker.markSent(entry, 8, 0);
  assertEquals(tracker.inFlightCount(8), 0, "a closed entry is not sent");
});

test("Request tracker: a notification is closed once it was sent", () => {
  const { tracker } = trackerWithoutLink();
  const [notification] = parseMessages('{"jsonrpc":"2.0","method":"x"}');
  assert(notification?.kind === "notification");
  const timeouts = new TimeoutRules(DEFAULT_CONFIG).timeoutsOf(notification);
  const queued = enqueue(tracker, notification, timeouts, 0);
  const written = tracker.open(notification, timeouts, 0);
  assertEquals([tracker.pendingRequestCount, tracker.hasWritable], [0, true]);
  for (const entry of [queued, written]) tracker.markSent(entry, 7, 0);
  assertEquals([tracker.closeAll(), tracker.hasWritable], [[], false]);
});

test("Request tracker: counts requests and calls of each connection", () => {
  const tracker = createTracker();
  const methods = ["x", "ping", "x", "server/discover", "ping"];
  const all = methods.map((method, i) =>
    addRequest(tracker, request(`${i}`, method), 0)
  );
  for (const [i, entry] of all.entries()) {
    tracker.markSent(entry, i < 4 ? 7 : 8, 0, 10 + i);
  }
  const connections = [7, 8, 9];
  const hasCall = (): boolean[] =>
    connections.map((id) => tracker.hasCallInFlight(id));
  assertEquals(connections.map((id) => tracker.inFlightCount(id)), [4, 1, 0]);
  assertEquals(connections.map((id) => tracker.lastCallWriteNumber(id)), [
    ...[12, 0, 0],
  ]);
  assertEquals(hasCall(), [true, false, false]);
  assertEquals([10, 11].map((probe) => tracker.onProbeAnswered(7, probe)), [
    ...[false, true],
  ]);
  tracker.complete("0", 8);
  tracker.complete("0", 7);
  assertEquals(tracker.onProbeAnswered(7, 12), false);
  tracker.complete("2", 7);
  tracker.complete("2", 7);
  assertEquals([tracker.inFlightCount(7), hasCall()], [
    2,
    [false, false, false],
  ]);
  assertEquals(
    [...tracker.inFlightOn(7)].map(({ key }) => key),
    ["1", "3"],
  );
});

test("Request tracker: the requests that fail with their connection are returned in the order of arrival", () => {
  const tracker = createTracker();
  const [first, second] = ["1", "2"].map((id) =>
    addRequest(tracker, request(id, "x"), 0)
  ) as [PendingEntry, PendingEntry];
  for (const entry of [second, first]) tracker.markSent(entry, 7, 0);
  const failed = tracker.onDisconnect(7, 0, () => "fail");
  assertEquals(failed, [first, second] as unknown[]);
  assertEquals(failed.map((entry) => entry.sentOnConnectionId), [7, 7]);
  assertEquals([tracker.pendingRequestCount, tracker.find("1")], [
    0,
    undefined,
  ]);
});

test("Request tracker: when a connection's tool list arrives, the requests that wait for it become writable", () => {
  const tracker = createTracker();
  for (const id of ["1", "2"]) addRequest(tracker, request(id, "x"), 0);
  tracker.markHintRequested("1", 7, 0);
  tracker.markHintRequested("2", 8, 0);
  for (const key of ["1", "2", "3"]) tracker.awaitToolList(key);
  assertEquals([tracker.hasWritable, tracker.deadline()], [false, 5_000]);
  const writable = (): string[] =>
    [...tracker.writableEntries(new Set())].map(({ key }) => key);
  tracker.onToolList(7);
  assertEquals(writable(), ["1"]);
  tracker.awaitToolList("1");
  assertEquals(tracker.onDisconnect(7, 2_000, () => "fail"), []);
  assertEquals(writable(), ["1"], "the list is requested on the next one");
  tracker.markHintRequested("1", 9, 10_000);
  tracker.close("2");
  assertEquals(tracker.advance(12_999).expired, [], "3 s are left");
  assertEquals(tracker.deadline(), 13_000);
  assertEquals(tracker.advance(13_000).expired[0]?.expiry, "hint-timeout");
  for (const key of ["1", "2"]) tracker.requireHint(key, 13_000);
  tracker.markHintRequested("1", 7, 13_000);
  tracker.onToolList(9);
  assertEquals([writable(), tracker.deadline()], [[], Infinity]);
});

test("Request tracker: advance returns the wait notices that are due, and the expired requests", () => {
  const { tracker } = trackerWithoutLink();
  const message = request("1", "x", '{"_meta":{"progressToken":"t"}}');
  const entry = addRequest(tracker, message, 0);
  assertEquals(tracker.deadline(), 1_000);
  const progressToken = '"t"';
  const first = { message, progressToken, progress: 1e-6 };
  assertEquals(tracker.advance(1_000), { notices: [first], expired: [] });
  assertEquals(tracker.deadline(), 6_000);
  assertEquals(tracker.advance(45_000), {
    notices: [{ message, progressToken, progress: 2e-6 }],
    expired: [{ entry, expiry: "queue-timeout" }],
  });
});

test("Request tracker: clients are notified of a suspect connection, unless --wait-progress is off", () => {
  const notices = (["on", "off"] as const).map((waitProgress) => {
    const tracker = createTracker({ ...DEFAULT_CONFIG, waitProgress });
    const params = '{"_meta":{"progressToken":"t"}}';
    for (const id of ["1", "2"]) {
      const entry = addRequest(tracker, request(id, "x", params), 0);
      tracker.markSent(entry, Number(id), 0);
    }
    return tracker.takeSuspicionNotices(1).map(({ message }) => message.id);
  });
  assertEquals(notices, [["1"], []]);
});

test("Request tracker: an id stays in use until its late response arrives, or its connection is lost", () => {
  const tracker = createTracker();
  const expectLate = (id: string, connectionId: number): void =>
    tracker.expectLateResponse(
      { message: request(id, "x"), writeNumber: 1 },
      connectionId,
      0,
      0,
    );
  expectLate("1", 7);
  expectLate("1", 8);
  assertEquals(
    [tracker.lateResponses.has("1"), tracker.lateResponses.has('"1"')],
    [
      true,
      false,
    ],
  );
  tracker.lateResponses.onResponse("1", 7);
  assertEquals(tracker.lateResponses.has("1"), true, "on the other link");
  tracker.onDisconnect(8, 0, () => "resend");
  assertEquals(tracker.lateResponses.has("1"), false);
  for (let id = 0; id <= 1_000; id++) expectLate(`${id}`, 7);
  assertEquals(
    [tracker.lateResponses.has("0"), tracker.lateResponses.has("1")],
    [
      false,
      true,
    ],
  );
});

test("Request tracker: the queue is limited in number and size, and sending makes room", () => {
  const tracker = createTracker({ ...DEFAULT_CONFIG, queueLimit: 2 });
  const message = request("1", "ping");
  const first = addRequest(tracker, message, 0);
  addRequest(tracker, request("2", "ping"), 0);
  assertEquals(tracker.isFull(message), true);
  tracker.markSent(first, 1, 0);
  assertEquals(tracker.isFull(message), false);
  const large = createTracker();
  const half = `{"x":"${"x".repeat(32 * 1024 * 1024)}"}`;
  addRequest(large, request("1", "x", half), 0);
  assertEquals(large.isFull(message), false);
  assertEquals(large.isFull(request("2", "x", half)), true);
});
