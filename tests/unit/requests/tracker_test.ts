/**
 * The pending requests: their order, their deadlines and their responses.
 *
 * @module
 */

import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import { timeoutsOf } from "../../../lib/requests/timeouts.ts";
import { RequestTracker } from "../../../lib/requests/tracker.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { DEFAULT_CONFIG } from "../../helpers/session/session_driver.ts";

/** Adds a request with timeouts that a test may set. */
function addRequest(
  tracker: RequestTracker,
  message: Request,
  now: number,
  limits = DEFAULT_CONFIG,
): void {
  tracker.add(message, timeoutsOf(message, limits), now);
}

test("Request tracker: distinguishes ids by type and value", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  const ids = ["0", '"0"', "1", '"1"', "-1", '""'];
  for (const id of ids) addRequest(tracker, request(id, "ping"), 0);
  assertEquals(tracker.pendingRequestCount, ids.length);
  for (const id of ids) tracker.markSent(id, 1, 0);
  for (const id of ids) assertEquals(tracker.complete(id, 1)?.key, id);
  assertEquals(tracker.pendingRequestCount, 0);
});

test("Request tracker: a response counts only on the connection that its request went to", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  addRequest(tracker, request("1", "ping"), 0);
  assertEquals(tracker.complete("1", 1), undefined, "it was not even sent");
  tracker.markSent("1", 1, 0);
  assertEquals(tracker.complete("1", 2), undefined);
  assertEquals(tracker.complete("1", 1)?.key, "1");
  assertEquals(tracker.complete("1", 1), undefined, "once");
});

test("Request tracker: a request that is sent again keeps its place in the order", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  for (const id of ["1", "2", "3"]) addRequest(tracker, request(id, "ping"), 0);
  tracker.markSent("1", 7, 0);
  tracker.markSent("2", 7, 0);
  assertEquals(tracker.inFlightCount(7), 2);
  tracker.onDisconnect(7, 0, () => "resend");
  assertEquals([...tracker.queuedEntries()].map(({ key }) => key), [
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
  const tracker = new RequestTracker(limits);
  addRequest(tracker, request("1", "ping"), 100, limits);
  tracker.updateQueueTimers(100, () => false);
  assertEquals(tracker.deadline(), 45_100);
  assertEquals(tracker.expire(45_099), []);
  tracker.markSent("1", 1, 200);
  assertEquals(tracker.deadline(), 10_200);
  tracker.acceptProgress(undefined, 1, 1, 5_000);
  assertEquals(tracker.expire(10_200)[0]?.expiry, "idle-timeout");
  assertEquals([tracker.pendingRequestCount, tracker.deadline()], [
    0,
    Infinity,
  ]);
  addRequest(tracker, request("2", "ping"), 0, limits);
  tracker.markSent("2", 1, 55_000);
  assertEquals(tracker.expire(60_000)[0]?.expiry, "total-timeout");
});

test("Request tracker: progress moves the idle deadline, never the total one", () => {
  const limits = {
    ...DEFAULT_CONFIG,
    requestTimeout: 25_000,
    idleTimeout: 10_000,
  };
  const tracker = new RequestTracker(limits);
  addRequest(
    tracker,
    request("1", "x", '{"_meta":{"progressToken":0}}'),
    0,
    limits,
  );
  tracker.markSent("1", 1, 0);
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
  assertEquals(tracker.expire(24_999), []);
  assertEquals(tracker.expire(25_000)[0]?.expiry, "total-timeout");
});

test("Request tracker: the queue timeout is the sum of all waits for a connection", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  addRequest(tracker, request("1", "ping"), 0);
  tracker.updateNewQueueTimers(0, () => false);
  tracker.updateQueueTimers(20_000, () => true);
  assertEquals(tracker.expire(45_000), [], "a link is ready");
  tracker.updateQueueTimers(100_000, () => false);
  tracker.updateQueueTimers(105_000, () => true);
  tracker.markSent("1", 1, 110_000);
  tracker.onDisconnect(1, 200_000, () => "resend");
  tracker.updateNewQueueTimers(200_000, () => false);
  assertEquals(tracker.expire(219_999), []);
  assertEquals(tracker.deadline(), 220_000);
  assertEquals(tracker.expire(220_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: the request that opens the connection waits until the link is ready", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  addRequest(tracker, request("1", "initialize"), 0);
  tracker.updateQueueTimers(0, () => false);
  tracker.markHandshakeSent("1", 1, 10_000);
  tracker.onDisconnect(1, 20_000, () => "resend");
  tracker.updateNewQueueTimers(20_000, () => false);
  tracker.markHandshakeSent("1", 2, 21_000);
  assertEquals(tracker.expire(44_999), []);
  assertEquals(tracker.expire(45_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: time asleep is no wait for a connection", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  addRequest(tracker, request("1", "ping"), 0);
  tracker.updateQueueTimers(0, () => false);
  tracker.postpone(1_000_000);
  // Every change rechecks all entries.
  addRequest(tracker, request("2", "ping"), 1_010_000);
  tracker.updateQueueTimers(1_010_000, () => false);
  assertEquals(tracker.expire(1_044_999), []);
  assertEquals(tracker.expire(1_045_000)[0]?.expiry, "queue-timeout");
});

test("Request tracker: an id stays in use until its late response came, or its connection is lost", () => {
  const tracker = new RequestTracker(DEFAULT_CONFIG);
  const give = (id: string, connectionId: number): void =>
    tracker.expectLateResponse(
      { message: request(id, "x"), writeNumber: 1 },
      connectionId,
      0,
      0,
    );
  give("1", 7);
  give("1", 8);
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
  for (let id = 0; id <= 1_000; id++) give(`${id}`, 7);
  assertEquals(
    [tracker.lateResponses.has("0"), tracker.lateResponses.has("1")],
    [
      false,
      true,
    ],
  );
});

test("Request tracker: the queue is limited in number and size, and sending makes room", () => {
  const tracker = new RequestTracker({ ...DEFAULT_CONFIG, queueLimit: 2 });
  const message = request("1", "ping");
  addRequest(tracker, message, 0);
  addRequest(tracker, request("2", "ping"), 0);
  assertEquals(tracker.isFull(message), true);
  tracker.markSent("1", 1, 0);
  assertEquals(tracker.isFull(message), false);
  const large = new RequestTracker(DEFAULT_CONFIG);
  const half = `{"x":"${"x".repeat(32 * 1024 * 1024)}"}`;
  addRequest(large, request("1", "x", half), 0);
  assertEquals(large.isFull(message), false);
  assertEquals(large.isFull(request("2", "x", half)), true);
});
